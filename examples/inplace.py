"""In-place and out-of-place ReLU side by side: the same numbers, half the memory, and when in place is refused."""

import tracemalloc

import numpy as np

from fastrelu import nn

rng = np.random.default_rng(0)
x = rng.standard_normal((1000, 1000), np.float32)
grad = rng.standard_normal((1000, 1000), np.float32)

peaks, results = {}, {}
for inplace in (False, True):
    layer = nn.ReLU(inplace=inplace)
    given = x.copy()
    tracemalloc.start()
    y = layer(given)
    dx = layer.backward(grad)
    peaks[inplace] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    results[inplace] = y, dx
    print(f"{layer}: the result {'is' if y is given else 'is not'} the input, {peaks[inplace] / 1e6:.1f} MB allocated")
    assert (y is given) == inplace
    assert np.array_equal(given, x) != inplace  # out of place leaves the input alone

# The gradient of the in-place layer comes from the output, which is all that is left; it is the same.
assert all(np.array_equal(ours, theirs) for ours, theirs in zip(results[False], results[True], strict=True))
assert peaks[True] < 0.6 * peaks[False]

# Where the output does not tell the gradient, or another layer needs the array, in place is refused beforehand.
for build in (
    lambda: nn.SiLU(inplace=True),
    lambda: nn.LeakyReLU(-0.1, inplace=True),
    lambda: nn.Sequential(nn.Tanh(inplace=True), nn.ReLU(inplace=True)),
):
    try:
        build()
    except ValueError as error:
        print(f"refused: {error}")
    else:
        raise AssertionError("in place must be refused here")
print("conclusion: in place gives the same output and gradient with half the memory, where it is possible at all")
