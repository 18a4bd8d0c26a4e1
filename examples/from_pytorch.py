"""Inference of a network that was trained in PyTorch, without PyTorch: its ``state_dict`` comes in an .npz file.

``spiral_from_pytorch.npz`` was written by these lines in PyTorch 2.13, ``spiral_expected.npz`` holds 50 points, their
labels and the scores that PyTorch gave them::

    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 2))
    ...  # 800 steps of Adam on two spirals
    np.savez_compressed("spiral_from_pytorch.npz", **{k: v.numpy() for k, v in model.state_dict().items()})
"""

from pathlib import Path

import numpy as np

from fastrelu import nn

here = Path(__file__).parent
model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 2))
with np.load(here / "spiral_from_pytorch.npz") as state:
    model.load_state_dict(state)
    print(f"loaded {', '.join(state)}")
model.eval()

with np.load(here / "spiral_expected.npz") as expected:
    scores = model(expected["points"])
    accuracy = (scores.argmax(1) == expected["labels"]).mean()
    theirs = expected["scores"]
difference = np.abs(scores - theirs).max()
print(f"right: {accuracy:.0%}, largest difference from PyTorch's scores: {difference:.1e}")
assert accuracy == 1
assert np.allclose(scores, theirs, rtol=1e-5, atol=1e-5)

# A state that does not belong to the network is refused, and says what is wrong.
try:
    model[:3].load_state_dict(model.state_dict())
except KeyError as error:
    print(f"refused: {error.args[0]}")
else:
    raise AssertionError("a foreign state must be refused")
print(f"conclusion: {len(scores)} points scored as PyTorch scores them, to rounding")
