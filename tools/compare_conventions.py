"""Compare fastrelu.conventions with the frameworks that are installed, on edge inputs, forward and gradient.

``python tools/compare_conventions.py`` runs every function of every framework that can be imported, and prints where
results differ and docs/deviations.toml does not say why. With ``--write`` it puts what it saw into docs/conventions.json,
beside what was seen of the frameworks that are not installed now, and writes docs/conventions.md from that.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import inspect
import json
import math
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastrelu import conventions
from fastrelu.conventions import _composed
from fastrelu.conventions._build import Row

Array = NDArray[Any]
Function = Callable[..., Any]

DOCS = Path(__file__).resolve().parent.parent / "docs"
LIMIT = 8  # ULP between two results that agree: ours has up to 6, GELU's derivative in float32
COPIES = 32  # of each input, so that the vectorized part of a framework's loop computes it
PAIRS = ("inf", "1e30", "100", "20", "6", "3", "3-", "1", "1-", "0.5", "1e-5", "subnormal", "0")
LABELS = ("nan", *(f"-{label}" for label in PAIRS), *(f"+{label}" for label in reversed(PAIRS)))


def inputs(dtype: Any) -> Array:
    """Return the 27 inputs: NaN, infinities, huge, saturated, kinks and neighbors, small, subnormal, zeros."""
    kind = np.dtype(dtype).type
    named = {
        "3-": np.nextafter(kind(3), kind(0)),
        "1-": np.nextafter(kind(1), kind(0)),
        "subnormal": np.finfo(kind).tiny / 8,
    }
    halves = [kind(named.get(label, label)) for label in PAIRS]
    return np.array([np.nan, *(-value for value in halves), *reversed(halves)], dtype)


ROWS = {
    "usual": (1, 2, 3, 4),
    "spread": (0, -40, -90, -120),
    "close": (0.1, 0.2, 0.3, 0.45),
    "equal": (0, 0, 0, 0),
    "huge": (1e30, 0, -1e30, 1),
    "nan": (np.nan, 0, 1, 2),
    "one +inf": (np.inf, 0, 1, 2),
    "two +inf": (np.inf, np.inf, 0, 1),
    "one -inf": (-np.inf, 0, 1, 2),
    "all -inf": (-np.inf, -np.inf, -np.inf, -np.inf),
}

# Functions that run along an axis, and arguments besides the input: those without a default, and others that change much.
ALONG_AXIS = {
    "softmax",
    "log_softmax",
    "softmin",
    "sparsemax",
    "logsumexp",
    "logmeanexp",
    "reduce_logsumexp",
    "crelu",
    "glu",
    "Softmax",
    "Hardmax",
    "LogSoftmax",
    "ReduceLogSumExp",
}
ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "threshold": [{"threshold": 1.0, "value": 0.5}],
    "keras.ops.threshold": [{"threshold": 1.0, "default_value": 0.5}],
    "keras.threshold": [{"threshold": 1.0, "default_value": 0.5}],
    "leaky_relu": [{}, {"negative_slope": 0.5}],
    "transformers.leaky_relu": [{}],
    "tf.leaky_relu": [{}, {"alpha": 0.5}],
    "elu": [{}, {"alpha": 2.0}],
    "tf.elu": [{}],
    "celu": [{}, {"alpha": 2.0}],
    "torch.softplus": [{}, {"beta": 2.0, "threshold": 5.0}],
    "hardtanh": [{}, {"min_val": -3.0, "max_val": 0.5}],
    "torch.gelu": [{}, {"approximate": "tanh"}],
    "jax.gelu": [{}, {"approximate": False}],
    "keras.relu": [
        {},
        {"negative_slope": 0.5, "max_value": 3.0, "threshold": 1.0},
        {"negative_slope": 0.5, "max_value": 3.0, "threshold": -1.0},
        {"max_value": 3.0},
    ],
    "keras.gelu": [{}, {"approximate": True}],
    "tf.gelu": [{}, {"approximate": True}],
    "keras.ops.gelu": [{}, {"approximate": False}],
    "silu": [{}],
    "tf.silu": [{}, {"beta": 2.0}],
    "tf.swish": [{}, {"beta": 2.0}],
    "squareplus": [{}, {"b": 1.0}],
    "hardshrink": [{}, {"lambd": 1.0}],
    "softshrink": [{}, {"lambd": 1.0}],
    "torch.softmax": [{"dim": -1}],
    "torch.log_softmax": [{"dim": -1}],
    "torch.softmin": [{"dim": -1}],
    "torch.special.softmax": [{"dim": -1}],
    "torch.special.log_softmax": [{"dim": -1}],
    "torch.special.logsumexp": [{"dim": -1}],
    "jax.logsumexp": [{"axis": -1}],
    "keras.ops.logsumexp": [{"axis": -1}],
    "jax.logmeanexp": [{"axis": -1}],
    "tf.reduce_logsumexp": [{"axis": -1}],
    "onnx.ReduceLogSumExp": [{"axes": np.array([-1]), "keepdims": 0}],
    "onnx.LeakyRelu": [{}, {"alpha": 0.5}],
    "onnx.Shrink": [{}, {"bias": 0.5}, {"bias": 0.25, "lambd": 1.0}],
    "onnx.Elu": [{}, {"alpha": 2.0}],
    "onnx.Celu": [{}, {"alpha": 2.0}],
    "onnx.Gelu": [{}, {"approximate": "tanh"}],
    "onnx.Swish": [{}, {"alpha": 2.0}],
    "onnx.HardSigmoid": [{}, {"alpha": 0.5, "beta": 0.25}],
    "onnx.Selu": [{}, {"alpha": 2.0, "gamma": 0.5}],
    "onnx.ThresholdedRelu": [{}, {"alpha": 0.0}],
}
WEIGHTED = {"torch.prelu": "weight", "mlx.prelu": "alpha", "onnx.PRelu": "slope", "onnx.SwiGLU": "B"}
SKIPPED = {"gumbel_softmax": "draws random noise", "rrelu": "draws random slopes", "rrelu_": "draws random slopes"}


def signature(value: Any) -> str | None:
    """Return the arguments and their defaults as text, without types: of the signature, or of the docstring's first line."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        stated = re.match(r"\s*\w+(\(.*?\)) *(->|$)", value.__doc__ or "")
        return stated and stated[1]
    bare = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    return re.sub(r"=<[^>]*>", "=...", str(found.replace(parameters=bare, return_annotation=found.empty)))


