"""``python -m fastrelu`` as a process: an error is one line and an exit status, never a traceback.

Ctrl-C and a closed pipe end it by their signals, as they end other tools: at once and without a message. The shell
sees status 130 and 141.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from types import TracebackType


def arm() -> None:
    """Install these rules for the rest of this process."""
    if sys.excepthook is _report_and_exit:
        return
    sys.excepthook = _report_and_exit
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed; print would use the other stream, and a progress bar would fail
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", closefd=False))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may not be valid text
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not if a script ignores it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    atexit.register(_settle)


def say(text: str) -> None:
    """Write one line to standard error, if possible."""
    with contextlib.suppress(OSError):  # nobody is left to tell
        print(" ".join(text.split()), file=sys.stderr, flush=True)


def report(error: BaseException) -> int:
    """Write an error in one line and return its exit status."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):  # on systems without this signal
        return 141
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        text = f"not enough memory: {text}"
    elif not isinstance(error, OSError | ImportError | ValueError):  # a mistake of the program, not of the user
        text = f"{type(error).__name__}: {text} (python -X dev -m fastrelu shows where)"
    say(f"error: {text}")
    _flush(sys.stdout)
    return 2 if text.startswith("FASTRELU_") else 1


def _report_and_exit(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if sys.flags.dev_mode:
        sys.__excepthook__(kind, error, trace)
    sys.exit(report(error))


def _settle() -> None:
    """Flush the streams: if the interpreter failed to, it would print "Exception ignored" and exit with status 120."""
    failed = _flush(sys.stdout)
    status = report(failed) if failed else 0
    _flush(sys.stderr)
    if status:
        os._exit(status)  # the last function called at exit, because it is registered first


def _flush(stream: TextIO) -> OSError | None:
    """Flush a stream; if that fails, redirect it to nowhere, so that later writes do not fail again."""
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None
