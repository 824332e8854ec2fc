"""Reverse-mode differentiation: a tape that is written forwards and read backwards.

For loss = f_n(... f_2(f_1(x))) the chain rule gives, from the last operation to the first,

    d loss / d x_k  =  sum over the operations that read x_k of   (d y / d x_k)^T  (d loss / d y).

While a loss is computed, each array that depends on the parameters is wrapped in a `Traced` box, and each operation
(`primitive`) appends a node to the tape: who its parents are, and a function from dy = d loss / d y to all the
parents' dx. `sweep` pops the tape: children come off before their parents, so when a node is popped its dy is complete.

A derivative (`defvjp`) is itself written in primitives. So when the arrays it meets are traced by an outer gradient,
it is recorded like anything else, and gradients of gradients to any order come without further rules.

The boxes and trace levels are those of HIPS autograd, so `autograd.grad` and its checkers work on minigan's primitives.
Its containers and its backward pass are replaced, for speed: one leaf an array, no sorting, one closure an operation.
This is the only file that touches its internals.
Read next: primitives/elementwise.py.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from autograd.core import VJPNode, primitive_vjps
from autograd.tracer import Box, getval, trace_stack

from minigan import faster
from minigan.arrays import Array, array_module
from minigan.devices import mixed_devices
from minigan.parameters import Parameters

__all__ = ["Traced", "defvjp", "defvjp_joint", "grad", "primitive", "stop_gradient", "value_and_grad", "vjp_of"]


def value_and_grad(
    loss: Callable[..., Any], has_aux: bool = False, gather: bool = True
) -> Callable[..., tuple[Any, Any]]:
    """The function (params, *rest) -> (loss(params, *rest), its gradient with respect to params).

    Only the first argument moves. Whatever else the loss reads, the other player's parameters included, is plain
    numbers to it, so nothing has to be detached or frozen and no gradient is computed that nobody asked for.

    Args:
        loss: returns a scalar, shape (); with has_aux, a pair of that scalar and anything else (logs, scores), which
            is handed back without tracing: ((loss, aux), gradient).
        gather: whether the gradient of Parameters is gathered into Parameters of its own, whose `flat` is all of it in
            a row. If not, it is a dict of the arrays as they came out of the sweep: nothing is copied, they may share
            memory, and they are for reading only. Optimizers take either.

    What the loss reads must not be written to until the gradient is there: the tape holds arrays, not copies.

    params: a float array, Parameters, or a dict of float arrays. The gradient has the same kind and names; an array
    that the loss does not read gets zeros. Gradients nest to any order.

    Raises:
        TypeError: if params are not float arrays.
        ValueError: if the loss is not a scalar or does not depend on params at all.
    """

    @functools.wraps(loss)
    def value_and_gradient(params: Any, *rest: Any, **options: Any) -> tuple[Any, Any]:
        _check_float(params)
        arrays = params if isinstance(params, dict) else {"": params}
        tape: list[_TapeNode] = []
        # HIPS has one stack of levels: one thread at a time. Where nothing surrounds the work, it takes its lock twice.
        with _tracing, faster.one_gradient(arrays.values()) or _tracing:
            level = trace_stack.top = trace_stack.top + 1
            try:
                leaves = [Traced(a, level, _leaf(tape)) for a in arrays.values()]
                result = loss(_rebuilt(params, arrays, leaves), *rest, **options)
            finally:
                trace_stack.top -= 1
            value, aux = result if has_aux else (result, None)
            value = _sweep_from(value, level, tape)
            values = [_zeros_like(leaf) if leaf._node.grad is None else leaf._node.grad for leaf in leaves]
            gradient = _rebuilt(params, arrays, values) if gather else dict(zip(arrays, values, strict=True))
        return ((value, _untraced(aux, level)) if has_aux else value), gradient

    return value_and_gradient


def grad(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The function (params, *rest) -> gradient of loss with respect to params. See value_and_grad."""
    both = value_and_grad(loss)

    @functools.wraps(loss)
    def gradient(params: Any, *rest: Any, **options: Any) -> Any:
        return both(params, *rest, **options)[1]

    return gradient


def stop_gradient(x: Array) -> Array:
    """The numbers of x, as a constant to every gradient being taken."""
    return getval(x)


class Traced(Box):
    """An array while it is watched: its value, the level of the gradient that watches, its node on the tape.

    Its operators + - * / ** @ [] are primitives (primitives/operators.py puts them here). NumPy's functions refuse it;
    use minigan.primitives.
    """

    __slots__ = ()
    __array_ufunc__ = None  # so that ndarray * Traced is left to Traced.__rmul__

    shape = property(lambda self: self._value.shape)
    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: self._value.size)
    dtype = property(lambda self: self._value.dtype)

    def __len__(self) -> int:
        return len(self._value)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a traced array is no NumPy array; use minigan.primitives, or stop_gradient for its numbers")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} cannot be traced; use minigan.primitives")

    def __repr__(self) -> str:
        return f"Traced({self._value!r})"