class Peer:
    """A framework: where its functions are, and how a result and its gradient are computed."""

    convention: ClassVar[str]
    label: ClassVar[str] = ""  # where it is another than the convention's
    distribution: ClassVar[str]
    spaces: ClassVar[tuple[str, ...]] = ()  # the module of its activations, and others that have some
    besides: ClassVar[tuple[str, ...]] = ()  # what counts of the others
    dtypes: ClassVar[tuple[Any, ...]] = (np.float32, np.float64)

    @cached_property
    def version(self) -> str:
        """The installed version."""
        return importlib.metadata.version(self.distribution)

    def prepare(self) -> None:
        """Import it; ImportError if it is not installed."""
        importlib.import_module(self.spaces[0])

    def modules(self) -> list[Any]:
        """Return its modules."""
        return [importlib.import_module(space) for space in self.spaces]

    def names(self) -> dict[str, str | None]:
        """Return its public functions, with their signatures if they can be known."""
        public = {name: getattr(self.modules()[0], name) for name in dir(self.modules()[0]) if name[0] != "_"}
        public |= {name: self.find(name) for name in self.besides}
        return {name: signature(value) for name, value in sorted(public.items()) if self.counts(value)}

    def counts(self, value: Any) -> bool:
        """Whether a public value of a module is one of its functions."""
        return callable(value) and not inspect.isclass(value) and not inspect.ismodule(value)

    def find(self, name: str) -> Function:
        """Return one of its functions."""
        found: Function = next(getattr(module, name) for module in self.modules() if hasattr(module, name))
        return found

    def refusals(self) -> tuple[type[Exception], ...]:
        """Return the errors that say that a function does not take a type."""
        return ()

    def array(self, x: Array) -> Any:
        """Return an array of the framework."""
        raise NotImplementedError

    def run(self, name: str, x: Array, weights: Array, arguments: dict[str, Any]) -> tuple[Array, Array | None]:
        """Return the result, and the gradient of its sum with these weights."""
        raise NotImplementedError


