"""The command line: its commands and their options."""

from __future__ import annotations

import argparse
import functools
import io
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import fastrelu as fr
from fastrelu._catalogue import check_name, network_names
from fastrelu._cli import guard
from fastrelu._cli.arguments import LAYOUTS, Parser, assignment, dtype, integer, positive, shape
from fastrelu._extras import MissingExtraError, installed, progress, require

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from fastrelu._cli.demo import Outcome
    from fastrelu._cli.reference import Reference

PICTURES = (".png", ".svg", ".pdf")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 for a result that fails its check, a missing extra, a full disk or too little memory, 2 for a
        bad argument.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        if given[:1] == ["verify"]:  # it has its own options
            from fastrelu._cli import verify  # noqa: PLC0415  the other commands do not need it

            return verify.main(given[1:])
        arguments = _parser().parse_args(given)
        with fr.precision(arguments.precision), fr.threads(arguments.threads):
            command: Callable[[argparse.Namespace], int] = arguments.command
            return command(arguments)
    except (MemoryError, MissingExtraError, OSError) as error:
        return guard.report(error)


def _info(_: argparse.Namespace) -> int:
    fr.show_config()
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    from fastrelu._cli import bench  # noqa: PLC0415  the other commands do not need it
    from fastrelu._cli.reference import references  # noqa: PLC0415  the other commands do not need it

    chosen = list(itertools.chain.from_iterable(arguments.ops)) or list(references())
    runnable = [r for r in chosen if not r.needs_scipy or installed("scipy")]
    bench.check_memory(arguments.size, arguments.dtype)
    for line in bench.heading(arguments.size, arguments.dtype, reuse=not arguments.fresh):
        print(line, flush=True)  # the timings take a while
    rows = []
    with progress(len(runnable), "timing") as bar:
        for reference in runnable:
            rows.append(
                bench.measure(reference, arguments.size, arguments.dtype, arguments.rounds, reuse=not arguments.fresh)
            )
            bar.update()
    for line in bench.lines(rows):
        print(line)
    if len(runnable) < len(chosen):
        missing = ", ".join(r.name for r in chosen if r not in runnable)
        guard.say(f"not compared, since their expressions need SciPy (pip install scipy): {missing}")
    different = [f"{row.name} ({row.direction})" for row in rows if not row.equal]
    if different:
        guard.say(f"error: other answers than NumPy: {', '.join(different)}")
    return 1 if different else 0


def _explain(arguments: argparse.Namespace) -> int:
    from fastrelu._cli import explain  # noqa: PLC0415  the other commands do not need it

    try:
        print(explain.explain(arguments))
    except (TypeError, ValueError) as error:  # of the call: its parameters come from the command line
        guard.say(f"error: {error}")
        return 2
    return 0


def _plot(arguments: argparse.Namespace) -> int:
    from fastrelu import diagnostics  # noqa: PLC0415  the other commands do not need it

    _write(diagnostics.plot(*arguments.names, span=arguments.span), arguments.output, dpi=150)
    return 0


def _write(figure: Any, path: Path, dpi: int) -> None:
    drawn = io.BytesIO()  # an existing picture is kept if drawing fails
    figure.savefig(drawn, format=path.suffix[1:], dpi=dpi)
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    print(f"wrote {path}")


def _demo(arguments: argparse.Namespace) -> int:
    from fastrelu._cli import demo  # noqa: PLC0415  the other commands do not need it

    compared = arguments.activations or (network_names() if arguments.all else [])
    output = arguments.output or (Path("demo.png") if compared else None)
    if output:
        require("matplotlib.figure", "plot")  # before the training, not after it
    outcomes = demo.compare(
        compared or [arguments.activation or "relu"], arguments.epochs, arguments.seed, arguments.rate
    )
    if compared:
        _show_table(outcomes)
    else:
        _show_outcome(outcomes[0])
    if output:
        from fastrelu._cli import demo_picture  # noqa: PLC0415  only if a picture is wanted

        _write(demo_picture.draw(outcomes), output, dpi=110)
    missed = [outcome.activation for outcome in outcomes if not outcome.passed]
    if missed:
        sys.stdout.flush()  # what cannot be written is the first error, buffered or not
        of = f" of {', '.join(missed)}" if compared else ""
        guard.say(f"error: the test accuracy{of} is not above {demo.ACCURACY_TO_PASS:.0%}")
    return 1 if missed else 0


def _show_outcome(outcome: Outcome) -> None:
    print(f"activation     {outcome.activation} (precision: {fr.get_precision()}, threads: {fr.get_num_threads()})")
    print(f"test accuracy  {outcome.accuracy:.1%}")
    print(f"dead units     {outcome.dead:.1%} (derivative exactly 0 for every training image)")
    print(f"training time  {outcome.seconds:.2f} s")


