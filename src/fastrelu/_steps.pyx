# The changes that a step of an optimizer makes at its end: all or none. What could fail, an allocation or an interrupt,
# comes before; then NumPy's own loops change the arrays block by block, and the bits are those of NumPy's operators.
"""Steps of optimizers."""

cimport numpy as cnp
from cython cimport critical_section
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.object cimport PyObject
from libc.string cimport memcpy, memset

from fastrelu._loops cimport Loop, loop_of, run_loop
from fastrelu._numpy cimport PyArray_IS_C_CONTIGUOUS, PyArray_IS_F_CONTIGUOUS, PyArray_SAMESHAPE
from fastrelu._runtime cimport FR_MAX_AXES, fr_guard, fr_guard_close, fr_guard_open

import numpy as np

cnp.import_array()

cdef extern from "Python.h":
    ctypedef int (*_Setter)(object, object, object) except -1
    ctypedef struct _Type "PyTypeObject":
        _Setter tp_descr_set
    _Type *Py_TYPE(object)


cdef enum:
    BLOCK = 2048  # numbers that are changed before the next ones are read


cdef Loop _add[2], _subtract[2], _multiply[2], _divide[2]  # of float32 and float64


cdef _find_loops(bint wide, int type):
    _add[wide], _subtract[wide] = loop_of(np.add, type), loop_of(np.subtract, type)
    _multiply[wide], _divide[wide] = loop_of(np.multiply, type), loop_of(np.divide, type)


_find_loops(False, cnp.NPY_FLOAT)
_find_loops(True, cnp.NPY_DOUBLE)


cdef struct _Change:  # target = target * factor - by / over * scale, of the arrays TARGET, BY and OVER
    bint wide, divided, aligned
    double factor, scale
    float factor32, scale32


cdef enum:
    TARGET, BY, OVER


cdef void _change_block(_Change *change, char **at, const cnp.npy_intp *step, cnp.npy_intp n) noexcept nogil:
    """Change n numbers, BLOCK or less."""
    cdef double block[BLOCK]
    cdef char *by = at[BY]
    cdef cnp.npy_intp by_step = step[BY], size = sizeof(double) if change.wide else sizeof(float)
    cdef char *factor = <char *>&change.factor if change.wide else <char *>&change.factor32
    cdef char *scale = <char *>&change.scale if change.wide else <char *>&change.scale32
    cdef bint wide = change.wide
    if change.factor != 1:
        run_loop(&_multiply[wide], at[TARGET], step[TARGET], factor, 0, at[TARGET], step[TARGET], n)
    if change.divided:
        run_loop(&_divide[wide], by, by_step, at[OVER], step[OVER], <char *>block, size, n)
        by, by_step = <char *>block, size
    if change.scale != 1 and change.scale != -1:
        run_loop(&_multiply[wide], by, by_step, scale, 0, <char *>block, size, n)
        by, by_step = <char *>block, size
    cdef Loop *last = &_add[wide] if change.scale == -1 else &_subtract[wide]
    run_loop(last, at[TARGET], step[TARGET], by, by_step, at[TARGET], step[TARGET], n)


cdef void _change_row(_Change *change, char **start, cnp.npy_intp *step, cnp.npy_intp n) noexcept nogil:
    cdef double copied[3]
    cdef char *at[3]
    cdef char *copies[3]
    cdef cnp.npy_intp i = 0, size = sizeof(double) if change.wide else sizeof(float)
    cdef int k
    for k in range(3):
        at[k], copies[k] = start[k], <char *>&copied[k]
    while i < n:
        for k in range(3):
            at[k] = start[k] + i * step[k]
        if change.aligned:
            _change_block(change, at, step, min(n - i, BLOCK))
        else:
            for k in range(3):
                memcpy(copies[k], at[k], size)
            _change_block(change, copies, step, 1)
            memcpy(at[TARGET], copies[TARGET], size)
        i += BLOCK if change.aligned else 1