class Torch(Peer):
    """PyTorch's functions, with gradients by its tape."""

    convention, distribution, spaces = "torch", "torch", ("torch.nn.functional",)

    def array(self, x: Array) -> Any:
        return importlib.import_module("torch").from_numpy(x.copy())

    def run(self, name: str, x: Array, weights: Array, arguments: dict[str, Any]) -> tuple[Array, Array | None]:
        tensor, function = self.array(x), self.find(name)
        if hasattr(function, "to"):  # a module, whose parameters have a type
            function.to(tensor.dtype)
        function = partial(function, **arguments)
        if name.endswith("_"):
            return np.asarray(function(tensor)), None
        tensor.requires_grad_()
        y = function(tensor)
        y.backward(self.array(np.broadcast_to(weights, y.shape).astype(x.dtype)))
        return y.detach().numpy(), tensor.grad.numpy()


class TorchSpecial(Torch):
    """PyTorch's functions of mathematics."""

    convention, spaces = "torch.special", ("torch.special",)


class Transformers(Torch):
    """Hugging Face's table of activations."""

    convention, distribution, spaces = "transformers", "transformers", ("transformers.activations",)

    def names(self) -> dict[str, str | None]:
        module = importlib.import_module(self.spaces[0])
        own = {
            name for name, value in vars(module).items() if name[0] != "_" and self.counts(value) and callable(value)
        }
        return dict.fromkeys(sorted({*own, *module.ACT2FN}))

    def find(self, name: str) -> Function:
        return importlib.import_module(self.spaces[0]).ACT2FN[name]  # type: ignore[no-any-return]  # no types


class Jax(Peer):
    """JAX's functions, with vector-Jacobian products."""

    convention, distribution = "jax", "jax"
    spaces: ClassVar[tuple[str, ...]] = ("jax.nn",)

    def prepare(self) -> None:
        super().prepare()
        importlib.import_module("jax").config.update("jax_enable_x64", True)

    def array(self, x: Array) -> Any:
        return importlib.import_module("jax.numpy").asarray(x)

    def run(self, name: str, x: Array, weights: Array, arguments: dict[str, Any]) -> tuple[Array, Array | None]:
        y, back = importlib.import_module("jax").vjp(partial(self.find(name), **arguments), self.array(x))
        (dx,) = back(self.array(np.broadcast_to(weights, y.shape).astype(x.dtype)))
        return np.asarray(y), np.asarray(dx)


class Keras(Jax):
    """Keras' activations, on its JAX backend."""

    convention, distribution, dtypes = "keras", "keras", (np.float32,)
    spaces: ClassVar[tuple[str, ...]] = ("keras.activations",)

    def prepare(self) -> None:
        os.environ["KERAS_BACKEND"] = "jax"  # read when Keras is imported
        super().prepare()


class KerasOps(Keras):
    """Keras' operations, on its JAX backend."""

    convention = "keras.ops"
    spaces = ("keras.ops.nn", "keras.ops")
    besides = ("erf", "logsumexp", "tanh")


class TensorFlow(Peer):
    """TensorFlow's functions, with gradients by its tape."""

    convention, distribution, spaces = "tf", "tensorflow", ("nn", "math")
    besides = ("erf", "log_sigmoid", "reduce_logsumexp")

    @cached_property
    def tf(self) -> Any:
        return importlib.import_module("tensorflow")

    def prepare(self) -> None:
        _ = self.tf

    def modules(self) -> list[Any]:
        return [getattr(self.tf, space) for space in self.spaces]

    def array(self, x: Array) -> Any:
        return self.tf.constant(x)

    def run(self, name: str, x: Array, weights: Array, arguments: dict[str, Any]) -> tuple[Array, Array | None]:
        tensor = self.array(x)
        with self.tf.GradientTape() as tape:
            tape.watch(tensor)
            y = self.find(name)(tensor, **arguments)
        dx = tape.gradient(y, tensor, output_gradients=self.array(np.broadcast_to(weights, y.shape).astype(x.dtype)))
        return y.numpy(), dx.numpy()


