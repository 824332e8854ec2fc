"""What every GAN comes down to: players, a turn, how samples are looked at, and what else a run has to remember.

Plain data: a page of this package fills it in, `minigan.running` trains it, and whoever wants neither loops over

    for turn in system.play():
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from minigan.arrays import Array
from minigan.game import Notes, Player, Turn, play
from minigan.gans.sampling import Sampling
from minigan.optimizers import MovingAverage


class System(NamedTuple):
    """A GAN, ready to be trained.

    name: that of its module.
    options: what it was built from, a dataclass.
    players: name -> Player: their numbers and optimizers go into checkpoints.
    turn: plays the turn of a number and returns its notes.
    turns: how many the game has.
    sampling: how samples are drawn and looked at.
    memory: name -> whatever else the turns depend on and change, so that a run can go on from a checkpoint: anything
        with state_dict() and load_state_dict(state), such as batches or a pool of images, and generators of random
        numbers. A MovingAverage here follows its player after each turn, and samples are drawn from it.
    may_change: names of options that the rest of a run may have different, since they change no number, or only how it
        is rounded.
    scores: name -> (samples -> how far they are from the data; smaller is better).
    epoch: turns in an epoch; None where there are no epochs.
    log_every, sample_every: turns between two lines of the log, two sheets of samples.
    line: what the log prints of a record; its notes by name, if not said otherwise.
    weights_each_epoch: whether weights are kept of every epoch.
    """

    name: str
    options: Any
    players: Mapping[str, Player]
    turn: Callable[[int], Notes]
    turns: int
    sampling: Sampling
    memory: Mapping[str, Any] = {}
    may_change: frozenset[str] = frozenset({"device", "epochs", "data_dir"})
    scores: Mapping[str, Callable[[Any], float]] = {}
    epoch: int | None = None
    log_every: int = 100
    sample_every: int = 100
    line: Callable[[Mapping[str, Any]], str] | None = None
    weights_each_epoch: bool = False

    def play(self, played: int = 0) -> Iterator[Turn]:
        """The game, from the turn after `played` on; averages follow their players."""
        for turn in play(self.turn, self.turns, played):
            for average in self.averages().values():
                average.update()
            yield turn

    def averages(self) -> dict[str, MovingAverage]:
        """Of the memory, what follows a player: the player's name -> its average."""
        return {
            name: average
            for average in self.memory.values()
            if isinstance(average, MovingAverage)
            for name, player in self.players.items()
            if average.source is player.params
        }

    def samples(self, z: Any) -> Array:
        """What the players make of noise, by their averages where they have one; nothing moves."""
        averages = self.averages()
        shown = {
            name: player.still(averages[name].params) if name in averages else player
            for name, player in self.players.items()
        }
        return self.sampling.samples(shown, z)
