"""A GPU's manners without a GPU: an array type that behaves as CuPy's does towards NumPy, and counts what is slow.

`FakeArray` computes with NumPy and so gives NumPy's bits, but it is as strict as cupy.ndarray (14.2):

    refused     np.asarray(x), operands on the host (x * np.ones(3), x[...] = np.ones(3)), names and keywords that CuPy
                does not have
    allowed     Python and NumPy scalars as operands, arrays of its own kind
    counted     syncs: float(x), bool(x), x.item(), x.get(), printing, iterating, boolean masks, nonzero, waiting for a
                stream or an event
                host copies: what moves between host and device: fake_cupy.asarray, x.get()

    with watched() as traffic:
        ...
    assert traffic == Traffic(syncs=0, host_copies=0)

Work is done when it is asked for. What it cannot say is whether CuPy's own kernels are right.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from minigan.arrays import register_array_type


@dataclass
class Traffic:
    """How often the host waited for the device, and how often numbers crossed between them."""

    syncs: int = 0
    host_copies: int = 0


_traffic = Traffic()


@contextmanager
def watched() -> Iterator[Traffic]:
    """Count what happens inside, from zero."""
    global _traffic
    before, _traffic = _traffic, Traffic()
    try:
        yield _traffic
    finally:
        _traffic = before


class FakeArray:
    """An array that lives on no device and acts as if it did. Make one with fake_cupy.asarray."""

    __slots__ = ("__weakref__", "_numbers")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers

    shape = property(lambda self: self._numbers.shape)
    strides = property(lambda self: self._numbers.strides)
    ndim = property(lambda self: self._numbers.ndim)
    size = property(lambda self: self._numbers.size)
    nbytes = property(lambda self: self._numbers.nbytes)
    itemsize = property(lambda self: self._numbers.itemsize)
    dtype = property(lambda self: self._numbers.dtype)
    flags = property(lambda self: self._numbers.flags)
    T = property(lambda self: FakeArray(self._numbers.T))

    __cuda_array_interface__ = property(lambda self: self._numbers.__array_interface__)

    def __len__(self) -> int:
        return len(self._numbers)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        ours = getattr(fake_cupy, ufunc.__name__, None)
        if method != "__call__":
            ours = getattr(ours, method, None)
        return NotImplemented if ours is None else ours(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        ours = getattr(fake_cupy, function.__name__, None)
        return NotImplemented if ours is None else ours(*args, **kwargs)

    def __getitem__(self, at: Any) -> FakeArray:
        return FakeArray(np.asarray(self._numbers[_index(at)]))

    def __setitem__(self, at: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._numbers[_index(at)] = _numbers(value)

    def __iter__(self) -> Iterator[FakeArray]:
        _traffic.syncs += 1
        return (FakeArray(np.asarray(a)) for a in self._numbers)

    def get(self) -> np.ndarray:
        """The numbers on the host."""
        _traffic.syncs += 1
        _traffic.host_copies += 1
        return self._numbers.copy()

    def item(self) -> Any:
        """The one number, on the host."""
        return self.get().item()

    def tolist(self) -> Any:
        """The numbers on the host, in lists."""
        return self.get().tolist()

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __copy__(self) -> FakeArray:
        return FakeArray(self._numbers.copy())

    def __deepcopy__(self, memo: Any) -> FakeArray:
        return FakeArray(self._numbers.copy())


class _Ufunc:
    """A ufunc with the methods and keywords that cupy.ufunc has."""

    nin = property(lambda self: self._ufunc.nin)
    nout = property(lambda self: self._ufunc.nout)

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc
        self.__name__ = ufunc.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if refused := kwargs.keys() - {"out", "dtype", "casting"}:
            raise TypeError(f"cupy.{self.__name__} has no keyword {', '.join(sorted(refused))}")
        return _on_device(self._ufunc, *args, **kwargs)

    def at(self, x: FakeArray, at: Any, value: Any) -> None:
        """In place, x[at] becomes ufunc(x[at], value), element by element."""
        self._ufunc.at(_numbers(x), _index(at), _numbers(value))

    def reduce(self, x: FakeArray, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        """The ufunc between all elements along an axis."""
        return _on_device(self._ufunc.reduce, x, axis=axis, dtype=dtype, out=out, keepdims=keepdims)

    def outer(self, x: Any, y: Any) -> Any:
        """The ufunc of all pairs."""
        return _on_device(self._ufunc.outer, x, y)


class _Stream:
    def record(self, event: Any) -> Any:
        return event

    def synchronize(self) -> None:
        _traffic.syncs += 1


class _Event:
    def synchronize(self) -> None:
        _traffic.syncs += 1


class _FakeCupy(ModuleType):
    """The module: NumPy's functions under the names that CuPy has, for FakeArrays."""

    ndarray = FakeArray
    newaxis, pi, e, inf, nan = None, np.pi, np.e, np.inf, np.nan
    dtype, finfo, iinfo = np.dtype, np.finfo, np.iinfo
    bool_, int8, int16, int32, int64, uint8 = np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8
    float16, float32, float64 = np.float16, np.float32, np.float64

    cuda = SimpleNamespace(Stream=_Stream, Event=_Event, get_current_stream=_Stream)

    def __getattr__(self, name: str) -> Any:
        if name not in CUPY_FUNCTIONS:
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        if name in _FROM_HOST:
            return functools.partial(_from_host, getattr(np, name))
        function = getattr(np, name)
        return _Ufunc(function) if isinstance(function, np.ufunc) else functools.partial(_function, function)

    @property
    def lib(self) -> Any:
        """cupy.lib.stride_tricks"""
        tricks = np.lib.stride_tricks
        names = ("as_strided", "sliding_window_view")
        return SimpleNamespace(
            stride_tricks=SimpleNamespace(**{n: functools.partial(_function, getattr(tricks, n)) for n in names})
        )

    # What NumPy's functions of these names say on the host, without looking at a number, CuPy's say too.
    shape = staticmethod(lambda x: x.shape)
    ndim = staticmethod(lambda x: x.ndim)
    size = staticmethod(lambda x: x.size)
    result_type = staticmethod(lambda *xs: np.result_type(*(getattr(x, "dtype", x) for x in xs)))
    iscomplexobj = staticmethod(lambda x: x.dtype.kind == "c")
    isrealobj = staticmethod(lambda x: x.dtype.kind != "c")

    @staticmethod
    def asnumpy(x: FakeArray) -> np.ndarray:
        """The numbers on the host."""
        return x.get()


