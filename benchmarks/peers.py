"""The peers: for every function the statement that an experienced user of the package would write.

A statement computes a new result ("fresh") or writes into ``out`` ("into"), which in place is the input itself. A
package that cannot write into given memory takes part only with fresh results: JAX, and some operations of PyTorch.
Compilation is part of the setup, which is not timed. Peers without named activations (numexpr, numba) compile the NumPy
expression of our docstring.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import translate
from functions import COPY, functions, place

from fastrelu._cli.reference import into_out
from fastrelu._extras import installed

if TYPE_CHECKING:
    from collections.abc import Callable

    from functions import Cell, Function


class Statement(NamedTuple):
    """The statements of a package for one function; None if it has none."""

    fresh: str | None
    into: str | None = None
    in_place: str | None = None  # if it differs from `into` with the input as the output
    setup: str = ""

    def of(self, mode: str, target: str) -> str | None:
        """Return the statement for a mode."""
        if mode == "fresh":
            return self.fresh
        statement = self.in_place if mode == "in place" and self.in_place else self.into
        return statement and place(statement, mode, target)


# --- PyTorch ------------------------------------------------------------------------------------------------------


def _gradient(operation: str, arguments: str, setup: str = "") -> Statement:
    return Statement(
        f"aten.{operation}.default({arguments})",
        f"aten.{operation}.grad_input({arguments}, grad_input=out)",
        setup=setup,
    )


# log_sigmoid's gradient reads exp(-abs(x)) from a buffer of its forward call: one exponential less than ours.
_BUFFER = "buffer = aten.log_sigmoid_forward(x)[1]"
_SELU = "1.6732632423543772, 1.0507009873554805, 1"
TORCH = {
    "copy": Statement("x.clone()", "out.copy_(x)"),
    "identity": Statement("x.clone()", "out.copy_(x)"),
    "relu": Statement("torch.relu(x)", "torch.clamp_min(x, 0, out=out)", "torch.relu_(x)"),
    "relu_backward": _gradient("threshold_backward", "grad, x, 0"),
    "relu_backward_from_output": _gradient("threshold_backward", "grad, y, 0"),
    "relu6": Statement("F.relu6(x)", "nn.hardtanh(x, 0, 6, out=out)", "nn.relu6_(x)"),
    "relu6_backward": _gradient("hardtanh_backward", "grad, x, 0, 6"),
    "relu6_backward_from_output": _gradient("hardtanh_backward", "grad, y, 0, 6"),
    "leaky_relu": Statement("nn.leaky_relu(x)", "nn.leaky_relu(x, out=out)", "nn.leaky_relu_(x)"),
    "leaky_relu_backward": _gradient("leaky_relu_backward", "grad, x, negative_slope, False"),
    "leaky_relu_backward_from_output": _gradient("leaky_relu_backward", "grad, y, negative_slope, True"),
    "prelu": Statement(
        "torch.prelu(x, weights)",
        "nn.leaky_relu(x, weight, out=out)",
        setup="weights = torch.full((1,), weight, dtype=x.dtype)",
    ),
    "prelu_backward": _gradient("leaky_relu_backward", "grad, x, weight, False"),
    "prelu_backward_from_output": _gradient("leaky_relu_backward", "grad, y, weight, True"),
    "threshold": Statement(
        "torch.threshold(x, threshold, value)",
        "torch.threshold(x, threshold, value, out=out)",
        "torch.threshold_(x, threshold, value)",
    ),
    "threshold_backward": _gradient("threshold_backward", "grad, x, threshold"),
    "threshold_backward_from_output": _gradient("threshold_backward", "grad, y, threshold"),
    "thresholded_relu": Statement(
        "torch.threshold(x, alpha, 0.0)", "torch.threshold(x, alpha, 0.0, out=out)", "torch.threshold_(x, alpha, 0.0)"
    ),
    "thresholded_relu_backward": _gradient("threshold_backward", "grad, x, alpha"),
    "thresholded_relu_backward_from_output": _gradient("threshold_backward", "grad, y, alpha"),
    "squared_relu": Statement(
        "torch.relu(x).square_()", "torch.clamp_min(x, 0, out=out).square_()", "torch.relu_(x).square_()"
    ),
    "crelu": Statement(
        "torch.cat([torch.relu(x), torch.relu(-x)])", "torch.cat([torch.relu(x), torch.relu(-x)], out=out)"
    ),
    "elu": Statement("nn.elu(x, alpha)", "nn.elu(x, alpha, out=out)", "nn.elu_(x, alpha)"),
    "elu_backward": _gradient("elu_backward", "grad, alpha, 1, 1, False, x"),
    "elu_backward_from_output": _gradient("elu_backward", "grad, alpha, 1, 1, True, y"),
    "celu": Statement("torch.celu(x, alpha)", "nn.elu(x, alpha, 1, 1 / alpha, out=out)", "torch.celu_(x, alpha)"),
    "celu_backward": _gradient("elu_backward", "grad, alpha, 1, 1 / alpha, False, x"),
    "celu_backward_from_output": _gradient("elu_backward", "grad, alpha, 1, 1 / alpha, True, y"),
    "selu": Statement("torch.selu(x)", f"nn.elu(x, {_SELU}, out=out)", "torch.selu_(x)"),
    "selu_backward": _gradient("elu_backward", f"grad, {_SELU}, False, x"),
    "selu_backward_from_output": _gradient("elu_backward", f"grad, {_SELU}, True, y"),
    "softplus": Statement("nn.softplus(x, beta)", "nn.softplus(x, beta, out=out)"),
    "softplus_backward": _gradient("softplus_backward", "grad, x, beta, 20"),
    "log_sigmoid": Statement("nn.log_sigmoid(x)", "nn.log_sigmoid(x, out=out)"),
    "log_sigmoid_backward": _gradient("log_sigmoid_backward", "grad, x, buffer", _BUFFER),
    "sigmoid": Statement("torch.sigmoid(x)", "torch.sigmoid(x, out=out)", "torch.sigmoid_(x)"),
    "sigmoid_backward_from_output": _gradient("sigmoid_backward", "grad, y"),
    "logit": Statement("torch.logit(x)", "torch.logit(x, out=out)", "torch.logit_(x)"),
    "logit_backward": _gradient("logit_backward", "grad, x"),
    "erf": Statement("torch.erf(x)", "torch.erf(x, out=out)", "torch.erf_(x)"),
    "tanh": Statement("torch.tanh(x)", "torch.tanh(x, out=out)", "torch.tanh_(x)"),
    "tanh_backward_from_output": _gradient("tanh_backward", "grad, y"),
    "softcap": Statement("cap * torch.tanh(x / cap)"),
    "softsign": Statement("F.softsign(x)"),
    "hard_sigmoid": Statement("nn.hardsigmoid(x)", "nn.hardsigmoid(x, out=out)", "nn.hardsigmoid_(x)"),
    "hard_sigmoid_backward": _gradient("hardsigmoid_backward", "grad, x"),
    "hard_tanh": Statement("nn.hardtanh(x)", "nn.hardtanh(x, out=out)", "nn.hardtanh_(x)"),
    "hard_tanh_backward": _gradient("hardtanh_backward", "grad, x, min_val, max_val"),
    "hard_tanh_backward_from_output": _gradient("hardtanh_backward", "grad, y, min_val, max_val"),
    "silu": Statement("nn.silu(x)", "nn.silu(x, out=out)", "nn.silu_(x)"),
    "silu_backward": _gradient("silu_backward", "grad, x"),
    "swish": Statement("nn.silu(x)", "nn.silu(x, out=out)", "nn.silu_(x)"),  # beta is 1 here
    "swish_backward": _gradient("silu_backward", "grad, x"),
    "gelu": Statement("nn.gelu(x)", "nn.gelu(x, out=out)", "nn.gelu_(x)"),
    "gelu_backward": _gradient("gelu_backward", "grad, x"),
    "gelu_tanh": Statement(
        'nn.gelu(x, approximate="tanh")', 'nn.gelu(x, approximate="tanh", out=out)', 'nn.gelu_(x, approximate="tanh")'
    ),
    "gelu_tanh_backward": Statement(
        'aten.gelu_backward.default(grad, x, approximate="tanh")',
        'aten.gelu_backward.grad_input(grad, x, approximate="tanh", grad_input=out)',
    ),
    "quick_gelu": Statement("x * torch.sigmoid(1.702 * x)", "torch.mul(x, torch.sigmoid(1.702 * x), out=out)"),
    "mish": Statement("nn.mish(x)", "nn.mish(x, out=out)", "nn.mish_(x)"),
    "mish_backward": Statement("aten.mish_backward.default(grad, x)"),
    "hard_swish": Statement("nn.hardswish(x)", "nn.hardswish(x, out=out)", "nn.hardswish_(x)"),
    "hard_swish_backward": Statement("aten.hardswish_backward.default(grad, x)"),
    "hard_shrink": Statement("torch.hardshrink(x, lambd)", "torch.hardshrink(x, lambd, out=out)"),
    "hard_shrink_backward": _gradient("hardshrink_backward", "grad, x, lambd"),
    "soft_shrink": Statement("nn.softshrink(x, lambd)", "nn.softshrink(x, lambd, out=out)"),
    "soft_shrink_backward": _gradient("softshrink_backward", "grad, x, lambd"),
    "tanh_shrink": Statement("F.tanhshrink(x)"),
}
_TORCH_PRELUDE = """
import torch
from torch.nn import functional as F
nn, aten = torch._C._nn, torch.ops.aten
torch.set_num_threads({threads})
torch.set_grad_enabled(False)
wrap = torch.from_numpy
"""


def _torch(function: Function, _dtype: str) -> Statement | None:
    return TORCH.get(function.name)


# --- NumPy and SciPy ----------------------------------------------------------------------------------------------

SCIPY = {
    "logit": "special.logit(x)",
    "softplus": "-special.log_expit(-x)",
    "softplus_backward": "grad * special.expit(x)",
    "log_sigmoid": "special.log_expit(x)",
    "log_sigmoid_backward": "grad * special.expit(-x)",
    "sigmoid": "special.expit(x)",
    "silu": "x * special.expit(x)",
    "swish": "x * special.expit(beta * x)",
    "quick_gelu": "x * special.expit(1.702 * x)",
    "gelu": "x * special.ndtr(x)",
}


def _numpy(function: Function, _dtype: str) -> Statement:
    if function is COPY:
        return Statement(None, "np.copyto(out, x)")
    # If the last operation of an expression cannot write into an array, the result is copied.
    into = into_out(function.expression) or f"np.copyto(out, {function.expression})"
    return Statement(function.expression, into, into.replace("copyto(out,", f"copyto({function.data[0]},"))


def _scipy(function: Function, _dtype: str) -> Statement | None:
    expression = SCIPY.get(function.name)
    return Statement(expression, into_out(expression)) if expression else None


# --- numexpr and numba --------------------------------------------------------------------------------------------


def _numexpr(function: Function, dtype: str) -> Statement | None:
    try:
        source, constants = translate.to_numexpr(function.expression, function.parameters)
    except translate.UntranslatableError:
        return None
    return Statement(
        f'numexpr.evaluate("{source}")',
        f'numexpr.evaluate("{source}", out=out)',
        setup="; ".join(f"{name} = np.{dtype}({value!r})" for name, value in constants.items()),
    )


_KERNEL = """

