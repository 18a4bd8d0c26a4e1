"""cross_entropy and its gradient: values against long double and PyTorch, options, axes, infinities, errors."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from compare import assert_same_bits
from grid import DTYPE_NAMES, ISAS, LAYOUTS, PRECISIONS, needs_wide

import fastrelu as fr
from fastrelu import _cross_entropy, _row_kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

each_dtype = pytest.mark.parametrize("dtype", DTYPE_NAMES)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
OPTIONS = [
    {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
    for weight, smoothing, reduction in itertools.product((False, True), (0.0, 0.1, 1.0), ("mean", "sum", "none"))
]
each_option = pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: f"{o['reduction']}-{o['label_smoothing']}{'-weight' if o['weight'] else ''}"
)
each_kind = pytest.mark.parametrize("kind", ["labels", "probabilities"])
IGNORED = -100


def problem(
    kind: str, count: int, classes: int, dtype: str, options: dict[str, Any]
) -> tuple[Array, Array, dict[str, Any]]:
    """Return logits, labels or probabilities, and the options with weights in place of a flag."""
    rng = np.random.default_rng(count + classes)
    logits = (rng.standard_normal((count, classes)) * rng.choice([0.1, 3, 40], (count, 1))).astype(dtype)
    weight = rng.uniform(0.2, 3, classes) if options["weight"] else None
    if kind == "probabilities":
        shares = rng.dirichlet(np.ones(classes), count).astype(dtype)
        shares[:, 0] = 0
        return logits, shares, {**options, "weight": weight}
    labels = rng.integers(0, classes, count)
    labels[1::4] = IGNORED
    return logits, labels, {**options, "weight": weight}


def reference(
    logits: Array, labels: Array, weight: Any, label_smoothing: float, reduction: str
) -> tuple[Any, Array, Array]:
    """Return loss, gradient and the size of the gradient's terms in long double, by the definition."""
    x = logits.astype(np.longdouble)
    count, classes = x.shape
    top = x.max(-1, keepdims=True)
    e = np.exp(x - top)
    first = np.arange(classes) == x.argmax(-1)[:, None]
    log_p = (x - top) - np.log1p(np.where(first, 0, e).sum(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    w = np.ones(classes, np.longdouble) if weight is None else weight.astype(np.longdouble)
    smoothing = np.longdouble(label_smoothing)
    if labels.ndim == 2:
        shares, counts = labels.astype(np.longdouble), np.ones(count, bool)
        total = np.longdouble(count)
    else:
        counts = labels != IGNORED
        shares = np.zeros_like(x)
        shares[counts, labels[counts]] = 1
        total = w[labels[counts]].sum()
    q = w * (shares * (1 - smoothing) + smoothing / classes)
    q[~counts] = 0
    losses = -(q * log_p).sum(-1)
    whole = q.sum(-1, keepdims=True)
    scale = 1 / total if reduction == "mean" else np.longdouble(1)
    loss = losses if reduction == "none" else losses.sum() * scale
    return loss, scale * (p * whole - q), scale * (p * whole + q)


@each_dtype
@each_precision
@each_option
@each_kind
@pytest.mark.parametrize("shape", [(6, 2), (40, 10), (9, 700)])
@pytest.mark.parametrize("isa", ISAS)
def test_values(
    isa: str, shape: tuple[int, int], kind: str, options: dict[str, Any], precision: fr.runtime.Precision, dtype: str
) -> None:
    """Loss and gradient by the definition, on every instruction set; the loss alone is the same to the bit."""
    needs_wide(np.dtype(dtype))
    logits, labels, options = problem(kind, *shape, dtype, options)
    rows = _row_kernels.RowKernels(isa)
    arguments = (labels, -1, options["weight"], IGNORED, options["label_smoothing"], options["reduction"])
    with fr.precision(precision):
        loss, grad = _cross_entropy.cross_entropy(rows, logits, *arguments, True, None)
        alone = _cross_entropy.cross_entropy(rows, logits, *arguments, False, None)
    assert_same_bits(loss, alone)
    assert loss.dtype == grad.dtype == np.dtype(dtype)
    wanted, gradient, size = reference(logits, labels, **options)
    eps = float(np.finfo(np.dtype(dtype)).eps)
    np.testing.assert_allclose(loss, wanted.astype(dtype), rtol=(2 if precision == "accurate" else 4) * eps)
    # A subnormal probability is rounded before it is weighted.
    assert (np.abs(grad - gradient) <= 4 * eps * size + 4 * np.finfo(np.dtype(dtype)).smallest_subnormal).all()


@each_dtype
@each_precision
def test_confident_rows(dtype: str, precision: fr.runtime.Precision) -> None:
    """Where the label's probability is close to 1, loss and gradient are right in relative terms, down to subnormals."""
    needs_wide(np.dtype(dtype))
    info = np.finfo(np.dtype(dtype))
    gaps = np.linspace(1, -np.log(float(info.smallest_subnormal)) - 2, 200)
    logits = np.stack([gaps, np.zeros_like(gaps)], -1).astype(dtype)
    with fr.precision(precision):
        loss, grad = fr.cross_entropy_value_and_grad(logits, np.zeros(200, int), reduction="none")
    other = np.exp(-logits[:, 0].astype(np.longdouble))
    wanted = np.log1p(other)
    assert (np.abs(loss - wanted) <= 4 * float(info.eps) * wanted + info.smallest_subnormal).all()
    wanted = -other / (1 + other)
    assert (np.abs(grad[:, 0] - wanted) <= 4 * float(info.eps) * -wanted + info.smallest_subnormal).all()


@each_dtype
@each_precision
@each_option
@each_kind
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(130, 2), (35, 40), (130, 150), (70, 600)])
def test_sets_of_columns(
    isa: str, shape: tuple[int, int], kind: str, options: dict[str, Any], precision: fr.runtime.Precision, dtype: str
) -> None:
    """Rows side by side have the bits of contiguous ones, also as part of a wider array."""
    needs_wide(np.dtype(dtype))
    logits, labels, options = problem(kind, *shape, dtype, options)
    logits[::50, 1], logits[1::50, -1], logits[2::50] = np.inf, np.nan, -np.inf
    rows = _row_kernels.RowKernels(isa)
    arguments = (options["weight"], IGNORED, options["label_smoothing"], "none")
    with fr.precision(precision):
        wanted, gradient = _cross_entropy.cross_entropy(rows, logits, labels, -1, *arguments, True, None)
        for whole in (shape[0], 1024):
            across = np.zeros((shape[1], whole), dtype)[:, : shape[0]]
            across[...] = logits.T
            given = np.ascontiguousarray(labels.T)
            loss, grad = _cross_entropy.cross_entropy(rows, across, given, 0, *arguments, True, None)
            alone = _cross_entropy.cross_entropy(rows, across, given, 0, *arguments, False, None)
            assert_same_bits(loss, wanted)
            assert_same_bits(alone, wanted)
            assert_same_bits(grad.T, gradient)


