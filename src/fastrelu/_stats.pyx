# cython: wraparound=True
# Statistics of arrays: sorts the axes and shares the work out; diagnostics interprets the numbers.
"""Counts, extremes and moments of the units of an array, and their merger."""

import numpy as np

cimport numpy as cnp

cimport fastrelu._core as _core
cimport fastrelu._runtime as _runtime

cnp.import_array()


cdef extern from "kernels/stats_drive.h" nogil:
    ctypedef struct fr_summary:
        pass
    ctypedef void (*fr_summarize)(const char *, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double *, const double *,
                                  fr_summary *) noexcept
    ctypedef struct fr_stats:
        fr_summarize summarize[2]
    ctypedef struct fr_stats_plan:
        const char *data
        Py_ssize_t itemsize
        fr_summarize kernel
        double limits[2]
        int nouter
        int nrows
        Py_ssize_t outer_shape[_runtime.FR_MAX_AXES]
        Py_ssize_t outer_stride[_runtime.FR_MAX_AXES]
        Py_ssize_t rows_shape[_runtime.FR_MAX_AXES]
        Py_ssize_t rows_stride[_runtime.FR_MAX_AXES]
        Py_ssize_t columns
        Py_ssize_t column_stride
        Py_ssize_t chunks
    void fr_stats_cuts(fr_stats_plan *) noexcept
    Py_ssize_t fr_stats_tasks(const fr_stats_plan *) noexcept
    Py_ssize_t fr_stats_units(const fr_stats_plan *) noexcept
    Py_ssize_t fr_stats_buffer(const fr_stats_plan *) noexcept
    void fr_summary_clear(fr_summary *, Py_ssize_t) noexcept
    void fr_summary_merge(fr_summary *, const fr_summary *, Py_ssize_t) noexcept
    void fr_summary_join(const fr_stats_plan *, fr_summary *) noexcept
    void fr_summary_part(const fr_stats_plan *, int, int, char *, fr_summary *) noexcept


# The fields of fr_summary, in its order.
_FIELDS = ["finite", "nonfinite", "zeros", "saturated", "mean", "rest", "square", "low", "high"]
summary_dtype = np.dtype({"names": _FIELDS, "formats": [np.int64] * 4 + [np.float64] * 5})
if summary_dtype.itemsize != sizeof(fr_summary):
    raise ImportError("fastrelu was built with another layout of its summaries")


cdef struct _Work:
    const fr_stats_plan *plan
    char *buffers  # one for each thread
    Py_ssize_t size
    fr_summary *out


cdef void _share(const void *what, long share, long shares, int part) noexcept nogil:
    cdef const _Work *work = <const _Work *>what
    fr_summary_part(work.plan, share, shares, work.buffers + part * work.size, work.out)


cdef list _merged(cnp.ndarray x, list axes):
    """Shape and stride of axes; axes that are adjacent in memory are merged."""
    found = []
    for axis in axes:
        shape, stride = x.shape[axis], x.strides[axis]
        if shape == 1:
            continue
        if found and found[-1][1] == shape * stride:
            found[-1] = (found[-1][0] * shape, stride)
        else:
            found.append((shape, stride))
    return found


def by_stride(cnp.ndarray x not None, axes):
    """Return axes from the largest stride to the smallest."""
    return sorted(iter(axes), key=lambda axis: -abs(x.strides[axis]))  # iter: see `listed`


def summarize(cnp.ndarray x not None, list units, double low, double high, str isa not None):
    """Summarize a float32 or float64 array for each index along `units`, axes in descending order of stride.

    The array is aligned and in native byte order. Elements at or beyond `low` or `high` are saturated.
    """
    cdef fr_stats_plan plan
    cdef cnp.ndarray parts, buffers
    cdef fr_summary *out
    cdef Py_ssize_t size, n
    cdef int k
    cdef _Work work
    _runtime.settle()
    cdef _runtime.Held held
    held.count = 0
    _runtime.keep(&held, x)
    _runtime.hold(&held, "summarize")
    if not (_runtime.has_kernels(cnp.PyArray_TYPE(x)) and _core._is_native(x, cnp.PyArray_TYPE(x))):
        _runtime.refuse_change("summarize")
    n = cnp.PyArray_SIZE(x)
    cdef _runtime.Crew crew = _runtime.crew_of(_runtime.FR_LIGHT, x)
    cdef list shape = [], others = [], steps = [Ellipsis]
    for axis in units:
        shape.append(x.shape[axis])
    if n == 0:
        parts = np.empty(shape, summary_dtype)
        fr_summary_clear(<fr_summary *>cnp.PyArray_DATA(parts), parts.size)
        return parts
    outer = _merged(x, units)
    # A reversed axis of elements is the same set of elements.
    for axis in range(x.ndim):
        if axis not in units:
            others.append(axis)
        steps.append(slice(None, None, -1) if x.strides[axis] < 0 and axis not in units else slice(None))
    flipped = x[tuple(steps)]
    rows = _merged(flipped, by_stride(flipped, others))
    plan.columns, plan.column_stride = 1, x.itemsize
    if outer and (not rows or abs(outer[-1][1]) < rows[-1][1]):
        plan.columns, plan.column_stride = outer.pop()
    plan.itemsize = x.itemsize
    plan.kernel = (<const fr_stats *>_runtime.tables(isa).stats).summarize[
        _runtime.flavor_of(cnp.PyArray_TYPE(x), 0)]
    plan.limits[0], plan.limits[1] = low, high
    plan.nouter, plan.nrows = len(outer), len(rows)
    for k in range(plan.nouter):
        plan.outer_shape[k], plan.outer_stride[k] = outer[k]
    for k in range(plan.nrows):
        plan.rows_shape[k], plan.rows_stride[k] = rows[k]
    fr_stats_cuts(&plan)
    parts = np.empty((plan.chunks, fr_stats_units(&plan)), summary_dtype)
    out = <fr_summary *>cnp.PyArray_DATA(parts)
    size = fr_stats_buffer(&plan)
    buffers = np.empty(crew.threads * size, np.int8)
    _runtime.check_held(&held, "summarize")
    plan.data = <const char *>cnp.PyArray_DATA(<cnp.ndarray>flipped)
    work.plan, work.buffers, work.size, work.out = &plan, <char *>cnp.PyArray_DATA(buffers), size, out
    _runtime.run_shares(_share, &work, _runtime.FR_LIGHT, n, fr_stats_tasks(&plan), crew)
    with nogil:
        fr_summary_join(&plan, out)
    found = parts[0].reshape(shape)
    return found.copy() if plan.chunks > 1 else found


def merge(cnp.ndarray into not None, cnp.ndarray other not None):
    """Merge another dense array of summaries of the same shape into the first."""
    fr_summary_merge(<fr_summary *>cnp.PyArray_DATA(into), <const fr_summary *>cnp.PyArray_DATA(other),
                     into.size)
