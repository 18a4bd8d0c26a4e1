"""The exponentials of rmath.h: e^r, e^r - 1 and 2^r, constant and linear terms fixed where they are exact.

    python tools/fit_exp.py            fit and print
    python tools/fit_exp.py --check    the error of the coefficients in the header
"""

import sys

import mpmath as mp
from remez import chebyshev, error, header, remez_rounded, samples, show

HALF_LN2 = mp.mpf("0.34662")  # the reduction may round k a little off the middle
HALF = mp.mpf("0.50001")


def expm1_rest(r):
    return mp.taylor(mp.exp, 0, 12)[2] if r == 0 else (mp.expm1(r) - r) / r**2


# name, function, interval, weight for a fit of the rest c2 + c3 r + ..., its degree per instance
JOBS = {
    "exp_step": (expm1_rest, HALF_LN2, lambda r, y: r * r / mp.exp(r), {"lean": 4, "wide": 6, "full": 9}),
    "expm1_poly": (expm1_rest, HALF_LN2, lambda r, y: r * r / mp.expm1(r), {"lean": 4, "wide": 6, "full": 10}),
    "exp2_minus": (lambda r: (mp.power(2, r) - 1) / r, HALF, lambda r, y: r / mp.power(2, r),
                   {"lean": 5, "wide": 7, "full": 10}),
}


def main():
    for name, (f, end, weight, degrees) in JOBS.items():
        data = samples(f, chebyshev(-end, end, 400), weight)
        for kind, degree in degrees.items():
            if "--check" in sys.argv:
                c = header("rmath.h", name)[kind]
                if name == "exp2_minus":
                    c = [v * (-1) ** (i + 1) for i, v in enumerate(c)]
                print("%s %s: error 2^%.1f" % (name, kind, mp.log(error((c, [1]), data), 2)))
            else:
                show(name + " " + kind, *remez_rounded(data, degree, single=kind == "lean"))


main()
