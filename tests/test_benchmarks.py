"""What the benchmarks compute themselves: how far contenders are apart, how much there is to compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.harness import Case, DisagreementError, agree
from benchmarks.layers import LAYERS, System, share


class MadeUp:
    """A worker whose answer is the reference's, and a little more."""

    def __init__(self, error: float) -> None:
        self.error = error

    def build(self, arguments: Any) -> None:
        """Nothing."""

    def run(self, steps: int) -> list[float]:
        """Nothing takes no time."""
        return [0.0] * steps

    def answer(self) -> dict[str, np.ndarray]:
        """One number."""
        return {"a": np.array([1.0 + self.error])}


def test_contenders_agree_within_the_tolerance_or_are_not_timed() -> None:
    def agreed(**errors: float) -> dict[str, float]:
        workers: Any = {name: MadeUp(error) for name, error in errors.items()}
        return agree(workers, "torch", 1, Case("a case", {}, {}, "float32", tolerance=1e-4))

    assert agreed(torch=0.0, minigan=5e-5).keys() == {"torch", "minigan"}
    with pytest.raises(DisagreementError, match=r"minigan is 2\.0e-03 away from torch .* the 1\.0e-04 allowed"):
        agreed(torch=0.0, minigan=2e-3)
    with pytest.raises(DisagreementError, match="minigan is nan away"):
        agreed(torch=0.0, minigan=float("nan"))


def test_a_layer_is_measured_against_the_peak() -> None:
    row = {"median_us": 1000.0}  # a GFLOP in a millisecond: 1e12 a second
    assert share(10**9, row, 4e12) == 0.25
    assert share(None, row, 4e12) is None


@pytest.mark.parametrize("system", ["mlp", "conv28", "dcgan"])
def test_layers_have_as_many_operations_as_pytorch_counts(system: System) -> None:
    pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.contenders.steps_torch import Torch

    contender = Torch(system, batch=2)
    _, _, noise = contender.batches[0]
    with FlopCounterMode(display=False) as counted:
        contender.D(contender.G(noise)).sum().backward()
    operations = [layer.flop(2) or 0 for layer in LAYERS[system]]
    ours = 3 * sum(operations) - operations[0]  # forward, input, weight; nobody asks for the noise's gradient
    assert ours == pytest.approx(counted.get_total_flops(), rel=0.01)  # layers with one output are left out