@njit(parallel=True, fastmath=False, error_model="numpy", cache=True)
def {name}({arguments}, out):
    kind = out.dtype.type
{constants}
    for i in prange(out.size):
        out[i] = {source}
    return out
"""


def numba_module() -> str:
    """Return the source of a module with a compiled loop for every function."""
    source = "import math\n\nfrom numba import njit, prange\n"
    for function in (COPY, *functions()):
        try:
            body, constants = translate.to_numba(function.expression, function.parameters)
        except translate.UntranslatableError:
            continue
        lines = [f"    {name} = kind({value!r})" for name, value in constants.items()]
        source += _KERNEL.format(
            name=function.name, arguments=", ".join(function.data), constants="\n".join(lines), source=body
        )
    return source


def _numba(function: Function, _dtype: str) -> Statement | None:
    if function.name == "crelu":
        return None  # not a single loop over elements
    arguments = ", ".join(function.data)
    compiled = ", ".join(f"{name}[:1].copy()" for name in (*function.data, "out"))
    return Statement(
        f"kernels.{function.name}({arguments}, np.empty_like({function.data[0]}))",
        f"kernels.{function.name}({arguments}, out)",
        f"kernels.{function.name}({arguments}, {function.data[0]})",
        setup=f"kernels.{function.name}({compiled})",
    )


# --- JAX ----------------------------------------------------------------------------------------------------------

JAX = {
    "relu": "nn.relu(x)",
    "relu6": "nn.relu6(x)",
    "leaky_relu": "nn.leaky_relu(x, negative_slope)",
    "prelu": "nn.leaky_relu(x, weight)",
    "elu": "nn.elu(x, alpha)",
    "celu": "nn.celu(x, alpha)",
    "selu": "nn.selu(x)",
    "softplus": "nn.softplus(beta * x) / beta",
    "log_sigmoid": "nn.log_sigmoid(x)",
    "log1mexp": "nn.log1mexp(x)",
    "squareplus": "nn.squareplus(x, b)",
    "sigmoid": "nn.sigmoid(x)",
    "logit": "jax.scipy.special.logit(x)",
    "tanh": "nn.tanh(x)",
    "softcap": "cap * nn.tanh(x / cap)",
    "softsign": "nn.soft_sign(x)",
    "hard_sigmoid": "nn.hard_sigmoid(x)",
    "hard_tanh": "nn.hard_tanh(x)",
    "sparse_plus": "nn.sparse_plus(x)",
    "sparse_sigmoid": "nn.sparse_sigmoid(x)",
    "silu": "nn.silu(x)",
    "swish": "x * nn.sigmoid(beta * x)",
    "gelu": "nn.gelu(x, approximate=False)",
    "gelu_tanh": "nn.gelu(x, approximate=True)",
    "quick_gelu": "x * nn.sigmoid(1.702 * x)",
    "mish": "nn.mish(x)",
    "hard_swish": "nn.hard_silu(x)",
}
_JAX_PRELUDE = """
import jax
from jax import nn, numpy as jnp
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", {cache!r})
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
wrap = jnp.asarray
"""


def _jax(function: Function, _dtype: str) -> Statement | None:
    if function is COPY:
        return None
    forward = function if function.direction == "from output" else function.forward
    source = JAX.get(forward.name) or forward.expression.replace("np.", "jnp.").replace(
        "special.", "jax.scipy.special."
    )
    arguments = ", ".join(function.data)
    setup = f"def forward({', '.join(forward.data)}): return {source}\n"
    if function.direction == "backward":
        setup += "def call(grad, x): return jax.vjp(forward, x)[1](grad)[0]\n"
    else:
        setup += "call = forward\n"
    statement = f"call({arguments}).block_until_ready()"
    return Statement(statement, setup=f"{setup}call = jax.jit(call)\n{statement}")


# --- onnxruntime --------------------------------------------------------------------------------------------------


class Node(NamedTuple):
    """A model of one node: operator, constant inputs, attributes and domain."""

    operator: str
    constants: tuple[float, ...] = ()
    attributes: str = ""
    domain: str = ""


ONNX = {
    "relu": Node("Relu"),
    "relu6": Node("Clip", (0, 6)),
    "leaky_relu": Node("LeakyRelu", attributes="alpha=negative_slope"),
    "prelu": Node("PRelu", (0.25,)),
    "thresholded_relu": Node("ThresholdedRelu", attributes="alpha=alpha"),
    "elu": Node("Elu", attributes="alpha=alpha"),
    "celu": Node("Celu", attributes="alpha=alpha"),
    "selu": Node("Selu"),
    "softplus": Node("Softplus"),
    "sigmoid": Node("Sigmoid"),
    "erf": Node("Erf"),
    "tanh": Node("Tanh"),
    "softsign": Node("Softsign"),
    "hard_sigmoid": Node("HardSigmoid", attributes="alpha=slope, beta=offset"),
    "hard_tanh": Node("Clip", (-1, 1)),
    "silu": Node("QuickGelu", attributes="alpha=1.0", domain="com.microsoft"),
    "swish": Node("QuickGelu", attributes="alpha=beta", domain="com.microsoft"),
    "quick_gelu": Node("QuickGelu", attributes="alpha=1.702", domain="com.microsoft"),
    "gelu": Node("Gelu"),
    "gelu_tanh": Node("Gelu", attributes='approximate="tanh"'),
    "mish": Node("Mish"),
    "hard_swish": Node("HardSwish"),
    "hard_shrink": Node("Shrink", attributes="lambd=lambd"),
    "shrink": Node("Shrink", attributes="lambd=lambd, bias=bias"),
    "soft_shrink": Node("Shrink", attributes="lambd=lambd, bias=lambd"),
}
ONNX_PRELUDE = """
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidGraph, NotImplemented as NoKernel
Unsupported = (InvalidGraph, NoKernel)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = {threads}
options.log_severity_level = 4
def make_session(operator, dtype, constants, domain, rank=1, result=None, opset=22, **attributes):
    kind = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[dtype]
    values = [helper.make_tensor("c%d" % i, kind, [], [value]) for i, value in enumerate(constants)]
    node = helper.make_node(operator, ["x", *(v.name for v in values)], ["y"], domain=domain, **attributes)
    ends = [helper.make_tensor_value_info("x", kind, list("nmk"[:rank]))]
    ends += [helper.make_tensor_value_info("y", kind, list("nmk"[: rank if result is None else result]))]
    graph = helper.make_graph([node], operator, ends[:1], ends[1:], values)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