@each_dtype
@each_kind
def test_axes_and_layouts(kind: str, dtype: str) -> None:
    """Any axis and layout gives the same bits."""
    logits, labels, _ = problem(kind, 3 * 4 * 5, 7, dtype, {"weight": False})
    wanted, gradient = fr.cross_entropy_value_and_grad(logits, labels, reduction="none", label_smoothing=0.2)
    shaped = logits.reshape(3, 4, 5, 7)
    for axis in range(4):
        x = np.ascontiguousarray(np.moveaxis(shaped, -1, axis))
        given = labels.reshape(3, 4, 5, *labels.shape[1:])
        given = np.moveaxis(given, -1, axis) if kind == "probabilities" else given
        for number in (axis, axis - 4):
            loss, grad = fr.cross_entropy_value_and_grad(x, given, axis=number, reduction="none", label_smoothing=0.2)
            assert_same_bits(loss, wanted.reshape(3, 4, 5))
            assert_same_bits(np.moveaxis(grad, axis, -1), gradient.reshape(3, 4, 5, 7))
    for layout, lay in LAYOUTS.items():
        loss, grad = fr.cross_entropy_value_and_grad(lay(logits), labels, reduction="none", label_smoothing=0.2)
        assert_same_bits(loss, wanted, layout)
        assert_same_bits(np.asarray(grad, dtype), gradient, layout)
        if layout != "read-only":
            out = lay(logits)
            assert (
                fr.cross_entropy_value_and_grad(out, labels, reduction="none", label_smoothing=0.2, out=out)[1] is out
            )
            assert_same_bits(out.astype(dtype), gradient, layout)
    for integer in ("int8", "int32", "uint64"):
        counted = np.where(labels < 0, 0, labels).astype(integer) if kind == "labels" else labels
        again = np.where(labels < 0, 0, labels) if kind == "labels" else labels
        assert_same_bits(fr.cross_entropy(logits, counted), fr.cross_entropy(logits, again))


