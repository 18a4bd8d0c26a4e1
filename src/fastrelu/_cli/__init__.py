"""What ``python -m fastrelu`` runs. Nothing of the library imports it, except the guard while the process starts."""
