"""Losses: values and gradients against extended precision and PyTorch, types, shapes, edges, refusals."""

from __future__ import annotations

import array
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from compare import assert_same_bits
from inputs import dtype_named

import fastrelu as fr
from fastrelu import losses, nn
from fastrelu.nn import losses as nn_losses

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

REDUCTIONS = ("mean", "sum", "none")
DTYPES = (np.float32, np.float64)
EXTENDED = np.finfo(np.longdouble).eps < 1e-18
SEVEN = np.arange(1, 8) / 4


@dataclass(frozen=True)
class Case:
    """A loss with options, and what it is a loss of.

    Attributes
    ----------
    name : str
        The class, here and in PyTorch.
    reference : callable
        The losses from prediction and target, in the type of both; None where another test has them.
    inputs : str
        ``"numbers"``, ``"logits"`` with probabilities as labels, ``"shares"`` of both, or ``"classes"`` of labels.
    options : dict
        Of the constructor, arrays as NumPy's.
    kinks : tuple of float
        Differences or logits to mix in.
    """

    name: str
    reference: Callable[..., Any] | None = None
    inputs: str = "numbers"
    options: dict[str, Any] = field(default_factory=dict)
    kinks: tuple[float, ...] = ()

    def __str__(self) -> str:
        shown = (f"{name}={np.ndim(value) or value}" for name, value in self.options.items())
        return f"{self.name}({', '.join(shown)})"

    def build(self, reduction: str, **options: Any) -> Any:
        """Return our loss."""
        return getattr(nn, self.name)(reduction=reduction, **{**self.options, **options})

    def arrays(self, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return prediction and target."""
        rng = np.random.default_rng(seed)
        x, y = (3 * rng.standard_normal((2, *shape))).astype(dtype)
        if self.inputs == "shares":
            x = rng.random(shape).astype(dtype)
        if self.inputs in {"logits", "shares"}:
            y = np.where(rng.random(shape) < 0.5, rng.integers(0, 2, shape), rng.random(shape)).astype(dtype)
        if self.inputs == "classes":
            axis = min(1, len(shape) - 1)
            return x, rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
        some = rng.choice(x.size, min(x.size, len(self.kinks)), replace=False)
        x.flat[some] = np.array(self.kinks, dtype)[: some.size] + (y.flat[some] if self.inputs == "numbers" else 0)
        return x, y


def _huber(d: Any, delta: float) -> Any:
    return np.where(abs(d) <= delta, d * d / 2, delta * (abs(d) - delta / 2))


def _binary(x: Any, y: Any, weight: Any = 1, pos_weight: Any = 1) -> Any:
    return weight * (y * pos_weight * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x))


CASES = [
    Case("MSELoss", lambda x, y: (x - y) ** 2, kinks=(0.0,)),
    Case("L1Loss", lambda x, y: abs(x - y), kinks=(0.0, -0.0)),
    Case("HuberLoss", lambda x, y: _huber(x - y, 1), kinks=(0.0, 1.0, -1.0)),
    Case("HuberLoss", lambda x, y: _huber(x - y, 0.25), options={"delta": 0.25}, kinks=(0.0, 0.25, -0.25)),
    Case("HuberLoss", lambda x, y: _huber(x - y, 1e-3), options={"delta": 1e-3}),
    Case("SmoothL1Loss", lambda x, y: _huber(x - y, 1), kinks=(0.0, 1.0, -1.0)),
    Case("SmoothL1Loss", lambda x, y: _huber(x - y, 2) / 2, options={"beta": 2.0}, kinks=(0.0, 2.0, -2.0)),
    Case("SmoothL1Loss", lambda x, y: abs(x - y), options={"beta": 0}, kinks=(0.0,)),
    Case("BCEWithLogitsLoss", _binary, "logits", kinks=(0.0, 20.0, -20.0, 80.0, -80.0)),
    Case("BCEWithLogitsLoss", lambda x, y: _binary(x, y, SEVEN), "logits", {"weight": SEVEN}),
    Case("BCEWithLogitsLoss", lambda x, y: _binary(x, y, 1, SEVEN), "logits", {"pos_weight": SEVEN}, (30.0, -30.0)),
    Case(
        "BCEWithLogitsLoss",
        lambda x, y: _binary(x, y, 0.5, SEVEN),
        "logits",
        {"weight": np.float64(0.5), "pos_weight": SEVEN},
    ),
    Case("BCELoss", lambda x, y: -(y * np.log(x) + (1 - y) * np.log1p(-x)), "shares"),
    Case("BCELoss", lambda x, y: -SEVEN * (y * np.log(x) + (1 - y) * np.log1p(-x)), "shares", {"weight": SEVEN}),
    Case("NLLLoss", None, "classes"),
    Case("NLLLoss", None, "classes", {"ignore_index": 2}),
    Case("NLLLoss", None, "classes", {"weight": SEVEN}),
    Case("NLLLoss", None, "classes", {"weight": SEVEN, "ignore_index": 0}),
    Case("CrossEntropyLoss", None, "classes"),
    Case("CrossEntropyLoss", None, "classes", {"weight": SEVEN}),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_plain = pytest.mark.parametrize("case", [case for case in CASES if not case.options], ids=str)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def test_every_loss_is_listed() -> None:
    """The tests below take all losses."""
    assert {case.name for case in CASES} == set(nn_losses.__all__)
    layers = {
        name for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn_losses._Loss)
    }
    assert layers == set(nn_losses.__all__)


@pytest.mark.skipif(not EXTENDED, reason="NumPy's longdouble is no wider than a double here")
@each_dtype
@pytest.mark.parametrize("case", [case for case in CASES if case.reference], ids=str)
def test_extended_precision(case: Case, dtype: Any) -> None:
    """Losses are within a few roundings of the formula in extended precision, their derivative by differences."""
    x, y = case.arrays((3000, 7), dtype)
    assert case.reference is not None
    exact_x, exact_y = x.astype(np.longdouble), y.astype(np.longdouble)
    criterion, eps = case.build("none"), float(np.finfo(dtype).eps)
    got = criterion(x, y)
    wanted = case.reference(exact_x, exact_y)
    np.testing.assert_allclose(got, wanted, rtol=6 * eps, atol=np.finfo(dtype).tiny)
    total = case.build("sum")(x, y)
    assert total == pytest.approx(float(wanted.sum()), rel=4 * eps)
    if case.name not in {"L1Loss", "HuberLoss", "SmoothL1Loss"}:
        step = np.longdouble(1e-6) * np.maximum(1 if case.inputs != "shares" else exact_x * (1 - exact_x), 0)
        sides = [case.reference(exact_x + sign * step, exact_y) for sign in (1, -1)]
        slope = ((sides[0] - sides[1]) / (2 * step)).astype(np.float64)
        np.testing.assert_allclose(criterion.backward(np.ones_like(x)), slope, rtol=3e-6, atol=max(eps, 1e-9))


@each_reduction
@each_dtype
@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 7, 7), (20000, 7), (0, 7)], ids=str)
@each_case
def test_pytorch(case: Case, shape: tuple[int, ...], dtype: Any, reduction: str, torch: Any) -> None:
    """Loss, type and gradient are PyTorch's."""
    x, y = case.arrays(shape, dtype)
    tensors = {
        name: torch.tensor(value.astype(dtype)) if isinstance(value, (np.ndarray, np.generic)) else value
        for name, value in case.options.items()
    }
    if isinstance(case.options.get("beta"), int):
        tensors["beta"] = float(case.options["beta"])
    theirs, ours = getattr(torch.nn, case.name)(reduction=reduction, **tensors), case.build(reduction)
    leaf = torch.tensor(x, requires_grad=True)
    wanted = theirs(leaf, torch.tensor(y))
    upper = np.random.default_rng(1).standard_normal(tuple(wanted.shape)).astype(dtype)
    wanted.backward(torch.tensor(upper))
    got = ours(x, y)
    assert got.dtype == dtype
    assert np.shape(got) == tuple(wanted.shape)
    # PyTorch's binary cross-entropy of logits cancels: it is off by a rounding of the logit.
    limits: dict[str, Any] = {"rtol": 3e-5, "atol": 3e-6} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(got, wanted.detach().numpy(), **limits)
    gradient = ours.backward(upper)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), **limits)
    np.testing.assert_array_equal(ours.eval()(x, y), got)


