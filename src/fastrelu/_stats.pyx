# cython: wraparound=True
# Statistics of arrays: sorts the axes and shares the work out; diagnostics interprets the numbers.
"""Counts, extremes and moments of the units of an array, and their merger."""

import numpy as np

cimport numpy as cnp
from libc.math cimport INFINITY, NAN, isfinite

cimport fastrelu._core as _core
cimport fastrelu._runtime as _runtime

cnp.import_array()


cdef extern from "kernels/stats_drive.h" nogil:
    ctypedef struct fr_guard:
        pass
    fr_guard fr_guard_open() noexcept
    void fr_guard_close(fr_guard) noexcept
    ctypedef struct fr_summary:
        long long finite
        long long nonfinite
        long long zeros
        long long saturated
        double mean
        double rest
        double square
        double low
        double high
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
        Py_ssize_t outer
        Py_ssize_t columns
        Py_ssize_t column_stride
        Py_ssize_t rows
        Py_ssize_t chunks
    void fr_stats_cuts(fr_stats_plan *) noexcept
    Py_ssize_t fr_stats_tasks(const fr_stats_plan *) noexcept
    Py_ssize_t fr_stats_units(const fr_stats_plan *) noexcept
    Py_ssize_t fr_stats_buffer(const fr_stats_plan *) noexcept
    void fr_summary_clear(fr_summary *, Py_ssize_t) noexcept
    void fr_summary_merge(fr_summary *, const fr_summary *, Py_ssize_t) noexcept
    void fr_summary_join(const fr_stats_plan *, fr_summary *) noexcept
    void fr_summary_part(const fr_stats_plan *, int, int, char *, fr_summary *) noexcept
    Py_ssize_t fr_locate(int, const Py_ssize_t *, const Py_ssize_t *, Py_ssize_t, Py_ssize_t *) noexcept


# The fields of fr_summary, in its order.
_FIELDS = ["finite", "nonfinite", "zeros", "saturated", "mean", "rest", "square", "low", "high"]
summary_dtype = np.dtype({"names": _FIELDS, "formats": [np.int64] * 4 + [np.float64] * 5})
if summary_dtype.itemsize != sizeof(fr_summary):
    raise ImportError("fastrelu was built with another layout of its summaries")


cdef enum:
    # Elements of a unit up to which units are summed one after the other: the kernels take longer to begin with each.
    # They take many units at once where those are neighbors in memory, which pays from fewer elements on. Measured.
    _FEW = 64
    _LOW = 3
    _AT_ONCE = 32  # units whose results wait in the nearest cache to be written


# The arrays of a result, one number for each unit. Those of numbers that are 0 as a rule hold zeros beforehand.
cdef struct _Columns:
    cnp.int64_t *count
    cnp.int64_t *nonfinite
    cnp.int64_t *zeros
    cnp.int64_t *saturated
    double *mean
    double *variance
    double *low
    double *high


cdef struct _Work:
    const fr_stats_plan *plan
    char *buffers  # one for each thread
    Py_ssize_t size
    fr_summary *out
    const Py_ssize_t *places  # of the few elements of a unit, from its first one; none if there are more
    const _Columns *columns  # takes the results of units of few elements instead of `out`, if given


cdef void _share(const void *what, long share, long shares, int part) noexcept nogil:
    cdef const _Work *work = <const _Work *>what
    if work.places == NULL:
        fr_summary_part(work.plan, share, shares, work.buffers + part * work.size, work.out)
    elif work.plan.itemsize == 4:
        _few_part[float](work, share, shares, NULL)
    else:
        _few_part[double](work, share, shares, NULL)


ctypedef fused store:
    float
    double


