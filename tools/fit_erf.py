"""The functions of gated.h for erf: L(a) = (log(erfc(a)) / a - c) / a, c = -2 / sqrt(pi), relative to erf.

python tools/fit_erf.py [lean | wide | full]    fit and print
python tools/fit_erf.py --check                 the error of the coefficients in the header
"""

import sys

import mpmath as mp
from remez import chebyshev, error, header, interleave, remez_rounded, samples, show

NAME = "erf_log"
JOBS = {"lean": (4, 7, 0), "wide": (4, 13, 0), "full": (6, 7, 7)}  # the end and the degrees


def log_less_line(a):
    return (mp.log(mp.erfc(a)) / a + 2 / mp.sqrt(mp.pi)) / a


def effect(a, _):
    """The relative change of erf(a) for a change of L(a)."""
    return a * a * mp.erfc(a) / mp.erf(a)


for kind, (end, n, d) in JOBS.items():
    data = samples(log_less_line, chebyshev(0, end, 400), effect)
    if "--check" in sys.argv:
        c = header("gated.h", NAME)[kind]
        p = interleave(c, (n + 1) // 2, n // 2 + 1)
        q = [mp.mpf(1)]
        if d:
            rest = c[n + 1 :]
            rest.insert((d + 1) // 2, mp.mpf(1))  # it is not written as a hexadecimal number
            q = interleave(rest, (d + 1) // 2, d // 2 + 1)
        print("%s %s: error 2^%.1f" % (NAME, kind, mp.log(error((p, q), data), 2)))
    elif len(sys.argv) == 1 or sys.argv[-1] == kind:
        show(f"{NAME} {kind}", *remez_rounded(data, n, d, single=kind == "lean"))