@each_reduction
@each_case
def test_infinities(case: Case, reduction: str, torch: Any) -> None:
    """Infinities, NaN and overflow show in losses and gradients, without a warning; they are PyTorch's."""
    extremes = np.array([np.inf, -np.inf, np.nan, 3e38, -3e38, 0, 1], np.float32)
    x, y = (a.astype(np.float32) if a.dtype.kind == "f" else a for a in case.arrays((49, 7), np.float32))
    if case.inputs == "numbers":
        x, y = (np.ascontiguousarray(a) for a in np.broadcast_arrays(extremes[:, None], extremes))
    elif case.inputs != "shares":
        x[:7], x[7:] = extremes[:, None], extremes
    ours = case.build(reduction)
    loss = ours(x, y)
    # A gradient of 0 for an infinite slope, and one that overflows.
    upper = np.resize(np.float32([0, 1, 3e38, np.inf]), np.shape(loss))
    gradient = ours.backward(upper)
    if case.inputs == "numbers":  # the others are more exact at infinity than PyTorch's
        options = {name: float(value) for name, value in case.options.items()}
        leaf = torch.tensor(x, requires_grad=True)
        theirs = getattr(torch.nn, case.name)(reduction=reduction, **options)(leaf, torch.tensor(y))
        theirs.backward(torch.tensor(upper))
        np.testing.assert_allclose(loss, theirs.detach().numpy(), rtol=1e-6)
        known = ~(torch.tensor(x) - torch.tensor(y)).isnan().numpy()  # PyTorch's sign of NaN is 0
        np.testing.assert_allclose(gradient[known], leaf.grad.numpy()[known], rtol=1e-6)
        assert np.isnan(gradient[~known]).all()


