"""Build the source distribution and a wheel from it into dist/, and check the files in each.

The wheel takes what build/ holds already, as pip does: only sources that are newer are compiled.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {".pyx", ".pxd", ".h", ".def", ".c", ".py", ".pyi"}
NOT_IN_WHEEL = {".pyx", ".pxd", ".h", ".def", ".c"}


def make(kind: str, source: Path) -> None:
    """Build a distribution of one kind into dist/."""
    # The list of files does not depend on the instruction sets.
    environment = {"FASTRELU_BUILD_ISA": "base"} | os.environ
    command = [sys.executable, "-m", "build", kind, "--outdir", str(ROOT / "dist"), str(source)]
    subprocess.run(command, check=True, capture_output=True, env=environment)


def lend(source: Path) -> None:
    """Copy what is built already, and the C that Cython made, to unpacked sources."""
    for folder in [*ROOT.glob("build/lib.*"), *ROOT.glob("build/temp.*")]:
        shutil.copytree(folder, source / "build" / folder.name)
    for made in {path.with_suffix(".c") for path in source.glob("src/**/*.py*")}:
        if (ours := ROOT / made.relative_to(source)).exists():
            shutil.copy2(ours, made)


def main() -> int:
    """Return 1, and print why, if a file is missing or does not belong."""
    complaints = []
    folder = ROOT / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    make("--sdist", ROOT)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
        packed = {name.split("/", 1)[-1] for name in sdist.getnames()}
        with tempfile.TemporaryDirectory() as unpacked:
            sdist.extractall(unpacked, filter="data")
            source = next(Path(unpacked).iterdir())
            lend(source)
            make("--wheel", source)
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, check=True, capture_output=True, text=True)
    tracked = listed.stdout.split()
    wanted = {name for name in tracked if Path(name).suffix in SOURCES}
    complaints += [f"the source distribution lacks {name}" for name in sorted(wanted - packed)]
    complaints += [
        f"the source distribution holds {name}"
        for name in packed
        if name.endswith((".so", ".o")) or (name.startswith("src/") and name.endswith(".c") and name not in tracked)
    ]
    wheel_file = next(folder.glob("*.whl"))
    for command in (["twine", "check", "--strict", *folder.iterdir()], ["check_wheel_contents", wheel_file]):
        checked = subprocess.run(
            [sys.executable, "-m", *map(str, command)], check=False, capture_output=True, text=True
        )
        complaints += [checked.stdout + checked.stderr] if checked.returncode else []
    with zipfile.ZipFile(wheel_file) as wheel:
        names = wheel.namelist()
    complaints += [f"the wheel holds {name}" for name in names if Path(name).suffix in NOT_IN_WHEEL]
    wanted = {name.removeprefix("src/") for name in tracked if Path(name).suffix not in NOT_IN_WHEEL}
    wanted |= {f"{name}i" for name in wanted if name.startswith("fastrelu/activations/") and "__" not in name}
    complaints += [f"the wheel lacks {name}" for name in sorted(wanted - set(names))]
    print(f"{len(packed)} files in the source distribution, {len(names)} in the wheel")
    print("".join(f"{text}\n" for text in complaints), end="")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
