"""Coefficients of "accurate" float64 (kernels/hilo.h and the families): fits them, or checks those in the headers.

    python tools/fit_hilo.py            print freshly fitted coefficients, lowest first
    python tools/fit_hilo.py --check    recompute the errors of the coefficients in the header

A series is interpolated at Chebyshev nodes with 60 digits, which is within one bit of the best polynomial,
and rounded: the first `pairs` coefficients to two doubles, the others to one. Needs mpmath.
"""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mpmath import (
    atanh,
    cos,
    diff,
    erf,
    erfc,
    exp,
    expm1,
    factorial,
    findroot,
    floor,
    log,
    log1p,
    lu_solve,
    matrix,
    mp,
    mpf,
    ncdf,
    npdf,
    pi,
    polyval,
    sqrt,
    tanh,
)

mp.dps = 60
HEADERS = (Path(__file__).resolve().parent.parent / "src/fastrelu/kernels").glob("*.h")


# ---- The functions that the series approximate ----


def exp_tail(r):
    if abs(r) < 1e-8:
        return sum(r**j / factorial(j + 3) for j in range(8))
    return (expm1(r) - r - r * r / 2) / r**3


def atanh_tail(w):
    if w < 1e-10:
        return mpf(1) / 3 + w / 5 + w * w / 7
    return (atanh(sqrt(w)) / sqrt(w) - 1) / w


def gauss(t):
    """Phi(-a) exp(a^2/2) (a + 1) with t = 2 a / (a + 5) - 1."""
    u = (t + 1) / 2
    a = 5 * u / (1 - u)
    return exp(a * a / 2) * erfc(a / sqrt(2)) / 2 * (a + 1)


def gauss_t(a):
    return 2 * mpf(a) / (mpf(a) + 5) - 1


def center(w):
    """(Phi(a) - 1/2) / a with w = a^2."""
    if w < 1e-12:
        return (1 - w / 6) / sqrt(2 * pi)
    return erf(sqrt(w / 2)) / 2 / sqrt(w)


def shrink(w):
    """(x - tanh x) / x^3 with w = x^2."""
    if w < 1e-8:
        return mpf(1) / 3 - 2 * w / 15 + 17 * w * w / 315
    return (sqrt(w) - tanh(sqrt(w))) / sqrt(w) ** 3


def silu_slope(x):
    s = 1 / (1 + exp(-x))
    return s + x * s * (1 - s)


def gelu_slope(x):
    return ncdf(x) + x * npdf(x)


C1 = 2 * sqrt(2 / pi)
C2 = C1 * mpf("0.044715")


def gelu_tanh_slope(x):
    s = 1 / (1 + exp(-(C1 * x + C2 * x**3)))
    return s + x * s * (1 - s) * (C1 + 3 * C2 * x * x)


def mish_slope(x):
    t = tanh(log1p(exp(x)))
    return t + x * (1 - t * t) / (1 + exp(-x))


def around_zero(f, zero):
    """f(zero + d) / d as a function of d."""
    return lambda d: f(zero + d) / d if abs(d) > 1e-20 else diff(f, zero)


# ---- Contents of the header ----


class Series(NamedTuple):
    function: str  # in the header: the terms from `pairs` on
    leading: list  # macros in the header: the coefficients that are pairs
    f: Callable
    low: mpf
    high: mpf
    degree: int
    scale: Callable  # (x, f(x)) -> the number that an error is relative to
    limit: float  # log2 of the largest error after rounding


def relative(x, value):
    return value


ZEROS = {
    "SILU": findroot(silu_slope, -1.278),
    "GELU": findroot(gelu_slope, -0.7518),
    "GELU_TANH": findroot(gelu_tanh_slope, -0.75),
    "MISH": findroot(mish_slope, -1.19),
}
H, D = mpf("0.3467"), mpf("1.01") / 32

SERIES = [
    Series("hl_exp_tail", [], exp_tail, -H, H, 10, lambda r, v: expm1(r) / r**3, -59.2),
    Series("hl_atanh_tail", [], atanh_tail, mpf(0), mpf(1) / 9 + mpf("1e-6"), 10, lambda w, v: 1 / w, -58.6),
    Series(
        "hl_gauss_tail",
        ["HL_GAUSS_0", "HL_GAUSS_1", "HL_GAUSS_2"],
        gauss,
        gauss_t("0.98"),
        gauss_t(56),
        23,
        relative,
        -59.0,
    ),
    Series("hl_gauss_center", ["HL_CENTER_0", "HL_CENTER_1"], center, mpf(0), mpf("1.01"), 11, relative, -60.0),
    Series("hl_shrink_tail", ["HL_SHRINK_0", "HL_SHRINK_1"], shrink, mpf(0), mpf("0.51"), 15, relative, -58.7),
    Series("hl_silu_crossing", ["HL_SILU_SLOPE"], around_zero(silu_slope, ZEROS["SILU"]), -D, D, 8, relative, -59.0),
    Series(
        "hl_gelu_crossing",
        ["HL_GELU_SLOPE"],
        around_zero(gelu_slope, ZEROS["GELU"]),
        -2 * D,
        2 * D,
        10,
        relative,
        -57.9,
    ),
    Series(
        "hl_gelu_tanh_crossing",
        ["HL_GELU_TANH_SLOPE"],
        around_zero(gelu_tanh_slope, ZEROS["GELU_TANH"]),
        -D,
        D,
        9,
        relative,
        -58.8,
    ),
    Series("hl_mish_crossing", ["HL_MISH_SLOPE"], around_zero(mish_slope, ZEROS["MISH"]), -D, D, 9, relative, -60.9),
]