@each_reduction
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@each_case
def test_no_warnings(case: Case, kind: str, reduction: str) -> None:
    """Losses that leave the range of their type are infinite, or 0, without a warning; so are gradients."""
    largest = np.finfo(kind).max
    extremes = np.array([largest, -largest, 0, 1, np.finfo(kind).tiny, -20, largest / 2], kind)
    x, y = (a.astype(kind) if a.dtype.kind == "f" else a for a in case.arrays((49, 7), np.float64))
    if case.inputs == "numbers":
        x, y = (np.ascontiguousarray(a) for a in np.broadcast_arrays(extremes[:, None], extremes))
    elif case.inputs != "shares":
        x[:7], x[7:] = extremes[:, None], extremes
    ours = case.build(reduction)
    with np.errstate(all="raise"):
        loss = ours(x, y)
        ours.backward(np.resize(np.array([0, 1, largest, 1e-7], kind), np.shape(loss)))
    assert loss.dtype == kind


@each_plain
def test_no_elements(case: Case) -> None:
    """Without elements the mean is NaN without a warning, the sum 0 and the gradient empty."""
    x, y = case.arrays((0, 7), np.float32)
    for reduction, wanted in (("mean", np.nan), ("sum", 0.0), ("none", np.empty(y.shape))):
        criterion = case.build(reduction)
        np.testing.assert_array_equal(criterion(x, y), wanted)
        grad = criterion.backward(np.empty(y.shape) if reduction == "none" else None)
        assert (grad.shape, grad.dtype) == ((0, 7), np.float32)


@each_plain
def test_types(case: Case) -> None:
    """All losses compute in floating point; the gradient has the prediction's type whatever the target's."""
    x, y = case.arrays((5, 7), np.float64)
    x = np.abs(x) if case.inputs != "shares" else x
    for kind, other in itertools.product("?bBhHiIqQefd", "?bBhHiIqQefd"):
        if case.inputs == "classes" and other in "?efd":
            continue
        given, target = x.astype(kind), (abs(y) if kind == "e" else y).astype(other)  # no square leaves the range
        floats = np.dtype(np.float32 if np.can_cast(kind, np.float32) else np.float64)
        floats = np.dtype(np.float16) if kind == "e" else floats
        criterion = case.build("mean")
        got, gradient = criterion(given, target), criterion.backward()
        wanted, same = (
            case.build("mean"),
            (given.astype(floats), target if case.inputs == "classes" else target.astype("d")),
        )
        np.testing.assert_allclose(got, wanted(*same), rtol=1e-3 if kind == "e" else 1e-5)
        np.testing.assert_allclose(gradient, wanted.backward(), rtol=1e-5, atol=1e-7)
        assert gradient.dtype == floats
        joins = other in "efd" and case.name != "BCEWithLogitsLoss"
        assert got.dtype == (np.result_type(floats, other) if joins else floats)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