# The functions of cupy 14.2.0 that NumPy has under the same name.
CUPY_FUNCTIONS = frozenset(
    """
abs absolute add all allclose amax amin angle any append arange arccos arccosh arcsin arcsinh arctan arctan2
arctanh argmax argmin argpartition argsort argwhere around array array_equal array_equiv array_split asanyarray
asarray ascontiguousarray asfortranarray astype atleast_1d atleast_2d atleast_3d average bincount bitwise_and
bitwise_count bitwise_not bitwise_or bitwise_xor broadcast_arrays broadcast_to cbrt ceil choose clip
column_stack compress concatenate conj conjugate convolve copy copysign copyto corrcoef correlate cos cosh
count_nonzero cov cross cumprod cumsum deg2rad degrees delete diag diag_indices
diag_indices_from diagflat diagonal diff digitize divide divmod dot dsplit dstack ediff1d einsum empty
empty_like equal exp exp2 expand_dims expm1 extract eye fabs fill_diagonal fix flatnonzero flip fliplr flipud
float_power floor floor_divide fmax fmin fmod frexp full full_like gcd gradient greater greater_equal heaviside
histogram histogram2d histogramdd hsplit hstack hypot identity imag indices inner interp intersect1d invert
isclose iscomplex isfinite isfortran isin isinf isnan isneginf isposinf isreal ix_ kron
lcm ldexp left_shift less less_equal lexsort linspace log log10 log1p log2 logaddexp logaddexp2 logical_and
logical_not logical_or logical_xor logspace matmul matrix_transpose max maximum may_share_memory mean median
meshgrid min minimum mod modf moveaxis multiply nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax
nanmean nanmedian nanmin nanprod nanstd nansum nanvar negative nextafter nonzero not_equal ones ones_like outer
packbits pad partition percentile place positive power prod ptp put put_along_axis putmask quantile rad2deg
radians ravel ravel_multi_index real real_if_close reciprocal remainder repeat reshape resize right_shift rint
roll rollaxis rot90 round searchsorted select setdiff1d setxor1d shares_memory sign signbit sin sinc sinh sort
sort_complex split sqrt square squeeze stack std subtract sum swapaxes take take_along_axis tan tanh tensordot
tile trace transpose trapezoid tri tril tril_indices tril_indices_from trim_zeros triu triu_indices
triu_indices_from true_divide trunc union1d unique unique_all unique_counts unique_inverse unique_values
unpackbits unravel_index unwrap var vdot vsplit vstack where zeros zeros_like
""".split()  # noqa: SIM905
)

_FROM_HOST = frozenset({"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"})
_WAITS = frozenset({"argwhere", "flatnonzero", "nonzero", "extract", "unique", "compress", "trim_zeros"})
_NOT_IN_CUPY = frozenset({"where", "initial", "like", "subok"})

