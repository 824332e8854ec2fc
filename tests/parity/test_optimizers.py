"""Ten thousand parameters walk where the installed PyTorch's optimizers walk, step for step."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests import references, torch_optimizers
from tests.optimizer_paths import CASES, FULL, SMALL, path, worst

each_case = pytest.mark.parametrize("case", CASES, ids=str)


@each_case
def test_in_float64_every_step_is_pytorchs_to_twelve_digits(case):
    assert worst(path(case, FULL), torch_optimizers.path(case, FULL)) < 1e-12


@each_case
def test_in_float32_every_step_is_pytorchs_to_five_digits(case):
    assert worst(path(case, FULL, np.float32), torch_optimizers.path(case, FULL, torch.float32)) < 1e-5


@each_case
def test_the_stored_references_are_what_pytorch_gives(case):
    assert worst(torch_optimizers.path(case, SMALL), references.load("optimizers")[str(case)]) < 1e-13