@each_case
def test_the_type_that_went_in(case: Case, kind: str) -> None:
    """Loss and gradient have the type of the prediction; those of 16-bit types are computed in float32, rounded once."""
    half = kind.endswith("float16")
    reason = "the type is not there without it"
    dtype: Any = np.dtype(pytest.importorskip("ml_dtypes", reason=reason).bfloat16 if kind == "bfloat16" else kind)
    for shape, reduction in (*(((5, 7), reduction) for reduction in REDUCTIONS), ((20_000, 7), "mean")):
        x, y = case.arrays(shape, np.float32)
        x, y = x.astype(dtype), y if case.inputs == "classes" else y.astype(dtype)
        criterion, wide = case.build(reduction), case.build(reduction)
        loss = criterion(x, y)
        exact = wide(x.astype(np.float32), y.astype(np.float32) if y.dtype == dtype else y) if half else wide(x, y)
        gradient, slope = criterion.backward(np.ones_like(loss)), wide.backward(np.ones_like(exact))
        assert (loss.dtype, gradient.dtype) == (dtype, dtype)
        with np.errstate(over="ignore"):  # a slope of BCELoss at 1 leaves the range of float16
            assert_same_bits(gradient, slope.astype(dtype))
        eps = 2.0**-8 if kind == "bfloat16" else float(np.finfo(dtype).eps) / 2
        error = abs(loss.astype(np.float64) - exact.astype(np.float64))
        assert (error <= 1.001 * eps * abs(exact.astype(np.float64)) + 2.0**-25).all()
        assert_same_bits(criterion.eval()(x, y), loss)


