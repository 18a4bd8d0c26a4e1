"""Compare the kernels' bits between compilers and instruction sets, AArch64 under qemu-aarch64 included.

    python tools/cross_check.py [--stride N]

Expected: everything equal with fused multiply-add; on base, "accurate" float32. Needs GCC, the package ziglang and
qemu-user; what is missing is named and left out.
"""

import argparse
import importlib.util
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "src" / "fastrelu" / "kernels"
SETUP = runpy.run_path(str(ROOT / "setup.py"), run_name="flags")
CLANG = [sys.executable, "-m", "ziglang", "cc"]
FLAGS = [flag for flag in SETUP["UNIX"] if flag != "-fno-thread-jumps"]


def builds() -> dict[str, tuple[list[str], list[str], str]]:
    """Return the compiler, the emulator and the kernel file of every build that can run here."""
    found: dict[str, tuple[list[str], list[str], str]] = {}
    for isa, flags in SETUP["ISA"].items():
        if isa != "v4" or "avx512vl" in Path("/proc/cpuinfo").read_text():
            found[f"gcc {isa}"] = (["cc", *SETUP["UNIX"], *flags["unix"]], [], isa)
    if importlib.util.find_spec("ziglang") is None:
        print("left out: Clang (pip install ziglang)")
        return found
    found["clang v3"] = ([*CLANG, *FLAGS, "-target", "x86_64-linux-musl", "-mcpu=x86_64_v3"], [], "v3")
    if shutil.which("qemu-aarch64"):
        found["clang neon"] = ([*CLANG, *FLAGS, "-target", "aarch64-linux-musl"], ["qemu-aarch64"], "base")
    else:
        print("left out: AArch64 (qemu-user)")
    return found


def hashes(name: str, build: tuple[list[str], list[str], str], folder: str, stride: int) -> dict[str, str]:
    """Return the hash of every kernel of one build."""
    compiler, emulator, isa = build
    program = str(Path(folder, name.replace(" ", "_")))
    sources = [str(KERNELS / f"isa_{isa}.c"), str(KERNELS / "ops.c"), str(ROOT / "tools" / "hash_kernels.c")]
    command = [*compiler, "-w", "-static", f"-DFR_ISA={isa}", f"-I{KERNELS}", *sources, "-o", program, "-lm"]
    subprocess.run(command, check=True)
    lines = subprocess.run([*emulator, program, str(stride)], check=True, capture_output=True, text=True).stdout
    return dict(line.split(": ") for line in lines.splitlines())


def main() -> int:
    """Return 1, and name the kernels, where two builds that must agree do not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stride", type=int, default=4099, help="distance of the float bit patterns (default: 4099)")
    stride = parser.parse_args().stride
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        results = {name: hashes(name, build, folder, stride) for name, build in builds().items()}
    reference = results["gcc v3"]
    for name, result in results.items():
        must = [key for key in reference if "base" not in name or key.endswith("float32 accurate")]
        different = [key for key in must if result[key] != reference[key]]
        wrong += len(different)
        print(f"{name}: {len(must) - len(different)} of {len(must)} kernels give the bits of gcc v3")
        print("".join(f"  not {key}\n" for key in different), end="")
        if "base" in name:
            same = sum(result[key] == reference[key] for key in reference if key not in must)
            print(f"  and {same} of the {len(reference) - len(must)} others")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
