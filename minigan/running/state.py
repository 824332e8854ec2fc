"""What a checkpoint of a run holds, and how a system goes on from it: the same bits as if it had never stopped."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigan.arrays import to_host
from minigan.files.checkpoint import State, check_state, first_non_finite
from minigan.gans.options import plain
from minigan.gans.system import System
from minigan.optimizers import MovingAverage


class Progress(NamedTuple):
    """How far a run has come: turns played, and bytes of its log by then."""

    turn: int = 0
    log: int = 0


def check_system(system: System) -> None:
    """Refuse, before any work, a system that a checkpoint could not hold: ValueError or TypeError, naming the entry."""
    taken = {"about", "progress", *system.players, *(f"{name}_optimizer" for name in system.players)}
    numbers = [player.params for player in system.players.values()]
    for name, item in system.memory.items():
        if name in taken:
            raise ValueError(f"memory: {name!r} is the name of another entry of a checkpoint; choose another")
        if not isinstance(item, np.random.Generator) and not hasattr(item, "load_state_dict"):
            raise TypeError(
                f"memory: expected {name!r} to have state_dict() and load_state_dict(state), or to be a "
                f"numpy.random.Generator, got {type(item).__name__}"
            )
        if isinstance(item, MovingAverage) and all(item.source is not params for params in numbers):
            raise ValueError(f"memory: {name!r} is an average, and follows the numbers of no player")
    state = state_of(system, Progress())
    try:
        check_state(state)
    except (TypeError, ValueError) as error:
        raise ValueError(f"memory: {error}") from error
    where = first_not_finite(system, state)
    if where:
        raise ValueError(f"memory: expected finite numbers to start from; those of {where} are not")


def state_of(system: System, progress: Progress) -> State:
    """Everything that the rest of the run depends on, as live arrays and plain data; no word of the device."""
    options = plain(system.options)
    options.pop("device", None)
    entries = {id(item): entry for entry, item in system.memory.items()}
    averages = {who: entries[id(average)] for who, average in system.averages().items()}
    about = {"system": system.name, "options": options, "averages": averages}
    state: State = {"progress": progress._asdict(), "about": about}
    for name, player in system.players.items():
        state[name], state[f"{name}_optimizer"] = player.params, player.optimizer.state_dict()
    for name, item in system.memory.items():
        drawn = isinstance(item, np.random.Generator)
        state[name] = item.bit_generator.state if drawn else item.state_dict()
    return state


def first_not_finite(system: System, state: State) -> str | None:
    """The first number of the state that is NaN or infinite, as "G_optimizer/V of main.0.weight", or None."""
    where = first_non_finite(state)
    player = system.players.get(where.partition("/")[0].removesuffix("_optimizer")) if where else None
    if not where or not player or "_optimizer/" not in where:
        return where
    entry, _, name = where.partition("/")
    index = int(np.argmin(np.isfinite(to_host(state[entry][name]))))  # in one vector that all layers share
    layers = np.cumsum([a.size for a in player.params.values()])
    return f"{where} of {list(player.params)[int(np.searchsorted(layers, index, side='right'))]}"


def restore(system: System, state: State) -> Progress:
    """Take up a system where a checkpoint left it.

    Raises:
        ValueError: if the checkpoint is of another system, or of one with other options: names them. Or if it is whole,
            but of no run at all.
    """
    try:
        about = state["about"]
        if about["system"] != system.name:
            raise ValueError(f"resume: the run is of {about['system']}, not of {system.name}")
        for name, value in plain(system.options).items():
            if name not in system.may_change and about["options"].get(name, value) != value:
                raise ValueError(
                    f"resume: the run has {name} = {about['options'][name]}, which cannot become {value} on the way; "
                    "start a new one"
                )
        for name, player in system.players.items():
            player.params.load_state_dict(state[name])
            player.optimizer.load_state_dict(state[f"{name}_optimizer"])
        for name, item in system.memory.items():
            if isinstance(item, np.random.Generator):
                item.bit_generator.state = state[name]
            else:
                item.load_state_dict(state[name])
        return Progress(**state["progress"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"resume: the checkpoint is not of a run of {system.name}: {error!r}") from error
