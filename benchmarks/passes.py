"""The cells of passes that take several steps at once: gated units, biases, masks of bits, quantized ends (for grids.py)."""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 1024  # of the rows of an output; a gated unit's input is twice as wide

SIZES = (1024, 1 << 17, 1 << 20, 1 << 24)  # elements of an output; the largest in float32

# Variables of every side: `a` and `b` are the halves of x, h and residual inputs as wide as the output.
SETUP = """
passed = {}
def lay_pass(size, kind):
    if passed.get("key") != (size, kind):
        rng = np.random.default_rng(0)
        rows = size // 1024
        found = {name: (2 * rng.standard_normal((rows, 1024))).astype(kind) for name in ("h", "grad", "residual")}
        found["x"] = (2 * rng.standard_normal((rows, 2048))).astype(kind)
        found["bias"] = rng.standard_normal(1024).astype(kind)
        found["positive"] = found["h"] > 0
        found["bits"] = np.packbits(found["positive"], bitorder="little")
        found["q"] = rng.integers(-128, 128, (rows, 1024)).astype("int8")
        found["byte"] = found["q"].view("uint8")
        found["table"] = rng.integers(-128, 128, 256).astype("int8")
        found["room"] = np.empty_like(found["h"])  # of what one call hands to the next
        passed.clear()
        passed.update({name: wrap(array) for name, array in found.items()}, key=(size, kind))
    globals().update({name: array for name, array in passed.items() if name != "key"})
    globals().update(a=x[:, :1024], b=x[:, 1024:])
def make_chain(operators, given, result):
    types = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8}
    constants = [helper.make_tensor("scale", types["float32"], [], [0.0625]), helper.make_tensor("zero", types["int8"], [], [0])]
    nodes = []
    for k, operator in enumerate(operators):
        ends = ["t%d" % k] + (["scale", "zero"] if operator.endswith("Linear") else [])
        nodes.append(helper.make_node(operator, ends, ["t%d" % (k + 1)]))
    ends = [helper.make_tensor_value_info("t%d" % k, types[kind], list("nm")) for k, kind in ((0, given), (len(nodes), result))]
    model = helper.make_model(
        helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
def bind_chain(session, operators, x, out):
    binding = session.io_binding()
    binding.bind_input("t0", "cpu", 0, x.dtype, x.shape, x.ctypes.data)
    binding.bind_output("t%d" % len(operators), "cpu", 0, out.dtype, out.shape, out.ctypes.data)
    return binding
"""
NAMES = ("x", "h", "grad", "residual", "bias", "positive", "q", "byte", "table")  # arguments of JAX's functions
ROWS = ("x", "a", "b", "h", "grad", "residual", "positive", "q", "byte")
WIDE = ("x", "a", "b", "h", "grad", "residual", "bias")  # evaluated in a wider type


class Pass(NamedTuple):
    """One pass: the statements of all sides. Each writes into `out` or gives a new array, and NumPy's is an expression."""

    ours: str
    numpy: str
    torch: str
    jax: str
    onnx: tuple[str, ...] = ()  # operators, one after the other
    exact: str = ""  # if it differs from NumPy's
    double: bool = False  # the result is as wide as x
    given: str = "h"  # the input, if onnxruntime takes part
    answer: str = ""  # the type of the result, if it is not that of the input
    separate: str = ""  # calls of ours, one after the other
    results: int = 1  # the first is checked
    only: tuple[str, ...] = ("float32", "float64")