@each_plain
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_small_calls_have_the_same_bits(
    case: Case, dtype: Any, reduction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one compiled call computes for a few elements of plain arrays is what all other arrays get."""
    results = []
    for compiled in (True, False):
        if not compiled:
            for module, name in (
                (losses, "small"),
                (nn_losses, "small"),
                (nn_losses, "small_nll"),
                (nn_losses, "scaled"),
            ):
                monkeypatch.setattr(module, name, lambda *_: None)
        for shape in [(7,), (4, 7)]:
            x, y = case.arrays(shape, np.float64)
            criterion = case.build(reduction)
            loss = criterion(x.astype(dtype), y if y.dtype.kind in "iu" else y.astype(dtype))
            results += [loss, criterion.backward(np.full_like(loss, 1.5) if reduction == "none" else None)]
    for one, other in zip(results[:4], results[4:], strict=True):
        assert_same_bits(np.asarray(one), np.asarray(other))


@each_plain
@pytest.mark.parametrize("layout", ["F", "strided", "negative", "swapped", "broadcast", "read-only", "list"])
def test_layouts(case: Case, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strides, byte order and containers do not matter, nor do blocks."""
    x, y = case.arrays((20, 7), np.float64)
    x, y = x.astype(np.float32).astype(np.float64), (y.astype(np.float32).astype(np.float64) if y.ndim > 1 else y)
    if layout == "broadcast":
        x, y = np.broadcast_to(x[:1], x.shape), np.broadcast_to(y[:1], y.shape)
    wide = np.empty((40, 14))
    wide[::2, ::2] = x
    given: Any = {
        "F": np.asfortranarray(x),
        "strided": wide[::2, ::2],
        "negative": x[::-1, ::-1].copy()[::-1, ::-1],
        "swapped": x.astype(">f8"),
        "list": x.tolist(),
    }.get(layout, x)
    if layout == "read-only":
        for each in (x, y):
            each.flags.writeable = False
    results = []
    for prediction, block in ((x.copy(), losses._BLOCK), (given, losses._BLOCK), (given, 64)):
        monkeypatch.setattr(losses, "_BLOCK", block)
        for reduction in REDUCTIONS:
            criterion = case.build(reduction)
            loss = criterion(prediction, y.tolist() if layout == "list" else y)
            results.append((loss, criterion.backward(np.ones_like(loss))))
    for plain, other in zip(results[:3] * 2, results[3:], strict=True):
        for one, two in zip(plain, other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-14, atol=1e-16)


@each_plain
def test_shapes_are_not_broadcast(case: Case) -> None:
    """Where PyTorch warns or broadcasts, a loss raises with both shapes."""
    x, y = case.arrays((4, 7), np.float32)
    wrong = [y[None], y[..., None], y[:1], y[0], y.reshape(-1)[:3]]
    for target in wrong:
        if target.shape == y.shape:
            continue
        with pytest.raises(ValueError, match=rf"{case.name.removesuffix('Loss')[:3]}|cross_entropy.*shape"):
            case.build("mean")(x, target)
    if case.inputs != "classes":
        with pytest.raises(ValueError, match=r"needs one shape, got \(4, 7\) and \(4, 1\)"):
            case.build("mean")(x, y[:, :1])


class Foreign:
    """An array of another library."""

    __array_ufunc__ = None

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a lazy array is computed by surprise")


@each_plain
def test_refuses(case: Case) -> None:
    """Complex, masked, object, text, dates and arrays of other libraries, as either argument."""
    if case.name == "CrossEntropyLoss":  # tests/test_cross_entropy.py
        return
    x, y = case.arrays((4, 7), np.float64)
    name = "binary_cross_entropy_with_logits" if "Logits" in case.name else case.name
    for position, kind in itertools.product((0, 1), ("complex", "object", "U3", "M8[s]", "m8[s]", "g", "V8")):
        given = [x, y]
        given[position] = np.zeros(given[position].shape, kind)
        with pytest.raises(TypeError, match=rf"{name}.* needs an? \w+ of real numbers, got "):
            case.build("mean")(*given)
    for position, (wrong, message) in itertools.product(
        (0, 1),
        [
            (np.ma.masked_array(x, mask=x > 0), "got a masked .*: select or fill the elements first"),
            (Foreign(), "takes no 'Foreign' as .*: convert it with numpy.asarray"),
            (None, "real numbers, got None"),
            ("text", "real numbers, got <U4"),
        ],
    ):
        arguments: list[Any] = [x, y]
        arguments[position] = wrong
        with pytest.raises(TypeError, match=message):
            case.build("mean")(*arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.HuberLoss(delta=0), ValueError, "HuberLoss requires delta > 0, got delta=0"),
        (lambda: nn.HuberLoss(delta=np.nan), ValueError, "HuberLoss requires delta > 0, got delta=nan"),
        (lambda: nn.SmoothL1Loss(beta=-1), ValueError, "SmoothL1Loss requires beta >= 0, got beta=-1"),
        (lambda: setattr(nn.HuberLoss(), "delta", -2), ValueError, "requires delta > 0, got delta=-2"),
        (lambda: setattr(nn.L1Loss(), "reduction", "max"), ValueError, "reduction must be .*, got 'max'"),
        (
            lambda: nn.BCELoss()(np.float32([0.5, 1.5]), [0, 1]),
            ValueError,
            "predictions between 0 and 1, got 1.5; BCEWith",
        ),
        (lambda: setattr(nn.L1Loss(), "reduction", np.array(["mean"])), ValueError, "reduction must be .*, got array"),
        (lambda: nn.BCELoss()([np.nan], [0]), ValueError, "predictions between 0 and 1, got nan"),
        (lambda: nn.BCELoss()([0.5, 0.5], [1, 2]), ValueError, r"targets between 0 and 1, got 2.0$"),
        (lambda: nn.BCELoss()([0.5], [np.nan]), ValueError, "targets between 0 and 1, got nan"),
        (lambda: nn.NLLLoss(ignore_index=1.5), TypeError, "ignore_index must be an integer, got 1.5"),
        (lambda: nn.CrossEntropyLoss(ignore_index=None), TypeError, "ignore_index must be an integer, got None"),
        (
            lambda: nn.BCELoss([1.0, 2.0])(np.ones((2, 3)), np.ones((2, 3))),
            ValueError,
            r"BCELoss: weight must broadcast to the shape of the losses, \(2, 3\), not \(2,\)",
        ),
        (
            lambda: nn.BCEWithLogitsLoss(pos_weight=np.ones((2, 1, 3)))(np.ones((2, 3)), np.ones((2, 3))),
            ValueError,
            r"pos_weight must broadcast to the shape of the losses, \(2, 3\), not \(2, 1, 3\)",
        ),
        (
            lambda: nn.BCEWithLogitsLoss(weight=[1j])([1.0], [1]),
            TypeError,
            "needs a weight of real numbers, got complex",
        ),
        (
            lambda: fr.binary_cross_entropy_with_logits([1.0], [1], reduction="avg"),
            ValueError,
            "binary_cross_entropy_with_logits: reduction must be .*, not 'avg'",
        ),
        (lambda: nn.NLLLoss()(1.0, 0), ValueError, "NLLLoss needs an axis of classes, got one number"),
        (lambda: nn.NLLLoss()(np.ones((2, 3)), [0.0, 1.0]), TypeError, "labels must be integers, not float64"),
        (lambda: nn.NLLLoss()(np.ones((2, 3)), [True, False]), TypeError, "labels must be integers, not bool"),
        (
            lambda: nn.NLLLoss()(np.ones((2, 3)), [[0], [1]]),
            ValueError,
            r"without the axis of the classes, \(2,\), not \(2, 1\)",
        ),
        (lambda: nn.NLLLoss()(np.ones((2, 3)), [0, 3]), IndexError, "label 3 at position 1 is out of range for 3 cl"),
        (lambda: nn.NLLLoss()(np.ones((2, 3)), [-1, 0]), IndexError, "label -1 at position 0 .* which is -100"),
        (
            lambda: nn.NLLLoss()(np.ones((2, 3)), np.uint64([0, 2**64 - 1])),
            IndexError,
            "label 18446744073709551615 at position 1",
        ),
        (
            lambda: nn.NLLLoss([1.0])(np.ones((2, 3)), [0, 1]),
            ValueError,
            r"for each of the 3 classes, its shape is \(1,\)",
        ),
    ],
)
def test_messages(call: Any, error: type[Exception], message: str) -> None:
    """Arguments that do not fit are refused, and the error shows them."""
    with pytest.raises(error, match=message):
        call()


