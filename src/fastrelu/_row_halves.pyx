"""Rows of 16 bits, which each thread brings to the kernels in a room of its own, converted, and their results back."""

from fastrelu._arguments import BLOCK as _PER_THREAD
from fastrelu._row_kernels import names as _names

cimport numpy as cnp
from libc.stdlib cimport free, malloc

from fastrelu._arguments cimport _is_read, _merged, _same_place, _takes
from fastrelu._kernels cimport _is_half
from fastrelu._row_kernels cimport (
    FR_CRITICAL_PITCH,
    FR_ROW_FACTOR,
    FR_ROW_IN,
    FR_ROW_OPERANDS,
    FR_ROW_OUT,
    FR_ROW_SECOND,
    FR_UNCHANGED_ROWS,
    Load,
    RowKernels,
    _absent,
    _alone,
    _clear,
    _cost,
    _describe,
    _flat_operand,
    _merge,
    _result_like,
    _room,
    _run_here,
    _set_kernels,
    fr_row_call,
    fr_row_finish,
    fr_row_load,
    fr_rows,
)
from fastrelu._runtime cimport (
    Crew,
    FR_AS_BFLOAT,
    FR_AS_HALF,
    FR_bfloat16,
    Held,
    check_held,
    crew_of,
    dtype_of,
    extents_meet,
    fr_guard,
    fr_guard_close,
    fr_guard_open,
    fr_move,
    fresh,
    leave_room,
    room_of,
    run_shares,
    size_of,
    type_of,
)

cnp.import_array()


# --- Contiguous rows --------------------------------------------------------------------------------------------------

cdef enum:
    _CONVERTED = 1 << 13  # elements of whole rows that a thread converts at a time: they stay in the nearest caches
    _TOGETHER = 16  # rows that kernels take together

# Rows of 16 bits, which each share converts to its room, and their results back. `_Parts` is the same for any strides;
# to describe that takes twice the time of a call on ten elements.
cdef struct _Halves:
    const fr_rows *flavor
    int kind
    int inputs
    const fr_row_load *load
    const char *factor  # one number for all rows
    fr_row_finish finish
    const char *given[2]
    char *out
    fr_move widen
    fr_move narrow
    Py_ssize_t n, itemsize, rows, at_once
    char *rooms  # one for each thread: the rows of each input, and what is needed to run over them
    size_t room, place


cdef void _set_halves(fr_row_call *call, const _Halves *job, const char *room) noexcept nogil:
    """Describe a call on the rows in a room, whose results take the place of the first input."""
    cdef int k
    _clear(call)
    _set_kernels(call, job.flavor, job.kind, job.inputs == 2)
    call.n, call.itemsize, call.naxes, call.shape[0] = job.n, job.itemsize, 1, job.at_once
    for k in range(job.inputs):
        _flat_operand(call, FR_ROW_SECOND if k else FR_ROW_IN, room + k * job.place)
    _flat_operand(call, FR_ROW_OUT, room)
    call.load = job.load
    if job.finish:
        call.finish = job.finish
        call.operand[FR_ROW_FACTOR].origin = <char *>job.factor
        call.operand[FR_ROW_FACTOR].stride[0] = 0


