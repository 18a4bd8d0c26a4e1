"""Small strided arrays go to the ufunc, larger ones to the N-d driver: the same results on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import Case, assert_same_bits, each_case

from fastrelu import _core


@each_case
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_either_door(case: Case, dtype: str) -> None:
    """Rows with gaps and parameters along an axis, by the driver and by the ufunc."""
    data = [np.stack([a] * 6)[:, ::2] for a in case.data(80, dtype)]
    columns = [np.full((6, 1), value, dtype) for value in case.params]
    results = []
    for strided_from in (0, 10**9):
        _core.set_defaults(strided_from=strided_from)
        out = np.empty((6, 80), dtype)[:, ::2]
        assert case(*data, *columns, out=out) is out
        results.append((case(*data, *columns), case(*data, *case.params), out))
    for by_driver, by_ufunc in zip(*results, strict=True):
        assert by_driver.strides == by_ufunc.strides
        assert_same_bits(by_driver, by_ufunc)