Traced.register(Traced)  # a box around a box (a gradient inside a loss) is a Traced again


def primitive(f: Callable[..., Array]) -> Callable[..., Array]:
    """Make the array function f an operation that gradients can see through. Its derivative is given by defvjp.

    f itself only ever meets plain arrays, and where somebody is faster than f (faster.py), not even those. If gradients
    are nested, the innermost traced arguments are peeled off first and the call repeats one level below, so that each
    level records the operation on its own tape.
    """
    signature = inspect.signature(f)

    @functools.wraps(f)
    def op(*args: Any, **kwargs: Any) -> Array:  # noqa: PLR0912  in one piece: a call takes as long as a small product
        level = -1
        for a in args:
            if type(a) in _boxes and a._trace > level:
                level = a._trace
        if kwargs and any(type(a) in _boxes for a in kwargs.values()):
            bound = signature.bind(*args, **kwargs)  # a derivative is looked up by position
            bound.apply_defaults()
            return op(*bound.args)
        values: Any = args
        deeper, back = False, None
        if level >= 0:
            values, argnums, parents = list(args), [], []
            for i, a in enumerate(args):
                if type(a) in _boxes and a._trace == level:
                    box = a
                    values[i] = a._value
                    argnums.append(i)
                    parents.append(a._node)
            deeper = level > 0 and any(type(a) in _boxes for a in values)
        try:  # costs nothing where nothing is raised
            if deeper:
                y = op(*values, **kwargs)
            else:
                answer = NotImplemented
                if stand_ins and values and faster.switched_on:
                    fast = stand_ins.get(type(values[0]))
                    if fast is not None:
                        answer = fast(*values, **kwargs)
                if answer is NotImplemented:
                    y = f(*values, **kwargs)
                else:
                    y, back = answer
        except Exception as error:
            if not deeper:
                _check_devices(f, signature, values, kwargs, error)
            raise
        if level < 0:
            return y
        node_type = type(box._node)
        if back is None or node_type is not _TapeNode:  # one of HIPS autograd's own knows no other way back
            return type(box)(y, level, node_type(y, op, values, kwargs, argnums, parents))
        return type(box)(y, level, _TapeNode(y, op, values, kwargs, argnums, parents, back))

    stand_ins = faster.stand_ins(op)
    return op


def defvjp(op: Callable[..., Array], *makers: Callable[..., Any] | None) -> None:
    """Give op's derivative, argument by argument: maker(y, *args) -> (dy -> dx).

    VJP is vector-Jacobian product: dx = (dy/dx)^T dy. An argument with None, or none, has no derivative.
    """
    names = list(inspect.signature(op).parameters)
    all_makers = [
        (makers[i] if i < len(makers) else None) or _no_derivative(op.__name__, name) for i, name in enumerate(names)
    ]

    def vjp_maker(argnums: Any, y: Array, args: Any, kwargs: Any) -> Callable[[Array], tuple[Array, ...]]:
        if len(argnums) == 1:
            vjp = all_makers[argnums[0]](y, *args, **kwargs)
            return lambda dy: (vjp(dy),)
        vjps = [all_makers[i](y, *args, **kwargs) for i in argnums]
        return lambda dy: tuple([vjp(dy) for vjp in vjps])

    primitive_vjps[op] = vjp_maker


def defvjp_joint(op: Callable[..., Array], maker: Callable[..., Any]) -> None:
    """Give op's derivative for all arguments at once, where they share work: maker(argnums, y, *args) -> (dy -> dxs).

    argnums lists the positions of the traced arguments; dxs is the tuple of their gradients in that order.
    """
    primitive_vjps[op] = lambda argnums, y, args, kwargs: maker(argnums, y, *args, **kwargs)


def vjp_of(
    op: Any, argnums: Sequence[int], y: Array, *args: Any, **kwargs: Any
) -> Callable[[Array], tuple[Array, ...]]:
    """The derivative that op was given, at y = op(*args, **kwargs): dy -> the gradients of the arguments at argnums."""
    return primitive_vjps[op](argnums, y, args, kwargs)


_boxes = Box.types
_tracing = threading.RLock()


class _TapeNode(VJPNode):
    """One operation on the tape. HIPS makes each new node of its parents' class, so leaves of it are enough.

    Where y comes with a way back of its own, that is tried first, and the derivative of op is not even made unless dy
    is traced or `back` declines.
    """

    __slots__ = ("grad", "tape")  # beside VJPNode's parents and vjp

    parents: Any
    vjp: Any

    def __init__(self, y: Array, op: Any, args: Any, kwargs: Any, argnums: Any, parents: Any, back: Any = None) -> None:
        if back is None:
            self.vjp = primitive_vjps[op](argnums, y, args, kwargs)
        else:
            self.vjp = partial(_tried_first, back, argnums, y, op, args, kwargs)
        self.parents = parents
        self.grad = None
        self.tape = parents[0].tape
        self.tape.append(self)


