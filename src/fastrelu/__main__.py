"""``python -m fastrelu``."""

import sys

from fastrelu._cli import guard
from fastrelu._cli.main import main

if __name__ == "__main__":
    guard.arm()
    sys.exit(main())
