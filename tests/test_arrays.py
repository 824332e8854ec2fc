"""Whose array is it, and how does it get to another device: errors included, without CuPy being installed."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigan.arrays import array_module, finite, on_host, register_array_type, to_host
from minigan.autodiff import grad
from minigan.devices import to_device, use_cupy
from minigan.primitives import sum as sum_of
from tests.devices.fake_device import FakeArray, Traffic, fake_cupy, watched


class _CudaError(Exception):
    pass


def _install(monkeypatch: pytest.MonkeyPatch, count: int | Exception) -> ModuleType:
    """A module cupy that finds `count` GPUs, and whose arrays are FakeArrays."""

    def get_device_count() -> int:
        if isinstance(count, Exception):
            raise count
        return count

    cupy: Any = ModuleType("cupy")
    cupy.ndarray, cupy.asarray = FakeArray, fake_cupy.asarray
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=get_device_count, CUDARuntimeError=_CudaError))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


@pytest.mark.parametrize(
    "x",
    [np.ones(2), np.ones(2, np.float32), np.float32(1.0), np.float64(1.0), np.float16(1.0), np.int64(1), 1.0, 1, True],
    ids=lambda x: type(x).__name__,
)
def test_numpy_arrays_and_numbers_belong_to_numpy(x: Any) -> None:
    assert array_module(x) is np


def test_a_subclass_of_ndarray_belongs_to_numpy() -> None:
    assert array_module(np.ma.masked_array([1.0])) is np


def test_a_registered_type_belongs_to_its_module() -> None:
    assert array_module(fake_cupy.asarray(np.ones(2))) is fake_cupy


def test_registering_twice_does_no_harm() -> None:
    register_array_type(FakeArray, fake_cupy)
    assert array_module(fake_cupy.asarray(np.ones(2))) is fake_cupy


def test_an_array_of_cupy_is_recognised_although_nobody_called_use_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    class ndarray:  # noqa: N801  CuPy's name
        pass

    ndarray.__module__ = "cupy"
    cupy: Any = ModuleType("cupy")
    cupy.ndarray = ndarray
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert array_module(ndarray()) is cupy


@pytest.mark.parametrize("x", [[1.0], (1.0,), "x", None, {}], ids=repr)
def test_what_is_no_array_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match=f"expected a NumPy or CuPy array, got {type(x).__name__}"):
        array_module(x)


def test_without_cupy_the_gpu_is_refused_in_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    for refused in (use_cupy, lambda: to_device(np.ones(2), "cuda")):
        with pytest.raises(RuntimeError, match=r"needs CuPy: pip install 'minigan\[cuda12\]'") as caught:
            refused()
        assert "\n" not in str(caught.value)


def test_without_a_driver_the_gpu_is_refused_in_one_line_with_cupys_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, _CudaError("driver version is insufficient"))
    with pytest.raises(RuntimeError, match="needs an NVIDIA GPU and driver; CuPy says: driver version is insuff") as e:
        use_cupy()
    assert "\n" not in str(e.value)


def test_without_a_gpu_the_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, 0)
    with pytest.raises(RuntimeError, match="needs an NVIDIA GPU; CuPy finds none"):
        use_cupy()


def test_to_device_moves_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = _install(monkeypatch, 1)
    assert use_cupy() is cupy
    try:
        x = np.arange(3.0, dtype=np.float32)
        on_device = to_device(x, "cuda")
        assert type(on_device) is FakeArray
        with watched() as traffic:
            assert type(to_device(on_device, "cuda")) is FakeArray
        assert traffic == Traffic()
        back = to_device(on_device, "cpu")
    finally:
        register_array_type(FakeArray, fake_cupy)
    assert type(back) is np.ndarray
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, x)


def test_an_array_on_the_host_is_not_copied_to_the_host() -> None:
    x = np.ones(3)
    assert to_host(x) is x
    assert to_device(x) is x


def test_an_array_says_whether_it_is_on_the_host_and_whether_all_of_it_is_finite() -> None:
    x = np.array([1.0, -2.0])
    for array, here in ((x, True), (fake_cupy.asarray(x), False)):
        assert on_host(array) is here
        assert finite(array)
        assert not finite(array * np.nan)
        assert not finite(array * np.inf)
    assert on_host(2.0)
    assert finite(np.arange(3))


def test_the_host_takes_lists_and_numbers() -> None:
    np.testing.assert_array_equal(to_host([1.0, 2.0]), [1.0, 2.0])
    assert to_host(2.0).shape == ()


@pytest.mark.parametrize("device", ["gpu", "cuda:0", "", None])
def test_an_unknown_device_is_refused_with_the_known_ones(device: Any) -> None:
    with pytest.raises(ValueError, match=f"device: expected 'cpu' or 'cuda', got {device!r}"):
        to_device(np.ones(2), device)


def test_a_traced_array_cannot_be_taken_to_the_host() -> None:
    def loss(x: Any) -> Any:
        with pytest.raises(TypeError):
            to_host(x)
        return sum_of(x)

    grad(loss)(np.ones(3))
