"""Other frameworks' names: every one is here or has its reason, and results agree but for the deviations that are listed."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import itertools
import pickle
import re
import subprocess
import sys
import tomllib
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import assert_same_bits
from grid import each_precision
from inputs import dtype_named

import fastrelu as fr
from fastrelu import conventions, nn
from fastrelu.conventions import jax, keras, mlx, onnx, tf, transformers
from fastrelu.conventions import torch as F

ROOT = Path(__file__).parent.parent
LISTED = tomllib.loads(Path(__file__).with_name("framework_names.toml").read_text("utf-8"))
MODULES = {
    "torch": F,
    "torch.special": F.special,
    "jax": jax,
    "keras": keras,
    "keras.ops": keras.ops,
    "tf": tf,
    "onnx": onnx,
    "transformers": transformers,
    "mlx": mlx,
}


def tool(name: str) -> Any:
    """Return a script of tools/ as a module."""
    path = ROOT / "tools" / f"{name}.py"
    if not path.exists():
        pytest.skip("the scripts are in the checkout, not in the installed package")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMPARE = tool("compare_conventions")
SEEN = COMPARE.recorded()
PEERS = {kind.label or kind.convention: kind for kind in COMPARE.PEERS}


def peer(label: str) -> Any:
    """Return a framework that can be imported, or skip."""
    framework = PEERS[label]()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the frameworks' own imports
            framework.prepare()
    except ImportError:
        pytest.skip(f"{framework.distribution} is not installed; what was seen of it is in docs/conventions.json")
    return framework


# --- Names --------------------------------------------------------------------------------------------------------


def reasons(space: str) -> dict[str, str]:
    """Return the names of a framework that are listed, with the reason."""
    return {name: reason for reason, names in LISTED[space].items() for name in names}


def test_every_framework_has_a_list() -> None:
    """Each framework has an entry in framework_names.toml, and its module is in `__all__`."""
    assert set(LISTED) == {*MODULES, "arguments"}
    assert {name.partition(".")[0] for name in MODULES} <= {*vars(conventions)["__all__"]}


@pytest.mark.parametrize("space", MODULES)
def test_every_name_is_here_or_has_a_reason(space: str) -> None:
    """A name in the list of the framework's public names, or in the framework if it is installed."""
    names, here, listed = set(SEEN[space]["names"]), set(MODULES[space].__all__), reasons(space)
    assert not names - here - set(listed), "neither here nor in framework_names.toml"
    assert not here & set(listed), "here, and listed as missing"
    assert not set(listed) - names, "listed, but the framework has no such name"
    assert not {row.name for row in MODULES[space].ROWS} - names, "here, but the framework has no such name"


@pytest.mark.parametrize("space", MODULES)
def test_the_recorded_names_are_those_of_the_framework(space: str) -> None:
    """A new release of a framework fails here: record its names with tools/compare_conventions.py --write."""
    assert peer(space).names() == SEEN[space]["names"]


def test_reasons_are_sentences() -> None:
    """A reason is a sentence that users can read; a name has one reason."""
    for space in MODULES:
        names = [name for names in LISTED[space].values() for name in names]
        assert len(names) == len(set(names))
    for reason in [*(r for space in MODULES for r in LISTED[space]), *LISTED["arguments"].values()]:
        assert len(reason) > 12
        assert reason.endswith(".")


# --- Signatures ---------------------------------------------------------------------------------------------------


def arguments(text: str) -> dict[str, tuple[bool, Any]]:
    """Return the arguments in a signature: whether by position, and the default as text."""
    definition = ast.parse(f"def f{text}: ...").body[0]
    assert isinstance(definition, ast.FunctionDef)
    found = definition.args
    positional = [*found.posonlyargs, *found.args]
    defaults: list[Any] = [None] * (len(positional) - len(found.defaults)) + found.defaults
    pairs = [*zip(positional, defaults, strict=True), *zip(found.kwonlyargs, found.kw_defaults, strict=True)]
    by_position = {argument.arg for argument in positional}
    return {a.arg: (a.arg in by_position, d and eval(ast.unparse(d))) for a, d in pairs}


SIGNATURES = [
    pytest.param(space, name, text, id=f"{space}.{name}")
    for space in MODULES
    for name, text in SEEN[space]["names"].items()
    if text and name in MODULES[space].FUNCTIONS
]


