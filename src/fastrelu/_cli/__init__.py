"""The command line ``python -m fastrelu``. The library imports nothing of it, except the guard at process start."""
