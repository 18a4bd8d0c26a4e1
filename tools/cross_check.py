"""Compare the kernels' bits between compilers and instruction sets, AArch64 under qemu-aarch64 included.

    python tools/cross_check.py [--stride N] [--emulate-v4 VMLINUZ]

Expected: all bits equal with fused multiply-add; on base, those of "accurate" float32. Needs GCC, the package ziglang
and qemu-user; a missing one is named and skipped. --emulate-v4 runs v4 in Bochs (see emulate_v4.py), and v3 as well:
Bochs itself has some bits wrong: a v4 kernel must agree with v3 on the processor or with v3 in Bochs. At stride 16411
that is 2 times 15 to 25 minutes; stride 0 takes the kernels over rows alone, 2 times 10 minutes.
"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check_kernels import KERNELS, ROOT, SETUP, accepted

GCC = {isa: ["cc", *SETUP["UNIX"], *flags["unix"], *SETUP["TUNED"].get(isa, [])] for isa, flags in SETUP["ISA"].items()}
CLANG = [sys.executable, "-m", "ziglang", "cc"]


def builds(vmlinuz: Path | None, folder: Path) -> dict[str, tuple[list[str], list[str], str]]:
    """Return the compiler, the emulator and the kernel file of every build that can run here."""
    found: dict[str, tuple[list[str], list[str], str]] = {}
    for isa, compiler in GCC.items():
        if isa != "v4" or "avx512vl" in Path("/proc/cpuinfo").read_text():
            found[f"gcc {isa}"] = (compiler, [], isa)
    for isa in ("v3", "v4") if vmlinuz else ():
        emulator = [sys.executable, str(ROOT / "tools" / "emulate_v4.py"), str(vmlinuz)]
        found[f"gcc {isa} in Bochs"] = (GCC[isa], emulator, isa)
    if importlib.util.find_spec("ziglang") is None:
        print("skipped: Clang (pip install ziglang)")
        return found
    common = accepted(CLANG, SETUP["UNIX"], folder)
    found["clang v3"] = ([*CLANG, *common, "-target", "x86_64-linux-musl", "-mcpu=x86_64_v3"], [], "v3")
    if shutil.which("qemu-aarch64"):
        found["clang neon"] = ([*CLANG, *common, "-target", "aarch64-linux-musl"], ["qemu-aarch64"], "base")
    else:
        print("skipped: AArch64 (qemu-user)")
    return found


def hashes(name: str, build: tuple[list[str], list[str], str], folder: str, stride: int) -> dict[str, str]:
    """Return the hash of every kernel of one build."""
    compiler, emulator, isa = build
    program = str(Path(folder, name.replace(" ", "_")))
    files = [KERNELS / f"isa_{isa}.c", KERNELS / "ops.c", KERNELS / "rows_drive.c", ROOT / "tools" / "hash_kernels.c"]
    sources = [str(file) for file in files]
    command = [*compiler, "-w", "-static", f"-DFR_ISA={isa}", f"-I{KERNELS}", *sources, "-o", program, "-lm"]
    subprocess.run(command, check=True)
    lines = subprocess.run([*emulator, program, str(stride)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(line.split(": ") for line in lines.splitlines())


def main() -> int:
    """Return 1, and name the kernels, if two builds that must agree do not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stride", type=int, default=4099, help="distance of the float bit patterns (default: 4099)")
    parser.add_argument("--emulate-v4", type=Path, metavar="VMLINUZ", help="a Linux kernel for Bochs")
    options = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        found = builds(options.emulate_v4, Path(folder))
        results = {name: hashes(name, build, folder, options.stride) for name, build in found.items()}
    reference = results["gcc v3"]
    emulated = results.pop("gcc v3 in Bochs", reference)
    for name, result in results.items():
        must = [key for key in reference if "base" not in name or key.endswith("float32 accurate")]
        different = [key for key in must if result[key] != reference[key]]
        if "Bochs" in name:
            own = [key for key in different if result[key] == emulated[key]]
            different = [key for key in different if key not in own]
            print("".join(f"Bochs itself has other bits, v3 too: {key}\n" for key in own), end="")
        wrong += len(different)
        print(f"{name}: {len(must) - len(different)} of {len(must)} kernels give the bits of gcc v3")
        print("".join(f"  not {key}\n" for key in different), end="")
        if "base" in name:
            same = sum(result[key] == reference[key] for key in reference if key not in must)
            print(f"  and {same} of the {len(reference) - len(must)} others")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
