# NumPy makes an array writable only if memory below it is: no view before its base, no view of a read-only base, and
# nothing over a PyTorch tensor or another owner that is no buffer. An array that was writable before may be so again:
# these functions set the flag itself, in any order.
"""Arrays that recorded forward calls make read-only until they end, in all threads."""

cimport numpy as cnp
from cpython.long cimport PyLong_FromVoidPtr
from cython cimport critical_section

from fastrelu._numpy cimport PyArray_CLEARFLAGS, PyArray_ENABLEFLAGS, PyArray_ISWRITEABLE

import numpy as np

cnp.import_array()

# How many records hold an array, by its identity: each of them keeps the array alive. The last one makes it writable.
cdef dict _records = {}


cdef bint _is_made(dict held, tuple inputs, cnp.ndarray y) except -1:
    """Whether a call made a read-only array as a view of inputs which are read-only by a record alone.

    NumPy gives a view the flag of its base. A view of more elements repeats some, and NumPy itself makes it read-only.
    """
    size = 0
    for x in inputs:
        if x is y:
            return False
        if cnp.PyArray_Check(x) and np.may_share_memory(x, y):
            if PyLong_FromVoidPtr(<void *>x) not in held:
                return False
            size = max(size, x.nbytes)
    return y.nbytes <= size


cdef int _hold(dict held, cnp.ndarray array, tuple inputs) except -1:
    """Hold an array, or pass over one that is read-only to the caller; `inputs` are of the call that returned it."""
    key = PyLong_FromVoidPtr(<void *>array)
    if key not in held:
        if not PyArray_ISWRITEABLE(array) and key not in _records:
            if inputs is None or not _is_made(held, inputs, array):
                return 0
        held[key] = array
        try:
            _records[key] = _records.get(key, 0) + 1
        except BaseException:
            del held[key]
            raise
    PyArray_CLEARFLAGS(array, cnp.NPY_ARRAY_WRITEABLE)
    return 0


cdef int _let_go(object key, cnp.ndarray array) except -1:
    cdef object count = _records[key]
    if count > 1:
        _records[key] = count - 1
    else:
        del _records[key]
        PyArray_ENABLEFLAGS(array, cnp.NPY_ARRAY_WRITEABLE)
    return 0


def hold(dict held, tuple inputs, tuple outputs):
    """Make what a call got and returned read-only for a record, which keeps in `held` what is writable otherwise."""
    with critical_section(_records):
        for value in inputs:
            if cnp.PyArray_Check(value):
                _hold(held, value, None)
        for value in outputs:
            if cnp.PyArray_Check(value):
                _hold(held, value, inputs)


def hold_views(dict held, tuple inputs, tuple outputs):
    """Have a record make writable again, at its end, read-only views that were made of arrays which it holds."""
    with critical_section(_records):
        for value in outputs:
            if cnp.PyArray_Check(value) and not PyArray_ISWRITEABLE(value):
                _hold(held, value, inputs)


def let_go(dict held, array):
    """Release an array; it is writable then, unless another record holds it."""
    with critical_section(_records):
        key = PyLong_FromVoidPtr(<void *>array)
        if key in held:
            _let_go(key, array)
            del held[key]


def let_go_all(dict held):
    """Release the arrays that a record holds."""
    with critical_section(_records):
        for key, array in held.items():
            _let_go(key, array)
    held.clear()
