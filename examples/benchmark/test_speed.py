"""How fast is GELU here? ``pytest test_speed.py`` times three libraries and checks that they agree."""

import numpy as np
import pytest

import fastrelu as fr

torch = pytest.importorskip("torch", reason="it is compared with")
x = np.random.default_rng(0).standard_normal(1_000_000, np.float32)
sides = {
    "numpy": lambda x: x / 2 * (1 + np.tanh(0.79788456 * (x + 0.044715 * x**3))),
    "fastrelu": lambda x: fr.gelu(x, approximate="tanh"),
    "torch": lambda x: torch.nn.functional.gelu(torch.from_numpy(x), approximate="tanh").numpy(),
}


@pytest.mark.parametrize("size", [100, 100_000, 1_000_000])
@pytest.mark.parametrize("side", sides)
def test_gelu(benchmark, side, size):
    """Time one side and compare its answer with ours."""
    y = benchmark(sides[side], x[:size])
    np.testing.assert_allclose(y, fr.gelu(x[:size], approximate="tanh"), rtol=1e-3, atol=1e-6)