def listed(space: str, name: str, argument: str) -> bool:
    """Whether an argument is listed with a reason."""
    return bool({f"{space}.{name}.{argument}", f"{space}.*.{argument}"} & set(LISTED["arguments"]))


@pytest.mark.parametrize(("space", "name", "text"), SIGNATURES)
def test_arguments_are_those_of_the_framework(space: str, name: str, text: str) -> None:
    """Arguments have the framework's names, order and defaults."""
    theirs, ours = arguments(text), arguments(str(inspect.signature(MODULES[space].FUNCTIONS[name])))
    kept = {key: value for key, value in theirs.items() if not listed(space, name, key)}
    extra = {key: value for key, value in ours.items() if key not in kept and not listed(space, name, key)}
    assert not extra, "the framework has no such argument"
    assert [default for _, default in kept.values()] == [ours[key][1] for key in kept]
    position = next((i for i, key in enumerate(theirs) if listed(space, name, key)), len(theirs))
    before = [key for key, (by_position, _) in list(theirs.items())[:position] if by_position]
    assert [key for key, (by_position, _) in ours.items() if by_position][: len(before)] == before


def test_listed_arguments_exist() -> None:
    """An entry names an argument of a function that is here."""
    known = {(p.values[0], p.values[1]): arguments(str(p.values[2])) for p in SIGNATURES}
    for entry in LISTED["arguments"]:
        space, name, argument = entry.rsplit(".", 2)
        assert any(argument in found for (s, n), found in known.items() if s == space and name in {n, "*"}), entry


@pytest.mark.parametrize("space", MODULES)
def test_functions_can_be_read_and_pickled(space: str) -> None:
    """Functions have signatures, names and docstrings of their own, and pickle by their module and name."""
    module = MODULES[space]
    for name, function in module.FUNCTIONS.items():
        assert function.__name__ == name
        assert function.__module__ == module.__name__
        assert pickle.loads(pickle.dumps(function)) is getattr(module, name) is function
        assert inspect.getdoc(function)
        assert next(iter(inspect.signature(function).parameters))


def test_stubs_are_up_to_date() -> None:
    """The stubs, which editors read, are what the tables give."""
    for path, text in tool("state_conventions").stated().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run tools/state_conventions.py"


# --- Results ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", PEERS)
def test_every_function_was_compared(label: str) -> None:
    """Every function was compared, but for those that SKIPPED lists with a reason."""
    functions = {row.name for row in MODULES[PEERS[label].convention].ROWS} - set(COMPARE.SKIPPED)
    assert {call.partition("(")[0] for call in SEEN[label]["results"]} == functions


@pytest.mark.parametrize("label", PEERS)
def test_every_difference_has_a_deviation(label: str) -> None:
    """What was seen of the framework differs from ours only where docs/deviations.toml says why."""
    found = COMPARE.differences(label, SEEN[label])
    assert not [difference for difference in found if COMPARE.explanation(difference) is None]


def test_every_deviation_explains_a_difference() -> None:
    """No entry is superfluous, names differ, reasons are sentences."""
    found = [difference for label in PEERS for difference in COMPARE.differences(label, SEEN[label])]
    used = {COMPARE.explanation(difference) for difference in found}
    names = [entry["name"] for entry in COMPARE.deviations()]
    assert used == set(names)
    assert len(names) == len(set(names))
    assert all(entry["reason"].endswith(".") for entry in COMPARE.deviations())


TRIED = ("0", "-0.5", "3", "-4", "inf", "-inf", "nan")
NO_NUMBERS = {"dim", "axis", "axes", "out", "where", "dtype", "keepdims", "keepdim", "noop_with_empty_axes"}


