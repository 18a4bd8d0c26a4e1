"""What a configuration of Hugging Face calls ``hidden_act``: ``transformers.get("gelu_new")``."""

from fastrelu._catalogue import check_name
from fastrelu.conventions._build import Function, Row, build

ROWS = (
    Row("linear(input)", "identity(input)"),
    Row("relu(input)", "relu(input)"),
    Row("relu2(input)", "squared_relu(input)"),
    Row("relu6(input)", "relu6(input)"),
    Row("leaky_relu(input, negative_slope=0.01)", "leaky_relu(input, negative_slope)"),
    Row("prelu(input, weight=0.25)", "prelu(input, weight_of(weight), axis=weight_axis(weight, 1))"),
    Row("gelu(input)", "gelu(input)"),
    Row("gelu_python(input)", "gelu(input)"),
    Row("gelu_10(x, min=-10, max=10)", "clipped_gelu(x, min, max)"),
    Row("gelu_new(input)", 'gelu(input, "tanh")'),
    Row("gelu_fast(input)", 'gelu(input, "tanh")'),
    Row("gelu_accurate(input)", 'gelu(input, "tanh")'),
    Row("gelu_pytorch_tanh(input)", 'gelu(input, "tanh")'),
    Row("gelu_python_tanh(input)", 'gelu(input, "tanh")'),
    Row("quick_gelu(input)", "quick_gelu(input)"),
    Row("silu(input)", "silu(input)"),
    Row("swish(input)", "silu(input)"),
    Row("mish(input)", "mish(input)"),
    Row("hardswish(input)", "hard_swish(input)"),
    Row("sigmoid(input)", "sigmoid(input)"),
    Row("tanh(input)", "tanh(input)"),
    Row("laplace(input, mu=0.707107, sigma=0.282095)", "laplace(input, mu, sigma)"),
    Row("sqrtsoftplus(input)", "sqrt_softplus(input)"),
)
FUNCTIONS = build(__name__, '``ACT2FN["{}"]`` of transformers', ROWS)
ACT2FN = {row.name: FUNCTIONS[row.name] for row in ROWS}


def get(hidden_act: str) -> Function:
    """Return the activation that a configuration names.

    Parameters
    ----------
    hidden_act : str
        A name in ``transformers.activations.ACT2FN``, as ``"gelu_new"``; with ``"_backward"`` behind it, its gradient.

    Raises
    ------
    TypeError
        If it is no string.
    ValueError
        If there is none of that name; the message has the closest one and all.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrelu.conventions import transformers
    >>> transformers.get("relu2")(np.float32([-1.0, 3.0]))
    array([0., 9.], dtype=float32)
    """
    return FUNCTIONS[check_name(hidden_act, FUNCTIONS, "activation of transformers")]


get_activation = get

__all__ = ["ACT2FN", *FUNCTIONS, "get", "get_activation"]
globals().update(FUNCTIONS)