def _gated(name: str, act: str, numpy: tuple[str, str, str], torch: tuple[str, str], jax: str) -> dict[str, Pass]:
    """Return the passes of a gated unit: `numpy` has the unit and both gradients, `torch` the unit and its gradient.

    The gate of glu is b, that of the others a; a pair has the gate first.
    """
    unit, first, second = numpy
    halves = f"(lambda a, b: {jax})"
    pair = "(residual, h)" if name == "glu" else "(h, residual)"
    gate, value = ("b", "a") if name == "glu" else ("a", "b")
    separate = f"np.multiply(fr.{act}({gate}, out=room), {value}, out=out)"
    slopes = [
        f"fr.{act}_backward(np.multiply(grad, {value}, out=room), {gate}, out=",
        f"np.multiply(fr.{act}({gate}, out=room), grad, out=",
    ]
    first_half, second_half = "out[:, :1024])", "out[:, 1024:])"
    gradient = "; ".join(
        slope + half
        for slope, half in zip(slopes[:: -1 if name == "glu" else 1], (first_half, second_half), strict=True)
    )
    joined = "torch.sigmoid(b).mul_(a)" if name == "glu" else torch[0]
    return {
        name: Pass(f"fr.{name}(x, out=out)", unit, torch[0], f"{halves}(x[:, :1024], x[:, 1024:])", separate=separate),
        f"{name} of a pair": Pass(
            f"fr.{name}((h, residual), out=out)",
            f"(lambda a, b: {unit}){pair}",
            f"(lambda a, b: {joined}){pair}",
            f"{halves}{pair}",
            separate=f"np.multiply(fr.{act}(h, out=room), residual, out=out)",
        ),
        f"{name}_backward": Pass(
            f"fr.{name}_backward(grad, x, out=out)",
            f"np.concatenate([{first}, {second}], axis=1)",
            torch[1],
            f"jax.vjp(lambda x: {halves}(x[:, :1024], x[:, 1024:]), x)[1](grad)[0]",
            separate=gradient,
            double=True,
        ),
    }


def _biased(name: str, numpy: tuple[str, str], torch: tuple[str, str], jax: str) -> dict[str, Pass]:
    """Return the passes of a function after a bias: each pair has the function and its gradient, of z."""
    z, more = "h + bias", "h + bias + residual"
    function, slope = numpy
    return {
        f"bias_act {name}": Pass(
            f"fr.fused.bias_act(h, bias, fr.{name}, out=out)",
            function.replace("z", f"({z})", 1) if function.count("z") == 1 else f"(lambda z: {function})({z})",
            f"z = torch.add(h, bias, out=out); {torch[0]}",
            f"(lambda z: {jax})({z})",
            separate=f"fr.{name}_(np.add(h, bias, out=out))",
        ),
        f"bias_act {name} residual": Pass(
            f"fr.fused.bias_act(h, bias, fr.{name}, residual=residual, out=out)",
            f"(lambda z: {function})({more})",
            f"z = torch.add(h, bias, out=out).add_(residual); {torch[0]}",
            f"(lambda z: {jax})({more})",
            separate=f"fr.{name}_(np.add(np.add(h, bias, out=out), residual, out=out))",
        ),
        f"bias_act_backward {name}": Pass(
            f"fr.fused.bias_act_backward(grad, h, bias, fr.{name}, out=out)[0]",
            f"(lambda dx: (dx, dx.sum(0)))((lambda z: grad * {slope})({z}))[0]",
            f"z = h + bias; {torch[1]}; out.sum(0)",
            f"(lambda dx: (dx, dx.sum(0)))(jax.vjp(lambda h: (lambda z: {jax})({z}), h)[1](grad)[0])",
            separate=f"fr.{name}_backward(grad, np.add(h, bias, out=room), out=out).sum(0)",
            results=2,
        ),
    }


_SIGMOID = "(1 / (1 + np.exp(-{0})))"
_SILU_SLOPE = "((lambda s: s * (1 + {0} * (1 - s)))(1 / (1 + np.exp(-{0}))))"
_GELU = "0.5 * {0} * (1 + special.erf({0} / 2**0.5))"
_GELU_SLOPE = "(0.5 * (1 + special.erf({0} / 2**0.5)) + {0} * np.exp(-0.5 * {0} * {0}) / (2 * np.pi) ** 0.5)"
_QUANTIZE = "np.clip(np.rint({0} / np.float32(0.0625)), -128, 127).astype(np.int8)"
_TORCH_QUANTIZE = "torch.quantize_per_tensor({0}, 0.0625, 0, torch.qint8).int_repr()"
_JAX_QUANTIZE = "jnp.clip(jnp.rint({0} / 0.0625), -128, 127).astype(jnp.int8)"


def _quantized(before: str, numpy: str, torch: str, jax: str, onnx: tuple[str, ...]) -> Pass:
    """Return the pass that quantizes what a function gives, or h itself."""
    return Pass(
        f"fr.quantized.quantize(h, 0.0625, 0, {before}dtype='int8', out=out)",
        _QUANTIZE.format(numpy),
        _TORCH_QUANTIZE.format(torch),
        _JAX_QUANTIZE.format(jax),
        (*onnx, "QuantizeLinear"),
        answer="int8",
        only=("float32",),
    )


