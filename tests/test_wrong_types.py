"""Options of another kind than theirs: refused where they are given, by an error that names and shows them.

The kind of an option is read off its annotation, so that a new layer, loss, optimizer or function is tested without a
line here, unless it needs arguments.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fastrelu as fr
from fastrelu import diagnostics, fused, gated_units, losses, masks, nn, optim, quantized
from fastrelu._options import operand, optional_operand
from fastrelu.nn import init, utils

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAN = float("nan")
LIST, ARRAY, COMPLEX = [0.25], np.ones(2), 0.25j
MASKED = np.ma.masked_array([1.0, 2.0], [True, False])

# What each kind of option, read off its annotation, cannot be.
NO_NUMBER: list[Any] = ["a", None, LIST, ARRAY, COMPLEX, True, NAN, {}]
NO_OPERAND: list[Any] = ["a", None, ["a"], np.ones(2, complex), COMPLEX, True, NAN, {}]
NO_INTEGER: list[Any] = ["a", None, [1], ARRAY, COMPLEX, True, NAN, 1.5, np.float64(1.0)]
NO_AXIS: list[Any] = ["a", ["a"], ARRAY, COMPLEX, NAN, 1.5, (1.5,), True, np.True_, (True,)]
NO_FLAG: list[Any] = ["no", None, [True], np.ones(2, bool), COMPLEX, 1, 0.0, NAN]
NO_CHOICE: list[Any] = ["nothing", None, ["mean"], ARRAY, COMPLEX, True, NAN, 1]
NO_TYPE: list[Any] = ["nothing", None, [1], ARRAY, COMPLEX, NAN, 1, True]
NO_SEED: list[Any] = ["a", ["a"], ARRAY, COMPLEX, NAN, 1.5, -1]
NO_NUMBERS: list[Any] = ["a", ["a"], COMPLEX, np.ones(2, complex), {}, MASKED]
NO_SIZES: list[Any] = ["a", None, ["a"], ARRAY, COMPLEX, NAN, 1.5, (1.5,), (True,)]
NO_PAIR: list[Any] = ["a", ["a", "b"], ARRAY, COMPLEX, NAN, 1.5, (NAN, 0.5), (True, 0.5)]
KINDS = {
    "float": NO_NUMBER,
    "int": NO_INTEGER,
    "bool": NO_FLAG,
    "str": [None, ["relu"], ARRAY, COMPLEX, True, NAN, 1],
    "DTypeLike": NO_TYPE,
    "np.random.Generator | int": NO_SEED,
    "Rng": NO_SEED,
    "ArrayLike | Parameter": NO_NUMBERS,
    "Axis": NO_AXIS,
    "int | tuple[int, ...]": [*NO_AXIS, None],
    "tuple[int, ...]": NO_SIZES,
    "tuple[float, float]": [*NO_PAIR, None],
    "Limits": NO_PAIR,
    "int | tuple[int, ...] | None": NO_AXIS,
    "float | tuple[float, ...]": ["a", LIST, ARRAY, COMPLEX, True, NAN, {}, ("a",)],
    **dict.fromkeys(("Gate", "Layout", "Reduction", "Fan", "Convention"), NO_CHOICE),
}
# Arrays, models and parameters, of which other tests pass wrong ones.
DATA = {"ArrayLike", "ArrayLike | Pair", "Any", "_T", "Output", "Activation", "Activation | None", "Module"}
DATA |= {"Parameter | Iterable[Parameter]", "Iterable[Parameter] | Iterable[dict[str, Any]]"}
# Numbers of functions that take an array in their place, or NaN; True counts as 1 there, as in all kernels.
NO_KERNEL_OPERAND = ["a", ["a"], np.ones(2, complex), COMPLEX, {}]
EXCEPTIONS = {
    "init.constant_.val": [value for value in NO_NUMBER if value is not NAN],
    "swiglu.beta": NO_KERNEL_OPERAND,
    "swiglu_backward.beta": NO_KERNEL_OPERAND,
    "masks.backward_from_mask.slope": ["a", None, LIST, ARRAY, COMPLEX, {}],
    **{f"fused.{name}.{term}": [] for name in fused.__all__ for term in ("bias", "residual")},
}

PARAMETER = nn.Parameter(np.ones((3, 4), np.float32))
X, BYTES = np.ones((2, 4), np.float32), np.ones((2, 4), np.uint8)
NEEDED: dict[str, tuple[Any, ...]] = {
    "Linear": (2, 3),
    "Threshold": (0.1, 0.2),
    "Softcap": (2.0,),
    "Unflatten": (1, (2, -1)),
    "Parameter": (X,),
    "dirac_": (np.ones((3, 4, 5), np.float32),),
    "constant_": (np.ones((4, 4), np.float32), 0.5),
    "calculate_gain": ("leaky_relu",),
    "bias_act": (X, X[0], "relu"),
    "bias_act_": (X.copy(), X[0], "relu"),
    "bias_act_backward": (X, X, X[0], "relu"),
    "bias_act_backward_from_output": (X, X, "relu"),
    "backward_from_mask": (X, np.zeros(1, np.uint8)),
    "prelu_with_mask": (X, X[0]),
    "quantize": (X, 0.5, 1),
    "dequantize": (BYTES, 0.5, 1),
    "table": ("relu", 0.5, 1, 0.5, 1),
    "lookup": (BYTES[0].repeat(64), BYTES),
    "summarize": (X,),
    "dead_from_mask": (np.zeros(1, np.uint8),),
    "Monitor": (nn.ReLU(),),
    "saturation_limits": ("tanh",),
    "plot": ("relu",),
}
CONTAINERS = {nn.Module, nn.Activation, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Identity}


def functions() -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    """Yield name, function and arguments of all that has options."""
    layers = {value for value in vars(nn).values() if isinstance(value, type) and issubclass(value, nn.Module)}
    for kind in [*sorted(layers - CONTAINERS, key=str), nn.Parameter]:
        yield f"nn.{kind.__name__}", kind, NEEDED.get(kind.__name__, ())
    yield "nn.Activation", nn.Activation, ()
    for name in set(optim.__all__) - {"Optimizer"}:
        yield f"optim.{name}", getattr(optim, name), ([PARAMETER],)
    for name in init.__all__:
        yield f"init.{name}", getattr(init, name), NEEDED.get(name, (np.ones((4, 4), np.float32),))
    for name in utils.__all__:
        yield f"utils.{name}", getattr(utils, name), (PARAMETER, 1.0)
    for name in gated_units.__all__:
        yield name, getattr(fr, name), (X[:, :2], X) if name.endswith("_backward") else (X,)
    for name in losses.__all__:
        yield name, getattr(fr, name), (X, X)
    for name in masks.__all__:
        function = getattr(masks, name)
        needed = [p for p in [*inspect.signature(function).parameters.values()][1:] if p.default is p.empty]
        yield f"masks.{name}", function, NEEDED.get(name, (X, *[0.25 for _ in needed]))
    for module in (fused, quantized, diagnostics):
        for name in set(module.__all__) - {"LayerReport", "Summary"}:
            function = getattr(module, name)
            if name == "dead_from_mask":
                function = functools.partial(function, shape=(8,))
            yield f"{module.__name__.rpartition('.')[2]}.{name}", function, NEEDED.get(name, ())


def wrong_values(name: str, function: Any, parameter: inspect.Parameter) -> list[Any] | None:
    """Return what an option cannot be; None if its kind is not known."""
    kind = str(parameter.annotation)
    plain = kind.removesuffix(" | None")
    if kind in DATA or f"{name}.{parameter.name}" in EXCEPTIONS:
        return EXCEPTIONS.get(f"{name}.{parameter.name}", [])
    if getattr(function, "_checks", {}).get(parameter.name) in {operand, optional_operand}:
        taken = NO_OPERAND
    elif plain.startswith("Literal"):
        taken = NO_CHOICE
    else:
        taken = NO_NUMBERS if plain == "ArrayLike" else KINDS.get(plain, [])
    optional = plain in {kind.removesuffix(" | None"), "Axis"} and (kind != plain or plain == "Axis")
    return [value for value in taken if not (optional and value is None)] or None


OPTIONS = {
    f"{name}.{parameter.name}": (name, function, args, position, parameter)
    for name, function, args in functions()
    for position, parameter in enumerate(inspect.signature(function).parameters.values())
    if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
}


def shown(value: Any, message: str, *, as_type: bool) -> bool:
    """Whether a message shows a value; of arrays perhaps the type."""
    texts = [repr(value), str(value)]
    if as_type:
        texts += [str(np.asarray(value).dtype), type(value).__name__, "masked"]
    return any(text in message for text in texts)


def refused(option: str, wrong: Any, function: Callable[..., Any], /, *args: Any, **options: Any) -> str:
    """Return the message of the error that a call ends with."""
    try:
        function(*args, **options)
    except (TypeError, ValueError) as error:
        return str(error)
    pytest.fail(f"{option} took {wrong!r}")


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_options(option: str) -> None:
    """A wrong value is refused where it is given, in words that name the option and show the value."""
    name, function, args, position, parameter = OPTIONS[option]
    wrong = wrong_values(name, function, parameter)
    assert wrong is not None, f"say what {option}, {parameter.annotation}, cannot be"
    arrays = [each.data if isinstance(each, nn.Parameter) else each for each in args]
    before = [each.tobytes() if isinstance(each, np.ndarray) else each for each in arrays]
    for value in wrong:
        given = list(args)
        named = {}
        if position < len(args):
            given[position] = value
        elif parameter.kind is not parameter.POSITIONAL_ONLY:
            named[parameter.name] = value
        else:
            continue
        message = refused(option, value, function, *given, **named)
        assert re.search(rf"\b{parameter.name}\b", message), f"{value!r}: {message}"
        as_type = "ArrayLike" in str(parameter.annotation) or option in EXCEPTIONS
        assert shown(value, message, as_type=as_type), f"{value!r}: {message}"
    assert [each.tobytes() if isinstance(each, np.ndarray) else each for each in arrays] == before


AXES = [name for name in vars(fr)["__all__"] if "axis" in getattr(getattr(fr, name), "__annotations__", {})]


@pytest.mark.parametrize("name", AXES)
def test_axes(name: str) -> None:
    """No function takes a truth value as an axis, which is meant for another option; nor what is no integer."""
    function = getattr(fr, name)
    parameters = inspect.signature(function).parameters
    needed = [parameter.name for parameter in parameters.values() if parameter.default is parameter.empty]
    data = [X[0].copy() if each == "weight" else X.copy() for each in needed]
    for value in wrong_values(name, function, parameters["axis"]) or pytest.fail("has an axis of an unknown kind"):
        message = refused(f"{name}.axis", value, function, *data, axis=value)
        assert re.search(r"\baxis\b", message), f"{value!r}: {message}"
        assert shown(value, message, as_type=False), f"{value!r}: {message}"
    assert all((array == 1).all() for array in data)  # as X is


@pytest.mark.parametrize("option", sorted(option for option in OPTIONS if option.startswith("nn.")))
def test_options_are_attributes(option: str) -> None:
    """An attribute that a layer checks is checked when it is assigned too; the layer keeps the value that it had."""
    _, kind, args, _, parameter = OPTIONS[option]
    layer = kind(*args)
    if not isinstance(layer, nn.Module) or not hasattr(layer, parameter.name):
        return
    before = getattr(layer, parameter.name)
    if isinstance(before, nn.Parameter) or parameter.name == "rng" or isinstance(layer, nn.Linear):
        return
    for value in wrong_values(f"nn.{kind.__name__}", kind, parameter) or []:
        with pytest.raises((TypeError, ValueError), match=parameter.name):
            setattr(layer, parameter.name, value)
        assert getattr(layer, parameter.name) is before


# Arrays that a function cannot do without; numbers may take the place of the parameters.
NEEDED_ARRAYS = {"x", "grad", "y", "logits", "labels", "mask"}
WITH_ARRAYS = [
    f"{prefix}{name}"
    for prefix, module in (("", fr), ("masks.", masks), ("fused.", fused))
    for name in vars(module)["__all__"]
    if NEEDED_ARRAYS & set(getattr(getattr(module, name), "__annotations__", {}))
]


@pytest.mark.parametrize("name", WITH_ARRAYS)
def test_arrays(name: str) -> None:
    """None, which a function without a return returns, is no array of another shape or of no axis; with `out` too.

    The message names the function, or the one of which it is the gradient, and not one with the same kernel.
    """
    function: Any = functools.reduce(getattr, name.split("."), fr)
    parameters = inspect.signature(function).parameters
    arrays = [parameter for parameter in parameters if parameter in NEEDED_ARRAYS]
    others = {"bias": X[0], "weight": X[0], "activation": "relu"}
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    family = re.split("_backward|_with_|_value_|_$", name.rpartition(".")[2])[0]
    for options in ({}, {"out": X.copy()} if "out" in parameters else {}):
        for array in arrays:
            pair = parameters[array].annotation == "ArrayLike | Pair"
            for wrong in [None, (None, X), (X, None)] if pair else [None]:
                given = [wrong if each == array else X if each in arrays else others.get(each, 0.25) for each in needed]
                with pytest.raises(TypeError, match=rf"^{family}\w*:? (takes|can write|needs|labels must).*None"):
                    function(*given, **options)


WRONG: Any = X
NOTHING: Any = None


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fr.set_precision(WRONG), ValueError, 'precision must be "fast" or "accurate", got array'),
        (lambda: fr.error_bound(WRONG, "f4"), TypeError, "the name of a function is a str, got ndarray"),
        (lambda: fr.error_bound("gelu", WRONG), TypeError, "dtype must be a type of elements, .* got ndarray"),
        (lambda: fr.error_bound("gelu", NOTHING), TypeError, "dtype must be a type of elements, .* got NoneType"),
        (lambda: fr.error_bound("gelu", "f4", precision=WRONG), ValueError, "precision must be .*, got array"),
        (lambda: fr.rrelu(X, rng="a"), TypeError, "rng must be a numpy.random.Generator or a seed, .*, got 'a'"),
        (lambda: fr.rrelu_(X.copy(), rng=-1), ValueError, "rng must be a numpy.random.Generator or a seed, .*, got -1"),
        (lambda: fr.gumbel_softmax_backward_from_output(X + 1j, X), TypeError, "^gumbel_softmax_backward_from_output"),
        (lambda: fr.gumbel_softmax_backward_from_output(X, NOTHING), TypeError, "^gumbel_.*, not None"),
        (lambda: fused.bias_act(X, X[0], WRONG), ValueError, "is no activation of this library"),
        (lambda: quantized.quantize(NOTHING, 0.5, 1), TypeError, "^quantize .*; x is None"),
        (lambda: quantized.dequantize(NOTHING, 0.5, 1), TypeError, "^dequantize takes .* as q, got None"),
        (lambda: diagnostics.summarize(NOTHING), TypeError, "activations are real numbers .*, got None"),
    ],
)
def test_what_the_message_names(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    """The function that was called and the option that is wrong, not what serves them or another option."""
    with pytest.raises(error, match=words):
        call()


# --- Other frameworks' names ------------------------------------------------------------------------------------------

MODULES = ("torch", "torch.special", "jax", "keras", "keras.ops", "tf", "onnx", "transformers", "mlx")
FRAMEWORKS = {name: importlib.import_module(f"fastrelu.conventions.{name}") for name in MODULES}
EACH = [(label, name) for label, module in FRAMEWORKS.items() for name in module.FUNCTIONS]


def wrong_in_convention(parameter: inspect.Parameter) -> list[Any]:
    """Return what an option of a framework's function cannot be, read off its default value and name."""
    default = parameter.default
    if parameter.name in {"out", "where"}:  # as for our functions
        return []
    if isinstance(default, bool):
        return ["no", None, 1, X]
    if parameter.name in {"dim", "axis", "axes"}:
        return ["a", 1.5, COMPLEX, NAN, {}, True]
    if parameter.name == "dtype":
        return ["nothing", 1.5, COMPLEX]
    if isinstance(default, str):
        return ["nothing", None, 1, [1], X]
    return ["a", ["a"], COMPLEX, {}, *([] if default is None else [None])]