class Mlx(Peer):
    """MLX's functions on the processor, which has no float64 elsewhere."""

    convention, distribution, spaces, dtypes = "mlx", "mlx", ("mlx.nn",), (np.float32,)

    def array(self, x: Array) -> Any:
        return importlib.import_module("mlx.core").array(x)

    def run(self, name: str, x: Array, weights: Array, arguments: dict[str, Any]) -> tuple[Array, Array | None]:
        core, function = importlib.import_module("mlx.core"), partial(self.find(name), **arguments)
        y = function(self.array(x))
        _, (dx,) = core.vjp(function, [self.array(x)], [self.array(np.broadcast_to(weights, y.shape).astype(x.dtype))])
        return np.array(y), np.array(dx)


class Onnx(Peer):
    """The reference evaluator, which is the specification in NumPy."""

    convention, distribution = "onnx", "onnx"
    spaces: ClassVar[tuple[str, ...]] = ("onnx.reference",)

    def names(self) -> dict[str, str | None]:
        defs, found = importlib.import_module("onnx.defs"), {}
        for schema in defs.get_all_schemas():
            inputs = [f"{i.name}=None" if i.option.name == "Optional" else i.name for i in schema.inputs]
            values = {key: attribute.default_value for key, attribute in sorted(schema.attributes.items())}
            convert = importlib.import_module("onnx.helper").get_attribute_value
            texts = [
                f"{key}={convert(value) if value.type else None!r}".replace("b'", "'") for key, value in values.items()
            ]
            name = schema.name if not schema.domain else f"{schema.domain}.{schema.name}"
            found[name] = f"({', '.join([*inputs, *(['*'] if texts else []), *texts])})"
        return dict(sorted(found.items()))

    def array(self, x: Array) -> Any:
        return x

    def model(self, name: str, x: Array, arguments: dict[str, Any]) -> Any:
        helper = importlib.import_module("onnx.helper")
        kind = helper.np_dtype_to_tensor_dtype(x.dtype)
        extra = {key: value for key, value in arguments.items() if isinstance(value, np.ndarray)}
        attributes = {key: value for key, value in arguments.items() if key not in extra}
        kinds = {key: helper.np_dtype_to_tensor_dtype(value.dtype) for key, value in {"x": x, **extra}.items()}
        info = [helper.make_tensor_value_info(key, kinds[key], value.shape) for key, value in {"x": x, **extra}.items()]
        node = helper.make_node(name, [i.name for i in info], ["y"], **attributes)
        graph = helper.make_graph([node], "one", info, [helper.make_tensor_value_info("y", kind, None)])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset(name))], ir_version=10)

    def opset(self, name: str) -> int:
        return max(24, *(row.since for row in conventions.onnx.ROWS if row.name == name))

    def session(self, model: Any) -> Function:
        return importlib.import_module("onnx.reference").ReferenceEvaluator(model).run  # type: ignore[no-any-return]  # no types

    def run(self, name: str, x: Array, weights: Array, arguments: dict[str, Any]) -> tuple[Array, Array | None]:
        extra = {key: value for key, value in arguments.items() if isinstance(value, np.ndarray)}
        with np.errstate(all="ignore"):  # the evaluator is written in NumPy
            return self.session(self.model(name, x, arguments))(None, {"x": x, **extra})[0], None


class OnnxRuntime(Onnx):
    """The usual implementation of ONNX, as it optimizes a graph of one operator."""

    label, distribution, spaces = "onnxruntime", "onnxruntime", ("onnxruntime", "onnx")

    def refusals(self) -> tuple[type[Exception], ...]:
        state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
        return state.NotImplemented, state.InvalidGraph

    def session(self, model: Any) -> Function:
        runtime = importlib.import_module("onnxruntime")
        return runtime.InferenceSession(model.SerializeToString()).run  # type: ignore[no-any-return]  # no types


