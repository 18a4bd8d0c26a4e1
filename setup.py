"""C sources, and compiler flags per instruction set; metadata is in pyproject.toml."""

import os
import platform
import runpy
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import Cython
import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, LinkError
from setuptools.modified import newer_group

PACKAGE = Path("src/fastrelu")
KERNELS = PACKAGE / "kernels"
# C sources by the module that contains them. What exists once per process, the tables of kernels (isa_*.c), the pool and
# the team, is in _runtime; the others reach it through _runtime.pxd.
RUNTIME = "fastrelu._runtime"
C_SOURCES = {
    RUNTIME: [KERNELS / "cpu.c", PACKAGE / "pool.c", PACKAGE / "team.c"],
    "fastrelu._kernels": [KERNELS / "ops.c", KERNELS / "drive.c"],
}
# C beside Cython's own, with the flags of the module.
BESIDE = {"fastrelu._row_kernels": [KERNELS / "rows_drive.c"]}
# The wrappers are plain Python; compiling them makes the smallest calls 25 % faster.
WRAPPERS = [*sorted((PACKAGE / "activations").glob("[a-z]*.py")), PACKAGE / "along_axis.py"]
X86 = platform.machine().lower() in {"x86_64", "amd64"}

# Same results on every machine: no contraction, no reassociation. The vectorizer needs -fno-trapping-math and
# -fno-math-errno for selects and square roots; jump threading would compute both arms of a select (up to 2x).
# A short loop that starts in the middle of a cache line costs up to 10 % more; an array that is written in halves and
# read whole stalls, because the store is not forwarded to the load.
UNIX = ["-O3", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fno-thread-jumps",
        "-fno-lto", "-g0", "-falign-loops=64", "-mmove-max=256", "-mstore-max=256"]  # fmt: skip  # not one a line
MSVC = ["/O2", "/fp:precise", "/std:c11"]

# One object file per isa_<name>.c; the first is the minimum for the library.
ISA = {
    "base": {"unix": ["-march=x86-64-v2"] if X86 else [], "msvc": []},
    "v3": {"unix": ["-march=x86-64-v3"], "msvc": ["/arch:AVX2"]},
    "v4": {"unix": ["-march=x86-64-v4", "-mprefer-vector-width=512"], "msvc": ["/arch:AVX512"]},
}
# Where a compiler accepts them. GCC takes a load for free, and loads an element once for each use, unless it compiles for
# Intel's processors: a call takes up to 1.4 times as long where vectors cross lines of the cache.
TUNED = {
    "v3": ["-mtune=skylake"],
    "v4": ["-mtune=skylake-avx512", "-mmove-max=512", "-mstore-max=512"],  # the latter instead of those above
}
OPENMP = {
    "msvc": (["/openmp"], []),
    "darwin": (["-Xpreprocessor", "-fopenmp"], ["-lomp"]),
    "unix": (["-fopenmp"], ["-fopenmp"]),
}
OPENMP_PROGRAM = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"


def c_files():
    """Return the files whose change makes all C be compiled again."""
    return ["setup.py", *map(str, sorted({*KERNELS.iterdir(), *PACKAGE.glob("*.h"), *C_SOURCES[RUNTIME]}))]


