"""``python -m fastrelu``, and the console script ``fastrelu``."""

import sys
from typing import NoReturn

from fastrelu._cli import guard
from fastrelu._cli.main import main


def run() -> NoReturn:
    """Run the command line as a process."""
    guard.arm()
    sys.exit(main())


if __name__ == "__main__":
    run()