PEERS: tuple[type[Peer], ...] = (
    Torch,
    TorchSpecial,
    Jax,
    Keras,
    KerasOps,
    TensorFlow,
    Onnx,
    OnnxRuntime,
    Transformers,
    Mlx,
)


# --- Comparison ---------------------------------------------------------------------------------------------------


def ulps(ours: Array, theirs: Array) -> Array:
    """Return how many floating-point numbers lie between results; infinite where one is NaN, or the signs of zeros differ."""
    integer = np.dtype(f"i{ours.itemsize}")
    bits: list[Array] = [array.view(integer) for array in (ours, theirs)]
    a, b = (np.where(v < 0, -(v & np.iinfo(integer).max), v).astype(np.longdouble) for v in bits)
    distance: Array = np.abs(a - b).astype(np.float64)
    distance[np.isnan(ours) & np.isnan(theirs)] = 0
    distance[np.isnan(ours) != np.isnan(theirs)] = np.inf
    distance[(ours == 0) & (theirs == 0) & (np.signbit(ours) != np.signbit(theirs))] = np.inf
    return distance


def module_of(convention: str) -> Any:
    """Return the module of a convention."""
    return importlib.import_module(f"fastrelu.conventions.{convention}")


def cases(convention: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the functions of a convention with the arguments that they are compared with."""
    for name, function in module_of(convention).FUNCTIONS.items():
        if name.endswith("_backward") or name in SKIPPED:
            continue
        bare = name.removesuffix("_")
        for arguments in ARGUMENTS.get(f"{convention}.{bare}", ARGUMENTS.get(bare, [{}])):
            own = {key for key in arguments if key in function.__code__.co_varnames}
            if own == set(arguments):
                yield name, arguments


def compare(
    peer: Peer, name: str, arguments: dict[str, Any], dtype: Any
) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield direction, label of the input, theirs, ours and the distance, for every input."""
    functions = module_of(peer.convention).FUNCTIONS
    reduced = name in {"logsumexp", "logmeanexp", "reduce_logsumexp", "ReduceLogSumExp"}
    along = name in ALONG_AXIS
    x = np.array(list(ROWS.values()), dtype) if along else np.repeat(inputs(dtype), COPIES)
    labels = list(ROWS) if along else list(LABELS)
    extra = {}
    if f"{peer.convention}.{name}" in WEIGHTED:
        key = WEIGHTED[f"{peer.convention}.{name}"]
        extra = {key: np.full(x.shape if name == "SwiGLU" else 1, 0.25, dtype)}
    theirs_of = {key: value if isinstance(peer, Onnx) else peer.array(value) for key, value in extra.items()}
    ours = functions[name](x.copy(), **arguments, **extra)
    weights = np.arange(1, ours.shape[-1] + 1, dtype=dtype) if along and not reduced else np.ones(1, dtype)
    y, dx = peer.run(name, x, weights, {**arguments, **theirs_of})
    pairs = [("forward", y, ours)]
    if dx is not None and f"{name}_backward" in functions:
        grad = np.broadcast_to(weights, ours.shape).astype(dtype)
        pairs.append(("gradient", dx, functions[f"{name}_backward"](grad, x, **arguments, **extra)))
    for direction, *both in pairs:
        their, our = map(np.asarray, both)
        assert their.shape == our.shape, (name, their.shape, our.shape)
        assert their.dtype == our.dtype, (name, their.dtype, our.dtype)
        distance = ulps(our, their)
        if direction == "gradient":  # a derivative of 0 by rule has no sign
            distance[(our == 0) & (their == 0)] = 0
        for i, label in enumerate(labels):
            at = i if along else slice(i * COPIES, (i + 1) * COPIES)
            worst = np.argmax(np.atleast_1d(distance[at]))
            numbers = (float(np.atleast_1d(array[at])[worst]) for array in (their, our, distance))
            yield direction, label, next(numbers), next(numbers), next(numbers)


def examine(peer: Peer) -> dict[str, Any]:
    """Return what was seen of a framework: its version, names, and for each call how far results are apart, and where."""
    results: dict[str, Any] = {}
    for name, arguments in cases(peer.convention):
        given = ", ".join(
            f"{key}={value.tolist() if isinstance(value, np.ndarray) else value!r}" for key, value in arguments.items()
        )
        seen: dict[str, Any] = results.setdefault(f"{name}({given})", {})
        for dtype in peer.dtypes:
            try:
                compared = list(compare(peer, name, arguments, dtype))
            except peer.refusals() as error:
                seen[np.dtype(dtype).name] = (
                    str(error).partition(":")[2].strip().partition(" for ")[0].partition("\n")[0]
                )
                continue
            of_type = seen.setdefault(np.dtype(dtype).name, {})
            for direction, label, theirs, ours, distance in compared:
                entry = of_type.setdefault(direction, {"ulp": 0, "differs": {}})
                if distance <= LIMIT:
                    entry["ulp"] = max(entry["ulp"], int(distance))
                else:
                    entry["differs"][label] = [repr(theirs), repr(ours)]
    return {"version": peer.version, "names": peer.names(), "results": results}


# --- Deviations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One result that is another than the framework's."""

    peer: str
    call: str
    dtype: str
    direction: str
    label: str
    theirs: float
    ours: float

    @property
    def row(self) -> Row:
        """The row of the function in the convention's table."""
        convention = {"onnxruntime": "onnx"}.get(self.peer, self.peer)
        rows: dict[str, Row] = {row.name: row for row in module_of(convention).ROWS}
        return rows[self.call.partition("(")[0]]

    @property
    def function(self) -> str:
        """Which of our functions computed it."""
        function = self.row.function.removesuffix("_").removesuffix("_any")
        return {"softplus_with_threshold": "softplus"}.get(function, function)

    def explained_by(self, entry: dict[str, Any]) -> bool:
        """Whether all conditions of a deviation hold."""
        lists = {"functions": self.function, "frameworks": self.peer, "types": self.dtype, "inputs": self.label}
        kinds = {"theirs": self.theirs, "ours": self.ours}
        array = np.array([self.ours, self.theirs], self.dtype)
        return bool(
            entry.get("direction", self.direction) == self.direction
            and all(value in entry.get(key, [value]) for key, value in lists.items())
            and all(is_kind(value, self.dtype, entry[key]) for key, value in kinds.items() if key in entry)
            and ulps(array[:1], array[1:])[0] <= entry.get("ulp", np.inf)
        )


def is_kind(value: float, dtype: str, kind: str) -> bool:
    """Whether a result is of a kind that the list of deviations names."""
    tiny = float(np.finfo(dtype).tiny)
    return {
        "nan": math.isnan(value),
        "number": not math.isnan(value),
        "infinite": math.isinf(value),
        "zero": value == 0,
        "subnormal": 0 < abs(value) < tiny,
    }[kind]


def differences(peer: str, seen: dict[str, Any]) -> Iterator[Difference]:
    """Yield every difference that was seen of a framework."""
    for call, types in seen["results"].items():
        for dtype, directions in types.items():
            if isinstance(directions, str):  # the framework does not have it in this type
                continue
            for direction, entry in directions.items():
                for label, (theirs, ours) in entry["differs"].items():
                    yield Difference(peer, call, dtype, direction, label, float(theirs), float(ours))


@cache
def refusals() -> list[dict[str, Any]]:
    """Return the list of values of options that are refused here though the framework takes them."""
    listed: list[dict[str, Any]] = tomllib.loads((DOCS / "deviations.toml").read_text(encoding="utf-8"))["refusal"]
    return listed


@cache
def deviations() -> list[dict[str, Any]]:
    """Return the reviewed list."""
    listed: list[dict[str, Any]] = tomllib.loads((DOCS / "deviations.toml").read_text(encoding="utf-8"))["deviation"]
    return listed


def explanation(difference: Difference) -> str | None:
    """Return the name of the deviation that explains a difference."""
    return next((entry["name"] for entry in deviations() if difference.explained_by(entry)), None)


def recorded() -> dict[str, Any]:
    """Return what was seen of each framework."""
    seen: dict[str, Any] = json.loads((DOCS / "conventions.json").read_text(encoding="utf-8"))
    return seen


def installed() -> Iterator[tuple[str, Peer]]:
    """Yield the frameworks that can be imported."""
    for kind in PEERS:
        peer = kind()
        with contextlib.suppress(ImportError):  # a part of the framework that is not installed
            peer.prepare()
            yield kind.label or kind.convention, peer


# --- The page -----------------------------------------------------------------------------------------------------

TITLES = {
    "torch": "torch.nn.functional",
    "torch.special": "torch.special",
    "jax": "jax.nn",
    "keras": "keras.activations",
    "keras.ops": "keras.ops",
    "tf": "tf.nn and tf.math",
    "onnx": "ONNX, reference evaluator",
    "onnxruntime": "ONNX, onnxruntime",
    "transformers": "transformers' ACT2FN",
    "mlx": "mlx.nn",
}
HEAD = """\
# Other frameworks' names

```{py:module} fastrelu.conventions
```

```python
>>> import numpy as np
>>> from fastrelu.conventions import torch as F
>>> x = np.float32([-3.0, 0.0, 3.0])
>>> F.hardtanh(x, min_val=-2.0)
array([-2.,  0.,  1.], dtype=float32)
>>> F.leaky_relu(x, 0.5, inplace=True) is x
True
>>> from fastrelu.conventions import jax, keras, onnx, transformers
>>> jax.leaky_relu_backward(1.0, 0.0)                       # the derivative that JAX takes at the kink
np.float64(1.0)
>>> keras.leaky_relu(-1.0)                                  # Keras' slope
np.float64(-0.2)
>>> onnx.get("Softmax", opset=11)(np.zeros((2, 3))).shape   # over all axes from 1 on
(2, 3)
>>> transformers.get("gelu_new") is transformers.gelu_new   # a configuration's hidden_act
True

```

`fastrelu.conventions` has a module for each framework below: its names, its arguments with their order and defaults,
and its choices where there is a choice, on NumPy arrays and without the framework. `name_backward(grad, ...)`, with the
arguments of the function behind, is the gradient with respect to its first argument, as the framework's automatic
differentiation gives it. What the functions promise besides is said in {doc}`calling-conventions`.

Where a framework overflows, cancels or turns NaN into a number, the value here is the right one. These deviations are
listed below; there are no others on the inputs that were compared.

## What was compared

`tools/compare_conventions.py` ran the frameworks on 27 inputs, in float32 and, where the framework has it, float64:
NaN, 0, a subnormal number, 1e-5, 0.5, 1, 3 and the neighbors of 1 and 3 below, 6, 20, 100, 1e30 and infinity, of both
signs; and softmax and its family on rows with extremes, NaN and infinities. Two results agree if there are at most 8
floating-point numbers between them; signs of zeros count forward, and not in gradients.

"""


def _table(*rows: tuple[str, ...]) -> list[str]:
    """Return the lines of a table in Markdown."""
    head, *body = rows
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *body)] + [""]