@each_dtype
@each_precision
@each_kind
def test_threads(kind: str, precision: fr.runtime.Precision, dtype: str) -> None:
    """The same bits for any number of threads."""
    logits, labels, options = problem(kind, 300, 200, dtype, {"weight": True, "label_smoothing": 0.1})
    with fr.precision(precision):
        with fr.threads(1):
            wanted = fr.cross_entropy_value_and_grad(logits, labels, **options)
        with fr.threads(2):
            got = fr.cross_entropy_value_and_grad(logits, labels, **options)
    assert_same_bits(got[0], wanted[0])
    assert_same_bits(got[1], wanted[1])


REDUCTIONS: tuple[Literal["none", "sum", "mean"], ...] = ("none", "sum", "mean")


@each_dtype
@each_precision
@each_kind
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 1e-300, 0.1, 1.0])
def test_batches(smoothing: float, weighted: bool, kind: str, precision: fr.runtime.Precision, dtype: str) -> None:
    """A row has the same bits alone and among others: in any layout, along any axis, on any number of threads."""
    for classes in (1, 2, 10, 40, 150):
        logits, labels, _ = problem(kind, 70, classes, dtype, {"weight": False})
        logits[5, 0], logits[6, -1], logits[8] = -np.inf, np.inf, logits[8, 0]
        weight = np.arange(classes) / 2 if weighted else None
        options: dict[str, Any] = {"weight": weight, "label_smoothing": smoothing}
        if kind == "labels":
            options["ignore_index"] = 0 if classes > 10 else IGNORED
            labels[labels == IGNORED] = options["ignore_index"]
        function = fr.cross_entropy_value_and_grad
        with fr.precision(precision):
            alone = [function(logits[i], labels[i], reduction="none", **options) for i in range(70)]
            losses, grads = np.stack([loss for loss, _ in alone]), np.stack([grad for _, grad in alone])
            for reduction, threads in itertools.product(REDUCTIONS, (1, 2)):
                with fr.threads(threads):
                    wanted = function(logits, labels, reduction=reduction, **options)
                    across = function(np.ascontiguousarray(logits.T), labels.T, axis=0, reduction=reduction, **options)
                    assert_same_bits(across[0], wanted[0])
                    assert_same_bits(across[1].T, wanted[1])
                    assert_same_bits(fr.cross_entropy(logits, labels, reduction=reduction, **options), wanted[0])
                    for lay in LAYOUTS.values():
                        loss, grad = function(lay(logits), labels, reduction=reduction, **options)
                        assert_same_bits(loss, wanted[0])
                        assert_same_bits(np.asarray(grad, dtype), wanted[1])
                if reduction == "none":
                    assert_same_bits(wanted[0], losses)
                if reduction != "mean":
                    assert_same_bits(wanted[1], grads)