def test_every_refusal_has_a_reason() -> None:
    """A number that a framework may take, and ours refuses, is in the list; no entry of the list is superfluous."""
    x, used = np.array([[-3.0, -1.0, 0.0, 2.0], [1.0, 0.5, -0.5, 4.0]], np.float32), set()
    for function, row in [(module.FUNCTIONS[row.name], row) for module in MODULES.values() for row in module.ROWS]:
        names = inspect.signature(function).parameters
        data = [x] * (2 if row.name == "SwiGLU" else 1)
        options = {name: p.default for name, p in [*names.items()][len(data) :]}
        needed = {
            name: -1 if name in NO_NUMBERS else 0.25 for name, d in options.items() if d is inspect.Parameter.empty
        }
        for name, default in options.items():
            if name in NO_NUMBERS or isinstance(default, (bool, str)):
                continue
            for text in TRIED:
                try:
                    function(*(a.copy() for a in data), **{**needed, name: float(text)})
                    continue
                except ValueError as error:
                    words = str(error)
                entries = [
                    entry["name"]
                    for entry in COMPARE.refusals()
                    if text in entry["values"] and row.function in entry.get("functions", [row.function])
                ]
                assert entries, f"{row.theirs}, {name}={text}: {words}"
                assert re.search(rf"\b{name}\b", words), words
                used.add(entries[0])
    assert used == {entry["name"] for entry in COMPARE.refusals()}
    assert all(entry["reason"].endswith(".") for entry in COMPARE.refusals())


@pytest.mark.parametrize("label", PEERS)
def test_the_framework_gives_what_was_recorded(label: str) -> None:
    """Differences of the framework that is installed are those in docs/conventions.json, or have a deviation too."""
    framework = peer(label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the frameworks
        seen = COMPARE.examine(framework)
    assert set(seen["results"]) == set(SEEN[label]["results"])
    assert not [found for found in COMPARE.differences(label, seen) if COMPARE.explanation(found) is None]


def test_the_page_is_up_to_date() -> None:
    """docs/conventions.md is what the tool writes from what was recorded."""
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    assert text == COMPARE.page(SEEN), "run tools/compare_conventions.py --write"


# --- Behavior -----------------------------------------------------------------------------------------------------

X = np.array([-4.0, -1.0, 0.0, 0.5, 3.0], np.float32)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ("F.leaky_relu(X)", "fr.leaky_relu(X, 0.01)"),
        ("tf.leaky_relu(X)", "fr.leaky_relu(X, 0.2)"),
        ("keras.leaky_relu(X)", "fr.leaky_relu(X, 0.2)"),
        ("jax.gelu(X)", 'fr.gelu(X, "tanh")'),
        ("keras.gelu(X)", "fr.gelu(X)"),
        ("keras.ops.gelu(X)", 'fr.gelu(X, "tanh")'),
        ("onnx.HardSigmoid(X)", "fr.hard_sigmoid(X, 0.20000000298023224, 0.5)"),
        ("tf.silu(X, beta=2.0)", "fr.swish(X, 2.0)"),
        ('transformers.get("gelu_new")(X)', 'fr.gelu(X, "tanh")'),
        ('transformers.ACT2FN["quick_gelu"](X)', "fr.quick_gelu(X)"),
        ("F.softmax(X, dim=0, dtype=np.float64)", "fr.softmax(X.astype(np.float64))"),
        ("F.prelu(X.reshape(1, 5), X)", "fr.prelu(X.reshape(1, 5), X, axis=1)"),
        ("mlx.prelu(np.outer(X, X), X)", "fr.prelu(np.outer(X, X), X, axis=-1)"),
        ("F.special.expit(X, out=np.empty_like(X))", "fr.sigmoid(X)"),
        ("F.prelu(X[1], X[3:4])", "fr.leaky_relu(X[1], 0.5)"),
        ("F.prelu_backward(X[1], X[1], [0.5])", "fr.leaky_relu_backward(X[1], X[1], np.array(0.5))"),
        ("transformers.prelu(X[1], weight=X[3:4])", "fr.leaky_relu(X[1], 0.5)"),
        ("tf.reduce_logsumexp(np.outer(X, X), [0, 1])", "fr.logsumexp(np.outer(X, X))"),
        ("tf.reduce_logsumexp(np.outer(X, X), np.array([1]), True)", "fr.logsumexp(np.outer(X, X), 1, keepdims=True)"),
        ("tf.reduce_logsumexp_backward(X, np.outer(X, X), [0])", "fr.logsumexp_backward(X, np.outer(X, X), 0)"),
        ("F.special.logsumexp(np.outer(X, X), [0, 1], True)", "fr.logsumexp(np.outer(X, X), keepdims=True)"),
        ("F.special.logsumexp(np.outer(X, X), (), True)", "fr.logsumexp(np.outer(X, X), keepdims=True)"),
        *(
            (f"{module}{name}(np.outer(X, X), [0, 1])", f"fr.{name}(np.outer(X, X), (0, 1))")
            for module in ("keras.", "keras.ops.", "mlx.")
            for name in ("softmax", "log_softmax")
        ),
        ("keras.ops.logsumexp(np.outer(X, X), [-1])", "fr.logsumexp(np.outer(X, X), -1)"),
        # Numbers that our functions refuse.
        ("F.softplus(X, -2.0)", "-fr.softplus(-X, 2.0)"),
        ("F.softplus_backward(X, X, -2.0)", "fr.softplus_backward(X, -X, 2.0)"),
        ("F.softplus(np.int8([-100, 100]), 2)", "np.float32([0, 100])"),
        ("F.hardshrink(X, -1)", "X"),
        ("F.hardshrink_backward(X, X, -1)", "X"),
        ("keras.hard_shrink(X, -0.5)", "X"),
        ("mlx.hard_shrink(X, -0.5)", "X"),
        ("onnx.HardSigmoid(X, alpha=-2.0)", "fr.hard_sigmoid(-X, 2.0)"),
        # A number without axes has one element along axis 0 in PyTorch.
        ("F.softmax(X[0], 0)", "np.float32(1)"),
        ("F.special.softmax(X[0], -1)", "np.float32(1)"),
        ("F.softmax_backward(X[0], X[0], -1)", "np.float32(0)"),
        ("F.log_softmax(X[0], -1)", "np.float32(0)"),
        ("F.special.log_softmax(X[0], 0)", "np.float32(0)"),
        ("F.log_softmax_backward(X[0], X[0], 0)", "np.float32(0)"),
        ("F.softmin(X[0], 0)", "np.float32(1)"),
        ("F.gumbel_softmax(X[0], hard=True)", "np.float32(1)"),
        ("F.special.logsumexp(X[0], [0], True)", "X[0]"),
        ("F.special.logsumexp_backward(X[1], X[0], -1)", "X[1]"),
    ],
)
def test_defaults(ours: str, expected: str) -> None:
    """Bit for bit what our function gives with the framework's arguments."""
    np.testing.assert_array_equal(eval(ours), eval(expected), strict=True)


