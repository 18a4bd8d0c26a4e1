"""Minimax fits for the kernels: polynomials and rational functions by the Remez exchange, in mpmath.

A fit is a pair of coefficient lists (P, Q), lowest degree first; a polynomial has Q = [1]. Errors are weighted:
with weight 1/f they are relative. Coefficients given in `p` and `q` ({index: value}) are fixed.
"""

import pathlib
import re
import struct

import mpmath as mp
import numpy as np

mp.mp.prec = 200

KERNELS = pathlib.Path(__file__).parents[1] / "src" / "fastrelu" / "kernels"


def horner(coefficients, x):
    total = mp.mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def value(fit, x):
    return horner(fit[0], x) / horner(fit[1], x)


def chebyshev(a, b, n):
    """N points from a to b, denser at the ends and without them (where f may be 0/0)."""
    a, b = mp.mpf(a), mp.mpf(b)
    return [(a + b) / 2 - (b - a) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]


def relative(x, y):
    return 1 / y


def samples(f, points, weight=relative):
    ys = [f(x) for x in points]
    return [(x, y, abs(weight(x, y))) for x, y in zip(points, ys)]


def errors(fit, data):
    return [(value(fit, x) - y) * w for x, y, w in data]


def error(fit, data):
    return max(abs(e) for e in errors(fit, data))


def solve(data, at, n, d, p, q, denominator):
    """Coefficients whose error at data[at] alternates; the error term uses the previous denominator."""
    free_p = [i for i in range(n + 1) if i not in p]
    free_q = [i for i in range(d + 1) if i not in q]
    size = len(free_p) + len(free_q) + 1
    a, b = mp.matrix(size, size), mp.matrix(size, 1)
    for row, i in enumerate(at):
        x, y, w = data[i]
        for column, j in enumerate(free_p):
            a[row, column] = x**j
        for column, j in enumerate(free_q):
            a[row, len(free_p) + column] = -y * x**j
        a[row, size - 1] = (-1) ** row / w * horner(denominator, x)
        b[row] = sum(v * y * x**j for j, v in q.items()) - sum(v * x**j for j, v in p.items())
    s = list(mp.lu_solve(a, b))
    ps, qs, level = s[: len(free_p)], s[len(free_p) : -1], s[-1]
    fit_p = [p[i] if i in p else ps.pop(0) for i in range(n + 1)]
    fit_q = [q[i] if i in q else qs.pop(0) for i in range(d + 1)]
    return (fit_p, fit_q), abs(level)


def peaks(err, size):
    """One index per run of equal sign; of these the least important are dropped until `size` remain."""
    runs = []
    for i, e in enumerate(err):
        if runs and (e > 0) == (err[runs[-1]] > 0):
            if abs(e) > abs(err[runs[-1]]):
                runs[-1] = i
        else:
            runs.append(i)
    while len(runs) > size:
        if len(runs) >= size + 2:
            k = min(range(len(runs) - 1), key=lambda k: max(abs(err[runs[k]]), abs(err[runs[k + 1]])))
            del runs[k : k + 2]
        else:
            runs.pop(0 if abs(err[runs[0]]) < abs(err[runs[-1]]) else -1)
    return runs


def remez(data, n, d=0, p=None, q=None, rounds=30):
    """The fit of degree n over d with the least error on the samples, and that error."""
    p = {i: mp.mpf(v) for i, v in (p or {}).items()}
    q = {i: mp.mpf(v) for i, v in (q or {0: 1}).items()}
    size = n + d + 3 - len(p) - len(q)
    at = [min(len(data) - 1, (2 * i + 1) * len(data) // (2 * size)) for i in range(size)]
    denominator, best = [mp.mpf(1)], None
    for _ in range(rounds):
        for _ in range(6 if d else 1):
            fit, level = solve(data, at, n, d, p, q, denominator)
            denominator = fit[1]
        err = errors(fit, data)
        top = max(abs(e) for e in err)
        if best is None or top < best[1]:
            best = fit, top
        at = peaks(err, size)
        if top <= level * mp.mpf("1.005") or len(at) < size:
            break
    return best


def to_type(v, single):
    return mp.mpf(struct.unpack("f", struct.pack("f", float(v)))[0] if single else float(v))


def remez_rounded(data, n, d=0, p=None, q=None, single=False):
    """The same with every coefficient rounded to the type; in float, the best rounding that a search finds.

    The search moves one or two coefficients by a few units in the last place and keeps improvements.
    """
    p, q = dict(p or {}), dict(q or {0: 1})
    fit, _ = remez(data, n, d, p, q)
    fit = tuple([to_type(c, single) for c in part] for part in fit)
    if single:
        x, y, w = (np.array([float(v) for v in column]) for column in zip(*data))
        c = np.array([float(v) for part in fit for v in part], np.float32)
        free = [i for i in range(n + 1) if i not in p] + [n + 1 + i for i in range(d + 1) if i not in q]

        def top(c):
            c = c.astype(float)
            return np.abs((np.polyval(c[n::-1], x) / np.polyval(c[:n:-1], x) - y) * w).max()

        random, now = np.random.default_rng(1), top(c)
        for _ in range(40000):
            trial = c.copy()
            for i in random.choice(free, random.integers(1, min(4, len(free) + 1)), replace=False):
                trial[i] += random.integers(-8, 9) * np.spacing(trial[i])
            if (new := top(trial)) < now:
                c, now = trial, new
        c = [mp.mpf(float(v)) for v in c]
        fit = c[: n + 1], c[n + 1 :]
    return fit, error(fit, data)


def header(name, function):
    """The hexadecimal constants of a function in a header: {"lean": [...], "wide": [...], "full": [...]}."""
    text = (KERNELS / name).read_text()
    body = text[text.index("BODY FN(" + function + ")") :]
    body = body[: body.index("\n}\n")]
    kinds = re.split(r"#if FR_KIND == FR_LEAN|#elif FR_KIND == FR_WIDE|#else|#endif", body)[1:4]
    number = r"-?0x[0-9a-f.]+p[-+]?\d+|(?<=[(, ])0\.5"
    found = [[mp.mpf(float.fromhex(h) if "x" in h else float(h)) for h in re.findall(number, k)] for k in kinds]
    return dict(zip(("lean", "wide", "full"), found))


def interleave(c, odd, even):
    """Even and odd parts, as in the headers, to one list, lowest degree first."""
    odd, even = c[:odd], c[odd : odd + even]
    return [(even, odd)[i % 2][i // 2] for i in range(len(odd) + len(even))]


def show(what, fit, err):
    print("%s: error 2^%.1f" % (what, mp.log(err, 2)))
    for c in fit:
        if len(c) > 1:
            print("   ", ", ".join(float(v).hex() for v in c))