def _numbers(theirs: float, ours: float) -> str:
    """Return two results with as many digits as it takes to tell them apart."""
    digits = next((n for n in (4, 9, 16) if f"{theirs:.{n}g}" != f"{ours:.{n}g}"), 17)
    first, second = ("NaN" if math.isnan(value) else f"{value:.{digits}g}" for value in (theirs, ours))
    return f"{first}, here {second}"


def _where(found: list[Difference]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each framework and direction: functions and inputs, and one example."""
    groups: dict[tuple[str, str], list[Difference]] = {}
    for one in found:
        groups.setdefault((one.peer, one.direction), []).append(one)
    for (peer, direction), ones in groups.items():
        names = dict.fromkeys(f"`{one.call.partition('(')[0]}`" for one in ones)
        labels = dict.fromkeys(one.label for one in ones)
        example = max(ones, key=lambda one: (one.dtype == "float32", abs(one.ours) if abs(one.ours) < np.inf else 0))
        numbers = _numbers(example.theirs, example.ours)
        shown = f"`{example.call.removesuffix('()')}`, {example.label}: {numbers}"
        yield TITLES[peer], direction, ", ".join(names), ", ".join(labels), shown


def page(seen: dict[str, Any]) -> str:
    """Return the page of the documentation."""
    found = [one for peer in seen for one in differences(peer, seen[peer])]
    explained: dict[str, list[Difference]] = {entry["name"]: [] for entry in deviations()}
    for one in found:
        explained[explanation(one) or "?"].append(one)
    lines = [HEAD.rstrip(), ""]
    counts = []
    for peer, of_peer in seen.items():
        pairs = [
            e
            for types in of_peer["results"].values()
            for d in types.values()
            if isinstance(d, dict)
            for e in d.values()
        ]
        apart = sum(len(entry["differs"]) for entry in pairs)
        functions = len({call.partition("(")[0] for call in of_peer["results"]})
        most = max(entry["ulp"] for entry in pairs)
        counts.append((TITLES[peer], of_peer["version"], str(functions), str(len(pairs)), str(most), str(apart)))
    head = (
        "framework",
        "version",
        "functions",
        "comparisons",
        "most ULP apart where they agree",
        "results that deviate",
    )
    lines += _table(head, *counts)
    left_out = "; ".join(f"`{name}` {reason}" for name, reason in SKIPPED.items())
    lines += [f"A comparison is one function with its arguments, type and direction. Not compared: {left_out}.", ""]
    lines += ["## Deviations", ""]
    for entry in deviations():
        lines += [f"### {entry['name']}", "", entry["reason"], ""]
        lines += _table(
            ("framework", "direction", "functions", "inputs", "for example"), *_where(explained[entry["name"]])
        )
    lines += [
        "## Values of options that are refused",
        "",
        "A framework computes with them, or refuses them too; here they are a `ValueError`.",
        "",
    ]
    refused = (
        (e["name"], ", ".join(f"`{f}`" for f in e.get("functions", ["any"])), ", ".join(e["values"]), e["reason"])
        for e in refusals()
    )
    lines += _table(("what", "here", "values that were tried", "reason"), *refused)
    lines += [
        "## Names",
        "",
        "`kinks` are points where the derivative is the framework's and not that of our function.",
        "",
    ]
    for name in (peer for peer in seen if peer != "onnxruntime"):
        lines += [f"### {TITLES[name].partition(',')[0]}", "", f"`fastrelu.conventions.{name}`", ""]
        rows = [("there", "here", *(["since opset"] if name == "onnx" else ["kinks"]))]
        for row in module_of(name).ROWS:
            last = str(row.since) if name == "onnx" else ", ".join(f"{d} at {p}" for p, d in row.kinks.items())
            own = row.function if row.function not in _composed.__all__ else "a composition"
            rows.append((f"`{row.theirs}`", f"`{own}`" if own == row.function else own, last))
        lines += _table(*rows)
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Compare, print what has no explanation, and write the record and the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/conventions.json and docs/conventions.md")
    parser.add_argument("--peer", nargs="*", default=[kind.label or kind.convention for kind in PEERS])
    options = parser.parse_args()
    record = DOCS / "conventions.json"
    seen = recorded() if record.exists() else {}
    for label, peer in installed():
        if label in options.peer:
            seen[label] = examine(peer)
            print(f"{label} {peer.version}")
    seen = {kind.label or kind.convention: seen[kind.label or kind.convention] for kind in PEERS}
    unexplained = [one for label in seen for one in differences(label, seen[label]) if explanation(one) is None]
    print("".join(f"no deviation explains {one}\n" for one in unexplained), end="")
    if options.write and not unexplained:
        text = json.dumps(seen, indent=1)
        text = re.sub(r"\[\s+(\S+)\s+(\S+)\s+\]", r"[\1 \2]", text)  # a pair of numbers is one line
        record.write_text(f"{text}\n", encoding="utf-8")
        (DOCS / "conventions.md").write_text(page(seen), encoding="utf-8")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