def test_softplus_is_the_identity_above_its_threshold() -> None:
    """As in PyTorch, by the product with beta; and its gradient is that of the identity."""
    y = F.softplus(np.array([1.0, 2.6, np.inf, np.nan]), beta=2.0, threshold=5.0)
    assert y[1] == 2.6
    assert y[0] == fr.softplus(1.0, 2.0)
    np.testing.assert_array_equal(y[2:], [np.inf, np.nan])
    assert F.softplus_backward(3.0, 2.6, beta=2.0, threshold=5.0) == 3.0
    assert isinstance(F.softplus(2.6, 2.0, 5.0), np.float64)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_tail_of_sqrt_softplus(kind: str) -> None:
    """In 16 bits too the root is that of softplus before it is rounded, and the gradient is a number."""
    x = np.array([-30.0, -20.0, -10.0, 0.0, 3.0], np.float64)
    exact, slope = np.sqrt(np.log1p(np.exp(x))), 0.5 / (1 + np.exp(-x)) / np.sqrt(np.log1p(np.exp(x)))
    half, eps = x.astype(dtype_named(kind)), 2.0**-8 if kind == "bfloat16" else 2.0**-11
    for got, wanted in (
        (transformers.sqrtsoftplus(half), exact),
        (transformers.sqrtsoftplus_backward(np.ones_like(half), half), slope),
    ):
        assert got.dtype == half.dtype
        np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=eps, atol=2.0**-25)