class BuildExt(build_ext):
    """Compiles the kernels once per instruction set and links them all into one extension module."""

    def finalize_options(self):
        """Build one module per processor in parallel, unless the user sets another number."""
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count()

    def works(self, flags, program="int main(void) { return 0; }\n", link=None):
        """Whether the compiler accepts the flags (and the linker accepts `link`, if given)."""
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, "probe.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], output_dir=directory, extra_postargs=flags)
                if link is not None:
                    self.compiler.link_executable(objects, str(Path(directory, "probe")), extra_postargs=link)
            except (CompileError, LinkError):
                return False
        return True

    def keep(self, flags, strict):
        """Return the flags that this compiler accepts, and print the others."""
        kept = [flag for flag in flags if self.works([*strict, flag])]
        for flag in set(flags) - set(kept):
            print(f"fastrelu: the compiler does not accept {flag}, building without it")
        return kept

    def build_extension(self, ext):
        """Compile a module, and before it the C sources that it contains."""
        msvc = self.compiler.compiler_type == "msvc"
        system = "msvc" if msvc else "darwin" if platform.system() == "Darwin" else "unix"
        compile_openmp, link_openmp = OPENMP[system]
        if os.environ.get("FASTRELU_BUILD_OPENMP", "1") == "0":
            compile_openmp, link_openmp = [], []
        elif not self.works(compile_openmp, OPENMP_PROGRAM, link_openmp):
            print("fastrelu: no working OpenMP here, building without threads")
            compile_openmp, link_openmp = [], []

        built = self.get_ext_fullpath(ext.name)
        if not self.force and not newer_group(ext.sources + ext.depends, built, "newer"):
            return
        own = (ext.extra_objects, ext.extra_compile_args, ext.extra_link_args)
        if ext.name in C_SOURCES:
            ext.extra_objects = own[0] + self.compile_c(ext.name, "msvc" if msvc else "unix", compile_openmp)
        ext.extra_compile_args = own[1] + compile_openmp + (["/O2"] if msvc else ["-O2", "-g0", "-fno-lto"])
        ext.extra_link_args = own[2] + link_openmp
        try:
            super().build_extension(ext)
        finally:
            ext.extra_objects, ext.extra_compile_args, ext.extra_link_args = own

    def compile_c(self, module, kind, compile_openmp):
        """Compile the C sources of a module, those of each instruction set with its flags, and return the objects."""
        strict = [] if kind == "msvc" else ["-Werror"]  # so that a flag that is only ignored counts as not accepted
        common = self.keep(MSVC if kind == "msvc" else UNIX, strict)
        common += os.environ.get("FASTRELU_BUILD_FLAGS", "").split()
        jobs = [(source, common + compile_openmp) for source in C_SOURCES[module]]
        macros = []
        if module == RUNTIME:
            wanted = os.environ.get("FASTRELU_BUILD_ISA", ",".join(ISA) if X86 else "base").split(",")
            for name, flags in ISA.items():
                zig = [flag.replace("x86-64-", "x86_64_") for flag in flags[kind]]  # Zig's spelling of the same
                found = next((tried for tried in (flags[kind], zig) if self.works(strict + tried)), None)
                if name == "base" or (name in wanted and found is not None):
                    tuned = self.keep(TUNED.get(name, []), strict) if kind == "unix" else []
                    jobs.append((KERNELS / f"isa_{name}.c", common + (found or []) + tuned))
                    macros.append((f"FR_HAVE_{name.upper()}", "1"))
                elif X86:
                    print(f"fastrelu: building without the {name} kernels")

        def compile_one(job):
            source, flags = job
            objects = self.compiler.object_filenames([str(source)], output_dir=self.build_temp)
            command = repr((getattr(self.compiler, "compiler_so", None), macros, flags))
            made_by = Path(f"{objects[0]}.txt")
            # The kernels take most of the time of a build, and pip builds anew whenever an extra is installed.
            fresh = made_by.exists() and made_by.read_text() == command and not newer_group(c_files(), objects[0])
            if self.force or not fresh:
                self.compiler.compile([str(source)], self.build_temp, macros, [str(KERNELS)], extra_postargs=flags)
                made_by.write_text(command)
            return objects

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [obj for objects in pool.map(compile_one, jobs) for obj in objects]


class BuildPy(build_py):
    """Adds what type checkers read of the wrappers; in a checkout they read the sources."""

    def run(self):
        """Copy the modules, then write the stubs beside them."""
        super().run()
        if not self.editable_mode:
            stub = runpy.run_path("tools/stubs.py")["stub"]
            for source in WRAPPERS:
                target = Path(self.build_lib, source.relative_to("src")).with_suffix(".pyi")
                target.write_text(stub(source.read_text(encoding="utf-8")), encoding="utf-8")


DIRECTIVES = {"language_level": "3", "freethreading_compatible": True}
FAST_AND_UNCHECKED = {"boundscheck": False, "wraparound": False, "cdivision": True, "initializedcheck": False}
# Keep the meaning of Python: type hints are for the reader, docstrings are tested in the source.
AS_PYTHON = {"annotation_typing": False, "autotestdict": False}


def is_translated(source):
    """Whether a module's C is of this Cython, and newer than all that it is made of here.

    Cython would look at its own files and NumPy's too, which are new whenever pip makes an environment to build in.
    """
    c = source.with_suffix(".c")
    if not c.exists():
        return False
    with c.open(encoding="utf-8") as file:
        made_by = file.readline()
    here = ["setup.py", *map(str, [source, *PACKAGE.glob("*.pxd")])]
    return made_by == f"/* Generated by Cython {Cython.__version__} */\n" and not newer_group(here, str(c))


def extension(source, **options):
    """Return the extension module of a source below src/, to be translated if need be."""
    name = ".".join(source.relative_to("src").with_suffix("").parts)
    translated = source.with_suffix(".c") if is_translated(source) else source
    return Extension(name, [str(translated), *map(str, BESIDE.get(name, ()))], **options)


def modules():
    """Return all extension modules, translated to C."""
    core = [
        extension(
            source,
            include_dirs=[np.get_include(), str(PACKAGE)],
            define_macros=[
                ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
                ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
            ],
            depends=c_files(),
        )
        for source in sorted(PACKAGE.glob("_*.pyx"))
    ]
    wrappers = [extension(source) for source in WRAPPERS]
    return [
        # include_path: where `cimport fastrelu._runtime` looks
        *cythonize(core, include_path=["src"], compiler_directives=DIRECTIVES | FAST_AND_UNCHECKED),
        *cythonize(wrappers, compiler_directives=DIRECTIVES | AS_PYTHON),
    ]


if __name__ == "__main__":  # tools read the flags above
    setup(cmdclass={"build_ext": BuildExt, "build_py": BuildPy}, ext_modules=modules())