cdef void _make(_Change *change, PyObject **arrays) noexcept:
    """Change an array by others of its shape and type, in any layout."""
    cdef cnp.ndarray target = <cnp.ndarray>arrays[TARGET]
    cdef char *at[3]
    cdef cnp.npy_intp step[3]
    cdef cnp.npy_intp done[FR_MAX_AXES]
    cdef int k, axis, last = cnp.PyArray_NDIM(target) - 1
    cdef bint c = True, f = True
    for k in range(3):
        at[k], step[k] = cnp.PyArray_BYTES(<cnp.ndarray>arrays[k]), cnp.PyArray_ITEMSIZE(target)
        c &= PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>arrays[k])
        f &= PyArray_IS_F_CONTIGUOUS(<cnp.ndarray>arrays[k])
    if cnp.PyArray_SIZE(target) == 0:
        return
    if c or f:
        _change_row(change, at, step, cnp.PyArray_SIZE(target))
        return
    for k in range(3):
        step[k] = cnp.PyArray_STRIDE(<cnp.ndarray>arrays[k], last)
    memset(done, 0, sizeof(done))
    axis = 0
    while axis >= 0:
        _change_row(change, at, step, cnp.PyArray_DIM(target, last))
        axis = last - 1
        while axis >= 0:
            done[axis] += 1
            for k in range(3):
                at[k] += cnp.PyArray_STRIDE(<cnp.ndarray>arrays[k], axis)
            if done[axis] < cnp.PyArray_DIM(target, axis):
                break
            for k in range(3):
                at[k] -= done[axis] * cnp.PyArray_STRIDE(<cnp.ndarray>arrays[k], axis)
            done[axis] = 0
            axis -= 1


cdef bint _takes_part(cnp.ndarray array, cnp.ndarray target):
    cdef int type = cnp.PyArray_TYPE(array)
    return (type == cnp.PyArray_TYPE(target) and type in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE)
            and cnp.PyArray_ISNOTSWAPPED(array) and PyArray_SAMESHAPE(array, target))


# The number of the last update of the values of any parameter, in all threads; in a list because that is read fastest.
cdef list _updates = [0]
updates = _updates


def new_update():
    """Return the number of a new update of parameters, above all before. It is asked for before the values change."""
    with critical_section(_updates):
        number = _updates[0] + 1
        _updates[0] = number
    return number


def finish_step(list changes, dict state, dict running, list parameters, list updated, tuple slots):
    """Make all changes of a step, or raise an error before the first; to make them, nothing is allocated.

    Each of `changes` is an array, its factor, what is subtracted then, a divisor of that or None, and a factor of that;
    `running` replaces entries of `state`; the gradients of `parameters` are used, and the values of `updated` change;
    `slots` are the descriptors of the attributes that say so.
    """
    number = new_update()
    used_slot, updated_slot = slots
    cdef cnp.ndarray target, by, array
    cdef PyObject *arrays[3]
    cdef _Change change
    for target, factor, by, over, scale in changes:
        array = by if over is None else over
        if not (PyFloat_CheckExact(factor) and PyFloat_CheckExact(scale) and cnp.PyArray_ISWRITEABLE(target)
                and _takes_part(by, target) and _takes_part(array, target)):
            raise ValueError("a parameter or a running array is read-only, or became another one during the step")
    try:
        for parameter in running:
            if parameter not in state:
                state[parameter] = None  # later it is replaced without an allocation
    except BaseException:
        for parameter in running:
            if parameter in state and state[parameter] is None:
                del state[parameter]
        raise
    cdef fr_guard caller = fr_guard_open()
    for target, factor, by, over, scale in changes:
        array = by if over is None else over
        change.wide, change.divided = cnp.PyArray_TYPE(target) == cnp.NPY_DOUBLE, over is not None
        change.aligned = cnp.PyArray_ISALIGNED(target) and cnp.PyArray_ISALIGNED(by) and cnp.PyArray_ISALIGNED(array)
        change.factor, change.scale = PyFloat_AS_DOUBLE(factor), PyFloat_AS_DOUBLE(scale)
        change.factor32, change.scale32 = <float>change.factor, <float>change.scale
        arrays[TARGET], arrays[BY], arrays[OVER] = <PyObject *>target, <PyObject *>by, <PyObject *>array
        _make(&change, arrays)
    fr_guard_close(caller)
    for parameter, entries in running.items():
        state[parameter] = entries
    for parameter in parameters:
        Py_TYPE(used_slot).tp_descr_set(used_slot, parameter, True)
    for parameter in updated:
        Py_TYPE(updated_slot).tp_descr_set(updated_slot, parameter, number)