@each_dtype
def test_binary_cross_entropy_at_the_edges(dtype: Any) -> None:
    """Infinite logits have the limits, labels and weights of 0 add nothing, NaN gives NaN, nothing warns."""
    x = np.array([np.inf, np.inf, -np.inf, -np.inf, 0.0, -0.0, np.nan, 1e30, -1e30, -100.0, 100.0], dtype)
    y = np.array([1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1], dtype)
    loss, grad = fr.binary_cross_entropy_with_logits_value_and_grad(x, y, reduction="none")
    small, half = np.exp(dtype(-100)), np.log(dtype(2))
    np.testing.assert_allclose(loss, [0, np.inf, np.inf, 0, half, half, np.nan, 0, 0, small, small], rtol=1e-6)
    np.testing.assert_allclose(grad, [0, 1, -1, 0, -0.5, 0.5, np.nan, 0, 0, small, -small], rtol=1e-6)
    for weights in ({"weight": 0}, {"weight": 0, "pos_weight": 3}):
        assert fr.binary_cross_entropy_with_logits(x[:6], y[:6], **weights, reduction="sum") == 0
    value, slope = fr.binary_cross_entropy_with_logits_value_and_grad(dtype(2), 1, weight=2, pos_weight=3)
    assert (value, slope.shape) == (pytest.approx(6 * np.log1p(np.exp(-2)), rel=1e-6), ())
    assert value.dtype == slope.dtype == dtype
    assert fr.binary_cross_entropy_with_logits(dtype(2), 1, reduction="none").shape == ()


