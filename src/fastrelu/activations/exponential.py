"""Functions built on one exponential of the negative half-axis."""

__all__: list[str] = []
