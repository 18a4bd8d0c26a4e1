# Other compiled modules call it, and no Python.
