"""The command line: ``python -m fastrelu`` and its commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrelu as fr
from fastrelu import _bench, _demo, _demo_picture, _reference, diagnostics, nn
from fastrelu.__main__ import main
from fastrelu._catalogue import elementwise_names, required_arguments

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
        (["bench", "--ops", "rel"], "no activation named 'rel'; did you mean relu?"),
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
    assert len(table) == len(_reference.references())
    assert all(line.endswith("yes") for line in table)


def test_bench_takes_activations_and_functions(capsys: pytest.CaptureFixture[str]) -> None:
    """`--ops` takes activations, in all their directions, and single functions."""
    assert main(["bench", "--size", "10", "--rounds", "1", "--ops", "relu", "hard_tanh_backward"]) == 0
    table = capsys.readouterr().out.partition("equal\n")[2].splitlines()
    assert [line.split()[0] for line in table] == ["relu", "relu", "relu", "hard_tanh"]


def test_bench_marks_another_answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer other than NumPy's is marked and makes the status 1."""
    monkeypatch.setattr(_bench, "agrees", lambda *_: False)
    assert main(["bench", "--size", "10", "--rounds", "1", "--ops", "relu_backward"]) == 1
    shown = capsys.readouterr()
    assert shown.out.rstrip().endswith("NO")
    assert "other answers than NumPy: relu (backward)" in shown.err


def test_every_activation_has_an_expression() -> None:
    """Every element-wise activation says in its docstring what it replaces."""
    # rrelu draws its slopes: no expression gives the same.
    found = {reference.activation for reference in _reference.references()}
    assert set(elementwise_names()) - found <= {"rrelu"}


@pytest.mark.parametrize("reference", _reference.references(), ids=lambda reference: reference.name)
def test_expressions_agree_with_and_without_a_buffer(reference: _reference.Reference) -> None:
    """Ours, the expression, and the expression writing into a buffer give the same answer."""
    if reference.needs_scipy:
        pytest.importorskip("scipy", reason="the expression is SciPy's")
    names = reference.variables(1000, "float64")
    ours = _reference.evaluate(reference.call(out=False), names)
    assert _reference.evaluate(reference.call(out=True), names) is names["out"]
    np.testing.assert_array_equal(names["out"], ours)
    assert _reference.agrees(ours, _reference.evaluate(reference.expression, names))
    if reference.expression_into:
        assert _reference.evaluate(reference.expression_into, names) is names["out"]
        assert _reference.agrees(ours, names["out"])


def test_agreement_is_refused_for_values_types_and_shapes() -> None:
    """The check of answers can fail."""
    x = np.ones(4)
    assert _reference.agrees(x, x)
    assert not _reference.agrees(x, x + 1e-6)
    assert not _reference.agrees(x, x.astype(np.float32))
    assert not _reference.agrees(x, np.ones(1))


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
    assert titles == (names or elementwise_names())
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


@pytest.mark.parametrize("span", [0, -1, np.inf, np.nan])
def test_plot_refuses_a_span(span: float) -> None:
    """A span that is no length is refused by value."""
    with pytest.raises(ValueError, match=f"span must be a positive number, got {span}"):
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


@pytest.fixture
def digits() -> Any:
    """Skip unless the demo can run."""
    for package in ("sklearn", "tqdm"):
        pytest.importorskip(package, reason="the extra demo is not installed")


@pytest.mark.usefixtures("digits")
@pytest.mark.parametrize("name", elementwise_names())
def test_the_demo_learns_with_every_activation(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Training reaches more than 95 % on the test images."""
    assert main(["demo", "--activation", name, "--threads", "1"]) == 0
    shown = capsys.readouterr()
    accuracy = float(shown.out.partition("test accuracy")[2].partition("%")[0])
    assert accuracy > 95
    assert not shown.err  # no bar where nobody watches


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
    draw = _demo_picture.draw

    def keep(outcomes: list[_demo.Outcome]) -> Any:
        figures.append(draw(outcomes))
        return figures[0]

    monkeypatch.setattr(_demo_picture, "draw", keep)
    monkeypatch.setattr(_demo, "BATCH", 1437)  # one step
    assert main(["demo", "--all", "--epochs", "1", "-o", str(tmp_path / "all.png")]) == 1
    rows = capsys.readouterr().out.partition("seconds\n")[2].splitlines()[:-1]
    assert [row.split()[0] for row in rows] == elementwise_names()
    *panels, accuracy, dead = figures[0].get_axes()
    assert {panel.get_title() for panel in panels if panel.get_visible()} == set(elementwise_names())
    assert {label.get_text() for label in accuracy.get_yticklabels()} == set(elementwise_names())
    assert len(dead.patches) == len(elementwise_names())


@pytest.mark.parametrize(("x", "dead"), [([[-1.0, 1.0], [-2.0, -1.0]], 0.5), ([[1.0, 2.0], [3.0, 1.0]], 0.0)])
def test_dead_units_have_no_gradient(x: list[list[float]], dead: float) -> None:
    """A unit is dead if its derivative is 0 for every row."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    model[0].weight.assign(np.eye(2, dtype=np.float32))
    model[0].bias.assign(np.zeros(2, np.float32))
    assert _demo.dead_share(model, np.array(x, np.float32)) == dead


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


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_examples_run(script: Path) -> None:
    """Every example runs; each checks its own result."""
    # Arrays this small gain nothing from a second thread, and lose much when other tests hold the processors.
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "FASTRELU_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=120, env=one_thread
    )
    assert run.stdout