cdef void _few_part(const _Work *work, long share, long shares, const store *like) noexcept nogil:
    """One part of the units of few elements, of the type of `like`."""
    cdef const fr_stats_plan *plan = work.plan
    cdef Py_ssize_t units = plan.outer, unit = units * share // shares, stop = units * (share + 1) // shares
    cdef Py_ssize_t n, i, more = 0
    cdef const char *at = NULL
    cdef fr_summary[_AT_ONCE] found
    cdef fr_guard caller = fr_guard_open()
    while unit < stop:
        n = min(stop - unit, <Py_ssize_t>_AT_ONCE)
        for i in range(n):
            if more > 0:
                at += plan.outer_stride[plan.nouter - 1]
            else:
                at = plan.data + fr_locate(plan.nouter, plan.outer_shape, plan.outer_stride, unit + i, &more)
            more -= 1
            _few_elements(plan, at, work.places, found + i, like)
        if work.columns != NULL:
            _spread(found, n, work.columns, unit)
        else:
            for i in range(n):
                work.out[unit + i] = found[i]
        unit += n
    fr_guard_close(caller)


cdef inline void _few_elements(const fr_stats_plan *plan, const char *at, const Py_ssize_t *places, fr_summary *out,
                               const store *like) noexcept nogil:
    """Summarize a unit in two passes: about 0, as if all elements were finite, and about the mean."""
    cdef Py_ssize_t k, rows = plan.rows, odd = 0, zeros = 0, beyond = 0
    cdef store x, low = <store>INFINITY, high = -<store>INFINITY
    cdef double total = 0, mean, moved = 0, square = 0, d
    cdef bint limited = plan.limits[0] > -INFINITY or plan.limits[1] < INFINITY
    x = (<const store *>at)[0]
    if rows == 1 and isfinite(x):  # nothing to sum: twice as fast
        out.finite, out.nonfinite, out.zeros = 1, 0, x == 0
        out.saturated = limited and (x <= <store>plan.limits[0] or x >= <store>plan.limits[1])
        out.mean, out.rest, out.square, out.low, out.high = x, 0, 0, x, x
        return
    for k in range(rows):
        x = (<const store *>(at + places[k]))[0]
        total += x
        low = x if x < low else low
        high = x if x > high else high
        zeros += x == 0
    if total - total == 0:
        mean = total / rows
        for k in range(rows):
            d = (<const store *>(at + places[k]))[0] - mean
            moved += d
            square += d * d
    else:  # an element is not finite, or the sum
        total, low, high = 0, <store>INFINITY, -<store>INFINITY
        for k in range(rows):
            x = (<const store *>(at + places[k]))[0]
            if not isfinite(x):
                odd += 1
                continue
            total += x
            low, high = min(low, x), max(high, x)
        mean = total / (rows - odd)
        for k in range(rows):
            x = (<const store *>(at + places[k]))[0]
            if isfinite(x):
                moved += x - mean
                square += (x - mean) * (x - mean)
    if limited:
        for k in range(rows):
            x = (<const store *>(at + places[k]))[0]
            beyond += isfinite(x) and (x <= <store>plan.limits[0] or x >= <store>plan.limits[1])
    out.finite, out.nonfinite, out.zeros, out.saturated = rows - odd, odd, zeros, beyond
    out.low, out.high = low, high
    _moments(out, mean, moved, square)


cdef inline void _moments(fr_summary *s, double mean, double moved, double square) noexcept nogil:
    """Set mean and variance from a mean and the sums of the distances from it and of their squares."""
    cdef double apart = 0
    if s.finite == 0:
        mean = square = 0
    elif s.low == s.high and isfinite(mean):  # roundings of the sums may have squares that overflow
        mean, square = s.low, 0
    elif isfinite(moved):  # otherwise a sum has overflowed: as in NumPy it is the mean, and the variance is infinite
        apart = moved / s.finite
    s.mean = mean + apart
    s.rest = 0 if apart == 0 else (mean - s.mean) + apart
    if isfinite(square):
        square = max(square - moved * apart, 0.0)
    s.square = square


