"""Trains a small network on two spirals with NumPy alone, activations and gradients in place.

Each hidden layer's memory holds its input, then its output, and never a second array: the gradient of ``hard_tanh``
follows from the output.
"""

import numpy as np

import fastrelu as fr

rng = np.random.default_rng(0)

# Two spirals of 500 points each.
turn = np.sqrt(rng.random(1000)) * 2 * np.pi
spiral = np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=1) / 5
labels = np.arange(1000) % 2
points = (spiral * np.where(labels, 1, -1)[:, None] + 0.02 * rng.standard_normal((1000, 2))).astype(np.float32)

w1 = rng.standard_normal((2, 64), np.float32)
w2 = rng.standard_normal((64, 64), np.float32) * np.float32(1 / 8)
w3 = rng.standard_normal((64, 1), np.float32) * np.float32(1 / 8)
b1, b2 = np.zeros(64, np.float32), np.zeros(64, np.float32)
parameters = [w1, b1, w2, b2, w3]
velocities = [np.zeros_like(p) for p in parameters]

for _ in range(2000):
    h1 = fr.hard_tanh_(points @ w1 + b1)
    h2 = fr.hard_tanh_(h1 @ w2 + b2)
    score = h2 @ w3
    error = (1 / (1 + np.exp(-score)) - labels[:, None]).astype(np.float32) / len(points)

    g2 = error @ w3.T
    fr.hard_tanh_backward_from_output(g2, h2, out=g2)
    g1 = g2 @ w2.T
    fr.hard_tanh_backward_from_output(g1, h1, out=g1)

    gradients = [points.T @ g1, g1.sum(0), h1.T @ g2, g2.sum(0), h2.T @ error]
    for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
        velocity[...] = 0.9 * velocity - 0.2 * gradient
        parameter[...] += velocity

accuracy = ((score[:, 0] > 0) == labels).mean()
print(f"right: {accuracy:.1%}")
assert accuracy > 0.95
