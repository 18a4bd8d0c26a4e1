"""Arrays of other libraries in every argument of every kind of function: the right result, or an error that says what to do."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from test_foreign import SHAPE, Exchanged, Meters, OnlyArray, Overriding, Refusing

import fastrelu as fr
from fastrelu import diagnostics, fused, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array_wrap__ must accept context:DeprecationWarning"  # NumPy warns PyTorch so in np.negative too
)
RNG = np.random.default_rng(3)
X, GRAD, SHARE = (RNG.uniform(low, 1, SHAPE).astype("f4") for low in (-1, -1, 0.125))
MASK = X > 0
# By the names of arguments: what functions take.
ARRAYS: dict[str, Array] = dict.fromkeys(("x", "a", "logits", "residual"), X) | {
    "grad": GRAD, "y": SHARE, "labels": SHARE, "where": MASK, "bias": SHARE[0], "weight": SHARE[0], "pos_weight": SHARE[0],
    "half": GRAD[:, ::2], "alpha": SHARE, "negative_slope": SHARE, "beta": SHARE,
}  # fmt: skip  # one line for each kind of value
ACTIVATION: dict[str, Any] = {"activation": "leaky_relu", "negative_slope": 0.25}


def layer(module: nn.Module) -> Callable[..., Any]:
    """Return the call of a layer."""
    return lambda x: module(x)


def backward(make: Callable[[], nn.Module]) -> Callable[..., Any]:
    """Return the gradient of a layer that has seen an input."""

    def call(grad: Any) -> Any:
        module = make()
        module(X.copy())
        return module.backward(grad)

    return call


def positional(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a fused pass that takes everything by name."""
    names = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_ONLY]

    @functools.wraps(function)
    def call(**options: Any) -> Any:
        return function(*[options.pop(name) for name in names], **options)

    return call


def pair(function: Callable[..., Any], *before: Array) -> Callable[..., Any]:
    """Return a gated unit of a gate and a value."""
    return lambda gate, value: function(*before, (gate, value))


def of(function: Callable[..., Any], arrays: str, out: tuple[int, ...] | None = None, **options: Any) -> Any:
    """Return a function, its arrays by name, the shape of its output and its other arguments."""
    named = {name: GRAD if name == "gate" else X if name == "value" else ARRAYS[name] for name in arrays.split()}
    return function, named, out, options


