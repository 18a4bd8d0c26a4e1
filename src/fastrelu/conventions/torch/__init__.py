"""``torch.nn.functional``: ``from fastrelu.conventions import torch as F``."""

from fastrelu.conventions._build import Row, build
from fastrelu.conventions.torch import special as special

_DTYPE = "`dtype` is the type that the input is converted to first. Without `dim` the axis is the one that PyTorch guesses, with a warning."

ROWS = (
    Row("relu(input, inplace=False)", "relu(input)"),
    Row("relu_(input)", "relu_(input)"),
    Row("relu6(input, inplace=False)", "relu6(input)"),
    Row("leaky_relu(input, negative_slope=0.01, inplace=False)", "leaky_relu(input, negative_slope)"),
    Row("leaky_relu_(input, negative_slope=0.01)", "leaky_relu_(input, negative_slope)"),
    Row("prelu(input, weight)", "prelu(input, weight_of(weight), axis=weight_axis(weight, 1))"),
    Row(
        "rrelu(input, lower=1 / 8, upper=1 / 3, training=False, inplace=False)",
        "rrelu(input, lower, upper, training=training)",
    ),
    Row("rrelu_(input, lower=1 / 8, upper=1 / 3, training=False)", "rrelu_(input, lower, upper, training=training)"),
    Row("threshold(input, threshold, value, inplace=False)", "threshold(input, threshold, value)"),
    Row("threshold_(input, threshold, value)", "threshold_(input, threshold, value)"),
    Row("elu(input, alpha=1.0, inplace=False)", "elu(input, alpha)"),
    Row("elu_(input, alpha=1.0)", "elu_(input, alpha)"),
    Row("celu(input, alpha=1.0, inplace=False)", "celu(input, alpha)"),
    Row("celu_(input, alpha=1.0)", "celu_(input, alpha)"),
    Row("selu(input, inplace=False)", "selu(input)"),
    Row("selu_(input)", "selu_(input)"),
    Row("softplus(input, beta=1, threshold=20)", "softplus_with_threshold(input, beta, threshold)"),
    Row("logsigmoid(input)", "log_sigmoid(input)"),
    Row("sigmoid(input)", "sigmoid(input)"),
    Row("tanh(input)", "tanh(input)"),
    Row("softsign(input)", "softsign(input)"),
    Row("hardsigmoid(input, inplace=False)", "hard_sigmoid(input)"),
    Row("hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False)", "hard_tanh(input, min_val, max_val)"),
    Row("hardtanh_(input, min_val=-1.0, max_val=1.0)", "hard_tanh_(input, min_val, max_val)"),
    Row("silu(input, inplace=False)", "silu(input)"),
    Row('gelu(input, *, approximate="none")', "gelu(input, approximate)"),
    Row("mish(input, inplace=False)", "mish(input)"),
    Row("hardswish(input, inplace=False)", "hard_swish(input)"),
    Row("glu(input, dim=-1)", "glu(input, dim)"),
    Row("hardshrink(input, lambd=0.5)", "hard_shrink_any(input, lambd)"),
    Row("softshrink(input, lambd=0.5)", "soft_shrink(input, lambd)"),
    Row("tanhshrink(input)", "tanh_shrink(input)"),
    Row(
        "softmax(input, dim=None, *, dtype=None)", "softmax(cast(input, dtype), implicit_dim(input, dim))", note=_DTYPE
    ),
    Row(
        "log_softmax(input, dim=None, *, dtype=None)",
        "log_softmax(cast(input, dtype), implicit_dim(input, dim))",
        note=_DTYPE,
    ),
    Row(
        "gumbel_softmax(logits, tau=1, hard=False, *, dim=-1)",
        "gumbel_softmax(logits, dim_of(logits, dim), tau=tau, hard=hard)",
    ),
    Row(
        "softmin(input, dim=None, *, dtype=None)", "softmin(cast(input, dtype), implicit_dim(input, dim))", note=_DTYPE
    ),
)
FUNCTIONS = build(__name__, "``torch.nn.functional.{}``", ROWS)
__all__ = ["special", *FUNCTIONS]
globals().update(FUNCTIONS)