PASSES = {
    **_gated(
        "glu",
        "sigmoid",
        (
            f"a * {_SIGMOID.format('b')}",
            f"grad * {_SIGMOID.format('b')}",
            f"grad * a * (s := {_SIGMOID.format('b')}) * (1 - s)",
        ),
        ("nn.glu(x, 1, out=out)", "aten.glu_backward.grad_input(grad, x, 1, grad_input=out)"),
        "a * jax.nn.sigmoid(b)",
    ),
    **_gated(
        "swiglu",
        "silu",
        (
            f"a * {_SIGMOID.format('a')} * b",
            f"grad * b * {_SILU_SLOPE.format('a')}",
            f"grad * a * {_SIGMOID.format('a')}",
        ),
        (
            "torch.mul(F.silu(a), b, out=out)",
            "torch.cat([aten.silu_backward(grad * b, a), grad * F.silu(a)], 1, out=out)",
        ),
        "jax.nn.silu(a) * b",
    ),
    **_gated(
        "geglu",
        "gelu",
        (f"{_GELU.format('a')} * b", f"grad * b * {_GELU_SLOPE.format('a')}", f"grad * {_GELU.format('a')}"),
        (
            "torch.mul(F.gelu(a), b, out=out)",
            "torch.cat([aten.gelu_backward(grad * b, a), grad * F.gelu(a)], 1, out=out)",
        ),
        "jax.nn.gelu(a, approximate=False) * b",
    ),
    **_gated(
        "reglu",
        "relu",
        ("np.maximum(a, 0) * b", "grad * b * (a > 0)", "grad * np.maximum(a, 0)"),
        (
            "torch.mul(torch.relu(a), b, out=out)",
            "torch.cat([aten.threshold_backward(grad * b, a, 0), grad * torch.relu(a)], 1, out=out)",
        ),
        "jax.nn.relu(a) * b",
    ),
    **_biased(
        "relu",
        ("np.maximum(z, 0)", "(z > 0)"),
        ("torch.relu_(z)", "aten.threshold_backward.grad_input(grad, z, 0, grad_input=out)"),
        "jax.nn.relu(z)",
    ),
    **_biased(
        "gelu",
        (_GELU.format("z"), _GELU_SLOPE.format("z")),
        ("nn.gelu(z, out=z)", "aten.gelu_backward.grad_input(grad, z, grad_input=out)"),
        "jax.nn.gelu(z, approximate=False)",
    ),
    **_biased(
        "silu",
        (f"z * {_SIGMOID.format('z')}", _SILU_SLOPE.format("z")),
        ("nn.silu(z, out=z)", "aten.silu_backward.grad_input(grad, z, grad_input=out)"),
        "jax.nn.silu(z)",
    ),
    "relu_with_mask": Pass(  # PyTorch has no bits: a byte for each element
        "fr.masks.relu_with_mask(h, out=out)[0]",
        "(np.maximum(h, 0), np.packbits(h > 0, bitorder='little'))[0]",
        "torch.clamp_min(h, 0, out=out); h > 0",
        "(jnp.maximum(h, 0), jnp.packbits(h > 0, bitorder='little'))",
        results=2,
    ),
    "backward_from_mask": Pass(
        "fr.masks.backward_from_mask(grad, bits, out=out)",
        "grad * np.unpackbits(bits, bitorder='little').reshape(grad.shape)",
        "torch.mul(grad, positive, out=out)",
        "grad * positive",
        exact="grad * positive",
        separate="fr.relu_backward(grad, h, out=out)",
    ),
    "quantize": _quantized("", "h", "h", "h", ()),
    "quantize relu": _quantized("'relu', ", "np.maximum(h, 0)", "torch.relu(h)", "jax.nn.relu(h)", ("Relu",)),
    "quantize gelu": _quantized(
        "'gelu', ", f"({_GELU.format('h')})", "F.gelu(h)", "jax.nn.gelu(h, approximate=False)", ("Gelu",)
    ),
    "dequantize": Pass(
        "fr.quantized.dequantize(q, 0.0625, 0, out=out)",
        "q * np.float32(0.0625)",
        "torch.mul(q, 0.0625, out=out)",
        "q * jnp.float32(0.0625)",
        ("DequantizeLinear",),
        given="q",
        only=("float32",),
    ),
    "lookup": Pass(
        "fr.quantized.lookup(table, q, out=out)",
        "np.take(table, byte)",
        "table[byte.int()]",
        "table[byte]",
        answer="int8",
        only=("float32",),
    ),
}