@each_dtype
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [4095, 4096, 4101, 70_001])
def test_many_rows(rows: int, weighted: bool, dtype: str) -> None:
    """The sum and the mean of many losses are exact up to a rounding, the same for any threads, layout and axis."""
    logits, labels, options = problem("labels", rows, 3, dtype, {"weight": weighted})
    losses = fr.cross_entropy(logits.astype(np.float64), labels, **options, reduction="none")
    weights = np.ones(3) if options["weight"] is None else options["weight"]
    total, count = math.fsum(losses), math.fsum(weights[labels[labels != IGNORED]])
    for reduction, wanted in zip(REDUCTIONS[1:], (total, total / count), strict=True):
        loss, grad = fr.cross_entropy_value_and_grad(logits, labels, **options, reduction=reduction)
        assert loss == pytest.approx(wanted, rel=2 * float(np.finfo(dtype).eps))
        for threads, axis in itertools.product((1, 2), (0, 1)):
            with fr.threads(threads):
                given = logits if axis == 1 else np.ascontiguousarray(logits.T)
                again, gradient = fr.cross_entropy_value_and_grad(
                    given, labels, axis=axis, **options, reduction=reduction
                )
                assert_same_bits(again, loss)
                assert_same_bits(gradient if axis == 1 else gradient.T, grad)
                assert_same_bits(fr.cross_entropy(given, labels, axis=axis, **options, reduction=reduction), loss)
    labels[rows - 2] = 0
    logits[rows - 2] = [-np.inf, 0, 0]
    assert fr.cross_entropy(logits, labels, **options) == np.inf
    for wrong in (3, -1, 2**40, -(2**40)):
        labels[rows - 1] = wrong
        for call in (fr.cross_entropy, fr.cross_entropy_value_and_grad):
            for reduction in REDUCTIONS:
                with pytest.raises(IndexError, match=rf"label {wrong} at position {rows - 1} is out of range for 3"):
                    call(logits, labels, **options, reduction=reduction)


def test_scalars() -> None:
    """One row, one label; the loss is a scalar of the type of the logits."""
    for reduction in ("mean", "sum", "none"):
        loss, grad = fr.cross_entropy_value_and_grad(np.float32([1, 2, 4]), 2, reduction=reduction)  # type: ignore[arg-type]  # a str
        assert type(loss) is np.float32
        assert grad.shape == (3,)
    assert type(fr.cross_entropy([[1, 2]], [0])) is np.float64


def test_nothing_counts() -> None:
    """Without a row that counts the mean is NaN, the sum 0 and the gradient 0; so without rows at all."""
    logits = np.ones((2, 3), np.float32)
    for labels in (np.array([-100, -100]), np.array([7, 7])):
        ignore = int(labels[0])
        loss, grad = fr.cross_entropy_value_and_grad(logits, labels, ignore_index=ignore)
        assert np.isnan(loss)
        np.testing.assert_array_equal(grad, 0)
        assert fr.cross_entropy(logits, labels, ignore_index=ignore, reduction="sum") == 0
    empty = np.ones((0, 3), np.float32)
    assert np.isnan(fr.cross_entropy(empty, np.zeros(0, int)))
    assert fr.cross_entropy_value_and_grad(empty, np.zeros(0, int))[1].shape == (0, 3)


@each_dtype
@each_precision
def test_infinities(precision: fr.runtime.Precision, dtype: str) -> None:
    """A logit of -inf has probability 0; if it is the label's, the loss is infinite. NaN only where softmax is NaN."""
    inf = np.inf
    rows: list[tuple[list[float], int, float, list[float]]] = [
        ([0, -inf, 0], 0, np.log(2), [-0.5, 0, 0.5]),
        ([0, -inf, 0], 1, inf, [0.5, -1, 0.5]),
        ([0, inf, 0], 1, 0, [0, 0, 0]),
        ([0, inf, 0], 0, inf, [-1, 1, 0]),
        ([inf, inf, 0], 0, np.nan, [np.nan] * 3),
        ([-inf, -inf, -inf], 0, np.nan, [np.nan] * 3),
        ([0, np.nan, 0], 0, np.nan, [np.nan] * 3),
        ([-inf, np.nan, 0], 0, np.nan, [np.nan] * 3),
    ]
    with fr.precision(precision), np.errstate(all="raise"):
        for row, label, wanted, gradient in rows:
            for smoothing in (0.0, 1e-300):
                loss, grad = fr.cross_entropy_value_and_grad(
                    np.array(row, dtype), label, label_smoothing=smoothing, reduction="sum"
                )
                if smoothing and not np.isnan(wanted) and not np.isfinite(row).all():
                    assert loss == inf, "every class has a share"
                    continue
                np.testing.assert_allclose(loss, wanted, rtol=1e-6)
                np.testing.assert_allclose(grad, gradient, rtol=1e-6)
    weight = [1.0, 0.0, 1.0]
    assert fr.cross_entropy(np.array([[0, -inf, 0]], dtype), [1], weight=weight, reduction="sum") == 0
    shares = np.array([[0.5, 0, 0.5]], dtype)
    assert np.isclose(fr.cross_entropy(np.array([[0, -inf, 0]], dtype), shares), np.log(2))