cdef void _half_share(const void *what, long share, long shares, int part) noexcept nogil:
    cdef const _Halves *job = <const _Halves *>what
    cdef fr_row_call call
    cdef char *room = job.rooms + part * job.room
    cdef Py_ssize_t parts = (job.rows + job.at_once - 1) // job.at_once, size = 2 * job.n
    cdef Py_ssize_t row = parts * share // shares * job.at_once
    cdef Py_ssize_t stop = min(parts * (share + 1) // shares * job.at_once, job.rows), rows
    cdef fr_guard caller = fr_guard_open()
    cdef int k
    _set_halves(&call, job, room)  # and as many rows in the last part: a call on fewer may need a larger room
    while row < stop:
        rows = min(job.at_once, stop - row)
        for k in range(job.inputs):
            job.widen(job.given[k] + row * size, room + k * job.place, rows * job.n)
        _run_here(&call, rows, room + job.inputs * job.place)
        job.narrow(room, job.out + row * size, rows * job.n)
        row += rows
    fr_guard_close(caller)


cdef object _run_halves(RowKernels kernels, int kind, int cost, cnp.ndarray x, cnp.ndarray second, cnp.ndarray out,
                        int dtype, Load load=None, cnp.ndarray factor=None, fr_row_finish finish=FR_UNCHANGED_ROWS):
    """Run over the rows along the last axis of contiguous arrays of 16 bits, computed in another type.

    Allocates the result if `out` is None. A factor is one number.
    """
    cdef _Halves job
    cdef fr_row_call call
    cdef int ndim = cnp.PyArray_NDIM(x), own = type_of(dtype)
    cdef int format = FR_AS_BFLOAT if type_of(cnp.PyArray_TYPE(x)) == FR_bfloat16 else FR_AS_HALF
    cdef Crew crew = crew_of(cost, x)
    cdef Py_ssize_t parts
    if out is None:
        out = fresh(ndim, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), cnp.PyArray_NBYTES(x))
    job.flavor, job.kind, job.inputs = kernels.of(dtype), kind, 1 if second is None else 2
    job.load = NULL if load is None else &load.load
    job.factor, job.finish = NULL if factor is None else cnp.PyArray_BYTES(factor), finish
    job.given[0], job.given[1] = cnp.PyArray_BYTES(x), NULL if second is None else cnp.PyArray_BYTES(second)
    job.out = cnp.PyArray_BYTES(out)
    job.widen, job.narrow = kernels.convert.load[own][format], kernels.convert.store[own][format]
    job.n, job.itemsize = cnp.PyArray_DIM(x, ndim - 1), size_of(dtype)
    job.rows = cnp.PyArray_SIZE(x) // job.n
    job.at_once = _CONVERTED // job.n
    if crew.threads > 1:
        job.at_once = min(job.at_once, job.rows // (4 * crew.threads))
    if job.at_once > _TOGETHER:
        job.at_once -= job.at_once % _TOGETHER
    job.at_once = max(1, min(job.at_once, job.rows))
    parts = (job.rows + job.at_once - 1) // job.at_once
    job.place = (<size_t>(job.at_once * job.n) * job.itemsize + 63) & ~<size_t>63
    _set_halves(&call, &job, job.given[0])  # to measure the room: any place will do
    job.room = job.inputs * job.place + _room(&call, job.at_once)
    job.rooms = <char *>room_of(job.room * (crew.threads if parts > 1 else 1))
    if job.rooms == NULL:
        raise MemoryError(f"no memory for rows of 16 bits in {dtype_of(own).name}")
    try:
        run_shares(_half_share, &job, cost, job.rows * job.n, parts, crew)
    finally:
        leave_room(job.rooms)
    return out


# --- Rows of any strides ----------------------------------------------------------------------------------------------

cdef Py_ssize_t _BLOCK = _PER_THREAD

cdef enum:
    _BAND = 32  # elements of 16 bits in a line of the cache: rows side by side are cut between lines
    _LEAST_RUN = 32  # elements that lie next to each other; shorter runs are converted as fast element by element
    _LONGEST = 1 << 22  # elements of each input that a thread converts at a time, if rows are long
    _HALF = 2  # bytes

# A call on arrays of 16 bits of any strides. Each share converts parts of it to its room, and the results back: some
# planes, of the last axis but one; of each some rows, of the last axis.
cdef struct _Parts:
    fr_row_call whole   # on the arrays as they lie
    fr_row_call inside  # on a part in a room
    bint half[FR_ROW_OPERANDS]  # is it an operand that is converted?
    bint across  # do rows lie side by side?
    Py_ssize_t planes, width  # in a part
    Py_ssize_t planes_of, width_of  # in the array
    Py_ssize_t count  # of parts
    fr_move widen
    fr_move narrow
    char *rooms  # one for each thread: the rows of each input, and what is needed to run over them
    size_t room, place, room_at  # bytes; the last: from the beginning of a room to what is needed to run


cdef void _move_lines(fr_move move, const char *given, const Py_ssize_t *given_step, Py_ssize_t given_size, char *to,
                      const Py_ssize_t *step, Py_ssize_t size, Py_ssize_t planes, Py_ssize_t lines,
                      Py_ssize_t n) noexcept nogil:
    """Convert planes of lines of n contiguous elements; those that lie behind each other at once."""
    cdef Py_ssize_t i, j
    if given_step[1] == n * given_size and step[1] == n * size:
        n, lines = n * lines, 1
        if given_step[0] == n * given_size and step[0] == n * size:
            n, planes = n * planes, 1
    for i in range(planes):
        for j in range(lines):
            move(given + i * given_step[0] + j * given_step[1], to + i * step[0] + j * step[1], n)


cdef void _set_steps(Py_ssize_t *step, const fr_row_call *call, int k, bint across) noexcept nogil:
    """From plane to plane of an operand, and from line to line."""
    cdef int last = call.naxes - 1
    step[0] = call.operand[k].stride[last - 1] if last else 0
    step[1] = call.operand[k].along if across else call.operand[k].stride[last]


cdef bint _cut(_Parts *job, int threads) noexcept:
    """Cut a call into parts for threads; False if they would be too large, or of lines that are too short."""
    cdef fr_row_call *call = &job.whole
    cdef Py_ssize_t steps[2]
    cdef Py_ssize_t rows = 1, run, at_once, planes, width
    cdef int k, last
    cdef bint behind = True, plane_behind = True
    _merge(call)
    last = call.naxes - 1
    for k in range(call.naxes):
        rows *= call.shape[k]
    if rows == 0 or call.n == 0:
        return False
    job.width_of = width = call.shape[last]
    job.planes_of = planes = call.shape[last - 1] if last else 1
    job.across = call.operand[FR_ROW_IN].along != _HALF
    run = width if job.across else call.n
    for k in range(FR_ROW_OPERANDS):
        if job.half[k]:
            if (call.operand[k].stride[last] if job.across else call.operand[k].along) != _HALF:
                return False
            _set_steps(steps, call, k, job.across)
            behind = behind and steps[1] == run * _HALF
            plane_behind = plane_behind and steps[0] == width * call.n * _HALF
    at_once = _BLOCK // call.n
    if threads > 1:
        at_once = min(at_once, rows // (4 * threads))
    if job.across and at_once < width:
        at_once = max(at_once - at_once % _BAND, _BAND if _BAND * call.n <= _BLOCK else _TOGETHER)
    elif at_once > _TOGETHER:
        at_once -= at_once % _TOGETHER
    at_once = max(1, at_once)
    job.width, job.planes = min(at_once, width), 1
    if job.width == width:
        job.planes = max(1, min(at_once // width, planes))
        if behind:
            run = width * call.n * (job.planes if plane_behind else 1)
        if run < _LEAST_RUN:
            return False
    job.count = rows // (width * planes) * ((width + job.width - 1) // job.width)
    job.count *= (planes + job.planes - 1) // job.planes
    return job.planes * job.width * call.n <= _LONGEST


cdef void _set_inside(_Parts *job) noexcept:
    """Describe the call on a part in a room, and measure the room."""
    cdef fr_row_call *call = &job.inside
    cdef Py_ssize_t size = job.whole.itemsize, n = job.whole.n, pitch
    cdef Py_ssize_t planes, width
    cdef int k, last = job.whole.naxes - 1, first = max(0, last - 1)
    call[0] = job.whole
    call.naxes = last - first + 1
    pitch = (job.width if job.across else n) * size
    if job.across and job.width < job.width_of and pitch % FR_CRITICAL_PITCH == 0:
        pitch += 64  # lines so far apart would share few lines of the cache
    job.place = (<size_t>(job.planes * (n if job.across else job.width) * pitch) + 63) & ~<size_t>63
    for k in range(FR_ROW_OPERANDS):
        call.operand[k].stride[0] = job.whole.operand[k].stride[first]
        call.operand[k].stride[call.naxes - 1] = job.whole.operand[k].stride[last]
        if job.half[k]:
            call.operand[k].along = pitch if job.across else size
            call.operand[k].stride[0] = pitch * (n if job.across else job.width)
            call.operand[k].stride[call.naxes - 1] = size if job.across else pitch
    job.room = 0
    for planes in (job.planes, job.planes_of % job.planes):
        for width in (job.width, job.width_of % job.width):
            call.shape[0], call.shape[call.naxes - 1] = planes, width
            if planes and width:
                job.room = max(job.room, _room(call, planes * width))
    job.room_at = (2 if job.half[FR_ROW_SECOND] else 1) * job.place
    job.room += job.room_at


cdef void _part_share(const void *what, long share, long shares, int part) noexcept nogil:
    cdef const _Parts *job = <const _Parts *>what
    cdef const fr_row_call *whole = &job.whole
    cdef fr_row_call call = job.inside
    cdef char *room = job.rooms + part * job.room
    cdef char *places[2]
    cdef char *at[FR_ROW_OPERANDS]
    cdef Py_ssize_t step[2]
    cdef Py_ssize_t inside[2]
    cdef Py_ssize_t now = job.count * share // shares, stop = job.count * (share + 1) // shares, rest, index, lines, n
    cdef Py_ssize_t bands = (job.width_of + job.width - 1) // job.width
    cdef Py_ssize_t layers = (job.planes_of + job.planes - 1) // job.planes
    cdef Py_ssize_t planes, width = 0
    cdef int k, axis, last = whole.naxes - 1
    cdef fr_guard caller = fr_guard_open()
    places[0], places[1] = room, room + job.place
    _set_steps(inside, &call, FR_ROW_IN, job.across)
    while now < stop:
        rest = now
        now += 1
        for k in range(FR_ROW_OPERANDS):
            at[k] = whole.operand[k].origin
        planes = 1
        for axis in range(last, -1, -1):
            if axis == last:
                index = rest % bands * job.width
                rest //= bands
                width = min(job.width, job.width_of - index)
            elif axis == last - 1:
                index = rest % layers * job.planes
                rest //= layers
                planes = min(job.planes, job.planes_of - index)
            else:
                index = rest % whole.shape[axis]
                rest //= whole.shape[axis]
            for k in range(FR_ROW_OPERANDS):
                if at[k] != NULL:
                    at[k] += index * whole.operand[k].stride[axis]
        call.shape[0], call.shape[call.naxes - 1] = planes, width
        lines, n = (call.n, width) if job.across else (width, call.n)
        for k in range(FR_ROW_OPERANDS):
            call.operand[k].origin = at[k]
            if job.half[k]:
                call.operand[k].origin = places[k == FR_ROW_SECOND]
                if k != FR_ROW_OUT:
                    _set_steps(step, whole, k, job.across)
                    _move_lines(job.widen, at[k], step, _HALF, call.operand[k].origin, inside, call.itemsize, planes,
                                lines, n)
        _run_here(&call, planes * width, room + job.room_at)
        if job.half[FR_ROW_OUT]:
            _set_steps(step, whole, FR_ROW_OUT, job.across)
            _move_lines(job.narrow, room, inside, call.itemsize, at[FR_ROW_OUT], step, _HALF, planes, lines, n)
    fr_guard_close(caller)


cdef bint _fit_parts(_Parts *job, RowKernels kernels, bint second, bint out, int half, int dtype,
                     int threads) except -1:
    """Cut a call that is described on arrays of 16 bits, and describe its parts; False if they do not pay."""
    cdef int k, own = type_of(dtype), format = FR_AS_BFLOAT if type_of(half) == FR_bfloat16 else FR_AS_HALF
    job.whole.itemsize = size_of(dtype)
    for k in range(FR_ROW_OPERANDS):
        job.half[k] = k == FR_ROW_IN or (k == FR_ROW_OUT and out) or (k == FR_ROW_SECOND and second)
    if not _cut(job, threads):
        return False
    _set_inside(job)
    job.widen, job.narrow = kernels.convert.load[own][format], kernels.convert.store[own][format]
    return True


cdef _Parts *_new_parts(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b, cnp.ndarray mask,
                        int axis, cnp.ndarray y, int dtype, Crew *crew, Load load, cnp.ndarray sink,
                        cnp.ndarray factor, fr_row_finish finish) except? NULL:
    """Cut a call of 16 bits, of rows along an axis, into parts that each of its threads converts for itself; NULL if
    they do not pay."""
    cdef int half = cnp.PyArray_TYPE(y)
    cdef _Parts *job
    cdef Crew own_crew
    if not (_is_half(y) and _is_read(a, half) and _is_read(y, half) and (not backward or _is_read(b, half))):
        return NULL
    job = <_Parts *>malloc(sizeof(_Parts))  # the stack may be small
    if job == NULL:
        raise MemoryError
    _describe(&job.whole, kernels.of(dtype), kind, backward, a, b, mask, axis, y, load, sink, factor, finish)
    job.whole.absent, job.whole.alone = _absent(kind, dtype), _alone(kind, dtype)
    own_crew = crew_of(_cost(kind, backward), y)
    if not _fit_parts(job, kernels, backward, True, half, dtype, own_crew.threads):
        free(job)
        return NULL
    crew[0] = own_crew
    return job


cdef bint _is_at_once(tuple operands, cnp.ndarray out, int dtype) except -1:
    """Can results of this type be written into `out` as they come, before all operands have been read?"""
    if not _takes(out, dtype):
        return False
    for x in operands:
        if x is not None and not _same_place(x, out) and extents_meet(<cnp.ndarray>x, out):
            return False
    return True


cdef Py_ssize_t _count_parts(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b,
                             cnp.ndarray mask, tuple axes, cnp.ndarray target, int result, int dtype, Crew *crew,
                             Load load, cnp.ndarray sink) except -1:
    """The parts of such a call, and its threads; 0 if it is not cut."""
    cdef _Parts *job = NULL
    cdef Py_ssize_t count
    if len(axes) != 1:
        a, b = _merged(a, axes), None if b is None else _merged(b, axes)
        mask = None if mask is None else _merged(mask, axes)
        axes = (cnp.PyArray_NDIM(a) - 1,)
    elif _is_at_once((a, b, mask, sink), target, result):
        job = _new_parts(kernels, kind, backward, a, b, mask, axes[0], target, dtype, crew, load, sink, None,
                         FR_UNCHANGED_ROWS)
    if job == NULL:
        target = _result_like(a, b if backward else None, result)
        job = _new_parts(kernels, kind, backward, a, b, mask, axes[0], target, dtype, crew, load, sink, None,
                         FR_UNCHANGED_ROWS)
    count = 0 if job == NULL else job.count
    free(job)
    return count


cdef bint _run_parts(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b, cnp.ndarray mask,
                     int axis, cnp.ndarray y, int dtype, const Held *held, Load load, cnp.ndarray sink,
                     cnp.ndarray factor, fr_row_finish finish) except -1:
    """Run over rows of 16 bits along any axis, which each thread converts; False if they do not lie so that it pays.

    `y` is apart from the operands, or exactly the same memory as those of 16 bits.
    """
    cdef Crew crew
    cdef _Parts *job = _new_parts(kernels, kind, backward, a, b, mask, axis, y, dtype, &crew, load, sink, factor,
                                  finish)
    if job == NULL:
        return False
    try:
        _run_fitted(job, _cost(kind, backward), y, crew, held, _names[kind])
    finally:
        free(job)
    return True


cdef int _run_fitted(_Parts *job, int cost, cnp.ndarray x, Crew crew, const Held *held, str name) except -1:
    """Run over all parts, each thread in its room."""
    job.rooms = <char *>room_of(job.room * (crew.threads if job.count > 1 else 1))
    if job.rooms == NULL:
        raise MemoryError("no memory for rows of 16 bits in the type that computes")
    try:
        check_held(held, name)
        run_shares(_part_share, job, cost, cnp.PyArray_SIZE(x), job.count, crew)
    finally:
        leave_room(job.rooms)
    return 0


cdef bint _run_losses_in_parts(RowKernels kernels, const fr_row_call *call, cnp.ndarray x, int dtype, int cost,
                               const Held *held, str name) except -1:
    """Run a call that is described on an array of 16 bits and has one number for each row as its results; False if
    threads that convert for themselves do not pay."""
    cdef Crew crew = crew_of(cost, x)
    cdef _Parts *job = <_Parts *>malloc(sizeof(_Parts))
    if job == NULL:
        raise MemoryError
    try:
        job.whole = call[0]
        if not _fit_parts(job, kernels, False, False, cnp.PyArray_TYPE(x), dtype, crew.threads):
            return False
        _run_fitted(job, cost, x, crew, held, name)
    finally:
        free(job)
    return True
