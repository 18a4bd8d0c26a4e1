"""``mlx.nn``: ``from fastrelu.conventions import mlx``."""

from fastrelu.conventions._build import Row, build

ROWS = (
    Row("relu(x)", "relu(x)"),
    Row("relu2(x)", "squared_relu(x)"),
    Row("relu6(x)", "relu6(x)"),
    Row("leaky_relu(x, negative_slope=0.01)", "leaky_relu(x, negative_slope)", kinks={"0": "1"}),
    Row("prelu(x, alpha)", "prelu(x, alpha, axis=weight_axis(alpha, -1))"),
    Row("elu(x, alpha=1.0)", "elu(x, alpha)"),
    Row("celu(x, alpha=1.0)", "celu(x, alpha)"),
    Row("selu(x)", "scaled_elu(x, 1.67326, 1.0507)", note="With the constants 1.67326 and 1.0507, as MLX defines it."),
    Row("softplus(x)", "softplus(x)"),
    Row("log_sigmoid(x)", "log_sigmoid(x)"),
    Row("sigmoid(x)", "sigmoid(x)"),
    Row("tanh(x)", "tanh(x)"),
    Row("softsign(x)", "softsign(x)"),
    Row("hard_tanh(x, min_val=-1.0, max_val=1.0)", "hard_tanh(x, min_val, max_val)"),
    Row("silu(x)", "silu(x)"),
    Row("gelu(x)", "gelu(x)"),
    Row("gelu_approx(x)", 'gelu(x, "tanh")'),
    Row("gelu_fast_approx(x)", "quick_gelu(x)"),
    Row("glu(x, axis=-1)", "glu(x, axis)"),
    Row("mish(x)", "mish(x)"),
    Row("hardswish(x)", "hard_swish(x)"),
    Row("hard_shrink(x, lambd=0.5)", "hard_shrink_any(x, lambd)"),
    Row("softshrink(x, lambd=0.5)", "soft_shrink(x, lambd)"),
    Row("softmax(x, axis=-1)", "softmax(x, axes_of(axis))"),
    Row("log_softmax(x, axis=-1)", "log_softmax(x, axes_of(axis))"),
    Row("softmin(x, axis=-1)", "softmin(x, axis)"),
)
FUNCTIONS = build(__name__, "``mlx.nn.{}``", ROWS)
__all__ = [*FUNCTIONS]
globals().update(FUNCTIONS)