def test_outputs() -> None:
    """`out` is returned: of another type, a one-tuple, overlapping the logits or the targets."""
    logits, shares, _ = problem("probabilities", 12, 5, "float32", {"weight": False})
    wanted, gradient = fr.cross_entropy_value_and_grad(logits, shares)
    for out in (np.empty_like(logits), np.empty(logits.shape), np.empty(logits.shape, ">f4")):
        loss, grad = fr.cross_entropy_value_and_grad(logits, shares, out=out)
        assert grad is out
        assert loss == wanted
        np.testing.assert_array_equal(grad, gradient)
    into = shares.copy()
    assert fr.cross_entropy_value_and_grad(logits, into, out=(into,))[1] is into
    assert_same_bits(into, gradient)
    memory = np.concatenate([logits.ravel(), np.zeros(20, np.float32)])
    out = memory[20:].reshape(12, 5)
    fr.cross_entropy_value_and_grad(memory[:60].reshape(12, 5), shares, out=out)
    assert_same_bits(out, gradient)


@pytest.mark.parametrize("function", [fr.cross_entropy, fr.cross_entropy_value_and_grad])
@pytest.mark.parametrize(
    ("labels", "options"),
    [
        ([0, 3], {}),
        ([0, 2**64 - 100], {}),
        ([0], {}),
        ([True, False], {}),
        ([0.0, 1.0], {}),
        ([0, 1], {"reduction": "average"}),
        ([0, 1], {"weight": [1.0]}),
        ([0, 1], {"weight": [1j, 1, 1]}),
        ([0, 1], {"label_smoothing": 2.0}),
        ([0, 1], {"label_smoothing": "a"}),
        ([0, 1], {"ignore_index": 1.5}),
        ([0, 1], {"ignore_index": 2**70}),
        ([0, 1], {"axis": 1.5}),
        (np.ones((2, 3)), {"ignore_index": 1}),
    ],
    ids=str,
)
def test_errors_name_the_function(function: Any, labels: Any, options: Any) -> None:
    """The function that was called, not the one that it shares its code with."""
    with pytest.raises((ValueError, TypeError, IndexError), match=rf"^{function.__name__}[: ]"):
        function(np.ones((2, 3), np.float32), np.array(labels), **options)