CALLS: dict[str, Any] = {
    "relu": of(fr.relu, "x where", SHAPE),
    "relu_": of(fr.relu_, "x where"),
    "leaky_relu": of(fr.leaky_relu, "x negative_slope where", SHAPE),
    "gelu_backward": of(fr.gelu_backward, "grad x where", SHAPE),
    "elu_backward_from_output": of(fr.elu_backward_from_output, "grad y alpha where", SHAPE),
    "swish_backward_parameters": of(fr.swish_backward_parameters, "grad x beta", SHAPE),
    "prelu": of(fr.prelu, "x weight where", SHAPE),
    "prelu along an axis": of(fr.prelu, "x weight where", SHAPE, axis=-1),
    "rrelu": of(fr.rrelu, "x where", SHAPE, training=True, rng=0),
    "crelu": of(fr.crelu, "x", (SHAPE[0], 2 * SHAPE[1])),
    "softmax": of(fr.softmax, "x where", SHAPE),
    "softmax_": of(fr.softmax_, "x where"),
    "log_softmax_backward_from_output": of(fr.log_softmax_backward_from_output, "grad y", SHAPE),
    "logmeanexp": of(fr.logmeanexp, "x where", SHAPE[:1], axis=-1),
    "gumbel_softmax": of(fr.gumbel_softmax, "x where", SHAPE, rng=0),
    "cross_entropy": of(fr.cross_entropy, "logits labels weight"),
    "cross_entropy_value_and_grad": of(fr.cross_entropy_value_and_grad, "logits labels", SHAPE),
    "binary_cross_entropy": of(fr.binary_cross_entropy_with_logits, "logits labels weight pos_weight"),
    "glu": of(fr.glu, "x", (SHAPE[0], SHAPE[1] // 2)),
    "glu_backward": of(lambda half, x, out=None: fr.glu_backward(half, x, out=out), "half x", SHAPE),
    "swiglu of a pair": of(pair(fr.swiglu), "gate value"),
    "swiglu_backward of a pair": of(pair(fr.swiglu_backward, SHARE), "gate value"),
    "bias_act": of(positional(fused.bias_act), "x bias residual", SHAPE, **ACTIVATION),
    "bias_act with an array of slopes": of(positional(fused.bias_act), "x bias negative_slope", activation="leaky_relu"),
    "bias_act_": of(positional(fused.bias_act_), "x bias residual", **ACTIVATION),
    "bias_act_backward": of(positional(fused.bias_act_backward), "grad x bias residual", SHAPE, **ACTIVATION),
    "bias_act_backward_from_output": of(fused.bias_act_backward_from_output, "grad y", SHAPE, activation="relu"),
    "summarize": of(lambda a: diagnostics.summarize(a).mean, "a"),
    "ReLU": of(layer(nn.ReLU()), "x"),
    "Softmax": of(layer(nn.Softmax()), "x"),
    "Linear": of(layer(nn.Linear(6, 6, rng=0)), "x"),
    "SwiGLU": of(layer(nn.SwiGLU()), "x"),
    "ReLU.backward": of(backward(nn.ReLU), "grad"),
    "Linear.backward": of(backward(lambda: nn.Linear(6, 6, rng=0)), "grad"),
    "mse_loss": of(lambda x, y: nn.MSELoss()(x, y), "x y"),
    "jax.glu": of(fr.conventions.jax.glu, "x"),
}  # fmt: skip  # one call a line


# The types, of arrays with one and with two axes.
KINDS: dict[str, Callable[[Array], Any]] = {
    "ndarray subclass": lambda x: x.view(Meters),
    "numpy.ma.MaskedArray": np.ma.MaskedArray,
    "__array__": OnlyArray,
    "__array_ufunc__": Overriding,
    "__array_ufunc__ = None": Refusing,
    "__dlpack__": Exchanged,
    "pandas": lambda x: pandas("DataFrame" if x.ndim == 2 else "Series", x),
    "pandas, nullable": lambda x: pandas("DataFrame" if x.ndim == 2 else "Series", x).convert_dtypes(),
    "pandas.Index": lambda x: pandas("Index", x),
    "xarray": lambda x: xarray(x),
    "xarray.Dataset": lambda x: xarray(x).to_dataset(name="v"),
    "dask": lambda x: pytest.importorskip("dask.array", reason="the extra 'test' brings dask").from_array(x, chunks=-1),
    "torch": lambda x: pytest.importorskip("torch", reason="PyTorch is not installed").from_numpy(x),
}


def pandas(kind: str, x: Array) -> Any:
    """Return an object of pandas."""
    return getattr(pytest.importorskip("pandas", reason="the extra 'test' brings pandas"), kind)(x)


def xarray(x: Array) -> Any:
    """Return an array whose axes have names."""
    module = pytest.importorskip("xarray", reason="the extra 'test' brings xarray")
    return module.DataArray(x, dims=("row", "column")[-x.ndim :] if x.shape != SHAPE[:1] else ("row",))


def plain(result: Any) -> list[Array]:
    """Return the numbers of a result."""
    if isinstance(result, tuple | list):
        return [number for one in result for number in plain(one)]
    if type(result).__name__ == "Dataset":
        result = result["v"]
    return [np.asarray(result.x if isinstance(result, Overriding | Exchanged) else result, float)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_foreign_argument(call: Any, kind: str) -> None:
    """One argument is of another library: the result is right and of its type or NumPy's, or a TypeError says why not."""
    function, named, shape, options = call
    for name in [*named, *(["out"] if shape else [])]:

        def given(name: str = name) -> dict[str, Any]:
            arrays = {key: value.copy() for key, value in named.items() if key in {name} or key != "where"}
            return arrays | ({"out": np.zeros(shape, "f4")} if shape and name in {"out", "where"} else {})

        foreign = given()
        if kind == "pandas.Index" and foreign[name].ndim > 1:
            continue
        foreign[name] = KINDS[kind](foreign[name])
        try:
            result = function(**foreign, **options)
        except TypeError as error:
            assert str(error), name  # noqa: PT017  a call may succeed or refuse
            continue
        except ValueError as error:
            assert kind == "__dlpack__", error  # noqa: PT017  to NumPy an object without axes
            continue
        for got, expected in zip(plain(result), plain(function(**given(), **options)), strict=True):
            np.testing.assert_allclose(got, expected, 1e-5, 1e-6, err_msg=name)
        for one in result if isinstance(result, tuple) else (result,):
            assert isinstance(one, np.ndarray | np.generic | float | type(foreign[name])), name
