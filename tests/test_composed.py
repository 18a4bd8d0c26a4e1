"""The functions without a kernel of their own: prelu, rrelu and crelu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare import assert_same_bits

import fastrelu as fr
from fastrelu import _runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array


class Marked(np.ndarray[Any, Any]):
    """A subclass that adds nothing."""


def images(dtype: np.dtype[Any]) -> Array:
    """Return a batch of small images: 2 of 3 channels of 4 by 5."""
    return np.linspace(-3, 3, 120, dtype=dtype).reshape(2, 3, 4, 5)


# --- prelu --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -4])
def test_prelu_axis(dtype: np.dtype[Any], axis: int) -> None:
    """A weight lies along the axis that is named, forward, in place and backward."""
    x = images(dtype)
    weight = np.arange(1, x.shape[axis] + 1).astype(dtype) / 10
    shape = [1] * 4
    shape[axis] = -1
    along = weight.reshape(shape)
    wanted = np.where(x > 0, x, along * x)
    assert_same_bits(fr.prelu(x, weight, axis=axis), wanted)
    slope = np.broadcast_to(np.where(x > 0, dtype.type(1), along), x.shape)
    assert_same_bits(fr.prelu_backward(np.ones_like(x), x, weight, axis=axis), slope)
    assert_same_bits(fr.prelu_backward_from_output(np.ones_like(x), wanted, weight, axis=axis), slope)
    out = np.empty_like(x)
    assert fr.prelu(x, weight, axis=axis, out=out) is out
    assert_same_bits(out, wanted)
    assert fr.prelu_(x, weight, axis=axis) is x
    assert_same_bits(x, wanted)


def test_prelu_broadcasts() -> None:
    """Without an axis the weight broadcasts as in NumPy: a number, or one per column."""
    x = images(np.dtype(np.float32))
    assert_same_bits(fr.prelu(x, 0.25), fr.leaky_relu(x, 0.25))
    weight = np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32)
    assert_same_bits(fr.prelu(x, weight), fr.prelu(x, weight, axis=-1))


def test_prelu_errors() -> None:
    """A weight that does not fit its axis is refused before anything is written."""
    x = images(np.dtype(np.float32))
    with pytest.raises(ValueError, match="prelu got 4 weights for axis 1 of length 3"):
        fr.prelu_(x, np.ones(4, np.float32), axis=1)
    with pytest.raises(ValueError, match="prelu with axis= takes a one-dimensional weight, got 2 dimensions"):
        fr.prelu_(x, np.ones((3, 1), np.float32), axis=1)
    with pytest.raises(np.exceptions.AxisError, match="axis 4 is out of bounds"):
        fr.prelu_(x, np.ones(3, np.float32), axis=4)
    assert_same_bits(x, images(np.dtype(np.float32)))


def test_prelu_from_output_domain() -> None:
    """The output determines the derivative for slopes that keep the sign: a number below 0 raises, an element is NaN."""
    y = np.array([-1.0, 2.0, 3.0], np.float32)
    with pytest.raises(ValueError, match="weight >= 0"):
        fr.prelu_backward_from_output(np.ones_like(y), y, -0.5)
    got = fr.prelu_backward_from_output(np.ones_like(y), y, np.array([0.5, -0.5, 0.5], np.float32))
    assert_same_bits(got, np.array([0.5, np.nan, 1.0], np.float32))


# --- rrelu --------------------------------------------------------------------------------------------------------


def test_rrelu_evaluation(dtype: np.dtype[Any]) -> None:
    """In evaluation the slope is the mean of its range."""
    x = images(dtype)
    assert_same_bits(fr.rrelu(x), fr.leaky_relu(x, (1 / 8 + 1 / 3) / 2))
    assert_same_bits(fr.rrelu(x, 0.25, 0.75), fr.leaky_relu(x, 0.5))
    assert fr.rrelu_(x, 0.25, 0.75) is x
    assert_same_bits(x, fr.leaky_relu(images(dtype), 0.5))


def test_rrelu_training(dtype: np.dtype[Any]) -> None:
    """In training each element has a slope of its own; `slopes` receives them, and they give the gradient."""
    x = np.linspace(-3, -1, 10000, dtype=dtype)
    slopes = np.full_like(x, np.nan)
    y = fr.rrelu(x, 0.1, 0.4, training=True, rng=3, slopes=slopes)
    assert_same_bits(y, fr.leaky_relu(x, slopes))
    assert slopes.min() >= dtype.type(0.1)
    assert slopes.max() <= dtype.type(0.4)
    # The mean of n uniform numbers is off by 0.3 / sqrt(12 n) at a time.
    assert abs(slopes.mean() - 0.25) < 5 * 0.3 / np.sqrt(12 * x.size)
    assert np.unique(slopes).size > 9000
    assert_same_bits(fr.leaky_relu_backward(np.ones_like(x), x, slopes), slopes)


def test_rrelu_draws(dtype: np.dtype[Any]) -> None:
    """The same seed gives the same slopes; calls with one generator, or without a seed, all differ."""
    x = np.full(100, -1, dtype)
    first = fr.rrelu(x, training=True, rng=5)
    assert_same_bits(fr.rrelu(x, training=True, rng=5), first)
    generator = np.random.default_rng(5)
    assert_same_bits(fr.rrelu(x, training=True, rng=generator), first)
    assert not np.array_equal(fr.rrelu(x, training=True, rng=generator), first)
    assert not np.array_equal(fr.rrelu(x, training=True), fr.rrelu(x, training=True))
    in_place = x.copy()
    assert fr.rrelu_(in_place, training=True, rng=5) is in_place
    assert_same_bits(in_place, first)


def test_rrelu_errors() -> None:
    """A range the wrong way round, and slopes that would stay unwritten or do not fit, are refused."""
    x = np.array([-1.0, 1.0], np.float32)
    with pytest.raises(ValueError, match=r"^rrelu requires lower <= upper, got lower=0.5, upper=0.25$"):
        fr.rrelu_(x, 0.5, 0.25)
    with pytest.raises(ValueError, match="only with training=True"):
        fr.rrelu_(x, slopes=np.empty_like(x))
    with pytest.raises(ValueError, match="rrelu needs slopes= of shape"):
        fr.rrelu_(x, training=True, slopes=np.empty(3, np.float32))
    with pytest.raises(ValueError, match="rrelu needs slopes= of shape"):
        fr.rrelu_(x, training=True, slopes=np.empty(2, np.int32))
    assert_same_bits(x, np.array([-1.0, 1.0], np.float32))


# --- crelu --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_crelu(dtype: np.dtype[Any], axis: int) -> None:
    """The positive parts, then the negative ones, along the axis; the gradient takes them together again."""
    x = images(dtype)
    y = fr.crelu(x, axis)
    assert_same_bits(y, np.concatenate([fr.relu(x), fr.relu(-x)], axis))
    out = np.empty_like(y)
    assert fr.crelu(x, axis, out=out) is out
    assert_same_bits(out, y)
    grad = np.arange(1, y.size + 1).astype(dtype).reshape(y.shape)
    upper, lower = np.split(grad, 2, axis)
    wanted = np.where(x > 0, upper, 0) - np.where(x < 0, lower, 0)
    assert_same_bits(fr.crelu_backward(grad, x, axis), wanted)
    assert_same_bits(fr.crelu_backward_from_output(grad, y, axis), wanted)
    out = np.empty_like(x)
    assert fr.crelu_backward(grad, x, axis, out=out) is out
    assert_same_bits(out, wanted)


@pytest.mark.parametrize("level", ["fast", "accurate"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(16384,), (16385,), (4, 4096), (4, 4097), (128, 128), (2000, 3), (1, 1, 1)])
def test_crelu_with_and_without_the_driver(shape: tuple[int, ...], dtype: str, level: Any) -> None:
    """Both ways on both sides of their limits, along every axis, give the bits of two calls; NaN and both zeros too."""
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    x.flat[:3] = np.array([np.nan, 0.0, -0.0], dtype)[: x.size]
    with fr.precision(level):
        for axis in range(x.ndim):
            wanted = np.concatenate([fr.relu(x), fr.relu(-x)], axis)
            assert_same_bits(fr.crelu(x, axis), wanted)
            assert_same_bits(fr.crelu(x, axis, out=np.empty_like(wanted)), wanted)
            for laid in (x.copy("F"), np.repeat(x, 2, 0)[::2], x[::-1].copy()[::-1]):
                assert_same_bits(fr.crelu(laid, axis), wanted)


def test_crelu_special_values(dtype: np.dtype[Any]) -> None:
    """NaN gives NaN in both halves and in the gradient; zeros of either sign give +0.0."""
    x = np.array([np.nan, 0.0, -0.0, np.inf, -np.inf], dtype)
    wanted = np.array([np.nan, 0, 0, np.inf, 0, np.nan, 0, 0, 0, np.inf], dtype)
    assert_same_bits(fr.crelu(x), wanted)
    wanted = np.array([np.nan, 0, 0, 1, -1], dtype)
    assert_same_bits(fr.crelu_backward(np.ones(10, dtype), x), wanted)
    assert_same_bits(fr.crelu_backward_from_output(np.ones(10, dtype), fr.crelu(x)), wanted)


CRELU_INPUTS: dict[str, Callable[[Array], Array]] = {
    "as it is": lambda x: x,
    "Fortran order": np.asfortranarray,
    "transposed": lambda x: x.T,
    "every second": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "backwards": lambda x: x[::-1, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], (4, 3, *x.shape[1:])),
    "empty": lambda x: x[:0],
    "one element": lambda x: x.reshape(-1)[:1],
    "subclass": lambda x: x.view(Marked),
    "foreign byte order": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.parametrize("layout", CRELU_INPUTS)
@pytest.mark.parametrize("axis", [0, -1])
def test_crelu_of_every_layout(dtype: np.dtype[Any], layout: str, axis: int) -> None:
    """Strides change no bit, into a new array or a given one, and a subclass gets its own kind back."""
    x = CRELU_INPUTS[layout](images(dtype))
    wanted = np.concatenate([fr.relu(np.array(x, dtype)), fr.relu(-np.array(x, dtype))], axis)
    y = fr.crelu(x, axis)
    assert type(y) is type(x)
    assert_same_bits(np.asarray(y), wanted)
    for out in (np.full(wanted.shape, 7, dtype), np.full(wanted.shape, 7, dtype, order="F")):
        assert fr.crelu(x, axis, out=out) is out
        assert_same_bits(out, wanted)
    out = np.full((*wanted.shape[:-1], 2 * wanted.shape[-1]), 7, dtype)[..., ::-2]
    assert_same_bits(fr.crelu(x, axis, out=out), wanted)


@pytest.mark.parametrize("start", [0, 1, 3, 4])
@pytest.mark.parametrize("step", [1, -1])
def test_crelu_into_its_input(dtype: np.dtype[Any], start: int, step: int) -> None:
    """`out` may overlap the input in any way."""
    memory = np.linspace(-4, 4, 8).astype(dtype)
    x = memory[start : start + 4][::step]
    wanted = fr.crelu(x.copy())
    assert_same_bits(fr.crelu(x, out=memory), wanted)


def test_crelu_writes_nothing_before_it_fails() -> None:
    """A target that cannot take the result is refused, and left alone."""
    x = np.array([-2.0, 3.0], np.float32)
    out = np.full(4, 7, np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        fr.crelu(x, out=out)
    integers = np.full(4, 7)
    with pytest.raises(TypeError, match="Cannot cast"):
        fr.crelu(x, out=integers)
    assert (out == 7).all()
    assert (integers == 7).all()
    with pytest.raises(np.exceptions.AxisError, match="axis 0 is out of bounds for array of dimension 0"):
        fr.crelu(np.float32(1), 0)
    with pytest.raises(TypeError, match=r"crelu takes bool, .*; x has the type complex128"):
        fr.crelu(np.ones(2, complex))


def test_crelu_recycles() -> None:
    """A large result gets the memory of a freed one."""
    x = np.ones(2 * _runtime.recycle_from // 4, np.float32)
    with fr.threads(1):
        address = fr.crelu(x).ctypes.data
        before = _runtime.cache_state()["hits"]
        assert fr.crelu(x).ctypes.data == address
    assert _runtime.cache_state()["hits"] == before + 1


@pytest.mark.parametrize("given", [np.int16, np.float16, bool])
def test_crelu_of_other_types(given: type[Any]) -> None:
    """Small integers become float32 as in other functions; float16 stays."""
    x = np.array([0, 1, 3]).astype(given)
    assert_same_bits(fr.crelu(x), fr.crelu(x.astype(np.float32)).astype(fr.relu(x).dtype))


def test_crelu_errors() -> None:
    """Shapes that do not belong together are refused."""
    x = np.ones((2, 3), np.float32)
    with pytest.raises(np.exceptions.AxisError):
        fr.crelu(x, 2)
    with pytest.raises(ValueError, match=r"crelu needs out= of shape \(2, 6\), got \(2, 3\)"):
        fr.crelu(x, out=np.empty_like(x))
    with pytest.raises(ValueError, match="does not belong to"):
        fr.crelu_backward(np.ones((2, 4), np.float32), x)
    with pytest.raises(ValueError, match="even length along axis 1, got 3"):
        fr.crelu_backward_from_output(x, x)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("kind", ["plain", "hard", "none", "out", "out in int", "reversed"])
def test_crelu_keeps_the_mask(kind: str, axis: int) -> None:
    """Both halves are masked where x is, in a new result and in a masked `out`."""
    x: Any = np.ma.masked_array([[-1.0, 2.0, 3.0], [4.0, -5.0, 6.0]], [[1, 0, 0], [0, 1, 0]], hard_mask=kind == "hard")
    if kind == "none":
        x = np.ma.masked_array(x.data)
    if kind == "reversed":
        x = x[::-1, ::-1]
    if kind == "out in int":
        x = x.astype(int)
    wanted = np.ma.concatenate([fr.relu(x), fr.relu(-x)], axis)
    out = np.ma.masked_array(np.ones(wanted.shape), np.arange(wanted.size).reshape(wanted.shape) % 3 == 0)
    shared = out[:]
    before = shared.mask.copy()
    y = fr.crelu(x, axis, out=out) if kind.startswith("out") else fr.crelu(x, axis)
    assert (y is out) == kind.startswith("out")
    np.testing.assert_array_equal(np.ma.getmaskarray(y), np.ma.getmaskarray(wanted))
    np.testing.assert_array_equal(y.filled(7), wanted.filled(7))
    assert (np.ma.getmaskarray(shared) == before).all()
    grad = fr.crelu_backward(np.ones(y.shape), x, axis)
    np.testing.assert_array_equal(np.ma.getmaskarray(grad), np.ma.getmaskarray(x))


def test_prelu_tells_of_axis() -> None:
    """The error for a weight that does not fit the last axis speaks of axis=."""
    x, out = np.ones((2, 3, 4), "f4"), np.full((2, 3, 4), 7.0, "f4")
    for weight in (np.ones(3), [0.1, 0.2, 0.3], np.ones(3, "f4"), np.ones(0)):
        with pytest.raises(
            ValueError, match=r"could not be broadcast .*\(2, 3, 4\) \(\d,\): .* pass axis= for another one"
        ):
            fr.prelu(x, weight, out=out)
        with pytest.raises(ValueError, match=r"pass axis= for another one"):
            fr.prelu_backward_parameters(x, x, weight)
    assert (out == 7).all()
    assert fr.prelu(np.ones((3, 1)), np.ones(4)).shape == (3, 4)


def test_rrelu_takes_numbers_and_an_array() -> None:
    """Anything else as a bound or as `slopes` is refused by an error that shows it."""
    with pytest.raises(TypeError, match=r"rrelu takes a number as lower, got array\(\[0.1, 0.2\]\)"):
        fr.rrelu(np.ones(2), np.array([0.1, 0.2]))
    with pytest.raises(TypeError, match="rrelu writes slopes= into an array, not into 'list'"):
        fr.rrelu(np.ones(2), slopes=[0.0, 0.0], training=True)
    assert fr.rrelu(np.float32([-1]), np.array(0.25), np.float32(0.25)) == -0.25
