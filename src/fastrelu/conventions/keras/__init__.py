"""``keras.activations``: ``from fastrelu.conventions import keras``; ``keras.ops`` is in `ops`."""

from fastrelu.conventions._build import Row, build
from fastrelu.conventions.keras import ops as ops
from fastrelu.conventions.keras.ops import SHARED

ROWS = (
    *SHARED,
    Row(
        "relu(x, negative_slope=0.0, max_value=None, threshold=0.0)",
        "bounded_relu(x, negative_slope, max_value, threshold)",
    ),
    Row("linear(x)", "identity(x)"),
    Row("exponential(x)", "exponential(x)"),
    Row("gelu(x, approximate=False)", 'gelu(x, "tanh" if approximate else "none")'),
    Row("mish(x)", "mish(x)"),
    Row("tanh(x)", "tanh(x)"),
)
FUNCTIONS = build(__name__, "``keras.activations.{}``", ROWS)
__all__ = [*FUNCTIONS, "ops"]
globals().update(FUNCTIONS)
