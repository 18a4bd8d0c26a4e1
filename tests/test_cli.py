"""The command line: ``python -m fastrelu`` and its commands."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrelu as fr
from fastrelu import diagnostics, nn
from fastrelu._catalogue import elementwise_names, network_names, required_arguments
from fastrelu._cli import bench, demo, demo_picture, guard
from fastrelu._cli.explain import names
from fastrelu._cli.main import main
from fastrelu._cli.reference import Reference, agrees, evaluate, references
from fastrelu.diagnostics.curves import LARGEST

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make a package look as if it were not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)

    class Absent:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])


@pytest.mark.parametrize("arguments", [[], ["info"]])
def test_shows_the_configuration(arguments: list[str]) -> None:
    """Without a command, and with `info`, every line of the configuration is printed."""
    run = subprocess.run(
        [sys.executable, "-m", "fastrelu", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    shown = dict(line.split(maxsplit=1) for line in run.stdout.splitlines())
    config = fr.config()
    assert shown.keys() == config.keys()
    assert shown["version"] == config["version"]
    assert not run.stderr


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names all commands."""
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("info", "bench", "plot", "demo"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "invalid choice: 'train'"),
        (["bench", "--size", "0"], "must be an integer of at least 1, got '0'"),
        (["bench", "--size", "many"], "must be an integer of at least 1, got 'many'"),
        (["bench", "--dtype", "float16"], "invalid choice: 'float16'"),
        (["bench", "--ops", "rel"], "no element-wise function named 'rel'; did you mean relu?"),
        (["plot", "crelu"], "no element-wise activation named 'crelu'"),
        (["plot", "relu", "--span", "0"], "must be a positive number, got '0'"),
        (["plot", "relu", "--span", "wide"], "must be a positive number, got 'wide'"),
        (["demo", "--activation", "step"], "There are: "),
        (["plot", "-o", "relu.txt"], "must end in .png, .svg, .pdf, got 'relu.txt'"),
        (["demo", "--all", "-o", "nowhere/demo.png"], "there is no directory 'nowhere'"),
        (["demo", "--activations", "relu", "step"], "no element-wise activation named 'step'"),
        (["demo", "--all", "--activation", "relu"], "not allowed with argument"),
        (["demo", "--threads", "0"], "must be an integer of at least 1"),
    ],
)
def test_a_bad_argument_is_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad argument ends with status 2 and a message that names it."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--fresh"], ["--dtype", "float64"], ["--precision", "accurate"]])
def test_bench_compares_every_function(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a line for every function with an expression, and all answers agree."""
    pytest.importorskip("scipy", reason="some expressions are SciPy's")
    assert main(["bench", "--size", "100", "--rounds", "1", *options]) == 0
    shown = capsys.readouterr().out
    table = shown.partition("equal\n")[2].splitlines()
    assert len(table) == len(references())
    assert all(line.endswith("yes") for line in table)


def test_bench_takes_activations_and_functions(capsys: pytest.CaptureFixture[str]) -> None:
    """`--ops` takes activations, in all their directions, and single functions."""
    assert main(["bench", "--size", "10", "--rounds", "1", "--ops", "relu", "hard_tanh_backward"]) == 0
    table = capsys.readouterr().out.partition("equal\n")[2].splitlines()
    assert [line.split()[0] for line in table] == ["relu", "relu", "relu", "hard_tanh"]


def test_bench_marks_another_answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer other than NumPy's is marked and makes the status 1."""
    monkeypatch.setattr(bench, "agrees", lambda *_: False)
    assert main(["bench", "--size", "10", "--rounds", "1", "--ops", "relu_backward"]) == 1
    shown = capsys.readouterr()
    assert shown.out.rstrip().endswith("NO")
    assert "other answers than NumPy: relu (backward)" in shown.err


def test_every_activation_has_an_expression() -> None:
    """Every element-wise activation says in its docstring what it replaces."""
    # rrelu draws its slopes: no expression gives the same.
    found = {reference.activation for reference in references()}
    assert set(elementwise_names()) - found <= {"rrelu"}


@pytest.mark.parametrize("reference", references(), ids=lambda reference: reference.name)
def test_expressions_agree_with_and_without_a_buffer(reference: Reference) -> None:
    """Ours, the expression, and the expression writing into a buffer give the same answer."""
    if reference.needs_scipy:
        pytest.importorskip("scipy", reason="the expression is SciPy's")
    names = reference.variables(1000, "float64")
    ours = evaluate(reference.call(out=False), names)
    assert evaluate(reference.call(out=True), names) is names["out"]
    np.testing.assert_array_equal(names["out"], ours)
    assert agrees(ours, evaluate(reference.expression, names))
    if reference.expression_into:
        assert evaluate(reference.expression_into, names) is names["out"]
        assert agrees(ours, names["out"])


def test_agreement_is_refused_for_values_types_and_shapes() -> None:
    """The check of answers can fail."""
    x = np.ones(4)
    assert agrees(x, x)
    assert not agrees(x, x + 1e-6)
    assert not agrees(x, x.astype(np.float32))
    assert not agrees(x, np.ones(1))


def test_parameters_come_from_the_examples() -> None:
    """Parameters without a default take the numbers of the first example that passes some."""
    assert required_arguments("relu") == {}
    assert required_arguments("prelu") == {"weight": 0.25}
    assert required_arguments("threshold") == {"threshold": 1.0, "value": -1.0}


@pytest.mark.parametrize("names", [["gelu"], ["relu", "rrelu", "srelu", "threshold", "tanh"], []])
def test_plot_draws_a_panel_per_activation(
    names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`plot` writes an image, also for an activation without a gradient of its own; without a name, of all."""
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    target = tmp_path / "drawn.png"
    assert main(["plot", *names, "-o", str(target)]) == 0
    assert target.read_bytes().startswith(b"\x89PNG")
    assert str(target) in capsys.readouterr().out
    figure = diagnostics.plot(*names)
    titles = [panel.get_title() for panel in figure.axes if panel.get_visible()]
    assert titles == (names or sorted(elementwise_names()))
    assert len({line.get_label() for line in figure.legends[0].get_lines()}) == 2


def test_plot_draws_the_values_and_leaves_jumps_open() -> None:
    """Function and derivative are the package's own; where the derivative jumps, the line has a gap and no other."""
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    lines = {line.get_label(): line for line in diagnostics.plot("relu", span=3).axes[0].lines}
    x = np.linspace(-3, 3, 2001)
    np.testing.assert_array_equal(lines["function"].get_xdata(), x)
    np.testing.assert_array_equal(lines["function"].get_ydata(), np.maximum(x, 0))
    slope = (x > 0).astype(float)
    slope[1000] = np.nan
    np.testing.assert_array_equal(lines["derivative"].get_ydata(), slope)


@pytest.mark.parametrize("span", [0, -1, np.inf, np.nan, 1e308])
def test_plot_refuses_a_span(span: float) -> None:
    """A span that is no length, or whose square is infinite, is refused by value."""
    with pytest.raises(ValueError, match=re.escape(f"span must be a positive number, got {span}")):
        diagnostics.plot("relu", span=span)


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("plot", "matplotlib", "plot"),
        ("demo --all", "matplotlib", "plot"),
        ("demo", "sklearn", "demo"),
        ("demo", "tqdm", "demo"),
    ],
)
def test_a_missing_extra_is_named(
    command: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command whose extra is missing says what to install."""
    if package == "tqdm":
        pytest.importorskip("sklearn", reason="the extra demo is not installed")
    without(monkeypatch, package)
    assert main(command.split()) == 1
    assert f'{package} is missing: pip install "fastrelu[{extra}]"' in capsys.readouterr().err


SOME_NETWORKS = {"relu", "gelu", "tanh"}  # of which plain pytest trains the demo's


@pytest.fixture
def digits() -> Any:
    """Skip unless the demo can run."""
    for package in ("sklearn", "tqdm"):
        pytest.importorskip(package, reason="the extra demo is not installed")


@pytest.mark.usefixtures("digits")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SOME_NETWORKS else pytest.mark.wide) for name in network_names()]
)
def test_the_demo_learns_with_every_activation(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Training reaches more than 95 % on the test images."""
    assert main(["demo", "--activation", name, "--threads", "1"]) == 0
    shown = capsys.readouterr()
    accuracy = float(shown.out.partition("test accuracy")[2].partition("%")[0])
    assert accuracy > 95
    assert not shown.err  # no progress bar without a terminal


@pytest.mark.usefixtures("digits")
def test_the_demo_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A comparison prints a line and draws a panel per activation; each is what training it alone gives."""
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    target = tmp_path / "compared.png"
    names = ["relu", "gelu", "threshold"]
    options = ["--epochs", "3", "--seed", "1"]
    status = main(["demo", "--activations", *names, "-o", str(target), *options])
    shown = capsys.readouterr()
    assert target.read_bytes().startswith(b"\x89PNG")
    assert str(target) in shown.out
    rows = [line.split() for line in shown.out.partition("seconds\n")[2].splitlines()[:-1]]
    assert [row[0] for row in rows] == names
    for name, accuracy, dead, _ in rows:
        main(["demo", "--activation", name, *options])
        alone = capsys.readouterr().out
        assert f"test accuracy  {accuracy}\n" in alone
        assert f"dead units     {dead} (" in alone
    missed = [row[0] for row in rows if float(row[1].rstrip("%")) <= 95]
    assert status == bool(missed)
    assert shown.err == (f"error: the test accuracy of {', '.join(missed)} is not above 95%\n" if missed else "")


@pytest.mark.usefixtures("digits")
def test_the_demo_draws_one_activation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture that is asked for is drawn for one activation too, in the format that its name says."""
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    target = tmp_path / "one.svg"
    main(["demo", "--activation", "gelu", "--epochs", "1", "-o", str(target)])
    assert f"wrote {target}" in capsys.readouterr().out
    assert "<svg" in target.read_text(encoding="utf-8")


@pytest.mark.usefixtures("digits")
def test_all_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--all` takes every element-wise activation, and its picture has a panel for each and their names beside."""
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    figures: list[Any] = []
    draw = demo_picture.draw

    def keep(outcomes: list[demo.Outcome]) -> Any:
        figures.append(draw(outcomes))
        return figures[0]

    monkeypatch.setattr(demo_picture, "draw", keep)
    monkeypatch.setattr(demo, "BATCH", 1437)  # one step
    assert main(["demo", "--all", "--epochs", "1", "-o", str(tmp_path / "all.png")]) == 1
    rows = capsys.readouterr().out.partition("seconds\n")[2].splitlines()[:-1]
    assert [row.split()[0] for row in rows] == network_names()
    *panels, accuracy, dead = figures[0].get_axes()
    assert {panel.get_title() for panel in panels if panel.get_visible()} == set(network_names())
    assert {label.get_text() for label in accuracy.get_yticklabels()} == set(network_names())
    assert len(dead.patches) == len(network_names())


@pytest.mark.parametrize(("x", "dead"), [([[-1.0, 1.0], [-2.0, -1.0]], 0.5), ([[1.0, 2.0], [3.0, 1.0]], 0.0)])
def test_dead_units_have_no_gradient(x: list[list[float]], dead: float) -> None:
    """A unit is dead if its derivative is 0 for every row."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    model[0].weight.data = np.eye(2, dtype=np.float32)
    model[0].bias.data = np.zeros(2, np.float32)
    assert demo.dead_share(model, np.array(x, np.float32)) == dead


@pytest.mark.usefixtures("digits")
def test_the_demo_fails_below_its_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    """A network that has not learned makes the status 1."""
    assert main(["demo", "--epochs", "1", "--rate", "1e-6"]) == 1
    assert "the test accuracy is not above 95%" in capsys.readouterr().err


@pytest.mark.usefixtures("digits")
def test_the_demo_repeats_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed gives the same result."""
    outputs = []
    for _ in range(2):
        main(["demo", "--epochs", "2", "--seed", "3"])
        outputs.append(capsys.readouterr().out.partition("training time")[0])
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(script, marks=pytest.mark.wide if script.stem == "larger_than_memory" else ())
        for script in EXAMPLES
    ],
    ids=[script.stem for script in EXAMPLES],
)
def test_examples_run(script: Path) -> None:
    """Every example runs; each checks its own result."""
    text = script.read_text(encoding="utf-8")
    arguments, environment = ["--quick"] * ('"--quick"' in text), dict(os.environ)
    for package in ("distributed", "pandas"):
        if f"import {package}" in text or f"from {package}" in text:
            pytest.importorskip(package, reason="the extra 'test' brings it")
    if "distributed" in text:
        if sys.platform != "linux":
            pytest.skip("reads Linux's /proc")
    else:  # arrays this small gain nothing from a second thread, and lose much when other tests hold the processors
        environment |= {"OPENBLAS_NUM_THREADS": "1", "FASTRELU_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=environment,
    )
    assert run.stdout


# --- Misuse: one line and an exit status, never a traceback --------------------------------------------------------

# Each command, short, with the packages that it needs.
COMMANDS = {
    "help": ["--help"],
    "info": ["info"],
    "bench": ["bench", "--ops", "relu", "--rounds", "1", "--size", "10"],
    "verify": ["verify", "--quick", "--function", "relu", "--jobs", "2"],
    "plot": ["plot", "relu"],
    "demo": ["demo", "--epochs", "1", "--rate", "1e-6"],
}
NEEDED = {"plot": "matplotlib", "demo": "sklearn"}
each_command = pytest.mark.parametrize("name", COMMANDS)
posix = pytest.mark.skipif(os.name != "posix", reason="a shell and signals of POSIX are needed")
SIGPIPE = getattr(signal, "SIGPIPE", 0)


def run_shell(line: str, arguments: list[str], where: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `line` in a shell, in which "$0" "$@" is the command line with these arguments."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FASTRELU_")}
    return subprocess.run(
        ["sh", "-c", line, sys.executable, "-m", "fastrelu", *arguments],
        cwd=where,
        env=kept | {"OPENBLAS_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def one_line(text: str) -> str:
    """Return the only line of a text."""
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, text
    return text.rstrip()


@posix
@each_command
@pytest.mark.parametrize("to", [">&-", "2>&-", ">/dev/full", "closed pipe"])
def test_a_stream_that_takes_nothing(name: str, to: str, tmp_path: Path) -> None:
    """A closed stream is no error, a full disk is one of one line, and a pipe without a reader ends the program."""
    pytest.importorskip(NEEDED.get(name, "numpy"), reason="an extra is not installed")
    if to == ">/dev/full" and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    if to == "closed pipe":
        reader, writer = os.pipe()
        os.close(reader)
        try:
            run = subprocess.run(
                [sys.executable, "-m", "fastrelu", *COMMANDS[name]],
                cwd=tmp_path,
                stdout=writer,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=120,
            )
        finally:
            os.close(writer)
        assert (run.returncode, run.stderr) == (-SIGPIPE, "")
        return
    run = run_shell(f'exec "$0" "$@" {to}', COMMANDS[name], tmp_path)
    missed = name == "demo"  # it has not learned, and says so
    if to == ">/dev/full":
        assert run.returncode == 1
        assert "No space left on device" in one_line(run.stderr)
    else:
        assert run.returncode == missed
        assert bool(run.stderr) == (missed and to == ">&-")
        assert bool(run.stdout) == (to == "2>&-")


@posix
@pytest.mark.parametrize("to", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_an_error_that_nobody_reads(to: str, tmp_path: Path) -> None:
    """The exit status does not depend on whether the message can be written, which never goes elsewhere."""
    run = run_shell(f'exec "$0" "$@" {to}', ["bench", "--size", "-1"], tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "")


@posix
def test_a_reader_that_leaves(tmp_path: Path) -> None:
    """A pipe that is closed after the first line ends the rest: status 141 in the shell, as with other tools."""
    run = run_shell('{ "$0" "$@"; echo $? >status; } | head -n 1', ["verify", "--quick"], tmp_path)
    assert one_line(run.stdout).endswith("same")
    assert not run.stderr
    assert (tmp_path / "status").read_text() == f"{128 + SIGPIPE}\n"


INTERRUPTED = """
import os, runpy, signal, sys
import fastrelu.__main__, {module} as module
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
module.{function} = lambda *_, **__: os.kill(os.getpid(), signal.{sent})
del sys.modules["fastrelu.__main__"]
runpy.run_module("fastrelu", run_name="__main__", alter_sys=True)
"""


@posix
@pytest.mark.parametrize(
    ("name", "module", "function", "sent"),
    [
        ("info", "fastrelu", "show_config", "SIGINT"),
        ("info", "fastrelu", "show_config", "SIGTERM"),
        ("info", "argparse", "ArgumentParser.parse_args", "SIGINT"),
        ("bench", "fastrelu._cli.bench", "measure", "SIGINT"),
        ("verify", "fastrelu._cli.verify", "block_sum", "SIGINT"),
        ("plot", "fastrelu.diagnostics.curves", "_draw", "SIGINT"),
        ("demo", "fastrelu._cli.demo", "_train", "SIGINT"),
    ],
)
def test_a_signal_ends_it(name: str, module: str, function: str, sent: str) -> None:
    """Ctrl-C while it parses, times, hashes on threads, draws or trains ends it by the signal and without a message."""
    pytest.importorskip(NEEDED.get(name, "numpy"), reason="an extra is not installed")
    code = INTERRUPTED.format(module=module, function=function, sent=sent)
    run = subprocess.run(
        [sys.executable, "-c", code, *COMMANDS[name]], capture_output=True, text=True, check=False, timeout=120
    )
    assert (run.returncode, run.stderr) == (-getattr(signal, sent), "")


@posix
@pytest.mark.parametrize("ignored", [False, True])
def test_a_signal_during_the_import(ignored: bool, tmp_path: Path) -> None:
    """Ctrl-C while NumPy is imported ends it the same way, unless whoever started it has Ctrl-C ignored.

    Then a missing NumPy is named: the compiled core is not what is missing.
    """
    numpy = tmp_path / "numpy.py"
    numpy.write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
        "raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')\n"
    )
    code = f"import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_{'IGN' if ignored else 'DFL'});"
    run = subprocess.run(
        [sys.executable, "-c", f"{code} os.execv(sys.executable, [sys.executable, '-m', 'fastrelu'])"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == (1 if ignored else -signal.SIGINT)
    assert run.stderr == ("error: No module named 'numpy'\n" if ignored else "")


def test_a_missing_core_is_named(tmp_path: Path) -> None:
    """A source tree without its compiled core says what to do."""
    package = Path(fr.__file__).parent
    (tmp_path / "fastrelu" / "_cli").mkdir(parents=True)
    for module in ("__init__.py", "_cli/__init__.py", "_cli/guard.py"):
        shutil.copy(package / module, tmp_path / "fastrelu" / module)
    run = subprocess.run(
        [sys.executable, "-m", "fastrelu"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 1
    assert "the compiled core of fastrelu is missing: install it" in one_line(run.stderr)


@posix
@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        ("info", "FASTRELU_ISA", "avx9"),
        ("bench", "FASTRELU_PRECISION", "best"),
        ("verify", "FASTRELU_NUM_THREADS", "²"),
        ("plot", "FASTRELU_NUM_THREADS", "0"),
        ("demo", "FASTRELU_CACHE_BYTES", "-1"),
        ("help", "FASTRELU_CACHE_BYTES", "9" * 5000),
    ],
)
def test_a_wrong_variable_is_named(command: str, variable: str, value: str, tmp_path: Path) -> None:
    """A variable that cannot be followed is an error of one line, by name and value, and status 2."""
    run = run_shell('exec "$0" "$@"', COMMANDS[command], tmp_path, **{variable: value, "PYTHONIOENCODING": "utf-8"})
    assert run.returncode == 2
    assert one_line(run.stderr).startswith(f"error: {variable}")
    assert value in run.stderr


NO_INTEGER = ["-1", "", " 1", "1.0", "2e12", "1_0", "²", "\uff11", "nan", "9" * 19, "9" * 5000]
NO_REAL = ["-1", "0", "", "nan", "inf", "-inf", "1e308", "9" * 5000, "wide", "\uff11"]


@pytest.mark.parametrize(
    ("option", "values"),
    [
        *((f"bench {option}", ["0", *NO_INTEGER]) for option in ("--size", "--rounds", "--threads")),
        *((f"demo {option}", ["0", *NO_INTEGER]) for option in ("--epochs", "--threads")),
        ("verify --jobs", ["0", *NO_INTEGER]),
        ("demo --seed", NO_INTEGER),
        ("demo --rate", NO_REAL),
        ("plot --span", NO_REAL),
    ],
)
def test_a_nonsense_number_is_refused(option: str, values: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is no number of the right kind is refused in one line that names the option."""
    for value in values:
        with pytest.raises(SystemExit, match="2"):
            main([*option.split(), value])
        line = one_line(capsys.readouterr().err)
        assert option.split()[1] in line
        assert len(line) < 200


@pytest.mark.parametrize("limited", [True, False])
def test_too_little_memory_is_an_error(
    limited: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """More elements than the memory holds are refused before it is used up, by us or by the system."""
    if not limited:
        monkeypatch.setattr(bench, "usable_memory", lambda: sys.maxsize)
    assert main(["bench", "--ops", "relu", "--size", str(10**15)]) == 1
    assert one_line(capsys.readouterr().err).startswith("error: not enough memory: ")


@posix
@pytest.mark.parametrize("name", ["plot", "demo"])
def test_a_picture_that_cannot_be_written(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory, a name that is too long and a file for a directory are bad arguments; a full disk is an error."""
    for package in ("matplotlib", "sklearn"):
        pytest.importorskip(package, reason="an extra is not installed")
    (tmp_path / "is.png").mkdir()
    (tmp_path / "file").touch()
    for target in ("is.png", "n" * 300 + ".png", "file/x.png", "nowhere/x.png"):
        with pytest.raises(SystemExit, match="2"):
            main([*COMMANDS[name], "-o", str(tmp_path / target)])
        assert repr(str(tmp_path / target).removesuffix("/x.png"))[1:-1] in one_line(capsys.readouterr().err)
    if Path("/dev/full").exists():
        (tmp_path / "full.png").symlink_to("/dev/full")
        assert main([*COMMANDS[name], "-o", str(tmp_path / "full.png")]) == 1
        line = one_line(capsys.readouterr().err)
        assert "No space left on device" in line
        assert str(tmp_path / "full.png") in line


@posix
def test_a_directory_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A place that may not be written to is refused before the training."""
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write anywhere
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "-o", str(tmp_path / "x.png")])
    assert "cannot be written" in one_line(capsys.readouterr().err)


def test_a_picture_survives_one_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A picture is overwritten only by one that is complete."""
    figures = pytest.importorskip("matplotlib.figure", reason="the extra plot is not installed")

    def fails(_: object, target: Any, **__: object) -> None:
        target.write(b"half")
        raise MemoryError

    monkeypatch.setattr(figures.Figure, "savefig", fails)
    (tmp_path / "x.svg").write_text("whole")
    assert main(["plot", "relu", "-o", str(tmp_path / "x.svg")]) == 1
    assert one_line(capsys.readouterr().err) == "error: not enough memory: MemoryError"
    assert (tmp_path / "x.svg").read_text() == "whole"


@posix
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """A file's name that the terminal's encoding lacks is written and shown escaped."""
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    run = run_shell('exec "$0" "$@"', ["plot", "relu", "-o", "\udcff.png"], tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert one_line(run.stdout) == "wrote \\udcff.png"


@pytest.mark.usefixtures("digits")
def test_steps_that_are_too_long_warn_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A network that diverges is a result: one line, no warnings."""
    assert main(["demo", "--epochs", "1", "--rate", "1e100"]) == 1
    assert "accuracy is not above" in one_line(capsys.readouterr().err)


def test_the_largest_span_is_drawn() -> None:
    """Up to the limit no value overflows."""
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    diagnostics.plot(span=LARGEST)


def test_an_error_of_the_program_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """An error inside the program is one line too, which says how to see the traceback."""
    assert guard.report(ZeroDivisionError("division by zero")) == 1
    line = one_line(capsys.readouterr().err)
    assert line == "error: ZeroDivisionError: division by zero (python -X dev -m fastrelu shows where)"


# --- The command explain, and the console script ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["gelu"], {"door": "fast path", "dtype": "float32", "output": "new, will be recycled"}),
        (["gelu", "--set", "approximate=tanh", "--shape", "5"], {"kernel": "gelu_tanh", "output": "new"}),
        (["relu_backward", "--layout", "sliced", "--out"], {"door": "N-d driver", "output": "given"}),
        (["relu_", "--dtype", "float64", "--layout", "F"], {"door": "fast path", "dtype": "float64"}),
        (["threshold", "--threads", "1", "--precision", "accurate"], {"threads": "1", "precision": "accurate"}),
        (["softmax", "--layout", "sliced"], {"kernel": "softmax", "door": "N-d driver"}),
        (["swiglu_backward", "--shape", "4,6"], {"kernel": "silu_backward"}),
        (["softmax", "--shape", "40,30,", "--set", "axis=0", "scale=2"], {"kernel": "softmax", "output": "new"}),
        (["crelu", "--shape", "4,6", "--set", "axis=-2"], {"kernel": "relu"}),
        (["bounded_relu", "--set", "max_value=None"], {"kernel": "bounded_relu"}),
        (["rrelu", "--set", "training=True"], {"kernel": "leaky_relu"}),
    ],
)
def test_explain_describes_a_call(
    options: list[str], wanted: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Function, shape, type, layout, `out` and parameters come from the options."""
    fr.clear_cache()
    assert main(["explain", *options]) == 0
    shown = dict(re.split(r"  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines() if "  " in line)
    assert {key: shown[key] for key in wanted} == wanted


def test_explain_takes_every_function_that_can_be_explained() -> None:
    """The command knows what the function knows."""
    x = np.ones((2, 4), np.float32)
    found = set()
    for name, count in itertools.product(dir(fr), (1, 2, 3)):
        with contextlib.suppress(TypeError, ValueError):  # takes other arguments, or cannot be explained
            fr.explain(getattr(fr, name), *[x] * count)
            found.add(name)
    assert {"softmax", "log_softmax_", "swiglu", "gelu"} <= found <= {*names()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["Softma"], "no function to explain named 'Softma'; did you mean softmax?"),
        (["relu", "--shape", "3,x"], "must be sizes such as 1000,1000, got '3,x'"),
        (["relu", "--shape", "3,,4"], "must be sizes such as 1000,1000, got '3,,4'"),
        (["softmax", "--set", "keepdims=True"], "softmax() got an unexpected keyword argument 'keepdims'"),
        (["softmax", "--set", "axis=5"], "axis 5 is out of bounds"),
        (["relu", "--dtype", "float99"], "must be a NumPy type such as float32, got 'float99'"),
        (["relu", "--layout", "diagonal"], "invalid choice: 'diagonal'"),
        (["elu", "--set", "alpha"], "must be a parameter and its value such as alpha=0.5, got 'alpha'"),
        (["elu", "--set", "alpha=inf"], "elu requires finite alpha, got alpha=inf"),
        (["elu", "--set", "beta=1"], "unexpected keyword argument 'beta'"),
    ],
)
def test_explain_refuses_in_one_line(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that the function does not take are an error of one line and status 2."""
    with pytest.raises(SystemExit, match="2"):
        sys.exit(main(["explain", *options]))
    assert message in one_line(capsys.readouterr().err)


def test_the_console_script(tmp_path: Path) -> None:
    """`fastrelu` is the command line; it has the same rules as `python -m fastrelu`, while it is imported, too."""
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="fastrelu")
    assert script.value == "fastrelu.__main__:run"
    file = tmp_path / "fastrelu"
    file.write_text("from fastrelu.__main__ import run\nrun()\n")
    for variables, status, said in (({}, 0, ""), ({"FASTRELU_ISA": "avx9"}, 2, "error: FASTRELU_ISA='avx9'")):
        run = subprocess.run(
            [sys.executable, str(file)],
            env={**os.environ, "PYTHONSAFEPATH": "1", **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert run.returncode == status, run.stderr
        assert run.stderr.startswith(said)
        assert run.stderr.count("\n") == bool(said)


def test_the_comparison_says_what_is_chance() -> None:
    """The picture has a title, a number at each dot and the width of the sampling error."""
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    outcomes = [demo.Outcome(name, (1.0, 0.1), share, 0.0, 1.0, 400) for name, share in (("relu", 0.96), ("elu", 0.9))]
    assert outcomes[1].standard_error == pytest.approx(0.015)
    figure = demo_picture.draw(outcomes)
    accuracy = figure.axes[-2]
    assert "handwritten digits, 2 epochs" in figure.get_suptitle()
    assert [text.get_text() for text in accuracy.texts] == ["96.0", "90.0"]
    assert "400 test images" in accuracy.get_xlabel()
