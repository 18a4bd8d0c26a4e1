"""Time helpers of pandas, xarray and NumPy that take a function: one call for all elements, or one for each.

``python examples/helpers.py``; it needs pandas and xarray. ``--quick`` takes ten thousand elements instead of a million.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import pandas as pd
import xarray as xr

import fastrelu as fr

SIZE = 10_000 if "--quick" in sys.argv else 1_000_000
x = np.random.default_rng(0).standard_normal(SIZE, np.float32)
series = pd.Series(x)
frame, data = series.to_frame("x"), xr.DataArray(x)

WAYS = {
    "fr.sigmoid(series)": lambda: fr.sigmoid(series),
    "series.pipe(fr.sigmoid)": lambda: series.pipe(fr.sigmoid),
    "series.apply(fr.ufuncs.sigmoid)": lambda: series.apply(fr.ufuncs.sigmoid),
    "series.transform(fr.ufuncs.sigmoid)": lambda: series.transform(fr.ufuncs.sigmoid),
    "frame.apply(fr.sigmoid)": lambda: frame.apply(fr.sigmoid),
    "frame.transform(fr.sigmoid)": lambda: frame.transform(fr.sigmoid),
    "xr.apply_ufunc(fr.sigmoid, data)": lambda: xr.apply_ufunc(fr.sigmoid, data),
    # From here on, one call for each element.
    "series.map(fr.ufuncs.sigmoid)": lambda: series.map(fr.ufuncs.sigmoid),
    "series.apply(fr.sigmoid)": lambda: series.apply(fr.sigmoid),
    "series.map(fr.sigmoid)": lambda: series.map(fr.sigmoid),
    "series.transform(fr.sigmoid)": lambda: series.transform(fr.sigmoid),
    "frame.map(fr.sigmoid)": lambda: frame.map(fr.sigmoid),
    "np.vectorize(fr.sigmoid)(x)": lambda: np.vectorize(fr.sigmoid)(x),
    "np.frompyfunc(fr.sigmoid, 1, 1)(x)": lambda: np.frompyfunc(fr.sigmoid, 1, 1)(x),
    "xr.apply_ufunc(fr.sigmoid, data, vectorize=True)": lambda: xr.apply_ufunc(fr.sigmoid, data, vectorize=True),
}


def milliseconds(call) -> float:
    """Return the median time of a call: of one if it is slow, otherwise of twenty."""
    times: list[float] = []
    while len(times) < 20 and sum(times) < 0.5:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


expected = fr.sigmoid(x)
for name, call in WAYS.items():
    np.testing.assert_allclose(np.asarray(call(), np.float32).reshape(-1), expected, rtol=1e-6)
    print(f"{name:<50} {milliseconds(call):8.2f} ms")
