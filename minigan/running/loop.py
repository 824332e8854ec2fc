"""The loop around the game: play a turn, and see what is due.

    summary = train(system, Run(output=Path("runs/digits")))

Numbers are moved by `system.play()` and nothing else. Beside it a turn costs a few comparisons, and at most ten
times a second what the bar shows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from tqdm import tqdm

from minigan.files.checkpoint import Checkpoints
from minigan.files.weights import CheckpointError, save_weights
from minigan.game import Turn
from minigan.gans.options import plain
from minigan.gans.system import System
from minigan.pictures.sheets import save_picture
from minigan.running.folder import Folder, read_about, write_about
from minigan.running.interruption import Interruption
from minigan.running.live import Live, check_installed
from minigan.running.machine import changed, machine
from minigan.running.options import KEPT, Run
from minigan.running.pictures import Sheets, draw_the_end
from minigan.running.records import Log, notes_line, one_line, record_of, rounded
from minigan.running.state import Progress, check_system, first_not_finite, restore, state_of


class NotFiniteError(ArithmeticError):
    """A number that is to be saved became NaN or infinite.

    Attributes:
        turn: in which it was found.
        where: what it is in the checkpoint, as "G/main.0.weight" or "G_optimizer/V of main.0.weight".
    """

    def __init__(self, turn: int, where: str) -> None:
        super().__init__(f"turn {turn}: {where} is no longer finite, so nothing is saved; try a lower rate")
        self.turn, self.where = turn, where


class Summary(NamedTuple):
    """How a training run ended."""

    turn: int  # the last that was played
    finished: bool  # whether it was the last of the game
    signal: int | None  # the one that stopped it, if one did
    problems: list[str]  # what could not be written, if anything; nothing of it stopped the run


def train(system: System, run: Run) -> Summary:
    """Train a system in a folder, from the start or from the last checkpoint there.

    Ctrl-C and SIGTERM end it after the turn, with a checkpoint. What cannot be written is reported, and it goes on.

    Raises:
        ValueError, OSError: before any work: if an option or the folder cannot be used, or the folder's run is another.
        MemoryError: if the device has not enough; the last checkpoint stays.
        DivergedError: if a loss is NaN or infinite.
        NotFiniteError: if another number is; in both cases the last checkpoint stays.
    """
    training = Training(system, run)
    for _ in training.turns():
        pass
    return training.finish()


class Training:
    """One training: a system, its folder, and what is done in which turn.

    Args:
        system: as it was built; taken to where its last checkpoint was if the run resumes.
        run: how.

    Attributes:
        turn: the last that was played.

    Raises as `train` before any work.
    """

    def __init__(self, system: System, run: Run) -> None:
        run.check()
        check_system(system)
        if run.best is not None and run.best not in system.scores:
            raise ValueError(f"best: expected one of {', '.join(system.scores) or 'no scores'}, got {run.best!r}")
        if run.tensorboard:
            check_installed()
        self.system, self.run, self.folder = system, run, Folder(run.output)
        self.folder.check(run.resume)
        for name in ("samples", "weights"):
            (self.folder.path / name).mkdir(parents=True, exist_ok=True)
        self.checkpoints = Checkpoints(self.folder.checkpoints, run.keep)
        saved = self.checkpoints.latest() if run.resume else None
        if saved is None and self.checkpoints.steps():
            raise ValueError(
                f"resume: every checkpoint in {self.folder.checkpoints} is damaged; remove them to start over"
            )
        progress = restore(system, saved[1]) if saved else Progress()
        self._moved = changed(read_about(self.folder).get("machine")) if saved else None
        about = {"system": system.name, "options": plain(system.options)}
        kept = {name: getattr(run, name) for name in KEPT}
        write_about(self.folder, {**about, "run": kept, "machine": machine()})

        self.turn = progress.turn
        self.log_every = run.log_every or system.log_every
        self.sample_every = run.sample_every or system.sample_every
        self.checkpoint_every = run.checkpoint_every or system.epoch or 500
        self.sheets = Sheets(system)
        self.log = Log(self.folder.log, progress.log)
        self.live: Live | None = None
        self.signal: int | None = None
        self._problems: dict[str, str] = {}
        self._say: Callable[[str], None] = print

    def turns(self) -> Iterator[Turn]:
        """Play, and hand out each turn when everything that is due has been done."""
        system = self.system
        with ExitStack() as stack:
            interruption = stack.enter_context(Interruption())
            hidden = None if self.run.progress else True  # None: unless it is a terminal
            bar = tqdm(
                desc=system.name, total=system.turns, initial=self.turn, unit="turn", dynamic_ncols=True, disable=hidden
            )
            stack.enter_context(bar)
            self._say = bar.write
            if self.run.resume and self.turn == 0:
                self._say("resume: no checkpoint had been written yet, so the run starts over")
            if self._moved:
                self._say(self._moved)
            stack.enter_context(self.log)
            if self.run.tensorboard:
                self.live = stack.enter_context(Live(self.folder.live, self.turn))
            for item in system.memory.values():
                if hasattr(item, "close"):
                    stack.callback(item.close)
            for turn in system.play(self.turn):
                self.turn = turn.number
                if bar.update():  # the bar has just been drawn, and will not be again for a while
                    bar.set_postfix_str(notes_line(record_of(turn, None)), refresh=False)
                stop = interruption.signal is not None or turn.number == self.run.stop_after
                self._do_what_is_due(turn, stop or turn.number == system.turns)
                yield turn
                if stop:
                    self.signal = interruption.signal
                    break

    def finish(self) -> Summary:
        """Write what a whole run leaves behind, if the game is over, and say how it ended."""
        finished = self.turn == self.system.turns
        if finished:
            self._try("weights", self._save_weights, None)
            self._try("pictures", draw_the_end, self.system, self.sheets, self.folder, self.run.gif)
        return Summary(self.turn, finished, self.signal, list(self._problems.values()))

    def _do_what_is_due(self, turn: Turn, last: bool) -> None:
        n, epoch = turn.number, self.system.epoch
        end_of_epoch = epoch is not None and n % epoch == 0
        due = n % self.checkpoint_every == 0
        sheet_due = n % self.sample_every == 0 or n == 1
        if due or last or sheet_due:
            turn.check()  # on a GPU nobody may have looked yet
        if n % self.log_every == 0 or end_of_epoch:
            record = record_of(turn, epoch)
            self._say((self.system.line or one_line)(record))
            self._record(record)
        if sheet_due:
            self._try(f"samples of turn {n}", self._save_sheet)
        if epoch and end_of_epoch and self.system.weights_each_epoch:
            self._try(f"weights of epoch {n // epoch}", self._save_weights, n // epoch)
        if due or last:
            self._try("log", self.log.sync)
            self._try("checkpoint", lambda: self.save(self.run.best if due else None))

    def _record(self, record: dict[str, Any]) -> None:
        self._try("log", self.log.write, record)
        if self.live:
            self._try("live view", self.live.record, record)

    def _save_sheet(self) -> None:
        picture = self.sheets.sheet()
        save_picture(self.folder.samples(self.turn), picture)
        if self.live:
            self.live.picture(self.turn, picture)

    def save(self, scored_by: str | None = None) -> None:
        """Write a checkpoint, with the score of this name if one is given.

        Raises CheckpointError if it cannot be written, NotFiniteError if it must not be.
        """
        score = None
        if scored_by:
            score = self.sheets.score(scored_by)
            self._record({"turn": self.turn, scored_by: rounded(score)})
        state = state_of(self.system, Progress(self.turn, self.log.length))
        where = first_not_finite(self.system, state)
        if where:
            raise NotFiniteError(self.turn, where)
        self.checkpoints.save(self.turn, state, score)

    def _save_weights(self, epoch: int | None) -> None:
        system = self.system
        built = {name: value for name, value in plain(system.options).items() if name not in system.may_change}
        about = {"system": system.name, "options": json.dumps(built), "turn": str(self.turn)}
        params = {f"net{name.lower()}": player.params for name, player in system.players.items()}
        params |= {f"net{name.lower()}_average": average.params for name, average in system.averages().items()}
        for name, numbers in params.items():
            save_weights(self.folder.weights(name, epoch), numbers, about)

    def _try(self, what: str, write: Callable[..., None], *arguments: Any) -> None:
        """Write something; if the disk does not take it, say so and go on."""
        try:
            write(*arguments)
        except (OSError, CheckpointError) as error:
            self._problems[what] = f"{what} not written: {error}"
            print(f"turn {self.turn}: {self._problems[what]}", file=sys.stderr)
        else:
            self._problems.pop(what, None)
