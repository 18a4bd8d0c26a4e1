"""The names of cases.py, grid.py, inputs.py, compare.py and programs.py in one place, and the axes as decorators."""

import grid
import pytest
from cases import CASES, FORWARD_CASES, SOME_CASES, Case
from compare import assert_same_bits, bits
from grid import LAYOUTS, OUT_LAYOUTS, PRECISIONS
from inputs import values
from programs import run_python
from specs import Array

__all__ = [
    "CASES",
    "DTYPES",
    "FORWARD_CASES",
    "LAYOUTS",
    "OUT_LAYOUTS",
    "PRECISIONS",
    "SOME_CASES",
    "Array",
    "Case",
    "assert_same_bits",
    "bits",
    "run_python",
    "values",
]

DTYPES = tuple(map(str, grid.DTYPES))
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