LAMBDA = mpf("1.050700987355480493419334985294606351959")
ALPHA = mpf("1.673263242354377284817042991671652038461")
LN2_1 = floor(log(2) * 2**42) / mpf(2) ** 42  # 42 bits: its product with k is exact
LN2_2 = floor((log(2) - LN2_1) * 2**84) / mpf(2) ** 84

CONSTANTS = {  # macro -> value; every part but the last is exact, the last one is rounded
    "HL_SELU": LAMBDA,
    "HL_SELU_ALPHA": LAMBDA * ALPHA,
    "HL_QUICK": mpf("1.702"),
    "HL_C0": 1 / sqrt(2 * pi),
    "HL_C1": C1,
    "HL_C2": C2,
    "HL_3C2": 3 * C2,
    "HL_LOG2E": 1 / log(2),
    "HL_LN2_1": LN2_1,
    "HL_LN2_2": LN2_2,
    "HL_LN2_3": log(2) - LN2_1 - LN2_2,
} | {f"HL_{name}_ZERO": zero for name, zero in ZEROS.items()}
PARTS = {
    name: 3 if name.endswith("_ZERO") else 1 if name.startswith(("HL_LN2", "HL_LOG2E")) else 2 for name in CONSTANTS
}


# ---- Fitting and rounding ----


def interpolate(s):
    """Coefficients, lowest first, of the polynomial through f at the Chebyshev nodes."""
    n = s.degree + 1
    rows, values = matrix(n, n), matrix(n, 1)
    for i in range(n):
        x = (s.low + s.high) / 2 + (s.high - s.low) / 2 * cos(pi * (2 * i + 1) / (2 * n))
        values[i] = s.f(x)
        for j in range(n):
            rows[i, j] = x**j
    return list(lu_solve(rows, values))


def parts(value, count):
    """`count` doubles whose sum is nearest to value, largest first."""
    out = []
    for _ in range(count):
        out.append(float(value))
        value -= mpf(out[-1])
    return out


def error(s, coefficients, points=600):
    worst = mpf(0)
    for i in range(points):
        x = s.low + (s.high - s.low) * (1 - cos(pi * (i + mpf("0.5")) / points)) / 2
        value = s.f(x)
        worst = max(worst, abs((polyval(coefficients[::-1], x) - value) / s.scale(x, value)))
    return float(log(worst, 2))


# ---- The header ----

NUMBER = re.compile(r"(-?\s?)(0x1\.[0-9a-f]+p[-+]\d+)")


def numbers(text):
    return [float.fromhex(sign.strip() + digits) for sign, digits in NUMBER.findall(text)]


def macro(text, name):
    return numbers(re.search(rf"#define {name} (.*)", text).group(1))


def body(text, name):
    """Coefficients of a series in the header: each statement holds a group, the last group comes first."""
    code = re.search(rf"BODY {name}\(real \w\) {{(.*?)\n}}", text, re.DOTALL).group(1)
    groups = [numbers(statement) for statement in code.split(";")]
    return [c for group in reversed(groups) for c in group]


def check():
    text = "".join(header.read_text() for header in HEADERS)
    failed = False
    for s in SERIES:
        leading = [sum(map(mpf, macro(text, name))) for name in s.leading]
        found = leading + [mpf(c) for c in body(text, s.function)]
        e = error(s, found) if len(found) == s.degree + 1 else 0.0
        bad = e > s.limit
        failed |= bad
        print(f"{s.function:24} degree {len(found) - 1:2}  error 2^{e:.2f}  {'WRONG' if bad else 'ok'}")
    for name, value in CONSTANTS.items():
        bad = macro(text, name) != parts(value, PARTS[name])
        failed |= bad
        print(f"{name:24} {'WRONG' if bad else 'ok'}")
    return failed


def fit():
    for s in SERIES:
        exact = interpolate(s)
        rounded = [parts(c, 2 if i < len(s.leading) else 1) for i, c in enumerate(exact)]
        print(
            f"{s.function}: fit 2^{error(s, exact):.2f}, rounded 2^{error(s, [sum(map(mpf, r)) for r in rounded]):.2f}"
        )
        for r in rounded:
            print("   ", ", ".join(p.hex() for p in r))
    for name, value in CONSTANTS.items():
        print(name, ", ".join(p.hex() for p in parts(value, PARTS[name])))
    return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    sys.exit(check() if parser.parse_args().check else fit())
