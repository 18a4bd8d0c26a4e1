"""The polynomials near 0 where a difference would cancel: erf(x) / x - 1 in x^2 and (e^x - 1 - x) / x^3 - 1 / (2 x) in x.

python tools/fit_near_zero.py [lean | wide | full]    fit and print
python tools/fit_near_zero.py --check                 the error of the coefficients in the headers
"""

import sys

import mpmath as mp
from remez import chebyshev, error, header, remez_rounded, samples, show


def erf_less_x(w):
    return mp.erf(mp.sqrt(w)) / mp.sqrt(w) - 1


def second_difference(x):
    return (mp.expm1(x) - x - x * x / 2) / x**3


def relative_to_erf(_, y):
    return 1 / (1 + y)


def relative_to_difference(x, y):
    return x / (mp.mpf("0.5") + x * y)


# function, weight, header, its name there, the interval, the degree in each kind
JOBS = (
    (erf_less_x, relative_to_erf, "gated.h", "erf_center", (0, "0.5625"), {"lean": 5, "wide": 6, "full": 10}),
    (
        second_difference,
        relative_to_difference,
        "exponential.h",
        "xielu_poly",
        (-1, 0),
        {"lean": 5, "wide": 7, "full": 11},
    ),
)

for f, weight, name, body, (low, high), degrees in JOBS:
    data = samples(f, chebyshev(low, mp.mpf(high), 400), weight)
    for kind, degree in degrees.items():
        if "--check" in sys.argv:
            fit = header(name, body)[kind], [mp.mpf(1)]
            print("%s %s: error 2^%.1f" % (body, kind, mp.log(error(fit, data), 2)))
        elif len(sys.argv) == 1 or sys.argv[-1] == kind:
            show(f"{body} {kind}", *remez_rounded(data, degree, single=kind == "lean"))
