"""The network of the tutorials, 784-256-10 with ReLU, trained with batches of 32 by SGD at lr=0.01.

From PyTorch's version the imports change, ``loss.backward()`` becomes ``model.backward(criterion.backward())``, and
arrays take the place of tensors.
"""

import numpy as np
from numpy.typing import NDArray

from fastrelu import nn, optim

rng = np.random.default_rng(0)

# Ten classes of noisy images: each class has a pattern of its own.
patterns = rng.standard_normal((10, 784), np.float32)
labels = rng.integers(0, 10, 3200)
images = patterns[labels] + 2 * rng.standard_normal((3200, 784), np.float32)


class Net(nn.Module):
    """Two layers with ReLU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 256, rng=rng)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(256, 10, rng=rng)

    def forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores of the ten classes."""
        x = self.relu(self.fc1(x))
        scores: NDArray[np.float32] = self.fc2(x)
        return scores


model = Net()
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.01)
print(model)

output = model(images[:32])
print(f"output shape: {output.shape}")
assert output.shape == (32, 10)

for epoch in range(1, 4):
    total = 0.0
    for start in range(0, len(images), 32):
        x, y = images[start : start + 32], labels[start : start + 32]
        loss = criterion(model(x), y)
        model.backward(criterion.backward())
        optimizer.step()
        total += float(loss) * len(x)
    print(f"epoch {epoch}: mean loss {total / len(images):.4f}")

model.eval()
unseen = rng.integers(0, 10, 1000)
scores = model(patterns[unseen] + 2 * rng.standard_normal((1000, 784), np.float32))
accuracy = (scores.argmax(1) == unseen).mean()
print(f"accuracy on unseen images: {accuracy:.1%}")
assert accuracy > 0.95