# cupy.ndarray's methods with the parameters they have there.
_METHODS: dict[str, tuple[str, ...]] = {
    "all": ("axis", "out", "keepdims"),
    "any": ("axis", "out", "keepdims"),
    "argmax": ("axis", "dtype", "out", "keepdims"),
    "argmin": ("axis", "dtype", "out", "keepdims"),
    "astype": ("dtype", "order", "casting", "subok", "copy"),
    "clip": ("min", "max", "out"),
    "copy": ("order",),
    "cumsum": ("axis", "dtype", "out"),
    "dot": ("b", "out"),
    "fill": ("value",),
    "flatten": ("order",),
    "max": ("axis", "out", "keepdims"),
    "mean": ("axis", "dtype", "out", "keepdims"),
    "min": ("axis", "out", "keepdims"),
    "prod": ("axis", "dtype", "out", "keepdims"),
    "ravel": ("order",),
    "repeat": ("repeats", "axis"),
    "reshape": ("order", "copy"),
    "squeeze": ("axis",),
    "std": ("axis", "dtype", "out", "ddof", "keepdims"),
    "sum": ("axis", "dtype", "out", "keepdims"),
    "swapaxes": ("axis1", "axis2"),
    "take": ("indices", "axis", "out"),
    "transpose": (),
    "var": ("axis", "dtype", "out", "ddof", "keepdims"),
    "view": ("dtype",),
}
_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_IN_PLACE = ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor")
_UNARY = ("neg", "pos", "abs", "invert")


def _numbers(x: Any) -> Any:
    """The NumPy array or scalar in an operand, where CuPy takes it."""
    if isinstance(x, FakeArray):
        return x._numbers
    if isinstance(x, (bool, int, float, complex, np.generic)):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def _argument(x: Any) -> Any:
    """An argument of a function: operands, alone or in a row, and settings."""
    if isinstance(x, (list, tuple)):
        return type(x)(_argument(a) for a in x)
    return x if x is None or isinstance(x, (str, slice, type, np.dtype)) else _numbers(x)


def _on_device(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    result = function(*map(_argument, args), **{name: _argument(a) for name, a in kwargs.items()})
    if kwargs.get("out") is not None:
        return kwargs["out"]
    if isinstance(result, (tuple, list)):
        return type(result)(FakeArray(np.asarray(a)) for a in result)
    return FakeArray(np.asarray(result))


def _function(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    name = function.__name__
    if refused := kwargs.keys() & _NOT_IN_CUPY:
        raise TypeError(f"cupy.{name} has no keyword {', '.join(sorted(refused))}")
    if name in _WAITS or (name == "where" and len(args) == 1):
        _traffic.syncs += 1
    return _on_device(function, *args, **kwargs)


def _from_host(function: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> FakeArray:
    if isinstance(x, FakeArray):
        return _on_device(function, x, *args, **kwargs)
    _traffic.host_copies += 1
    return FakeArray(np.array(x, *args, **kwargs))


def _index(at: Any) -> Any:
    if isinstance(at, tuple):
        return tuple(_index(a) for a in at)
    if isinstance(at, FakeArray):
        _traffic.syncs += at.dtype == bool
        return at._numbers
    if isinstance(at, (list, np.ndarray)):
        _traffic.host_copies += 1
    return at


def _method(name: str, keywords: tuple[str, ...]) -> Callable[..., Any]:
    def method(self: FakeArray, *args: Any, **kwargs: Any) -> Any:
        if refused := kwargs.keys() - set(keywords):
            raise TypeError(f"cupy.ndarray.{name} has no keyword {', '.join(sorted(refused))}")
        result = _on_device(getattr(self._numbers, name), *args, **kwargs)
        return None if name == "fill" else result

    return method


def _operator(name: str, swapped: bool) -> Callable[..., Any]:
    function = getattr(operator, f"__{name}__")

    def method(self: FakeArray, other: Any) -> Any:
        # CuPy leaves the operation to the other side if that says so, or outranks it.
        if getattr(other, "__array_ufunc__", self) is None or getattr(other, "__array_priority__", 0) > 100:
            return NotImplemented
        return _on_device(function, other, self) if swapped else _on_device(function, self, other)

    return method


def _in_place(name: str) -> Callable[..., Any]:
    function = getattr(operator, f"__{name}__")

    def method(self: FakeArray, other: Any) -> FakeArray:
        function(self._numbers, _numbers(other))
        return self

    return method


def _unary(name: str) -> Callable[..., Any]:
    return lambda self: _on_device(getattr(operator, f"__{name}__"), self)


for _name, _keywords in _METHODS.items():
    setattr(FakeArray, _name, _method(_name, _keywords))
for _name in _BINARY:
    setattr(FakeArray, f"__{_name}__", _operator(_name, swapped=False))
    setattr(FakeArray, f"__r{_name}__", _operator(_name, swapped=True))
for _name in _COMPARISONS:
    setattr(FakeArray, f"__{_name}__", _operator(_name, swapped=False))
for _name in _IN_PLACE:
    setattr(FakeArray, f"__{_name}__", _in_place(_name))
for _name in _UNARY:
    setattr(FakeArray, f"__{_name}__", _unary(_name))

fake_cupy = _FakeCupy("cupy")
register_array_type(FakeArray, fake_cupy)
