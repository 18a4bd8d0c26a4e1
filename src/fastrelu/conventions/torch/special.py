"""``torch.special``: what of it is an activation, or one's inverse or logarithm."""

from fastrelu.conventions._build import Row, build

ROWS = (
    Row("logit(input, eps=None, *, out=None)", "logit(input, eps, out=out)"),
    Row("erf(input, *, out=None)", "erf(input, out=out)"),
    Row("expit(input, *, out=None)", "sigmoid(input, out=out)"),
    Row("softmax(input, dim, *, dtype=None)", "softmax(cast(input, dtype), dim_of(input, dim))"),
    Row("log_softmax(input, dim, *, dtype=None)", "log_softmax(cast(input, dtype), dim_of(input, dim))"),
    Row(
        "logsumexp(input, dim, keepdim=False, *, out=None)",
        "logsumexp(input, dim_of(input, reduced(dim)), keepdims=keepdim, out=out)",
    ),
)
FUNCTIONS = build(__name__, "``torch.special.{}``", ROWS)
__all__ = [*FUNCTIONS]
globals().update(FUNCTIONS)
