"""log1p_poly() of rmath.h: log(1 + u) = t + t w L(w), t = 2 u / (2 + u), w = t^2, for u in (0, 1].

    python tools/fit_log1p.py            fit and print
    python tools/fit_log1p.py --check    the error of the coefficients in the header
"""

import sys

import mpmath as mp
from remez import chebyshev, error, header, remez_rounded, samples, show


def series(w):
    t = mp.sqrt(w)
    return (2 * mp.atanh(t / 2) - t) / (t * w)


def weight(w, y):
    return w / (1 + w * y)


def main():
    data = samples(series, chebyshev(0, mp.mpf(4) / 9, 400), weight)
    for kind, degree in {"lean": 3, "wide": 5, "full": 9}.items():
        if "--check" in sys.argv:
            print("log1p_poly %s: error 2^%.1f" % (kind, mp.log(error((header("rmath.h", "log1p_poly")[kind], [1]), data), 2)))
        else:
            show("log1p_poly " + kind, *remez_rounded(data, degree, single=kind == "lean"))


main()
