"""Every primitive is held to finite differences to second order, and to the caller's dtype.

The table is in gradient_table.py; what it leaves out is found here. Each row runs on the kernels and on the plain code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
from autograd.core import primitive_vjps
from autograd.test_util import check_grads

import minigan.layers  # noqa: F401  with it every file of primitives/ is imported
from minigan import kernels, primitives
from tests.gradient_table import CASES, Case, derivatives, differences, drawn, worst_errors

every_case = pytest.mark.parametrize("case", CASES, ids=repr)
both_codes = pytest.mark.parametrize("code", [nullcontext, kernels.plain], ids=["kernels", "plain"])
Code = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def seeded() -> Iterator[None]:
    """autograd's checker draws its directions from NumPy's global generator."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    yield
    np.random.set_state(before)  # noqa: NPY002


@pytest.mark.usefixtures("seeded")
@both_codes
@every_case
def test_autograds_own_checker_accepts_first_and_second_derivatives(case: Case, code: Code) -> None:
    inputs, _, _ = drawn(case)
    with code():
        check_grads(case.call, modes=["rev"], order=2)(*inputs)


@both_codes
@every_case
def test_minigans_gradients_equal_central_differences(case: Case, code: Code) -> None:
    inputs, u, v = drawn(case, seed=1)
    with code():
        found, (first, second) = derivatives(case, inputs, u, v), differences(case, inputs, u, v)
    for dx, expected in zip((*found.first, *found.second), (*first, *second), strict=True):
        np.testing.assert_allclose(dx, expected, rtol=1e-8, atol=1e-9)


@both_codes
@every_case
def test_float32_gives_float32_values_and_derivatives(case: Case, code: Code) -> None:
    inputs, u, v = drawn(case, np.float32)
    with code():
        found = derivatives(case, inputs, u, v)
        expected = derivatives(case, *_in_float64(inputs, u, v))
    for group, reference in zip(([found.y], found.first, found.second), ([expected.y], *expected[1:]), strict=True):
        assert {a.dtype for a in group} == {np.dtype(np.float32)}
        for a, b in zip(group, reference, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * max(1.0, np.abs(b).max()))


@every_case
def test_a_gradient_has_the_shape_of_its_array(case: Case) -> None:
    inputs, u, v = drawn(case)
    found = derivatives(case, inputs, u, v)
    assert [dx.shape for dx in found.first] == [dx.shape for dx in found.second] == [x.shape for x in inputs]


@every_case
def test_neither_a_primitive_nor_its_derivatives_write_into_their_arguments(case: Case) -> None:
    inputs, u, v = drawn(case)
    before = [a.copy() for a in (*inputs, u, *v)]
    derivatives(case, inputs, u, v)
    for a, b in zip((*inputs, u, *v), before, strict=True):
        np.testing.assert_array_equal(a, b)


@every_case
def test_derivatives_do_not_depend_on_the_layout_in_memory(case: Case) -> None:
    inputs, u, v = drawn(case)
    expected = derivatives(case, inputs, u, v)
    found = derivatives(case, tuple(_spread_out(x) for x in inputs), u, v)
    for a, b in zip((found.y, *found.first, *found.second), (expected.y, *expected[1], *expected[2]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_every_public_primitive_has_a_row() -> None:
    rows = {case.op for case in CASES}
    assert [name for name in primitives.__all__ if getattr(primitives, name) not in rows] == []


def test_every_operation_with_a_derivative_of_its_own_has_a_row() -> None:
    rows = {case.op for case in CASES}
    private = {"_concatenate"}  # reached through concatenate
    missing = {op.__name__ for op in _registered() if op not in rows}
    assert missing == private


def test_names_of_rows_are_all_different() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)


def test_rows_take_the_derivative_of_the_operation_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[Any] = set()
    registered = _registered()
    for op, maker in registered.items():
        monkeypatch.setitem(
            primitive_vjps, op, lambda *args, op=op, maker=maker, **kwargs: taken.add(op) or maker(*args, **kwargs)
        )
    idle = []
    for case in CASES:
        taken.clear()
        derivatives(case, *drawn(case))
        if case.op in registered and case.op not in taken:
            idle.append(case.name)
    assert idle == []


def test_the_printed_evidence_covers_every_operation_and_is_as_small_as_rounding_allows() -> None:
    errors = worst_errors()
    assert {e.op for e in errors} == {case.op.__name__ for case in CASES}
    assert max(max(e.first, e.second) for e in errors) < 1e-9


def _registered() -> dict[Any, Any]:
    return {op: maker for op, maker in primitive_vjps.items() if op.__module__.startswith("minigan.primitives")}


def _in_float64(inputs: Any, u: Any, v: Any) -> tuple[Any, Any, Any]:
    return tuple(x.astype(np.float64) for x in inputs), u.astype(np.float64), tuple(a.astype(np.float64) for a in v)


def _spread_out(x: np.ndarray) -> np.ndarray:
    """The same numbers in a view that is contiguous in neither order."""
    wide = np.zeros(tuple(2 * n for n in x.shape))
    view = wide[(slice(None, None, 2),) * x.ndim] if x.ndim else wide
    view[...] = x
    return view
