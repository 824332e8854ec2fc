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
    """A GAN, ready to be trained."""

    name: str  # that of its module
    options: Any  # what it was built from, a dataclass
    players: Mapping[str, Player]  # by name: their numbers and optimizers go into checkpoints
    turn: Callable[[int], Notes]  # plays the turn of a number and returns its notes
    turns: int  # how many the game has
    sampling: Sampling  # how samples are drawn and looked at
    # Whatever else the turns depend on and change, so that a run can go on from a checkpoint: anything with
    # state_dict() and load_state_dict(state), such as batches or a pool of images, and generators of random numbers.
    # A MovingAverage here follows its player after each turn, and samples are drawn from it.
    memory: Mapping[str, Any] = {}
    # Options that the rest of a run may have different, since they change no number, or only how it is rounded.
    may_change: frozenset[str] = frozenset({"device", "epochs", "data_dir"})
    scores: Mapping[str, Callable[[Any], float]] = {}  # samples -> how far they are from the data; smaller is better
    epoch: int | None = None  # turns in an epoch; None where there are no epochs
    log_every: int = 100  # turns between two lines of the log
    sample_every: int = 100  # turns between two sheets of samples
    line: Callable[[Mapping[str, Any]], str] | None = None  # of a record, for the log; None: its notes by name
    weights_each_epoch: bool = False  # whether weights are kept of every epoch

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