def test_errors() -> None:
    """Each wrong argument is refused with its reason, before anything is written."""
    x = np.ones((4, 3), np.float32)
    labels = np.array([0, 1, 2, 0])
    out = np.full_like(x, 7)

    def call(logits: Any = x, given: Any = labels, **options: Any) -> Any:
        return fr.cross_entropy_value_and_grad(logits, given, **{"out": out, **options})

    with pytest.raises(IndexError, match=r"label 3 at position 1 is out of range for 3 classes.*ignore_index.*-100"):
        call(given=np.array([0, 3, 0, 0]))
    with pytest.raises(IndexError, match="label -1 at position 0"):
        call(given=np.array([-1, 0, 0, 0]))
    with pytest.raises(IndexError, match="label 18446744073709551516 is no class"):
        call(given=np.array([2**64 - 100, 0, 0, 0], np.uint64))
    with pytest.raises(ValueError, match=r"shape of logits without its axis, \(4,\), not \(3,\)"):
        call(given=np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="class indices must be integers"):
        call(given=np.array([0.0, 1.0, 2.0, 0.0]))
    with pytest.raises(TypeError, match="integers or probabilities, not bool"):
        call(given=np.zeros(4, bool))
    with pytest.raises(TypeError, match="takes real numbers"):
        call(logits=x.astype(complex))
    with pytest.raises(ValueError, match="one number for each of the 3 classes"):
        call(weight=[1.0, 2.0])
    for smoothing in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="label_smoothing must be between 0 and 1"):
            call(label_smoothing=smoothing)
    masked = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    with pytest.raises(TypeError, match="does not read masks"):
        call(weight=masked)
    for kind in (object, complex, "g", "U3", "m8[s]", "M8[s]"):
        with pytest.raises(TypeError, match="weight must consist of real numbers, not"):
            call(weight=np.arange(3).astype(kind))
        with pytest.raises(TypeError, match="labels must be integers or probabilities, not"):
            call(given=np.zeros((4, 3), int).astype(kind))
    wrong: Any
    for wrong in ("average", None, 0, ["mean"]):
        with pytest.raises(ValueError, match='reduction must be "none", "mean" or "sum"'):
            call(reduction=wrong)
    for wrong in (None, 1.5, "1", [1]):
        with pytest.raises(TypeError, match="ignore_index must be an integer, got"):
            call(ignore_index=wrong)
    with pytest.raises(ValueError, match="ignore_index applies to class indices"):
        call(given=x, ignore_index=1)
    with pytest.raises(ValueError, match="there are no classes"):
        call(logits=np.ones((4, 0), np.float32), out=None)
    with pytest.raises(np.exceptions.AxisError):
        call(axis=2)
    with pytest.raises(np.exceptions.AxisError):
        call(logits=1.0, given=0)
    with pytest.raises(ValueError, match="out has the shape"):
        call(out=np.empty(4, np.float32))
    with pytest.raises(TypeError, match="cannot be cast"):
        call(out=np.empty((4, 3), np.int64))
    assert (out == 7).all()


@each_option
@each_kind
@pytest.mark.parametrize("shape", [(5,), (30, 7), (3, 6, 2, 4)])
def test_as_pytorch(shape: tuple[int, ...], kind: str, options: dict[str, Any], torch: Any) -> None:
    """Loss and gradient are PyTorch's, for every combination of the options that it has."""
    rng = np.random.default_rng(3)
    axis = 1 if len(shape) > 1 else 0
    logits = rng.normal(0, 3, shape)
    weight = rng.uniform(0.2, 3, shape[axis]) if options["weight"] else None
    labels = rng.dirichlet(np.ones(shape[axis]), (*shape[:axis], *shape[axis + 1 :]))
    labels = np.moveaxis(labels, -1, axis)
    if kind == "labels":
        labels = np.asarray(rng.integers(0, shape[axis], (*shape[:axis], *shape[axis + 1 :])))
        labels.reshape(-1)[1::4] = IGNORED
    own = {**options, "weight": weight}
    loss, grad = fr.cross_entropy_value_and_grad(logits, labels, axis=axis, **own)
    x = torch.tensor(logits, requires_grad=True)
    theirs = torch.nn.functional.cross_entropy(
        x, torch.tensor(labels), **{**own, "weight": None if weight is None else torch.tensor(weight)}
    )
    theirs.sum().backward()
    np.testing.assert_allclose(loss, theirs.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(grad, x.grad.numpy(), rtol=1e-10, atol=1e-14)


@each_dtype
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weights_in_the_memory_of_the_gradient(dtype: str, smoothing: float) -> None:
    """Of one row, the weights may be where its gradient is written: they are read before."""
    x = np.array([0.3, -2.0, 1.5], dtype)
    for label in (0, 2):
        weight = np.array([0.5, 2.0, 0.25], dtype)
        options: dict[str, Any] = {"label_smoothing": smoothing, "reduction": "none", "axis": 0}
        expected = fr.cross_entropy_value_and_grad(x, label, weight=weight, **options)
        loss, grad = fr.cross_entropy_value_and_grad(x, label, weight=weight, out=weight, **options)
        assert grad is weight
        assert_same_bits(loss, expected[0])
        assert_same_bits(grad, expected[1])