def test_derivatives_at_kinks() -> None:
    """Each framework's choice, times the gradient that comes in."""
    grad, zero = np.array([2.0], np.float32), np.array([0.0], np.float32)
    assert jax.leaky_relu_backward(grad, zero) == 2.0
    assert F.leaky_relu_backward(grad, zero, 0.5) == 1.0
    dx = jax.hard_tanh_backward(np.array([2.0, 3.0, 4.0]), np.array([-1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(dx, [2.0, 3.0, 4.0])
    assert jax.leaky_relu_backward(2.0, 0.0) == 2.0
    assert isinstance(jax.leaky_relu_backward(2.0, 0.0), np.float64)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64", "int8"])
@pytest.mark.parametrize("space", MODULES)
def test_types(space: str, kind: str) -> None:
    """Results and gradients have the type that our functions give, in compositions too; a number gives a number.

    No input gives a warning.
    """
    dtype = dtype_named(kind)
    functions, x = MODULES[space].FUNCTIONS, np.ones(4, dtype)
    extremes = np.array([0.0, 2.0, -1.0, 1.0] if kind == "int8" else [np.nan, np.inf, -np.inf, 1.0]).astype(dtype)
    largest = [np.full_like(x, sign * np.nextafter(extremes[1], x[0])) for sign in (1, -1) if kind != "int8"]
    wanted = fr.relu(x).dtype
    for name, arguments in COMPARE.cases(space):
        if name.endswith("_") or f"{space}.{name}" in COMPARE.WEIGHTED:
            continue
        backward = functions.get(f"{name}_backward")
        for given in (x, extremes, *largest):
            y = functions[name](given, **arguments)
            assert y.dtype == wanted, name
            assert backward is None or backward(y, given, **arguments).dtype == wanted, name
        if name not in COMPARE.ALONG_AXIS:
            one = dtype.type(1)
            assert isinstance(functions[name](one, **arguments), wanted.type), name
            assert backward is None or isinstance(backward(one, one, **arguments), wanted.type), name


def test_arrays_of_other_libraries() -> None:
    """Stay what they are where one function of ours computes them, and are refused where a composition would not keep them."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed; pip install pandas")
    series = pandas.Series([-1.0, 0.0, 30.0])
    assert isinstance(F.hardtanh(series), pandas.Series)
    with pytest.raises(TypeError, match=r"^softplus takes no 'Series' as input: convert it with .*\(input\) first$"):
        F.softplus(series)
    with pytest.raises(TypeError, match=r"^leaky_relu_backward takes no 'Series' as grad: convert"):
        jax.leaky_relu_backward(series, series)
    with pytest.raises(TypeError, match=r"^log_softmax_backward takes no 'Series' as grad: convert"):
        F.log_softmax_backward(series, series, dim=0)


def test_in_place() -> None:
    """An option that PyTorch has is honored, by the array itself."""
    functions: list[Any] = [F.relu_, F.selu_, partial(F.relu, inplace=True), partial(F.elu, alpha=2.0, inplace=True)]
    for function in functions:
        x = X.copy()
        assert function(x) is x
        assert x[0] != X[0]
    x = X.copy()
    assert F.relu(x) is not x
    np.testing.assert_array_equal(x, X)


def test_opsets() -> None:
    """An operator is the one of the model's opset; before 13 softmax flattened the axes after its own."""
    x = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(onnx.get("Softmax", 12)(x), fr.softmax(x, axis=(1, 2)))
    np.testing.assert_array_equal(onnx.get("Softmax", opset=13)(x), fr.softmax(x))
    assert onnx.get("Softmax", 28) is onnx.get("Softmax") is onnx.Softmax
    assert onnx.get("Selu", 1)(1.0) == 1.0506999492645264
    data = np.zeros((2, 3))
    assert onnx.ReduceLogSumExp(data).shape == (1, 1)
    assert onnx.ReduceLogSumExp(data, (1,), keepdims=0).shape == (2,)
    np.testing.assert_array_equal(onnx.ReduceLogSumExp(data, noop_with_empty_axes=1), data)
    assert onnx.get("ReduceLogSumExp", 13)(data, axes=[0]).shape == (1, 3)


def test_softmax_without_dim_warns() -> None:
    """Without dim= it warns about the axis that it chooses, as PyTorch does."""
    x = np.zeros((1, 2, 3, 4))
    with pytest.warns(UserWarning, match="without dim, PyTorch takes axis 1 of 4: pass dim=1"):
        y = F.softmax(x)
    np.testing.assert_array_equal(y, fr.softmax(x, axis=1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ("keras.soft_shrink(X, threshold=-1)", ValueError, "soft_shrink requires threshold >= 0, got threshold=-1"),
        ("keras.hard_shrink(X, np.nan)", ValueError, "hard_shrink requires threshold >= 0, got threshold=nan"),
        ("onnx.HardSigmoid(X, alpha=np.nan)", ValueError, "HardSigmoid requires alpha > 0, got alpha=nan, beta=0.5"),
        ("F.softplus(X, beta=0)", ValueError, "softplus requires finite beta and beta > 0, got beta=0"),
        ('F.special.logsumexp(X, "a")', TypeError, "dim must be an integer, got 'a'"),
        ("F.softmax(X[0], 1)", np.exceptions.AxisError, "axis 1 is out of bounds for array of dimension 0"),
        ('F.hardshrink("a")', TypeError, "hardshrink takes bool, integers and real numbers .*; input has the type str"),
        ('F.elu(X, inplace="no")', TypeError, "inplace must be True or False, got 'no'"),
        ('jax.gelu(X, "tanh")', TypeError, "approximate must be True or False, got 'tanh'"),
        ('F.gelu(X, "tanh")', TypeError, r"gelu\(\) takes 1 positional argument but 2 were given"),
        ("F.relu(np.arange(3), inplace=True)", TypeError, "Cannot cast ufunc 'relu' output .*"),
        ("F.softmax(X, 3)", np.exceptions.AxisError, "axis 3 is out of bounds for array of dimension 1"),
        ("keras.exponential(1j)", TypeError, "exponential takes bool, integers and real .*; x has the type complex"),
        ('transformers.get("gelu_nw")', ValueError, r"no activation .* named 'gelu_nw'; did you mean gelu_new\? .*"),
        ("F.prelu(np.outer(X, X), X[:2])", ValueError, "prelu got 2 weights for axis 1 of length 5"),
        ("tf.reduce_logsumexp(X, [0.5])", TypeError, "axis must be an integer, got 0.5"),
        ('onnx.get("Softmax", 11)(X)', np.exceptions.AxisError, "axis 1 is out of bounds for array of dimension 1"),
        ('onnx.get("Hardmax", 11)(X, axis=-2)', np.exceptions.AxisError, "axis -2 is out of bounds .* dimension 1"),
        ('onnx.get("Gelu", 11)', ValueError, "Gelu is an operator since opset 20, got opset 11"),
        ('onnx.get("Gelu", 20.5)', TypeError, "opset must be an integer, got 20.5"),
        ('onnx.get("Gello")', ValueError, r"no operator of ONNX named 'Gello'; did you mean Gelu\? .*"),
    ],
)
def test_errors_are_in_the_words_of_the_framework(call: str, error: type[Exception], message: str) -> None:
    """With the name and the arguments that the user wrote."""
    with pytest.raises(error, match=f"^{message}$"):
        eval(call)


def test_they_are_imported_when_they_are_asked_for() -> None:
    """Neither the package nor one framework loads another; and the frameworks themselves are never loaded."""
    code = (
        "import sys, fastrelu as fr; assert 'fastrelu.conventions' not in sys.modules; fr.conventions.jax.relu(1.0);"
        "assert 'fastrelu.conventions.keras' not in sys.modules; assert not {'torch', 'jax', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_level_line() -> None:
    """HardSigmoid of ONNX with alpha=0 is beta between 0 and 1 for every number."""
    x = np.array([-np.inf, -3.0, 0.0, 2.0, np.inf, np.nan], np.float32)
    for beta, expected in ((0.25, 0.25), (-1.0, 0.0), (7.0, 1.0)):
        y = onnx.HardSigmoid(x, alpha=0.0, beta=beta)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, [expected] * 5 + [np.nan])
    assert onnx.HardSigmoid(np.float32(3.0), alpha=0, beta=0.5) == 0.5


@each_precision
def test_threshold_of_softplus(precision: Any) -> None:
    """It is kept to the bit, whether it changes one or not, whatever the types."""
    numbers = np.concatenate([np.linspace(-1, 60, 600), [np.inf, -np.inf, np.nan, -0.0, 3e38, 1e-40]])
    types = itertools.product(("f4", "f8"), ("f4", "f8"), (1, 0.3, 2.5, 1e30), (17.4, 20, 37.9, 38.0, np.inf, -5.0))
    for x_type, grad_type, beta, threshold in types:
        x, grad = numbers.astype(x_type), np.linspace(-2, 2, numbers.size).astype(grad_type)
        with fr.precision(precision), np.errstate(all="ignore"):  # huge numbers times beta
            beyond = x * beta > threshold
            y = np.where(beyond, x, fr.softplus(x, beta))
            dx = np.where(beyond, grad, fr.softplus_backward(grad, x, beta))
            assert_same_bits(F.softplus(x, beta, threshold), y, (beta, threshold))
            assert_same_bits(F.softplus_backward(grad, x, beta, threshold), dx, (beta, threshold))
            layer = nn.Softplus(float(beta), threshold).eval()
            assert_same_bits(layer(x), y, (beta, threshold))
