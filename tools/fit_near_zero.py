"""The polynomial of xielu near 0, where a difference would cancel: (e^x - 1 - x) / x^3 - 1 / (2 x).

python tools/fit_near_zero.py [lean | wide | full]    fit and print
python tools/fit_near_zero.py --check                 the error of the coefficients in the header
"""

import sys

import mpmath as mp
from remez import chebyshev, error, header, remez_rounded, samples, show

NAME = "xielu_poly"
DEGREES = {"lean": 5, "wide": 7, "full": 11}


def second_difference(x):
    return (mp.expm1(x) - x - x * x / 2) / x**3


def relative_to_difference(x, y):
    return x / (mp.mpf("0.5") + x * y)


data = samples(second_difference, chebyshev(-1, 0, 400), relative_to_difference)
for kind, degree in DEGREES.items():
    if "--check" in sys.argv:
        fit = header("exponential.h", NAME)[kind], [mp.mpf(1)]
        print("%s %s: error 2^%.1f" % (NAME, kind, mp.log(error(fit, data), 2)))
    elif len(sys.argv) == 1 or sys.argv[-1] == kind:
        show(f"{NAME} {kind}", *remez_rounded(data, degree, single=kind == "lean"))
