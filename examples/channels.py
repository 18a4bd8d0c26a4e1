"""Applies activations to a batch of feature maps as inference code does: one buffer, a slope per channel, threads."""

import numpy as np

import fastrelu as fr

images, channels, height, width = 8, 16, 56, 56
maps = np.random.default_rng(0).standard_normal((images, channels, height, width), np.float32)
slopes = np.linspace(0.0, 0.3, channels, dtype=np.float32)
buffer = np.empty_like(maps)

# A slope per channel: axis=1 says which axis of the maps the slopes lie along. The result goes into the buffer.
fr.prelu(maps, slopes, axis=1, out=buffer)
expected = np.where(maps > 0, maps, slopes[:, None, None] * maps)
assert np.array_equal(buffer, expected)

# Any parameter may be an array; shapes meet as in NumPy.
caps = np.linspace(1.0, 6.0, channels, dtype=np.float32)[:, None, None]
fr.hard_tanh(maps, 0.0, caps, out=buffer)
assert np.array_equal(buffer, np.clip(maps, 0, caps))

# In place on a part of the batch, with two threads for this call; the bits do not depend on their number.
with fr.threads(2):
    part = fr.relu_(maps[::2])
assert np.shares_memory(part, maps)
assert (maps[::2] >= 0).all()
print(f"{maps.size:,} values in {images} images, {channels} channels each")