cdef void _spread(const fr_summary *found, Py_ssize_t n, const _Columns *to, Py_ssize_t at) noexcept nogil:
    """Write summaries into the arrays of a result, from a unit on."""
    cdef Py_ssize_t i
    cdef const fr_summary *s
    for i in range(n):
        s = found + i
        to.count[at + i] = s.finite + s.nonfinite
        to.zeros[at + i] = s.zeros
        if s.nonfinite:
            to.nonfinite[at + i] = s.nonfinite
        if s.saturated:
            to.saturated[at + i] = s.saturated
        if s.finite:
            to.mean[at + i] = s.mean + s.rest
            to.variance[at + i] = 0 if s.square == 0 else s.square / s.finite
            to.low[at + i] = s.low
            to.high[at + i] = s.high
        else:
            to.mean[at + i] = to.variance[at + i] = to.low[at + i] = to.high[at + i] = NAN


cdef void _repair(const fr_stats_plan *plan, fr_summary *out) noexcept nogil:
    """Sum the units again whose squares may have overflowed: differences of infinite sums mean nothing."""
    cdef Py_ssize_t unit, i, base, offset, more, step
    cdef double most, mean, moved, square, x
    cdef int again
    cdef fr_guard caller = fr_guard_open()
    for unit in range(plan.outer * plan.columns):
        most = max(-out[unit].low, out[unit].high)
        if out[unit].finite == 0 or isfinite(4 * most * most * out[unit].finite):
            continue
        base = fr_locate(plan.nouter, plan.outer_shape, plan.outer_stride, unit // plan.columns, &more)
        base += unit % plan.columns * plan.column_stride
        mean = moved = square = 0
        for again in range(2):
            i = 0
            while i < plan.rows:
                offset = fr_locate(plan.nrows, plan.rows_shape, plan.rows_stride, i, &more)
                step = plan.rows_stride[plan.nrows - 1] if plan.nrows else 0
                i += more
                for more in range(more):
                    x = (<const double *>(plan.data + base + offset + more * step))[0]
                    if not isfinite(x):
                        continue
                    if again:
                        moved += x - mean
                        square += (x - mean) * (x - mean)
                    else:
                        mean += x
            if not again:
                mean /= out[unit].finite
        _moments(out + unit, mean, moved, square)
    fr_guard_close(caller)


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


cdef tuple _new_columns(list shape, _Columns *to):
    """Return arrays for a result, in the order of the fields of `Summary`."""
    cdef cnp.npy_intp[_runtime.FR_MAX_AXES] lengths
    cdef Py_ssize_t size = sizeof(double)
    cdef list made = []
    cdef int k
    for k in range(len(shape)):
        lengths[k] = shape[k]
        size *= lengths[k]
    # Arrays of their own: a view of one would keep the others in memory. Pages of zeros that stay so cost nothing.
    for k in range(8):
        if k == 1 or k == 3:
            made.append(np.zeros(shape, np.int64))
            continue
        numbers = _runtime.fresh(len(shape), lengths, cnp.NPY_DOUBLE, size)
        made.append(numbers.view(np.int64) if k < 4 else numbers)
    to.count = <cnp.int64_t *>cnp.PyArray_DATA(<cnp.ndarray>made[0])
    to.nonfinite = <cnp.int64_t *>cnp.PyArray_DATA(<cnp.ndarray>made[1])
    to.zeros = <cnp.int64_t *>cnp.PyArray_DATA(<cnp.ndarray>made[2])
    to.saturated = <cnp.int64_t *>cnp.PyArray_DATA(<cnp.ndarray>made[3])
    to.mean = <double *>cnp.PyArray_DATA(<cnp.ndarray>made[4])
    to.variance = <double *>cnp.PyArray_DATA(<cnp.ndarray>made[5])
    to.low = <double *>cnp.PyArray_DATA(<cnp.ndarray>made[6])
    to.high = <double *>cnp.PyArray_DATA(<cnp.ndarray>made[7])
    return tuple(made)


def columns(cnp.ndarray found not None):
    """Return a dense array of summaries as one array for each field of `Summary`."""
    cdef _Columns to
    cdef tuple made = _new_columns(list((<object>found).shape), &to)
    _spread(<const fr_summary *>cnp.PyArray_DATA(found), found.size, &to, 0)
    return made


def summarize(cnp.ndarray x not None, list units, double low, double high, str isa not None, bint spread=False):
    """Summarize a float32 or float64 array for each index along `units`, axes in descending order of stride.

    The array is aligned and in native byte order. Elements at or beyond `low` or `high` are saturated. The result is an
    array of summaries, or with `spread` that of `columns`.
    """
    cdef fr_stats_plan plan
    cdef _Columns to
    cdef tuple made = None
    cdef cnp.ndarray parts, buffers, places = None
    cdef Py_ssize_t more
    cdef bint few, side_by_side
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
        return columns(parts) if spread else parts
    outer = _merged(x, units)
    # A reversed axis of elements is the same set of elements.
    for axis in range(x.ndim):
        if axis not in units:
            others.append(axis)
        steps.append(slice(None, None, -1) if x.strides[axis] < 0 and axis not in units else slice(None))
    flipped = x[tuple(steps)]
    rows = _merged(flipped, by_stride(flipped, others))
    plan.columns, plan.column_stride = 1, x.itemsize
    size = 1
    for length in shape:
        size *= length
    side_by_side = len(outer) > 0 and (not rows or abs(outer[-1][1]) < rows[-1][1])
    few = n <= (_LOW if side_by_side and outer[-1][0] >= _FEW else _FEW) * size and size > 1
    if side_by_side and not few:
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
    work.places, work.columns = NULL, NULL
    if few:
        places = np.empty(plan.rows, np.intp)
        for k in range(plan.rows):
            (<Py_ssize_t *>cnp.PyArray_DATA(places))[k] = fr_locate(
                plan.nrows, plan.rows_shape, plan.rows_stride, k, &more)
        work.places = <const Py_ssize_t *>cnp.PyArray_DATA(places)
        size = 0
    else:
        size = fr_stats_buffer(&plan)
    if few and spread:
        made, parts = _new_columns(shape, &to), None
        work.columns, out = &to, NULL
    else:
        parts = np.empty((plan.chunks, fr_stats_units(&plan)), summary_dtype)
        out = <fr_summary *>cnp.PyArray_DATA(parts)
    buffers = np.empty(crew.threads * size, np.int8)
    _runtime.check_held(&held, "summarize")
    plan.data = <const char *>cnp.PyArray_DATA(<cnp.ndarray>flipped)
    work.plan, work.buffers, work.size, work.out = &plan, <char *>cnp.PyArray_DATA(buffers), size, out
    _runtime.run_shares(_share, &work, _runtime.FR_LIGHT, n, fr_stats_tasks(&plan), crew)
    if made is not None:
        return made
    with nogil:
        fr_summary_join(&plan, out)
        if not few and plan.itemsize == 8:
            _repair(&plan, out)
    found = parts[0].reshape(shape)
    if spread:
        return columns(found)
    return found.copy() if plan.chunks > 1 else found


def merge(cnp.ndarray into not None, cnp.ndarray other not None):
    """Merge another dense array of summaries of the same shape into the first."""
    cdef fr_summary *a = <fr_summary *>cnp.PyArray_DATA(into)
    cdef const fr_summary *b = <const fr_summary *>cnp.PyArray_DATA(other)
    cdef fr_summary before
    cdef Py_ssize_t i
    cdef fr_guard caller = fr_guard_open()
    for i in range(into.size):
        before = a[i]
        fr_summary_merge(a + i, b + i, 1)
        if not isfinite(a[i].mean + a[i].rest):
            # Sums that have overflowed, or differences of means that do: as the sum of all would be.
            if before.finite and b[i].finite:
                a[i].mean = (before.mean * before.finite + b[i].mean * b[i].finite) / a[i].finite
                a[i].square = INFINITY if a[i].mean == a[i].mean else NAN
            a[i].rest = 0
    fr_guard_close(caller)
