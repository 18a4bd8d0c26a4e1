"""Build the source distribution and a wheel from it into dist/, and check the files in each."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {".pyx", ".pxd", ".h", ".def", ".c", ".py", ".pyi"}
NOT_IN_WHEEL = {".pyx", ".pxd", ".h", ".def", ".c"}


def main() -> int:
    """Return 1, and print why, if a file is missing or does not belong."""
    complaints = []
    folder = ROOT / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        env={**os.environ, "FASTRELU_BUILD_ISA": "base"},  # the list of files does not depend on it
    )
    with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
        packed = {name.split("/", 1)[-1] for name in sdist.getnames()}
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
