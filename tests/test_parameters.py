"""A player's numbers: names, one flat vector with its views, and every way of getting numbers in and out."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigan.parameters import Parameters


@pytest.fixture
def p() -> Parameters:
    arrays = {"w": np.arange(6.0).reshape(2, 3), "b": np.array([6.0, 7.0]), "scale": np.array(8.0)}
    return Parameters(arrays, buffers={"mean": np.array([1.0, 2.0]), "steps": np.array(3)})


def _assert_views(p: Parameters) -> None:
    """Each array is its stretch of the flat vector, in the order of the names."""
    assert p.flat.flags.c_contiguous
    start = p.flat.__array_interface__["data"][0]
    for a in p.values():
        assert a.__array_interface__["data"][0] == start
        assert a.flags.c_contiguous
        start += a.nbytes
    assert start == p.flat.__array_interface__["data"][0] + p.flat.nbytes


def test_arrays_are_views_of_one_flat_vector_in_the_order_of_their_names(p: Parameters) -> None:
    _assert_views(p)
    assert list(p) == ["w", "b", "scale"]
    np.testing.assert_array_equal(p.flat, np.arange(9.0))


def test_what_is_written_to_the_flat_vector_is_in_the_arrays(p: Parameters) -> None:
    p.flat *= 10.0
    np.testing.assert_array_equal(p["w"], [[0.0, 10.0, 20.0], [30.0, 40.0, 50.0]])
    assert p["scale"] == 80.0


def test_what_is_written_to_an_array_is_in_the_flat_vector(p: Parameters) -> None:
    p["w"][1, 2] = -1.0
    p["b"] = np.array([-2.0, -3.0])
    p["b"] += 1.0
    p["scale"] *= 2.0
    np.testing.assert_array_equal(p.flat, [0.0, 1.0, 2.0, 3.0, 4.0, -1.0, -1.0, -2.0, 16.0])
    _assert_views(p)


@pytest.mark.parametrize(
    "write",
    [
        lambda p: p.update({"b": np.array([-1.0, -2.0])}),
        lambda p: p.__ior__({"b": np.array([-1.0, -2.0])}),
        lambda p: p.update(b=np.array([-1.0, -2.0])),
    ],
    ids=["update", "|=", "update by keyword"],
)
def test_update_writes_into_the_flat_vector_too(p: Parameters, write: Callable[[Parameters], Any]) -> None:
    write(p)
    np.testing.assert_array_equal(p.flat[6:8], [-1.0, -2.0])
    _assert_views(p)


@pytest.mark.parametrize(
    "remove",
    [lambda p: p.pop("b"), lambda p: p.popitem(), lambda p: p.__delitem__("b"), lambda p: p.clear()],
    ids=["pop", "popitem", "del", "clear"],
)
def test_no_array_can_be_taken_out(p: Parameters, remove: Callable[[Parameters], Any]) -> None:
    with pytest.raises((TypeError, KeyError)):
        remove(p)
    _assert_views(p)


def test_a_new_name_is_refused_with_the_known_ones(p: Parameters) -> None:
    with pytest.raises(KeyError, match="no parameter named 'bias'; there are w, b, scale"):
        p["bias"] = np.zeros(2)
    with pytest.raises(KeyError):
        p.setdefault("bias", np.zeros(2))
    assert list(p) == ["w", "b", "scale"]


@pytest.mark.parametrize("shape", [(3, 2), (6,), (1, 3), ()])
def test_another_shape_is_refused_even_if_it_could_be_broadcast(p: Parameters, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"parameter 'w': expected shape \(2, 3\), got \("):
        p["w"] = np.zeros(shape)
    np.testing.assert_array_equal(p.flat, np.arange(9.0))


def test_numbers_are_copied_in_whatever_their_layout() -> None:
    source = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    p = Parameters({"a": source, "b": source[:, ::-2], "c": source.T})
    source[...] = -1.0
    np.testing.assert_array_equal(p["a"], np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(p["b"], [[2.0, 0.0], [5.0, 3.0]])
    np.testing.assert_array_equal(p["c"], np.arange(6.0).reshape(2, 3).T)
    _assert_views(p)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"w": np.ones(2), "b": np.ones(2, np.float32)}, "got float32 for 'b'"),
        ({"w": np.ones(2), "steps": np.ones(2, int)}, "got int64 for 'steps'"),
        ({"steps": np.ones(2, int)}, "got int64 for 'steps'"),
        ({"w": np.ones(2, complex)}, "got complex128 for 'w'"),
    ],
)
def test_arrays_that_are_not_of_one_float_dtype_are_refused_by_name(arrays: Any, message: str) -> None:
    with pytest.raises(TypeError, match="expected float arrays of one dtype, " + message):
        Parameters(arrays)


def test_no_arrays_make_an_empty_vector() -> None:
    p = Parameters({})
    assert p.flat.shape == (0,)
    assert p.state_dict() == {}


def test_an_array_of_size_zero_takes_no_room() -> None:
    p = Parameters({"a": np.ones(2), "none": np.ones((0, 3)), "b": np.ones(1)})
    assert p["none"].shape == (0, 3)
    assert p.flat.shape == (3,)


def test_a_copy_has_numbers_and_buffers_of_its_own(p: Parameters) -> None:
    q = p.copy()
    q.flat[...] = 0.0
    q.buffers["mean"][...] = 0.0
    assert type(q) is Parameters
    np.testing.assert_array_equal(p.flat, np.arange(9.0))
    np.testing.assert_array_equal(p.buffers["mean"], [1.0, 2.0])
    _assert_views(q)


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p)), copy.copy], ids=["deepcopy", "pickle", "copy"]
)
def test_clones_have_views_of_a_flat_vector_of_their_own(p: Parameters, clone: Callable[[Any], Any]) -> None:
    q = clone(p)
    assert type(q) is Parameters
    assert list(q) == list(p)
    np.testing.assert_array_equal(q.flat, p.flat)
    np.testing.assert_array_equal(q.buffers["mean"], p.buffers["mean"])
    q.flat[...] = 0.0
    np.testing.assert_array_equal(p.flat, np.arange(9.0))
    _assert_views(q)


def test_deepcopy_and_pickle_copy_the_buffers(p: Parameters) -> None:
    for q in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        q.buffers["mean"][...] = 0.0
        np.testing.assert_array_equal(p.buffers["mean"], [1.0, 2.0])


def test_astype_converts_float_buffers_and_leaves_counters(p: Parameters) -> None:
    q = p.astype(np.float32)
    assert {a.dtype for a in (q.flat, *q.values(), q.buffers["mean"])} == {np.dtype(np.float32)}
    assert q.buffers["steps"].dtype == p.buffers["steps"].dtype
    np.testing.assert_array_equal(q.flat, np.arange(9.0))
    _assert_views(q)


def test_astype_to_the_same_dtype_is_a_copy(p: Parameters) -> None:
    q = p.astype(np.float64)
    q.flat[...] = 0.0
    q.buffers["mean"][...] = 0.0
    q.buffers["steps"][...] = 0
    np.testing.assert_array_equal(p.flat, np.arange(9.0))
    np.testing.assert_array_equal(p.buffers["mean"], [1.0, 2.0])
    assert p.buffers["steps"] == 3


def test_to_device_is_a_copy_on_the_same_device_too(p: Parameters) -> None:
    q = p.to_device("cpu")
    q.flat[...] = 0.0
    q.buffers["mean"][...] = 0.0
    np.testing.assert_array_equal(p.flat, np.arange(9.0))
    np.testing.assert_array_equal(p.buffers["mean"], [1.0, 2.0])


def test_a_state_dict_holds_the_live_arrays_and_the_buffers(p: Parameters) -> None:
    state = p.state_dict()
    assert type(state) is dict
    assert list(state) == ["w", "b", "scale", "mean", "steps"]
    state["w"][0, 0] = -1.0
    assert p.flat[0] == -1.0


def test_a_state_dict_round_trip_restores_every_number(p: Parameters) -> None:
    saved = {name: a.copy() for name, a in p.state_dict().items()}
    p.flat[...] = 0.0
    p.buffers["mean"][...] = 0.0
    p.buffers["steps"][...] = 0
    p.load_state_dict(saved)
    np.testing.assert_array_equal(p.flat, np.arange(9.0))
    np.testing.assert_array_equal(p.buffers["mean"], [1.0, 2.0])
    assert p.buffers["steps"] == 3
    _assert_views(p)


def test_loading_copies_and_keeps_the_dtype(p: Parameters) -> None:
    state = {name: (a * 2).astype(a.dtype) for name, a in p.state_dict().items()}
    state["w"] = state["w"].astype(np.float32)
    p.load_state_dict(state)
    state["w"][...] = -1.0
    np.testing.assert_array_equal(p.flat, 2.0 * np.arange(9.0))
    assert p["w"].dtype == np.float64


def _without(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: a for key, a in state.items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda s: _without(s, "b"), KeyError, r"missing \['b'\], unknown \[\]"),
        (lambda s: _without(s, "steps"), KeyError, r"missing \['steps'\], unknown \[\]"),
        (lambda s: {**s, "extra": np.ones(1)}, KeyError, r"missing \[\], unknown \['extra'\]"),
        (lambda s: {**s, "b": np.ones(3)}, ValueError, r"state_dict 'b': expected shape \(2,\), got \(3,\)"),
        (lambda s: {**s, "mean": np.ones(1)}, ValueError, r"state_dict 'mean': expected shape \(2,\), got \(1,\)"),
        (lambda s: {**s, "steps": np.ones(1)}, ValueError, r"state_dict 'steps': expected shape \(\), got \(1,\)"),
        (lambda s: {**s, "b": np.ones(2, complex)}, TypeError, "state_dict 'b'"),
    ],
    ids=[
        "a missing array",
        "a missing buffer",
        "an unknown name",
        "a shape",
        "a buffer's shape",
        "a scalar's shape",
        "a dtype",
    ],
)
def test_loading_checks_everything_before_it_writes_anything(
    p: Parameters, spoil: Callable[..., Any], error: type[Exception], message: str
) -> None:
    state = spoil({name: a + 100 for name, a in p.state_dict().items()})
    with pytest.raises(error, match=message):
        p.load_state_dict(state)
    np.testing.assert_array_equal(p.flat, np.arange(9.0))
    np.testing.assert_array_equal(p.buffers["mean"], [1.0, 2.0])
    assert p.buffers["steps"] == 3


def test_replaced_keeps_names_and_buffers_and_has_no_flat_vector(p: Parameters) -> None:
    q = p.replaced({name: a * 2.0 for name, a in p.items()})
    assert type(q) is Parameters
    assert list(q) == list(p)
    assert q.flat is None
    assert q.buffers is p.buffers


def test_several_networks_numbers_are_joined_under_their_names_into_one_vector_of_their_own() -> None:
    a, b = (Parameters({"weight": np.full(2, n)}, {"mean": np.full(1, n)}) for n in (1.0, 2.0))
    joined = Parameters.joined({"ab": a, "ba": b})
    assert list(joined) == ["ab.weight", "ba.weight"]
    assert list(joined.buffers) == ["ab.mean", "ba.mean"]
    joined.flat[...] = 7.0
    assert a["weight"].tolist() == [1.0, 1.0]
