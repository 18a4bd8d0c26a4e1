"""``tf.nn``, and the activations of ``tf.math``: ``from fastrelu.conventions import tf``."""

from fastrelu.conventions._build import Row, build

NN = (
    Row("relu(features)", "relu(features)"),
    Row("relu6(features)", "relu6(features)"),
    Row("leaky_relu(features, alpha=0.2)", "leaky_relu(features, alpha)"),
    Row("crelu(features, axis=-1)", "crelu(features, axis)"),
    Row("elu(features)", "elu(features)"),
    Row("selu(features)", "selu(features)", kinks={"0": "1.0507009873554804934"}),
    Row("softplus(features)", "softplus(features)"),
    Row("sigmoid(x)", "sigmoid(x)"),
    Row("tanh(x)", "tanh(x)"),
    Row("softsign(features)", "softsign(features)"),
    Row("silu(features, beta=1.0)", "swish(features, beta)"),
    Row("swish(features, beta=1.0)", "swish(features, beta)"),
    Row("gelu(features, approximate=False)", 'gelu(features, "tanh" if approximate else "none")'),
    Row("softmax(logits, axis=None)", "softmax(logits, -1 if axis is None else axis)"),
    Row("log_softmax(logits, axis=None)", "log_softmax(logits, -1 if axis is None else axis)"),
)
MATH = (
    Row("erf(x)", "erf(x)"),
    Row("log_sigmoid(x)", "log_sigmoid(x)"),
    Row(
        "reduce_logsumexp(input_tensor, axis=None, keepdims=False)",
        "logsumexp(input_tensor, axes_of(axis), keepdims=keepdims)",
    ),
)
ROWS = (*NN, *MATH)
FUNCTIONS = {**build(__name__, "``tf.nn.{}``", NN), **build(__name__, "``tf.math.{}``", MATH)}
__all__ = [*FUNCTIONS]
globals().update(FUNCTIONS)