def _tried_first(back: Any, argnums: Any, y: Array, op: Any, args: Any, kwargs: Any, dy: Array) -> Any:
    """The gradients of the arguments at argnums, by `back`, else by the derivative of op."""
    dxs = back(argnums, dy) if type(dy) is type(y) else NotImplemented
    return primitive_vjps[op](argnums, y, args, kwargs)(dy) if dxs is NotImplemented else dxs


def _leaf(tape: list[_TapeNode]) -> _TapeNode:
    """A node that only collects its gradient. It is not on the tape: there is nothing behind it."""
    node: _TapeNode = _TapeNode.__new__(_TapeNode)
    node.grad, node.tape = None, tape
    return node


def _sweep_from(value: Any, level: int, tape: list[_TapeNode]) -> Any:
    """Run the tape backwards from the scalar `value`; the leaves' nodes then hold their gradients."""
    if isinstance(value, tuple):
        raise ValueError("expected a scalar loss, got a tuple: value_and_grad(loss, has_aux=True) takes (loss, aux)")
    if type(value) not in _boxes or value._trace != level:
        raise ValueError("the loss does not depend on the parameters (the first argument)")
    if value.shape != ():
        raise ValueError(f"expected a scalar loss, shape (), got shape {value.shape}: take its mean or sum")
    number = getval(value)
    value._node.grad = array_module(number).ones((), number.dtype)
    while tape:
        node = tape.pop()  # and with it goes what its closure kept: memory falls as the sweep proceeds
        dy, node.grad = node.grad, None
        if dy is not None:  # else it was computed on the way, but the loss does not depend on it
            for parent, dx in zip(node.parents, node.vjp(dy), strict=True):
                parent.grad = dx if parent.grad is None else parent.grad + dx
        node.vjp = node.parents = None  # the box of the loss still holds the last node, and through it all others
    return value._value


def _zeros_like(leaf: Traced) -> Array:
    number = getval(leaf)
    return array_module(number).zeros_like(number)


def _rebuilt(params: Any, arrays: Mapping[str, Array], values: list[Any]) -> Any:
    """`values` in place of the arrays of params: an array, a dict, or Parameters, with a flat vector if not traced."""
    if arrays is not params:
        return values[0]
    named = dict(zip(arrays, values, strict=True))
    if not isinstance(params, Parameters):
        first = {id(v): name for name, v in reversed(named.items())}  # x + y hands the same dy to both
        return {name: v if first[id(v)] == name else v * 1.0 for name, v in named.items()}
    for v in values:
        if type(v) in _boxes:
            return params.replaced(named)
    return Parameters.gathered(named)


def _check_devices(f: Any, signature: inspect.Signature, args: Any, kwargs: Any, error: Exception) -> None:
    """If f failed because arrays on the host met arrays on a GPU, say so in a TypeError of its own."""
    try:
        mixed = mixed_devices(signature.bind(*args, **kwargs).arguments)
    except TypeError:  # it was called with the wrong number of arguments
        return
    if mixed:
        raise TypeError(f"{f.__name__}: {mixed}") from error


def _no_derivative(op: str, argument: str) -> Callable[..., Any]:
    def maker(*_: Any, **__: Any) -> Any:
        raise TypeError(f"{op} has no derivative with respect to its argument {argument!r}")

    return maker


def _untraced(aux: Any, level: int) -> Any:
    """aux with the boxes of this level opened, through tuples, lists and dicts."""
    if type(aux) in _boxes:
        return aux._value if aux._trace == level else aux
    if isinstance(aux, dict):
        return {k: _untraced(v, level) for k, v in aux.items()}
    if isinstance(aux, tuple) and hasattr(aux, "_fields"):
        return type(aux)(*[_untraced(v, level) for v in aux])
    if isinstance(aux, (tuple, list)):
        return type(aux)([_untraced(v, level) for v in aux])
    return aux


def _check_float(params: Any) -> None:
    if isinstance(params, Parameters):  # has checked that itself
        return
    for name, a in params.items() if isinstance(params, dict) else [("", params)]:
        dtype = getattr(a, "dtype", None)
        if dtype is None or dtype.kind != "f":
            got = type(a).__name__ if dtype is None else f"dtype {dtype}"
            joint = "; Parameters.joined makes one of several" if isinstance(a, (list, tuple, dict)) else ""
            of = f" for {name!r}" if name else ""
            raise TypeError(f"gradients are taken of float arrays; got {got}{of}{joint}")