def _show_table(outcomes: Sequence[Outcome]) -> None:
    print(f"precision: {fr.get_precision()}, threads: {fr.get_num_threads()}")
    print(f"{'activation':<18} {'test accuracy':>13} {'dead units':>10} {'seconds':>8}")
    for outcome in outcomes:
        print(f"{outcome.activation:<18} {outcome.accuracy:>13.1%} {outcome.dead:>10.1%} {outcome.seconds:>8.2f}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="fastrelu",
        description="Activation functions on NumPy arrays; without a command: info.",
        epilog="Exit status: 0; 1 if a check or anything else fails; 2 for a bad argument or variable; Ctrl-C and a closed "
        "pipe end it by their signals (130 and 141 to the shell).",
    )
    parser.add_argument("--version", action="version", version=f"fastrelu {fr.__version__}")
    parser.set_defaults(command=_info, precision=fr.get_precision(), threads=fr.get_num_threads())
    commands = parser.add_subparsers(title="commands", metavar="command")

    command = commands.add_parser("info", help="show version, instruction set, threads and precision")
    command.set_defaults(command=_info)

    command = commands.add_parser(
        "bench",
        help="time every element-wise function against its NumPy expression",
        epilog="Next to other packages, by type, size and mode: python benchmarks/full.py in a checkout.",
    )
    command.set_defaults(command=_bench)
    command.add_argument("--size", type=integer, default=100_000, help="elements (default: 100000)")
    command.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    command.add_argument("--ops", nargs="+", type=_comparable, default=[], metavar="NAME", help="(default: all)")
    command.add_argument("--rounds", type=integer, default=15, help="timings of each side (default: 15)")
    command.add_argument("--fresh", action="store_true", help="allocate results instead of writing into an array")
    _add_settings(command)

    command = commands.add_parser("explain", help="tell which code a call would run, and why no faster one")
    command.set_defaults(command=_explain)
    command.add_argument("function", type=_function, metavar="FUNCTION", help="such as gelu, gelu_ or gelu_backward")
    command.add_argument("--shape", type=shape, default=(1000, 1000), help="sizes (default: 1000,1000)")
    command.add_argument("--dtype", type=dtype, default="float32", help="a NumPy type (default: float32)")
    command.add_argument(
        "--layout", choices=LAYOUTS, default="C", help="sliced: every second element of a row (default: C)"
    )
    command.add_argument("--out", action="store_true", help="give an array for the result")
    command.add_argument(
        "--set", nargs="+", type=assignment, default=[], metavar="NAME=VALUE", help="parameters, such as alpha=0.5"
    )
    _add_settings(command)

    commands.add_parser("verify", help="compare this machine's bits with the published ones")

    command = commands.add_parser("plot", help="draw functions and derivatives")
    command.set_defaults(command=_plot)
    command.add_argument("names", nargs="*", type=_elementwise, metavar="NAME", help="activations (default: all)")
    _add_output(command, "(default: activations.png)", Path("activations.png"))
    command.add_argument("--span", type=positive, default=5.0, help="draw from -span to span (default: 5)")

    command = commands.add_parser("demo", help="train a network on handwritten digits")
    command.set_defaults(command=_demo)
    which = command.add_mutually_exclusive_group()
    which.add_argument("--activation", type=_elementwise, metavar="NAME", help="(default: relu)")
    which.add_argument(
        "--activations", nargs="+", type=_elementwise, default=[], metavar="NAME", help="compare several"
    )
    which.add_argument("--all", action="store_true", help="compare all")
    _add_output(command, "(default: demo.png if several are compared, else none)", None)
    command.add_argument("--epochs", type=integer, default=25, help="(default: 25)")
    command.add_argument(
        "--seed", type=functools.partial(integer, least=0), default=0, help="seed of weights and batches (default: 0)"
    )
    command.add_argument("--rate", type=positive, default=0.01, help="initial learning rate of SGD (default: 0.01)")
    _add_settings(command)
    return parser


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--precision", choices=["fast", "accurate"], default=fr.get_precision())
    command.add_argument("--threads", type=integer, default=fr.get_num_threads())


def _add_output(command: argparse.ArgumentParser, default_text: str, default: Path | None) -> None:
    command.add_argument(
        "-o", "--output", type=_picture, default=default, metavar="FILE", help=f"picture to write {default_text}"
    )


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix not in PICTURES:
        raise argparse.ArgumentTypeError(f"must end in {', '.join(PICTURES)}, got {text!r}")
    try:
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no directory {str(path.parent)!r}")
        target = path if path.exists() else path.parent
        writable = not path.is_dir() and os.access(target, os.W_OK)
    except OSError:  # the name is too long, or the directory not accessible
        writable = False
    if not writable:  # fail before the training, not after it
        raise argparse.ArgumentTypeError(f"cannot be written: {text!r}")
    return path


def _elementwise(name: str) -> str:
    try:
        return check_name(name, network_names(), "element-wise activation")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _function(name: str) -> str:
    from fastrelu._cli import explain  # noqa: PLC0415  the other commands do not need it

    try:
        return check_name(name, explain.names(), "function to explain")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _comparable(name: str) -> list[Reference]:
    from fastrelu._cli.reference import select  # noqa: PLC0415  the other commands do not need it

    try:
        return select(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
