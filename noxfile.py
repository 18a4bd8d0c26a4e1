#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""Tasks of a contributor: ``nox -l`` lists them, ``nox -s tests`` runs one."""

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"


@nox.session
def lint(session: nox.Session) -> None:
    """Check the format, the style and the types of all files."""
    session.install("-e.[demo,plot,bench]", "--group=lint", "--group=test")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("cython-lint", "--max-line-length", "120", "src/fastrelu")
    session.run("python", "tools/check_names.py")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments are handed to pytest."""
    session.install("-e.[test]")
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Time the functions next to NumPy; arguments are handed to pytest."""
    session.install("-e.[bench]")
    session.run("pytest", "benchmarks", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation into build/docs; a warning is an error."""
    session.install("-e.[docs]")
    session.run("sphinx-build", "-nW", "--keep-going", "docs", "build/docs", *session.posargs)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the source distribution and the wheel, and check what they contain."""
    session.install("--group=release")
    session.run("python", "tools/check_dist.py")


if __name__ == "__main__":
    nox.main()
