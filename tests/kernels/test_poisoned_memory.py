"""A result owes nothing to what was in the memory before: every block that kernels are given here is full of NaN."""

from __future__ import annotations

import importlib
import math
import pkgutil
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import minigan.kernels
from minigan import kernels, objectives
from minigan.kernels import scratch
from minigan.networks import conv28, dcgan, mlp
from tests.gradient_table import CASES, Case, derivatives, drawn
from tests.losses import losses, notes_and_gradient

NAMES = [module.name for module in pkgutil.iter_modules(minigan.kernels.__path__)]
MODULES = [importlib.import_module(f"minigan.kernels.{name}") for name in NAMES]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fills what scratch.py hands out with NaN; the list says what was handed out."""
    handed: list[str] = []

    def poisoned(function: Any) -> Any:
        def hand_out(*args: Any) -> np.ndarray:
            block: np.ndarray = function(*args)
            block[...] = math.nan if block.dtype.kind == "f" else 113
            handed.append(function.__name__)
            return block

        return hand_out

    spoilt = {f: poisoned(f) for f in (scratch.scratch, scratch.empty, scratch.empty_like)}
    for module in MODULES:
        for name, value in list(vars(module).items()):
            if callable(value) and getattr(value, "__hash__", None) and value in spoilt and module is not scratch:
                monkeypatch.setattr(module, name, spoilt[value])
    return handed


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_values_and_derivatives_of_every_primitive(case: Case, poison: list[str]) -> None:
    numbers = drawn(case)
    found = derivatives(case, *numbers)
    with kernels.plain():
        expected = derivatives(case, *numbers)
    for got, wanted in zip(
        (found.y, *found.first, *found.second), (expected.y, *expected.first, *expected.second), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("name", ["mlp", "conv28", "dcgan"])
def test_a_step_of_d_with_tiles_enough_for_every_worker(name: str, pooled: bool, poison: list[str]) -> None:
    D, image = {
        "mlp": (mlp.discriminator(logits=True), (784,)),
        "conv28": (conv28.discriminator(8, 64), (1, 28, 28)),
        "dcgan": (dcgan.discriminator(8, logits=True), (3, 96, 96)),
    }[name]
    rng = np.random.default_rng(0)
    d = D.init(rng, np.float64)
    x, fake = rng.uniform(-1, 1, (2, 24, *image))
    d_loss, _ = losses(objectives.non_saturating_with_logits, together=not D.buffers())
    with kernels.backend.on_the_pool() if pooled else nullcontext():
        notes, gradient = notes_and_gradient(d_loss, D, d.copy(), x, fake)
    with kernels.plain():
        expected_notes, expected = notes_and_gradient(d_loss, D, d.copy(), x, fake)
    assert poison
    assert notes["d_loss"] == pytest.approx(expected_notes["d_loss"], rel=1e-12)
    for key, g in gradient.items():
        np.testing.assert_allclose(g, expected[key], rtol=0, atol=1e-11 * np.abs(expected[key]).max(), err_msg=key)
