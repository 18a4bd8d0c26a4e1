"""``keras.ops``: its activations differ from ``keras.activations`` in the default form of GELU, and in relu."""

from fastrelu.conventions._build import Row, build

# What keras.activations and keras.ops have with the same arguments.
SHARED = (
    Row("relu6(x)", "relu6(x)"),
    Row("leaky_relu(x, negative_slope=0.2)", "leaky_relu(x, negative_slope)", kinks={"0": "1"}),
    Row("threshold(x, threshold, default_value)", "threshold(x, threshold, default_value)"),
    Row("elu(x, alpha=1.0)", "elu(x, alpha)"),
    Row("celu(x, alpha=1.0)", "celu(x, alpha)"),
    Row("selu(x)", "selu(x)"),
    Row("softplus(x)", "softplus(x)"),
    Row("log_sigmoid(x)", "log_sigmoid(x)"),
    Row("squareplus(x, b=4)", "squareplus(x, b)"),
    Row("sigmoid(x)", "sigmoid(x)"),
    Row("softsign(x)", "softsign(x)"),
    Row("hard_sigmoid(x)", "hard_sigmoid(x)"),
    Row("hard_tanh(x)", "hard_tanh(x)", kinks={"-1": "1", "1": "1"}),
    Row("sparse_plus(x)", "sparse_plus(x)"),
    Row("sparse_sigmoid(x)", "sparse_sigmoid(x)", kinks={"-1": "0.25", "1": "0.25"}),
    Row("silu(x)", "silu(x)"),
    Row("swish(x)", "silu(x)"),
    Row("glu(x, axis=-1)", "glu(x, axis)"),
    Row("hard_silu(x)", "hard_swish(x)"),
    Row("hard_swish(x)", "hard_swish(x)"),
    Row("hard_shrink(x, threshold=0.5)", "hard_shrink_any(x, threshold)"),
    Row("soft_shrink(x, threshold=0.5)", "soft_shrink(x, threshold)"),
    Row("tanh_shrink(x)", "tanh_shrink(x)"),
    Row("softmax(x, axis=-1)", "softmax(x, axes_of(axis))"),
    Row("sparsemax(x, axis=-1)", "sparsemax(x, axis)"),
    Row("log_softmax(x, axis=-1)", "log_softmax(x, axes_of(axis))"),
)
ROWS = (
    *SHARED,
    Row("relu(x)", "relu(x)"),
    Row("tanh(x)", "tanh(x)"),
    Row("erf(x)", "erf(x)"),
    Row("logsumexp(x, axis=None, keepdims=False)", "logsumexp(x, axes_of(axis), keepdims=keepdims)"),
    Row("gelu(x, approximate=True)", 'gelu(x, "tanh" if approximate else "none")'),
)
FUNCTIONS = build(__name__, "``keras.ops.{}``", ROWS)
__all__ = [*FUNCTIONS]
globals().update(FUNCTIONS)