def test_binary_cross_entropy_output() -> None:
    """`out` receives the gradient: in place, buffers, other types, overlapping memory; errors come before."""
    function = fr.binary_cross_entropy_with_logits_value_and_grad
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(20_000, np.float32), rng.random(20_000, np.float32)
    loss, grad = function(x, y, pos_weight=2.0)
    for out in (
        np.empty_like(x),
        np.empty(x.shape),
        np.empty((2, *x.shape), np.float32)[1],
        np.empty(40_000, "f4")[::2],
    ):
        again, given = function(x, y, pos_weight=2.0, out=out)
        assert given is out
        assert again == loss
        np.testing.assert_array_equal(out, grad)
    memory = np.concatenate([x, x[:1]])
    function(memory[:-1], y, pos_weight=2.0, out=memory[1:])
    np.testing.assert_array_equal(memory[1:], grad)
    for place in (x.copy(), x.copy()[::-1][::-1]):
        assert function(place, y, pos_weight=2.0, out=place)[1] is place
        np.testing.assert_array_equal(place, grad)
    labels = y.copy()
    function(x, labels, pos_weight=2.0, out=(labels,))
    np.testing.assert_array_equal(labels, grad)
    buffer = array.array("f", [7.0]) * 20_000
    assert function(x, y, pos_weight=2.0, out=buffer)[1] is buffer
    np.testing.assert_array_equal(np.asarray(buffer), grad)
    frozen = np.full(x.shape, 7, np.float32)
    frozen.flags.writeable = False
    for wrong, error, message in (
        (np.full(3, 7.0), ValueError, r"out has the shape \(3,\), the result \(20000,\)"),
        (np.full(x.shape, 7), TypeError, "result of type float32 cannot be cast into out of type int64"),
        (frozen, ValueError, "out is read-only"),
        ([7.0], TypeError, "can write into an array or a writable buffer, not into 'list'"),
    ):
        with pytest.raises(error, match=message):
            function(x, y, out=wrong)
        assert np.all(np.asarray(wrong) == 7)


def test_nll_edges() -> None:
    """An ignored row and a class without weight add nothing, even where the loss is infinite."""
    x = np.array([[-np.inf, -0.5], [-1.0, np.nan], [-2.0, -np.inf]])
    labels, gradient = np.array([0, 0, 1]), np.array([[0, 0], [-1.0, 0], [0, 0]])
    criterion = nn.NLLLoss([1.0, 0.0], ignore_index=0)
    assert np.isnan(criterion(x, labels))
    # The mean over a weight of 0 has the gradient NaN where the row counts, as in PyTorch.
    np.testing.assert_array_equal(criterion.backward(), [[0, 0], [0, 0], [0, np.nan]])
    criterion = nn.NLLLoss([1.0, 0.0])
    assert criterion(x[1:], labels[1:]) == 1
    np.testing.assert_array_equal(criterion.backward(), gradient[1:])
    ignoring = nn.NLLLoss(ignore_index=-1, reduction="none")
    np.testing.assert_array_equal(ignoring(x, [-1, 0, -1]), [0, 1, 0])
    np.testing.assert_array_equal(ignoring.backward([2.0, 1.0, 2.0]), gradient)


def test_targets_far_apart_in_type() -> None:
    """A difference of unsigned integers does not wrap, and a large sum of float32 keeps its digits."""
    for name in ("MSELoss", "L1Loss", "HuberLoss", "SmoothL1Loss"):
        criterion = getattr(nn, name)()
        assert criterion(np.uint8([0]), np.uint8([16])) > 0
        assert criterion.backward() < 0
    x = np.full(3_000_000, 0.1, np.float32)
    assert nn.L1Loss("sum")(x, np.zeros_like(x)) == pytest.approx(float(x[0]) * x.size, rel=1e-6)


@pytest.mark.parametrize("kinds", [("float16", "bfloat16"), ("bfloat16", "float16")], ids="-".join)
@each_plain
def test_two_types_of_16_bits(case: Case, kinds: tuple[str, str]) -> None:
    """Prediction and target may have different types of 16 bits, which NumPy does not promote."""
    x, y = (
        values.astype(dtype_named(kind)) for values, kind in zip(case.arrays((4, 7), np.float64), kinds, strict=True)
    )
    if case.inputs == "classes":
        y = y.astype(int)
    criterion, wide = case.build("mean"), y if case.inputs == "classes" else y.astype(float)
    exact = case.build("mean")(x.astype(float), wide)
    np.testing.assert_allclose(float(criterion(x, y)), exact, rtol=0.01)
    assert criterion.backward().dtype == x.dtype


@each_plain
def test_tensors_are_targets(case: Case, torch: Any) -> None:
    """A tensor of PyTorch is read like an array, in training too."""
    x, y = case.arrays((4, 7), np.float64)
    criterion = case.build("mean")
    assert criterion(torch.tensor(x), torch.tensor(y)) == criterion(x, y)