def call_of_convention(label: str, name: str) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
    """Return a framework's function with arrays and options that it takes."""
    functions = FRAMEWORKS[label].FUNCTIONS
    forward, function = functions[name.removesuffix("_backward")], functions[name]
    pair = name == "SwiGLU"
    needed = [p for p in inspect.signature(forward).parameters.values() if p.default is p.empty][1 + pair :]
    args: list[Any] = [X] * (1 + pair)
    given = {p.name: -1 if p.name in {"dim", "axis"} else 0.25 for p in needed}
    if function is not forward:
        args.insert(0, np.ones_like(forward(*args, **given)))
    return function, args, given


@pytest.mark.filterwarnings("ignore:without dim")
@pytest.mark.parametrize(("label", "name"), EACH)
def test_conventions(label: str, name: str) -> None:
    """A wrong value is refused in words that name the option as the framework does."""
    function, args, given = call_of_convention(label, name)
    function(*args, **given)
    for parameter in [*inspect.signature(function).parameters.values()][len(args) :]:
        for value in wrong_in_convention(parameter):
            message = refused(f"{name}.{parameter.name}", value, function, *args, **{**given, parameter.name: value})
            assert re.search(rf"\b{parameter.name}\b", message), f"{value!r}: {message}"
            assert shown(value, message, as_type=True), f"{value!r}: {message}"