def bind(session, x, out):
    binding = session.io_binding()
    binding.bind_input("x", "cpu", 0, x.dtype, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, out.dtype, out.shape, out.ctypes.data)
    return binding
"""


def _onnxruntime(function: Function, dtype: str) -> Statement | None:
    node = ONNX.get(function.name)
    if node is None:
        return None
    return Statement(
        'session.run(None, {"x": x})[0]',
        "session.run_with_iobinding(binding)",
        setup=(
            f"session = make_session({node.operator!r}, {dtype!r}, {node.constants!r}, {node.domain!r}, {node.attributes})"
            "\nbinding = bind(session, x, out)"
        ),
    )


# --- The memory's limit -------------------------------------------------------------------------------------------

_STREAMED_PRELUDE = """
import ctypes
library = ctypes.CDLL({cache!r} + "/streamed_copy.so")
library.streamed_copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
def streamed_copy(to, source):
    library.streamed_copy(to.ctypes.data, source.ctypes.data, source.nbytes, {threads})
"""
STREAMED_SOURCE = Path(__file__).with_name("streamed_copy.c")


def _streamed(function: Function, _dtype: str) -> Statement | None:
    return Statement(None, "streamed_copy(out, x)") if function is COPY else None


def _can_stream() -> bool:
    return platform.machine() in {"x86_64", "AMD64"} and shutil.which("cc") is not None


def _compile_streamed(cache: Path) -> None:
    command = ["cc", "-O2", "-shared", "-fPIC", "-fopenmp", str(STREAMED_SOURCE), "-o", str(cache / "streamed_copy.so")]
    subprocess.run(command, check=True)


# --- All ----------------------------------------------------------------------------------------------------------


class Package(NamedTuple):
    """A side of the comparison."""

    title: str
    modules: tuple[str, ...]
    prelude: str
    statement: Callable[[Function, str], Statement | None]
    in_place: bool = True
    ready: Callable[[], bool] = lambda: True

    @property
    def installed(self) -> bool:
        """Whether all required packages are installed."""
        return all(map(installed, self.modules)) and self.ready()


PACKAGES = {
    "numpy": Package("NumPy", ("scipy",), "from scipy import special", _numpy),  # gelu's expression needs erf
    "scipy": Package("SciPy", ("scipy",), "from scipy import special", _scipy),
    "numexpr": Package("numexpr", ("numexpr",), "import numexpr\nnumexpr.set_num_threads({threads})", _numexpr),
    "numba": Package(
        "numba",
        ("numba",),
        "import sys\nsys.path.insert(0, {cache!r})\nimport numba, numba_kernels as kernels\n"
        "numba.set_num_threads({threads})",
        _numba,
    ),
    "torch": Package("PyTorch", ("torch",), _TORCH_PRELUDE, _torch),
    "jax": Package("JAX", ("jax",), _JAX_PRELUDE, _jax),
    "onnxruntime": Package("onnxruntime", ("onnxruntime", "onnx"), ONNX_PRELUDE, _onnxruntime, in_place=False),
    "streamed": Package("streamed copy", (), _STREAMED_PRELUDE, _streamed, ready=_can_stream),
}
# These packages store some constants as float32 even if the arrays are float64.
TOLERANCES = dict.fromkeys(
    [
        ("torch", "hard_sigmoid_backward"),
        *(("onnxruntime", name) for name in ("gelu_tanh", "quick_gelu", "hard_shrink", "soft_shrink")),
    ],
    1e-6,
)


def request(package: str, cell: Cell) -> dict[str, str] | None:
    """Return the request to a package for a cell: setup and statement; None if it cannot compute it."""
    peer = PACKAGES[package]
    found = peer.statement(cell.function, cell.dtype)
    if found is None or (cell.mode == "in place" and not peer.in_place):
        return None
    statement = found.of(cell.mode, cell.function.data[0])
    return None if statement is None else {"setup": found.setup, "statement": statement}


def prelude(package: str, threads: int, cache: Path) -> str:
    """Return the source that a package's process begins with, and write the module that it imports."""
    if package == "numba":
        module = cache / "numba_kernels.py"
        if not module.exists() or module.read_text() != numba_module():  # the compiler's cache depends on its date
            module.write_text(numba_module())
    if package == "streamed":
        _compile_streamed(cache)
    text = PACKAGES[package].prelude
    return text.replace("{threads}", str(threads)).replace("{cache!r}", json.dumps(str(cache)))
