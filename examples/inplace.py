"""In-place and out-of-place layers side by side: the same numbers, and half the memory where the output suffices."""

import itertools
import tracemalloc

import numpy as np

from fastrelu import nn

rng = np.random.default_rng(0)
x = rng.standard_normal((1000, 1000), np.float32)
grad = rng.standard_normal((1000, 1000), np.float32)

peaks, results = {}, {}
for kind, inplace in itertools.product((nn.ReLU, nn.SiLU), (False, True)):
    layer = kind(inplace=inplace)
    given = x.copy()
    tracemalloc.start()
    y = layer(given)
    dx = layer.backward(grad)
    peaks[kind, inplace] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    results[kind, inplace] = y, dx
    print(
        f"{layer}: the result {'is' if y is given else 'is not'} the input, {peaks[kind, inplace] / 1e6:.1f} MB allocated"
    )
    assert (y is given) == inplace
    assert np.array_equal(given, x) != inplace  # out of place leaves the input alone

# The gradient of in-place ReLU comes from the output, which is all that is left. That of SiLU needs the input: in
# training the layer saves a copy, so in place saves no memory. The numbers are the same.
for kind in (nn.ReLU, nn.SiLU):
    out_of_place, in_place = results[kind, False], results[kind, True]
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(out_of_place, in_place, strict=True))
assert peaks[nn.ReLU, True] < 0.6 * peaks[nn.ReLU, False]
assert peaks[nn.SiLU, True] > 0.9 * peaks[nn.SiLU, False]

# Without a gradient nothing is saved.
x_before = x.copy()
assert nn.SiLU(inplace=True).eval()(x) is x
assert not np.array_equal(x, x_before)

# Where another layer needs the array, in place is refused beforehand.
try:
    nn.Sequential(nn.Tanh(inplace=True), nn.ReLU(inplace=True))
except ValueError as error:
    print(f"refused: {error}")
else:
    raise AssertionError("in place must be refused here")
print("conclusion: in place, the same results; half the memory where the output suffices")