@pytest.mark.filterwarnings("ignore:without dim")
@pytest.mark.parametrize(("label", "name"), EACH)
def test_arrays_of_conventions(label: str, name: str) -> None:
    """None in place of an array is refused in the library's words, not in those of Python or NumPy."""
    function, args, given = call_of_convention(label, name)
    for i in range(len(args)):
        with pytest.raises(TypeError, match=r"^\w+:? (takes|can write).*None"):
            function(*args[:i], None, *args[i + 1 :], **given)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_layers_of_none(training: bool) -> None:
    """Every layer that looks at its input says that None is none; `nn.Identity` and `nn.Dropout` may hand it on."""
    made: dict[str, nn.Module] = {
        "Linear": nn.Linear(3, 2),
        "Unflatten": nn.Unflatten(1, (1, 3)),
        "Softcap": nn.Softcap(2.0),
    }
    made |= {"Sequential": nn.Sequential(nn.ReLU(), nn.Linear(3, 2)), "Threshold": nn.Threshold(0.5, 0.25)}
    kinds = [kind for name in dir(nn) if isinstance(kind := getattr(nn, name), type) and issubclass(kind, nn.Module)]
    without = {"Module", "Activation", "Identity", "ModuleList", "ModuleDict", *(() if training else ("Dropout",))}
    tried = 0
    for kind in kinds:
        if kind.__name__ in without or kind.__name__.endswith("Loss"):
            continue
        layer = (made.get(kind.__name__) or kind()).train(training)
        with pytest.raises(TypeError, match="None"):
            layer(None)
        tried += 1
    assert tried > 50
