"""The rational functions of shrinkage.h: (a - tanh a) / a^3 and (tanh a / a)^2 in w = a^2.

python tools/fit_tanh_shrink.py            fit and print
python tools/fit_tanh_shrink.py --check    the error of the coefficients in the header
"""

import sys

import mpmath as mp
from remez import chebyshev, error, header, remez_rounded, samples, show


def shrink(w):
    a = mp.sqrt(w)
    return (a - mp.tanh(a)) / a**3


def square(w):
    return mp.tanh(mp.sqrt(w)) ** 2 / w


# function, header's name, end of a, {kind: (degrees, P0, Q0)}. Rounding errors are smallest if the polynomials and
# their quotient all stay a little below a power of two.
JOBS = (
    (
        shrink,
        "tanh_shrink",
        "1.76",
        {
            "lean": (2, 3, "0.4375", "1.3125"),
            "wide": (2, 3, "0.4375", "1.3125"),
            "full": (4, 4, "0.484375", "1.453125"),
        },
    ),
    (
        square,
        "tanh_shrink_backward",
        "0.91",
        {"lean": (2, 2, "1.75", "1.75"), "wide": (3, 3, "1.75", "1.75"), "full": (4, 4, "1.75", "1.75")},
    ),
)


def main():
    for f, name, end, kinds in JOBS:
        data = samples(f, chebyshev(0, mp.mpf(end) ** 2, 400))
        for kind, (n, d, p0, q0) in kinds.items():
            if "--check" in sys.argv:
                c = header("shrinkage.h", name)[kind]
                fit = c[: n + 1], c[n + 1 :]
                print("%s %s: error 2^%.1f" % (name, kind, mp.log(error(fit, data), 2)))
            else:
                show(name + " " + kind, *remez_rounded(data, n, d, {0: mp.mpf(p0)}, {0: mp.mpf(q0)}, kind == "lean"))


main()