def test_a_beta_that_the_type_rounds_to_zero() -> None:
    """Is one of zero: the loss is the absolute error."""
    x, y = np.float32([1.5, -2.0, 0.0]), np.zeros(3, np.float32)
    criterion = nn.SmoothL1Loss("none", beta=1e-50)
    np.testing.assert_array_equal(criterion(x, y), np.abs(x))
    np.testing.assert_array_equal(criterion.backward(np.ones(3)), np.sign(x))


def test_arrays_stay_between_blocks() -> None:
    """The caller's arrays, and those that views refer to, cannot be resized before the last block."""
    given, y, out = np.ones((2, losses._BLOCK), np.float32), *np.zeros((2, losses._BLOCK + 8), np.float32)
    owners: tuple[Any, ...] = given, y.base, out.base

    class Resizing:
        """A formula that tries to resize the arrays in each block."""

        factor = 1.0

        def __call__(self, _each: Any, slope: Any, _: bool, a: Any, b: Any) -> tuple[Any]:
            for owner in owners:
                with pytest.raises(ValueError, match="cannot resize"):
                    owner.resize(1, refcheck=False)
            return (np.subtract(a, b, out=slope),)

    formula: Any = Resizing()
    x = given.reshape(-1)[: y.size]
    for target in (None, out):
        options: dict[str, Any] = {"loss_dtype": x.dtype, "grad_dtype": x.dtype, "out": target}
        assert losses.blockwise("loss", formula, [x, y], x.dtype, "sum", **options)[0] == y.size
    given.resize(1, refcheck=False)
    with pytest.raises(RuntimeError, match="loss: an array was changed"):
        losses.blockwise("loss", formula, [x, y], x.dtype, "sum", loss_dtype=x.dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignored", [None, -100, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("labels", ["u1", "i1", "i4", "i8", "u8", ">i8"])
@pytest.mark.parametrize("shape", [(5,), (7, 5), (4, 5, 3), (2, 5, 3, 2), (300, 5)], ids=str)
def test_nll_of_every_shape(shape: tuple[int, ...], labels: str, weighted: bool, ignored: Any, reduction: Any) -> None:
    """Losses and gradients are those of a loop over the labels, whether all of them count or not."""
    rng = np.random.default_rng(0)
    x = np.log(rng.random(shape) + 0.1)
    axis = min(1, len(shape) - 1)
    label = rng.integers(0, 5, shape[:axis] + shape[axis + 1 :]).astype(labels)
    if ignored == -100 and labels[-2] == "i" and label.size > 1:
        label.flat[1] = -100
    weight = np.array([0.5, 0.0, 2.0, 1.0, 3.0]) if weighted else None
    criterion = nn.NLLLoss(weight, reduction=reduction, **({} if ignored is None else {"ignore_index": ignored}))
    factor, each, gradient = np.zeros(label.shape), np.zeros(label.shape), np.zeros(shape)
    for place, number in np.ndenumerate(label):
        if number != (-100 if ignored is None else ignored):
            at = (*place[:axis], int(number), *place[axis:])
            factor[place] = 1 if weight is None else weight[number]
            each[place], gradient[at] = -x[at] * factor[place], -factor[place]
    total = factor.sum()
    with np.errstate(all="ignore"):
        wanted = {"none": each, "sum": each.sum(), "mean": each.sum() / total}[reduction]
        gradient = gradient / total if reduction == "mean" and total else gradient
    loss = criterion(x, label)
    np.testing.assert_allclose(loss, wanted, rtol=1e-12)
    np.testing.assert_allclose(criterion.eval()(x, label), wanted, rtol=1e-12)
    criterion.train()(x, label)
    if total or reduction != "mean":
        found = criterion.backward(np.ones(label.shape) if reduction == "none" else None)
        np.testing.assert_allclose(found, gradient, rtol=1e-12)
    if label.size > 1:
        label.flat[1] = 5
        with pytest.raises(IndexError, match="label 5 at position 1 is out of range for 5 classes"):
            criterion(x, label)
        label.flat[1] = 0
        if labels == "u8":
            label.flat[1] = 2**64 - 1
            with pytest.raises(IndexError, match="label 18446744073709551615 at position 1"):
                criterion(x, label)
