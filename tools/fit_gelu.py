"""The rational functions of gated.h for gelu: G(a) = e^(a^2/2) Phi(-a) and R(a) = G(a) - a / sqrt(2 pi).

The kernels reduce a^2/2 with ln2 rounded to the type, off by d. That multiplies e^(-a^2/2) by about
e^(d a^2 / (2 ln2)), and the fit divides by it. R is relative to max(|R|, 0.05), because it has a zero.

    python tools/fit_gelu.py [lean | wide | full]    fit and print (minutes)
    python tools/fit_gelu.py --check                 the error of the coefficients in the header
"""

import sys

import mpmath as mp
from remez import chebyshev, error, header, interleave, relative, remez_rounded, samples, show, to_type


def tail(a):
    return mp.erfc(a / mp.sqrt(2)) * mp.exp(a * a / 2) / 2


def slope(a):
    return tail(a) - a / mp.sqrt(2 * mp.pi)


def near_zero(a, y):
    return 1 / max(abs(y), mp.mpf("0.05"))


def undo(f, kind):
    if kind == "wide":
        return f  # in this type the error of ln2 is far below that of the fit
    d = to_type(mp.log(2), kind == "lean") - mp.log(2)
    return lambda a: f(a) * mp.exp(-d * a * a / (2 * mp.log(2)))


# function, header's name, weight, {kind: (end, degrees, P0)}: a P0 below a power of two rounds better in float
JOBS = (
    (
        tail,
        "gelu_tail",
        relative,
        {"lean": ("14.5", 4, 5, "0.96875"), "wide": ("14.6", 6, 7, "0.5"), "full": ("38.7", 10, 11, "0.5")},
    ),
    (
        slope,
        "gelu_slope",
        near_zero,
        {"lean": ("18.7", 5, 4, "0.5"), "wide": ("20.3", 7, 6, "0.5"), "full": ("53.2", 12, 11, "0.5")},
    ),
)


def main():
    for f, name, weight, kinds in JOBS:
        for kind, (end, n, d, p0) in kinds.items():
            if len(sys.argv) > 1 and sys.argv[-1] not in ("--check", kind):
                continue
            points = [u / (1 - u) for u in chebyshev(0, mp.mpf(end) / (1 + mp.mpf(end)), 500)]
            data = samples(undo(f, kind), points, weight)
            if "--check" in sys.argv:
                c = header("gated.h", name)[kind]
                p = interleave(c, (n + 1) // 2, n // 2 + 1)
                rest = c[n + 1 :]
                if len(rest) == d:  # Q0 = 1 is not written as a hexadecimal number
                    rest.insert((d + 1) // 2, mp.mpf(1))
                print(
                    "%s %s: error 2^%.1f"
                    % (name, kind, mp.log(error((p, interleave(rest, (d + 1) // 2, d // 2 + 1)), data), 2))
                )
            else:
                fixed = {0: mp.mpf(p0)}
                show(name + " " + kind, *remez_rounded(data, n, d, fixed, {0: 2 * fixed[0]}, kind == "lean"))


main()
