"""Minimax fits for the kernels: polynomials and rational functions by the Remez exchange, in mpmath.

A fit is a pair of coefficient lists (P, Q), lowest degree first, Q[0] = 1. The error is weighted: with
``weight = 1/f`` it is the relative error. Coefficients listed in ``fixed`` (by index, of P) are kept.
"""

import struct

import mpmath as mp

mp.mp.prec = 200


def horner(c, x):
    s = mp.mpf(0)
    for v in reversed(c):
        s = s * x + v
    return s


def value(fit, x):
    p, q = fit
    return horner(p, x) / horner(q, x)


def grid(a, b, n):
    """Chebyshev points, without the ends (where f may be 0/0)."""
    a, b = mp.mpf(a), mp.mpf(b)
    return [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]


def samples(f, weight, a, b, n):
    xs = grid(a, b, n)
    fs = [f(x) for x in xs]
    return [(x, y, weight(x, y)) for x, y in zip(xs, fs)]


def relative(x, y):
    return 1 / y


def error(fit, points):
    """Largest weighted error over samples, and where."""
    return max((abs((value(fit, x) - y) * w), x) for x, y, w in points)


def remez(points, n, d=0, fixed=None, rounds=40):
    """P of degree n over Q of degree d on samples(); returns the fit and its error."""
    fixed = {i: mp.mpf(v) for i, v in (fixed or {}).items()}
    free = [i for i in range(n + 1) if i not in fixed]
    size = len(free) + d + 1
    m = len(points)
    at = [min(m - 1, (2 * i + 1) * m // (2 * size)) for i in range(size)]
    q = [mp.mpf(1)] + [mp.mpf(0)] * d
    best = None
    for _ in range(rounds):
        e = mp.mpf(0)
        for _ in range(6 if d else 1):
            a, b = mp.matrix(size, size), mp.matrix(size, 1)
            for row, i in enumerate(at):
                x, y, w = points[i]
                for col, j in enumerate(free):
                    a[row, col] = x**j
                for j in range(1, d + 1):
                    a[row, len(free) + j - 1] = -y * x**j
                a[row, size - 1] = (-1) ** row / w * horner(q, x)
                b[row] = y - sum(v * x**j for j, v in fixed.items())
            s = mp.lu_solve(a, b)
            q = [mp.mpf(1)] + [s[len(free) + j] for j in range(d)]
            if abs(s[size - 1] - e) <= abs(e) * mp.mpf(2) ** -30:
                break
            e = s[size - 1]
        p = [fixed.get(i) for i in range(n + 1)]
        for col, j in enumerate(free):
            p[j] = s[col]
        err = [(value((p, q), x) - y) * w for x, y, w in points]
        top = max(abs(v) for v in err)
        if best is None or top < best[1]:
            best = ((p, q), top)
        if top <= abs(e) * mp.mpf("1.002"):
            break
        # one extremum per run of equal sign, then drop the smallest from an end until `size` are left
        runs = []
        for i, v in enumerate(err):
            if runs and (v > 0) == (err[runs[-1]] > 0):
                if abs(v) > abs(err[runs[-1]]):
                    runs[-1] = i
            else:
                runs.append(i)
        while len(runs) > size:
            if len(runs) - size >= 2:
                k = min(range(len(runs) - 1), key=lambda k: max(abs(err[runs[k]]), abs(err[runs[k + 1]])))
                if 0 < k < len(runs) - 2:
                    del runs[k : k + 2]
                    continue
            runs.pop(0 if abs(err[runs[0]]) < abs(err[runs[-1]]) else -1)
        if len(runs) < size:
            break
        at = runs
    return best


def to_float(v, single=False):
    v = float(v) if not single else struct.unpack("f", struct.pack("f", float(mp.mpf(v))))[0]
    return mp.mpf(v)


def rounded(fit, single=False):
    return tuple([to_float(v, single) for v in c] for c in fit)


def bits(e):
    return "2^%.1f" % float(mp.log(e, 2))


def show(name, fit, single=False):
    for what, c in zip("PQ", fit):
        if len(c) > 1 or what == "P":
            text = [float(v).hex() for v in c]
            print(name, what, "{" + ", ".join(text) + "}")
