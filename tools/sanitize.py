"""Run a build with sanitizers: the fuzzer, or with ``--threads`` the soak, and tests if any are named.

``python tools/sanitize.py --calls 50000 tests/test_safety.py``: copies the sources to a temporary directory, builds them
there with GCC's or Clang's ``-fsanitize=address,undefined``, and runs ``tools/fuzz.py`` and pytest on that build; the
installed package is not changed. Any report of a sanitizer ends the run, with the number of the call. If the compiler
has no sanitizers, the script prints that and ends without an error.

``python tools/sanitize.py --threads --calls 1000 tests/test_recycle.py``: with GCC's ThreadSanitizer, and ``tools/soak.py``,
four Python threads that call all engines at once, instead of the fuzzer. The team has atomics and locks of its own, which
the sanitizer sees; of OpenMP it uses no more than the threads, so that GCC's OpenMP need not be instrumented.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILER = os.environ.get("CC") or (sysconfig.get_config_var("CC") or "cc").split()[0]
ADDRESS = "-fsanitize=address,undefined"
THREAD = "-fsanitize=thread"
FLAGS = "-fno-sanitize-recover=undefined -fno-omit-frame-pointer"
# ThreadSanitizer's own memory is more than these tests allow.
BEYOND = "not out_of_memory and not page_faults and not address_space"
# Replaces flags of setup.py, which come last. Optimizing instrumented code takes minutes, and hides some accesses.
INSTEAD = {"-O3": "-O0", "-O2": "-O0", "-g0": "-g1"}


def libraries(sanitize: str) -> list[str]:
    """Return the libraries to load before Python for the compiler's sanitizers; nothing if they do not work."""
    found = []
    try:
        for name in ("libtsan.so" if sanitize == THREAD else "libasan.so", "libstdc++.so"):
            command = [COMPILER, f"-print-file-name={name}"]
            path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            found += [path] if Path(path).is_absolute() else []
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text("int main(void) { return 0; }\n")
            command = [COMPILER, *sanitize.split(), str(source), "-o", str(Path(folder, "probe"))]
            subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return found if found and "san.so" in found[0] else []


def build(folder: Path, isa: str, sanitize: str) -> Path:
    """Build the package with sanitizers in a folder and return the directory to import it from."""
    source, target = folder / "source", folder / "site"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "tools").mkdir(parents=True)
    shutil.copy2(ROOT / "tools" / "stubs.py", source / "tools")  # the build runs it
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__"))
    text = (ROOT / "setup.py").read_text()
    for flag, other in INSTEAD.items():
        text = text.replace(f'"{flag}"', f'"{other}"')
    (source / "setup.py").write_text(text)
    shutil.copystat(ROOT / "setup.py", source / "setup.py")  # what Cython has translated is not older
    # Part of the compiler's name: the program that looks for OpenMP is linked without LDFLAGS.
    environment = {**os.environ, "CC": f"{COMPILER} {sanitize} {FLAGS}", "FASTRELU_BUILD_ISA": isa}
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(source)]
    subprocess.run(command, check=True, env=environment)
    return target


def main() -> int:
    """Read the options, build and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", action="store_true", help="look for races, with ThreadSanitizer")
    parser.add_argument("--calls", type=int, default=2000, help="number of calls (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--isa", default="v3", help="instruction sets to build (default: v3), separated by commas")
    parser.add_argument("--report", type=Path, metavar="FILE", help="passed to the fuzzer")
    parser.add_argument("tests", nargs="*", help="tests to run as well, as arguments of pytest")
    options = parser.parse_args()
    sanitize = THREAD if options.threads else ADDRESS
    preload = libraries(sanitize)
    if not preload:
        print(f"skipped: this compiler has no {sanitize.split()[0]}")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder, trace, start = Path(name), Path(name, "number"), time.monotonic()
        quiet = folder / "quiet"
        # The loader frees what a thread that has ended had to itself; the end of a region is a barrier of GCC's OpenMP,
        # which is not instrumented.
        quiet.write_text("race:_dl_deallocate_tls\nrace:_runtime__region\n")
        site = build(folder, options.isa, sanitize)
        print(f"built with {sanitize} in {time.monotonic() - start:.0f} s", flush=True)
        environment = {
            **os.environ,
            "LD_PRELOAD": ":".join(preload),
            "PYTHONPATH": str(site),
            "PYTHONMALLOC": "malloc",  # Python's own allocator would hide what happens inside its pools
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            # A forked child works alone, but starts threads of Python; the interpreter leaves threads behind at its end.
            "TSAN_OPTIONS": f"die_after_fork=0:report_thread_leaks=0:halt_on_error=1:suppressions={quiet}",
            "OPENBLAS_NUM_THREADS": "1",  # its threads are not instrumented
        }
        where = (
            "import fastrelu, sys; from fastrelu import _runtime; "
            f"sys.exit(not (fastrelu.__file__.startswith(sys.argv[1]) and (_runtime.openmp or not {options.threads})))"
        )
        subprocess.run([sys.executable, "-c", where, str(site)], check=True, env=environment)
        command = [sys.executable, str(ROOT / "tools" / f"{'soak' if options.threads else 'fuzz'}.py")]
        command += ["--operations" if options.threads else "--calls", str(options.calls), "--seed", str(options.seed)]
        command += ["--team", "--growth", "4096"] if options.threads else ["--trace", str(trace)]
        command += ["--report", str(options.report)] if options.report else []  # the soak refuses it
        status = subprocess.run(command, check=False, env=environment).returncode
        if status and trace.exists():
            print(f"call {trace.read_text().strip()} was the last")
        if options.tests:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options.tests]
            command += ["-k", BEYOND] if options.threads else []
            status |= subprocess.run(command, check=False, env=environment, cwd=ROOT).returncode
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
