"""``jax.nn``: ``from fastrelu.conventions import jax``."""

from fastrelu.conventions._build import Row, build

_WHERE = "where=True if where is None else where"

ROWS = (
    Row("identity(x)", "identity(x)"),
    Row("relu(x)", "relu(x)"),
    Row("relu6(x)", "relu6(x)"),
    Row("leaky_relu(x, negative_slope=0.01)", "leaky_relu(x, negative_slope)", kinks={"0": "1"}),
    Row("elu(x, alpha=1.0)", "elu(x, alpha)"),
    Row("celu(x, alpha=1.0)", "celu(x, alpha)"),
    Row("selu(x)", "selu(x)"),
    Row("softplus(x)", "softplus(x)"),
    Row("log1mexp(x)", "log1mexp(x)"),
    Row("log_sigmoid(x)", "log_sigmoid(x)"),
    Row("squareplus(x, b=4)", "squareplus(x, b)"),
    Row("sigmoid(x)", "sigmoid(x)"),
    Row("tanh(x, /)", "tanh(x)"),
    Row("soft_sign(x)", "softsign(x)"),
    Row("hard_sigmoid(x)", "hard_sigmoid(x)"),
    Row("hard_tanh(x)", "hard_tanh(x)", kinks={"-1": "1", "1": "1"}),
    Row("sparse_plus(x)", "sparse_plus(x)"),
    Row("sparse_sigmoid(x)", "sparse_sigmoid(x)", kinks={"-1": "0.25", "1": "0.25"}),
    Row("silu(x)", "silu(x)"),
    Row("swish(x)", "silu(x)"),
    Row("gelu(x, approximate=True)", 'gelu(x, "tanh" if approximate else "none")'),
    Row("glu(x, axis=-1)", "glu(x, axis)"),
    Row("mish(x)", "mish(x)"),
    Row("hard_silu(x)", "hard_swish(x)"),
    Row("hard_swish(x)", "hard_swish(x)"),
    Row("softmax(x, axis=-1, where=None)", f"softmax(x, axes_of(axis), {_WHERE})"),
    Row("log_softmax(x, axis=-1, where=None)", f"log_softmax(x, axes_of(axis), {_WHERE})"),
    Row(
        "logsumexp(a, axis=None, *, keepdims=False, where=None)",
        f"logsumexp(a, axes_of(axis), keepdims=keepdims, {_WHERE})",
    ),
    Row(
        "logmeanexp(x, axis=None, where=None, keepdims=False)",
        f"logmeanexp(x, axes_of(axis), keepdims=keepdims, {_WHERE})",
    ),
)
FUNCTIONS = build(__name__, "``jax.nn.{}``", ROWS)
__all__ = [*FUNCTIONS]
globals().update(FUNCTIONS)
