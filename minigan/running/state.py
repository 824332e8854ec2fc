"""What a checkpoint of a run holds, and how a system goes on from it: the same bits as if it had never stopped."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigan.arrays import to_host
from minigan.checkpoint import State, first_non_finite
from minigan.running.folder import describe
from minigan.systems.system import System


class Progress(NamedTuple):
    """How far a run has come: turns played, and bytes of its log by then."""

    turn: int = 0
    log: int = 0


def state_of(system: System, progress: Progress) -> State:
    """Everything that the rest of the training depends on, as live arrays and plain data; no word of the device."""
    about = describe(system.name, system.options)
    del about["options"]["device"], about["options"]["tf32"]
    state: State = {
        "G": system.G.params,
        "D": system.D.params,
        "G_optimizer": system.G.optimizer.state_dict(),
        "D_optimizer": system.D.optimizer.state_dict(),
        "rng": system.rng.bit_generator.state,
        "progress": progress._asdict(),
        "about": about,
    }
    if system.average:
        state["average"] = system.average.state_dict()
    if system.batches:
        state["batches"] = system.batches.state_dict()
    return state


def first_not_finite(system: System, state: State) -> str | None:
    """The first number of the state that is NaN or infinite, as "G_optimizer/V of main.0.weight", or None."""
    where = first_non_finite(state)
    player = {"G_optimizer": system.G, "D_optimizer": system.D}.get(where.partition("/")[0]) if where else None
    if not where or not player:
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
        check_same(system, state["about"])
        system.G.params.load_state_dict(state["G"])
        system.D.params.load_state_dict(state["D"])
        system.G.optimizer.load_state_dict(state["G_optimizer"])
        system.D.optimizer.load_state_dict(state["D_optimizer"])
        system.rng.bit_generator.state = state["rng"]
        if system.average:
            system.average.load_state_dict(state["average"])
        if system.batches:
            system.batches.load_state_dict(state["batches"])
        return Progress(**state["progress"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"resume: the checkpoint is not of a run of {system.name}: {error!r}") from error


def check_same(system: System, about: dict[str, Any]) -> None:
    """Refuse to go on with a run as another: ValueError, naming the first option that differs and may not."""
    if about["system"] != system.name:
        raise ValueError(f"resume: the run is of {about['system']}, not of {system.name}")
    options = describe(system.name, system.options)["options"]
    for name, value in options.items():
        if name not in system.free and about["options"].get(name, value) != value:
            raise ValueError(
                f"resume: the run has {name} = {about['options'][name]}, which cannot become {value} on the way; "
                "start a new one"
            )
