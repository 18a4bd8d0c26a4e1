"""Softmax and related functions, which work on whole rows of an array along any axis, and cross-entropy."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastrelu import _core as _python_core, _foreign, _kernels, _runtime as _python_runtime
from fastrelu._arguments import BLOCK as _PER_THREAD
from fastrelu._arguments import blocks
from fastrelu._core import joint_dtype
from fastrelu._kernels import add_promoter

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_AsLong, PyLong_CheckExact
from libc.math cimport INFINITY, frexp
from libc.stdint cimport PTRDIFF_MAX, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastrelu._arguments cimport (
    _are_ints,
    _as_data,
    _as_number,
    _as_output,
    _axes_of,
    _check_output,
    _crew,
    _far,
    _is_handed_over,
    _is_ndarray,
    _is_read,
    _joint_type,
    _merged,
    _native,
    _parted,
    _rounded,
    _same_place,
    _takes,
    _type_of,
    _unshared,
    _without,
    as_axis,
    as_scale,
    spread,
    spread_mask,
)
from fastrelu._core cimport _number, as_target, checked_kernel
from fastrelu._explain cimport _why_threads
from fastrelu._kernels cimport _is_half, computed_type
from fastrelu._numpy cimport PyArray_ISBEHAVED_RO, PyArray_ISWRITEABLE, PyArray_IS_C_CONTIGUOUS, PyArray_SAMESHAPE
from fastrelu._runtime cimport (
    Crew,
    FR_AS_BFLOAT,
    FR_AS_HALF,
    FR_MAX_AXES,
    FR_OWN_TYPES,
    FR_PRECISIONS,
    FR_TYPES,
    FR_bfloat16,
    FR_float64,
    Held,
    check_held,
    crew_of,
    dtype_of,
    flavor_of,
    fr_atomic,
    fr_convert,
    fr_guard,
    fr_guard_close,
    fr_guard_open,
    fr_load,
    fr_move,
    fr_store,
    fr_type_of_flavor,
    fr_types,
    fresh,
    has_kernels,
    hold,
    keep,
    leave_room,
    precision_here,
    room_of,
    run_shares,
    settle,
    size_of,
    tables,
    type_of,
)

cnp.import_array()
cnp.import_ufunc()

cdef extern from "kernels/rows.h" nogil:
    enum:
        FR_CRITICAL_PITCH
    void fr_rows_suit(Py_ssize_t) noexcept
    void fr_rows_merge(fr_row_call *) noexcept
    Py_ssize_t fr_rows_together(const fr_row_call *, Py_ssize_t) noexcept
    size_t fr_rows_room(const fr_row_call *, Py_ssize_t) noexcept
    int fr_run_rows(const fr_row_call *, Py_ssize_t, Py_ssize_t, char *) noexcept

cdef extern from "kernels/rows_ufunc.h" nogil:
    ctypedef enum fr_row_form:
        FR_NORMALIZE
        FR_FROM_RESULT
        FR_SUM
        FR_MEAN
        FR_SUM_GRADIENT
    ctypedef struct fr_row_ufunc:
        const fr_rows *flavor
        fr_row_form form
        int kind
        int inputs
        bint masked
        Py_ssize_t itemsize
        uint64_t absent
        uint64_t alone
        fr_move load
        fr_move store
        fr_move store_sum
    void fr_row_ufunc_loop(char **, const cnp.npy_intp *, const cnp.npy_intp *, void *) noexcept

names = ("softmax", "log_softmax", "softmin", "hardmax", "sparsemax")


@cython.final
cdef class RowKernels:
    """The kernels over rows for one instruction set, and their ufuncs by name."""

    def __init__(self, str isa):
        self.rows, self.convert = <const fr_rows *>tables(isa).rows, tables(isa).convert
        self.ufuncs, self.threshold = {}, _kernels.load_kernels(isa, "threshold")["threshold"]
        for kind, name in enumerate(names):
            self.add(name, FR_NORMALIZE, kind)
            self.add(name + "_backward_from_output", FR_FROM_RESULT, kind)
        for name, form in (("logsumexp", FR_SUM), ("logmeanexp", FR_MEAN)):
            self.add(name, form, FR_SOFTMAX)
            self.add(name + "_backward", FR_SUM_GRADIENT, FR_SOFTMAX)

    cdef int add(self, str name, int form, int kind) except -1:
        """Make the ufunc of one function along an axis, and the one that takes a mask too."""
        for masked in range(1 if form == FR_FROM_RESULT else 2):
            made = RowUfunc.__new__(RowUfunc)
            (<RowUfunc>made).make(self.rows, self.convert, name + "_where" * masked, <fr_row_form>form, kind, masked)
            self.ufuncs[(<RowUfunc>made).name] = made
        return 0

    cdef const fr_rows *of(self, int dtype) except NULL:
        """The flavor of a call in the current context."""
        return &self.rows[flavor_of(dtype, precision_here())]

    cdef object zeros(self, cnp.ndarray y, object out):
        """The gradient of hardmax, which knows no rows: 0, and NaN where `y` is."""
        return _python_core.call(self.threshold, out, True, y, INFINITY, 0.0)


# --- Ufuncs -----------------------------------------------------------------------------------------------------------

cdef dict _OPERANDS = {  # names and core dimensions of the inputs, and the core dimension of the result
    FR_NORMALIZE: (("x",), "(n)->(n)"),
    FR_FROM_RESULT: (("grad", "y"), "(n),(n)->(n)"),
    FR_SUM: (("x",), "(n)->()"),
    FR_MEAN: (("x",), "(n)->()"),
    FR_SUM_GRADIENT: (("grad", "x"), "(),(n)->(n)"),
}
cdef enum:
    _MOST = 4  # operands of a ufunc
cdef list _made = []  # NumPy keeps pointers into them


def _take_bfloat16():
    for ufunc in _made:
        (<RowUfunc>ufunc).take_bfloat16()


_kernels.learners.append(_take_bfloat16)


@cython.final
cdef class RowUfunc:
    """The two ufuncs of one function along an axis."""

    cdef readonly str name
    cdef readonly tuple operands
    cdef readonly object fast, accurate
    cdef fr_row_ufunc calls[FR_PRECISIONS][FR_TYPES]
    cdef void *loop_data[FR_PRECISIONS][FR_TYPES]
    cdef cnp.PyUFuncGenericFunction loops[FR_TYPES]
    cdef char loop_types[FR_TYPES * _MOST]
    cdef bytes c_name, c_doc, signature

    def __init__(self):
        raise TypeError("RowKernels makes these")

    cdef int make(self, const fr_rows *rows, const fr_convert *convert, str name, fr_row_form form, int kind,
                  bint masked) except -1:
        cdef fr_row_ufunc *how
        cdef int type, computed, format, level, j, nin
        inputs, signature = _OPERANDS[form]
        if masked:
            inputs, signature = inputs + ("where",), signature.replace("->", ",(n)->")
        self.name, self.operands, nin = name, inputs, len(inputs)
        self.c_name, self.signature = name.encode(), signature.encode()
        self.c_doc = (f"The ufunc behind `fastrelu.{name.removesuffix('_where')}`{' with a mask' * masked}; inputs: "
                      f"{', '.join(inputs)}.").encode()
        for type in range(FR_TYPES):
            self.loops[type] = <cnp.PyUFuncGenericFunction>fr_row_ufunc_loop
            for j in range(nin + 1 if type != FR_bfloat16 else 0):
                number = dtype_of(type).type_num
                self.loop_types[type * (nin + 1) + j] = cnp.NPY_BOOL if masked and j == nin - 1 else number
            for level in range(FR_PRECISIONS):
                self.loop_data[level][type] = how = &self.calls[level][type]
                computed = fr_type_of_flavor[fr_types[type].flavor[level]]
                if type >= FR_OWN_TYPES:
                    format = FR_AS_BFLOAT if type == FR_bfloat16 else FR_AS_HALF
                    how.load, how.store = convert.load[computed][format], convert.store[computed][format]
                    how.store_sum = convert.store[FR_float64][format]
                number = dtype_of(computed).type_num
                how.flavor = &rows[flavor_of(number, level)]
                how.form, how.kind, how.inputs, how.masked = form, kind, nin, masked
                how.itemsize = size_of(number)
                how.absent, how.alone = _absent(kind, number), _alone(kind, number)
        _made.append(self)
        self.fast, self.accurate = self.make_ufunc(0), self.make_ufunc(1)
        if dtype_of(FR_bfloat16) is not None:
            self.take_bfloat16()
        return 0

    cdef object make_ufunc(self, int level):
        ufunc = cnp.PyUFunc_FromFuncAndDataAndSignature(self.loops, self.loop_data[level], self.loop_types, FR_bfloat16,
                                                        len(self.operands), 1, cnp.PyUFunc_None, self.c_name,
                                                        self.c_doc, 0, self.signature)
        add_promoter(ufunc)
        return ufunc

    cdef int take_bfloat16(self) except -1:
        """Give the ufuncs a loop for bfloat16."""
        cdef int types[_MOST]
        cdef int j, nin = len(self.operands), number = dtype_of(FR_bfloat16).type_num
        for j in range(nin + 1):
            types[j] = cnp.NPY_BOOL if self.operands[nin - 1] == "where" and j == nin - 1 else number
        for level, ufunc in enumerate((self.fast, self.accurate)):
            cnp.PyUFunc_RegisterLoopForType(ufunc, number, <cnp.PyUFuncGenericFunction>fr_row_ufunc_loop, types,
                                            self.loop_data[<int>level][FR_bfloat16])
        return 0

    def __repr__(self):
        return f"<kernel {self.name}>"


# --- Running over all rows ------------------------------------------------------------------------------------------

def suit_cache(bytes_held: int) -> None:
    """Choose how long rows that lie across memory are brought to the kernels, by the bytes of the second-level cache
    (0: not known); for the import of this module, and for tests of both ways."""
    fr_rows_suit(bytes_held)


suit_cache(_python_runtime.second_cache)


cdef struct _Work:
    const fr_row_call *call
    Py_ssize_t rows, units, unit  # rows that are best taken together are a unit
    char *rooms  # one for each thread
    size_t room
    fr_atomic no_class  # whether a share met a label that is not a class


cdef void _share(const void *what, long share, long shares, int part) noexcept nogil:
    cdef _Work *work = <_Work *>what
    cdef Py_ssize_t each = work.units // shares, more = work.units % shares
    cdef Py_ssize_t start = each * share + min(share, more), stop = start + each + (share < more)
    cdef int status = fr_run_rows(work.call, start * work.unit, min(stop * work.unit, work.rows),
                                  work.rooms + part * work.room)
    if status & FR_ROWS_NO_CLASS:
        fr_store(&work.no_class, 1)


cdef int _run(fr_row_call *call, int cost, Py_ssize_t rows, Crew crew) except -1:
    """Run over all rows; no Python code runs before they are done."""
    cdef _Work work
    cdef int rooms
    work.call, work.rows, work.no_class, work.rooms = call, rows, 0, NULL
    fr_rows_merge(call)
    work.unit = fr_rows_together(call, rows) if crew.threads > 1 else 1  # the answer takes a plan of the call
    if call.sums != NULL:
        work.unit = (work.unit + call.chunk - 1) // call.chunk * call.chunk
    work.units = (rows + work.unit - 1) // work.unit
    work.room = fr_rows_room(call, rows)
    rooms = crew.threads if work.units > 1 else 1  # one unit has one thread
    if work.room:
        if work.room <= <size_t>PTRDIFF_MAX // <size_t>rooms:
            work.rooms = <char *>room_of(work.room * rooms)
        if work.rooms == NULL:
            raise MemoryError("no memory for the rows of an array that is not contiguous along its axis")
    try:
        run_shares(_share, &work, cost, rows * call.n, work.units, crew)
    finally:
        leave_room(work.rooms)
    if fr_load(&work.no_class):
        raise RuntimeError("cross_entropy: labels was changed by another thread while it was read; it holds no class "
                           "now")
    return 0


cdef bint _is_plain(object value, int dtype):
    """A plain array of this type, contiguous in C's order."""
    if type(value) is not cnp.ndarray:
        return False
    return (cnp.PyArray_TYPE(<cnp.ndarray>value) == dtype and PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>value)
            and PyArray_ISBEHAVED_RO(<cnp.ndarray>value))


cdef bint _is_apart(cnp.ndarray x, cnp.ndarray out):
    """Are the two contiguous arrays disjoint, or exactly the same memory?"""
    cdef char *a = <char *>cnp.PyArray_DATA(x)
    cdef char *b = <char *>cnp.PyArray_DATA(out)
    return a == b or a + cnp.PyArray_NBYTES(x) <= b or b + cnp.PyArray_NBYTES(out) <= a


cdef bint _is_last(object axis, int ndim):
    """Is it a plain integer that denotes the last axis?"""
    cdef long number
    if not PyLong_CheckExact(axis) or ndim == 0:
        return False
    number = PyLong_AsLong(axis) if -64 <= axis < 64 else 64
    return number == -1 or number == ndim - 1


cdef enum:
    _MANY_ROWS = 4096  # from here on losses are added up in chunks
    _FEW_CHUNKS = 128  # at most, instead of CHUNKS, of rows whose sums cost much of what else is done with them
    _CHUNK = 16  # rows: chunks hold a multiple of this, and has at least this many
    _CHUNK_ELEMENTS = 4096  # elements or more: to end a chunk takes as long as some hundred elements


cdef void _clear(fr_row_call *call) noexcept nogil:
    cdef int k
    call.tile = NULL
    call.band = NULL
    call.fold = NULL
    call.loss = NULL
    call.target = NULL
    call.load = NULL
    call.finish = FR_UNCHANGED_ROWS
    call.slope = NULL
    call.skipped = NULL
    call.sums = NULL
    for k in range(FR_ROW_OPERANDS):
        call.operand[k].origin = NULL


cdef void _flat_operand(fr_row_call *call, int which, const char *data) noexcept nogil:
    call.operand[which].origin = <char *>data
    call.operand[which].along = call.itemsize
    call.operand[which].stride[0] = call.n * call.itemsize


cdef void _set_kernels(fr_row_call *call, const fr_rows *flavor, int kind, bint backward) noexcept nogil:
    call.flavor = flavor
    call.kernel = flavor.from_output[kind] if backward else flavor.forward[kind]
    call.tile = flavor.from_output_tile[kind] if backward else flavor.forward_tile[kind]
    call.band = flavor.from_output_band[kind] if backward else flavor.forward_band[kind]
    call.fold = flavor.from_output_fold[kind] if backward else flavor.forward_fold[kind]


cdef object _run_flat(const fr_rows *flavor, int kind, int cost, cnp.ndarray x, cnp.ndarray second, cnp.ndarray out,
                      Crew crew, cnp.ndarray factor=None, fr_row_finish finish=FR_UNCHANGED_ROWS):
    """Run over the rows along the last axis of contiguous arrays; allocates the result if `out` is None.

    A factor is one number, or a contiguous array of one for each row.
    """
    cdef fr_row_call call
    cdef int ndim = cnp.PyArray_NDIM(x)
    if out is None:
        out = cnp.PyArray_SimpleNew(ndim, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x))
    _clear(&call)
    _set_kernels(&call, flavor, kind, second is not None)
    call.n = cnp.PyArray_DIM(x, ndim - 1)
    call.itemsize = cnp.PyArray_ITEMSIZE(x)
    call.naxes = 1
    if call.n > 0:
        call.shape[0] = cnp.PyArray_SIZE(x) // call.n
        _flat_operand(&call, FR_ROW_IN, cnp.PyArray_BYTES(x))
        if second is not None:
            _flat_operand(&call, FR_ROW_SECOND, cnp.PyArray_BYTES(second))
        _flat_operand(&call, FR_ROW_OUT, cnp.PyArray_BYTES(out))
        if factor is not None:
            call.finish = finish
            call.operand[FR_ROW_FACTOR].origin = <char *>cnp.PyArray_DATA(factor)
            call.operand[FR_ROW_FACTOR].stride[0] = call.itemsize if cnp.PyArray_NDIM(factor) else 0
        _run(&call, cost, call.shape[0], crew)
    return out


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
    cdef Py_ssize_t stop = min(parts * (share + 1) // shares * job.at_once, job.rows)
    cdef fr_guard caller = fr_guard_open()
    cdef int k
    _set_halves(&call, job, room)
    while row < stop:
        call.shape[0] = min(job.at_once, stop - row)
        for k in range(job.inputs):
            job.widen(job.given[k] + row * size, room + k * job.place, call.shape[0] * job.n)
        fr_run_rows(&call, 0, call.shape[0], room + job.inputs * job.place)
        job.narrow(room, job.out + row * size, call.shape[0] * job.n)
        row += call.shape[0]
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
    job.room = job.inputs * job.place + fr_rows_room(&call, job.at_once)
    job.rooms = <char *>room_of(job.room * (crew.threads if parts > 1 else 1))
    if job.rooms == NULL:
        raise MemoryError(f"no memory for rows of 16 bits in {dtype_of(own).name}")
    try:
        run_shares(_half_share, &job, cost, job.rows * job.n, parts, crew)
    finally:
        leave_room(job.rooms)
    return out


cdef int _order(cnp.ndarray y, int axis, int *order) noexcept:
    """The axes other than `axis` that are longer than 1, those with the longest strides first."""
    cdef int k, i, count = 0
    for k in range(cnp.PyArray_NDIM(y)):
        if k == axis or cnp.PyArray_DIM(y, k) == 1:
            continue
        i = count
        while i > 0 and _far(cnp.PyArray_STRIDE(y, order[i - 1])) < _far(cnp.PyArray_STRIDE(y, k)):
            order[i] = order[i - 1]
            i -= 1
        order[i] = k
        count += 1
    return count


cdef Py_ssize_t _lay_out(fr_row_call *call, cnp.ndarray y, int axis, int *order) noexcept:
    """Set the shape of the loop, in the order of the strides of `y`; returns the number of rows."""
    cdef int k
    cdef Py_ssize_t rows = 1
    call.n = cnp.PyArray_DIM(y, axis)
    call.itemsize = cnp.PyArray_ITEMSIZE(y)
    call.naxes = _order(y, axis, order)
    for k in range(call.naxes):
        call.shape[k] = cnp.PyArray_DIM(y, order[k])
        rows *= call.shape[k]
    if call.naxes == 0:
        call.naxes = call.shape[0] = 1
        order[0] = -1
    return rows


cdef void _operand(fr_row_call *call, int which, cnp.ndarray x, int axis, const int *order, bint has_axis) noexcept:
    """Set the address and strides of an operand; without the axis of the rows it has one number per row."""
    cdef int k, own
    call.operand[which].origin = <char *>cnp.PyArray_DATA(x)
    call.operand[which].along = cnp.PyArray_STRIDE(x, axis) if has_axis else 0
    for k in range(call.naxes):
        own = order[k] if has_axis or order[k] < axis else order[k] - 1
        call.operand[which].stride[k] = cnp.PyArray_STRIDE(x, own) if order[k] >= 0 else 0


# --- Calls with any arguments -----------------------------------------------------------------------------------------

cdef int _loaded_type(str name, cnp.ndarray a, cnp.ndarray bias, cnp.ndarray sink, Load load, int *result) except -1:
    """As `_joint_type`, of x, a bias and a sink; numbers of Python have no type."""
    cdef double number
    _type_of(name, a)
    operands = [a]
    for given, array in ((load.bias, bias), (load.sink, sink)):
        if array is not None:
            _type_of(name, array)
            operands.append(given if _number(given, &number) else array)
    result[0] = joint_dtype(*operands).num
    return computed_type(result[0], precision_here())


cdef int _refuse_sink(str name, Load load) except -1:
    if load.sink is not None:
        raise TypeError(f"{name} takes sink= with arrays of NumPy alone: convert operands with numpy.asarray first, or "
                        "append the sink to each row of x and drop its result")
    return 0


cdef object _composed(str name, object x, Load load):
    """The changed elements of operands of which one is foreign, by its own arithmetic."""
    for value in (x, load.bias):
        _foreign.refuse_mask(name, value)
    _refuse_sink(name, load)
    z = x = x if _foreign.is_foreign(x) else np.asarray(x)
    if load.load.scale != 1:
        z = z * load.load.scale
    if load.capper is not None:
        z = (load.capper.accurate if precision_here() else load.capper.fast)(z, load.load.cap)
    if load.bias is not None:
        z = z + (np.asarray(load.bias) if isinstance(load.bias, (list, tuple)) else load.bias)
        if repr(z.shape) != repr(x.shape):  # lengths of a dask array may be NaN
            raise ValueError(f"{name}: bias of shape {np.shape(load.bias)} does not broadcast to the shape of x, "
                             f"{x.shape}")
    return z


cdef object _hand_over(RowKernels kernels, str name, tuple values, object axis, object out, object where,
                       bint keepdims):
    """Leave a call to the type of an operand, through the ufunc of the precision in force."""
    cdef RowUfunc ufunc = kernels.ufuncs[name if where is True else name + "_where"]
    if where is not True:
        if not _foreign.is_foreign(where):
            where = _as_data(name, where)
            shape = getattr(values[len(values) - 1], "shape", None)
            if isinstance(shape, tuple) and _are_ints(shape):
                where = spread_mask(name, where.copy(), shape)  # a view might outlive its memory
        values = values + (where,)
    if out is Ellipsis:
        out = None
    target = out if out is None or _foreign.is_foreign(out) else _as_output(name, out)
    result = _foreign.hand_over(ufunc.accurate if precision_here() else ufunc.fast, name, ufunc.operands, values, axis,
                                target, keepdims)
    return result if target is out else out


cdef uint64_t _bits(double value, int dtype) noexcept:
    cdef float single = <float>value
    cdef uint32_t narrow
    cdef uint64_t wide
    memcpy(&narrow, &single, sizeof(single))
    memcpy(&wide, &value, sizeof(value))
    return wide if dtype == cnp.NPY_DOUBLE else narrow


cdef uint64_t _absent(int kind, int dtype) noexcept:
    """The bits that a masked element is read as: those of the limit at which it does not take part."""
    return _bits(INFINITY if kind == FR_SOFTMIN else -INFINITY, dtype)


cdef uint64_t _alone(int kind, int dtype) noexcept:
    """The bits of the results of a row that is masked altogether."""
    return _bits(-INFINITY if kind == FR_LOG_SOFTMAX else 0, dtype)


cdef class Load:
    """What changes the elements as they are loaded: a scale and a cap, and the kernel of the cap; a bias and a sink."""

    def __init__(self, str name, object scale, object bias, object capper, object softcap, object sink):
        self.load.scale = as_scale(name, scale)
        if softcap is not None:
            self.capper, self.load.cap = capper, _as_number(name, "softcap", softcap)
            if not 0 < self.load.cap < INFINITY:
                raise ValueError(f"{name}: softcap must be finite and greater than 0, or None, not {softcap!r}")
        self.bias, self.sink = bias, sink

    cdef str in_words(self):
        steps = ["x * scale"] * (self.load.scale != 1) + ["softcap"] * (self.capper is not None)
        return ", ".join(steps + ["+ bias"] * (self.bias is not None) + ["a sink"] * (self.sink is not None))

    cpdef int choose(self, str name, int dtype) except -1:
        """Find the loop of the cap in a type, and check that the numbers are finite in it."""
        if dtype == cnp.NPY_FLOAT and abs(self.load.scale) >= 3.4028235677973366e38:
            raise ValueError(f"{name}: scale must be finite, not {self.load.scale!r}, which is inf in float32")
        self.load.softcap = NULL
        if self.capper is not None:
            self.load.softcap = checked_kernel(self.capper, (self.load.cap,), type_of(dtype), precision_here())
        return 0


cdef cnp.ndarray _one(double number, int dtype, fr_row_finish finish):
    """A factor of all rows in a type; what divides is not 0 there."""
    cdef cnp.ndarray one = cnp.PyArray_SimpleNew(0, NULL, dtype)
    cdef float narrow
    if dtype == cnp.NPY_DOUBLE:
        (<double *>cnp.PyArray_DATA(one))[0] = number
    else:
        narrow = <float>number
        (<float *>cnp.PyArray_DATA(one))[0] = max(narrow, <float>2**-149) if finish == FR_DIVIDED else narrow
    return one


cdef object _general(RowKernels kernels, int kind, bint backward, object x, object second, object axis, object out,
                     object where, Load load=None, bint explained=False, double factor=1,
                     fr_row_finish finish=FR_UNCHANGED_ROWS):
    """Handle arguments of any types, axes, masks, strides and overlaps."""
    cdef int dtype, result
    cdef Py_ssize_t count = 0
    cdef cnp.ndarray a, b = None, y, mask = None, target, sink = None
    cdef str name = names[kind] + ("_backward_from_output" if backward else "")
    # Conversions first: they may run the caller's code, which may change arrays that are converted already.
    given = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    axis = as_axis(axis)
    wrap = None
    if not (_is_ndarray(x) and (second is None or _is_ndarray(second)) and (given is None or _is_ndarray(given))
            and (where is True or _is_ndarray(where))):
        values = (x, second) if backward else (x,)
        if _is_handed_over(values, given, where):
            if explained:
                return _in_words(name, joint_dtype(*values), "ufunc", "an operand has code of its own", load)
            return _hand_over(kernels, name, values, axis, given, where, False)
        wrap = _foreign.wrapper(*values) if given is None or given is Ellipsis else None
    if where is not True:
        mask = _as_data(name, where)
    target = _as_output(name, given)
    a = _as_data(name, x)
    if load is not None:
        b = None if load.bias is None else _as_data(name, load.bias)
        sink = None if load.sink is None else _as_data(name, load.sink)
    elif backward:
        b = _as_data(name, second)
    settle()
    cdef Held held
    held.count = 0
    keep(&held, a)
    keep(&held, b)
    keep(&held, sink)
    keep(&held, mask)
    keep(&held, target)
    hold(&held, name)
    # References to what `held` borrows, for the names get other arrays below.
    cdef cnp.ndarray _kept_a = a, _kept_b = b, _kept_sink = sink, _kept_mask = mask
    cdef Crew crew

    if load is None:
        dtype = _joint_type(name, a, b, &result)
    else:
        dtype = _loaded_type(name, a, b, sink, load, &result)
        load.choose(name, dtype)
        b = None if b is None else spread(name, "bias", b, dtype, (<object>a).shape)
    if backward:
        if not PyArray_SAMESHAPE(a, b):
            raise ValueError(f"{name}: grad and y must have the same shape, not {(<object>a).shape} and "
                             f"{(<object>b).shape}")
    crew = _crew(_cost(kind, backward), a, not _is_read(a, dtype))
    if mask is not None:
        mask = spread_mask(name, mask, (<object>a).shape)
    axes = _axes_of(axis, cnp.PyArray_NDIM(a))
    if sink is not None:
        whole = (<object>a).shape
        sink = spread(name, "sink", sink, dtype, _without(whole, axes, False))
    if target is not None:
        _check_output(name, target, a, result)
    cdef bint alone = backward and kind == FR_HARDMAX  # each element for itself
    if alone:
        a, b = _native(a, dtype), None if b is None else _native(b, dtype)
    if explained:
        flat = load is None and where is True and result == dtype and _is_flat(x, second, -1 if alone else axis, out)
        if where is True and not alone and _is_flat_half(x, second, axis, out, load):
            flat, crew = True, crew_of(_cost(kind, backward), <cnp.ndarray>x)
        found = _in_words(name, np.dtype(cnp.PyArray_DescrFromType(dtype)), "fast path" if flat else "N-d driver",
                          _why_not_flat(where, load) if not flat else "", load)
        found["threads"], found["why_threads"] = crew.threads, _why_threads(crew, cnp.PyArray_SIZE(a))
        if result != dtype and not flat and not alone and cnp.PyArray_SIZE(a) > _BLOCK:
            count = _count_parts(kernels, kind, backward, a, b, mask, axes, target, result, dtype, &crew, load, sink)
        if count:
            found["threads"], found["why_threads"] = crew.threads, _why_threads(crew, cnp.PyArray_SIZE(a))
            if count < crew.threads:
                found["threads"], found["why_threads"] = count, f"the rows are converted in {count} parts"
        elif len(axes) == 1 and not flat and not alone and cnp.PyArray_SIZE(a):
            a, b = _native(a, dtype), None if b is None else _native(b, dtype)
            y = target if result == dtype and _takes(target, dtype) else a
            rows, unit = _taken_together(kernels.of(dtype), kind, backward, a, b, mask, axes[0], y, load, sink)
            if (rows + unit - 1) // unit < crew.threads:
                found["threads"] = (rows + unit - 1) // unit
                found["why_threads"] = f"there are {rows} rows, of which a thread takes {unit} at once"
        found["output"] = "new" if target is None else "given"
        if alone and target is not None and not _same_place(b, target):
            found["streamed"] = _python_core.streams(kernels.threshold, cnp.PyArray_NBYTES(target), crew.threads)
        if result != dtype:
            found["stores"] = f"{found['dtype']} to {cnp.PyArray_DescrFromType(result).name}"
        return found
    one = _one(factor, dtype, finish) if finish else None
    if alone:
        y = target if result == dtype and _takes(target, dtype) else None
        check_held(&held, name)
        y = np.asarray(kernels.zeros(b, y))
    elif len(axes) == 1:
        y = target if result == dtype and _takes(target, dtype) else None
        if result != dtype and cnp.PyArray_SIZE(a) > _BLOCK:
            if (_is_at_once((a, b, mask, sink), target, result)
                    and _run_parts(kernels, kind, backward, a, b, mask, axes[0], target, dtype, &held, load, sink, one,
                                   finish)):
                return given
            y = _result_like(a, b if backward else None, result)
        y = _along(kernels, kind, backward, a, b, mask, axes[0], y, dtype, crew, &held, load, sink, one, finish)
    else:
        whole = (<object>a).shape
        a, b = _merged(a, axes), None if b is None else _merged(b, axes)
        y = None
        if result != dtype and cnp.PyArray_SIZE(a) > _BLOCK:
            y = _result_like(a, b if backward else None, result)
        y = _along(kernels, kind, backward, a, b, None if mask is None else _merged(mask, axes),
                   cnp.PyArray_NDIM(a) - 1, y, dtype, crew, &held, load, sink, one, finish)
        y = _parted(y, axes, whole)
    y = _rounded(y, result)
    if target is not None:
        if y is not target:
            _kernels.copy_into(target, y)
        return given
    if wrap is not None:
        return wrap(y)
    return y if given is Ellipsis or cnp.PyArray_NDIM(y) else y[()]


cdef bint _is_at_once(tuple operands, cnp.ndarray out, int dtype) except -1:
    """Can results of this type be written into `out` as they come, before all operands have been read?"""
    if not _takes(out, dtype):
        return False
    for x in operands:
        if x is not None and not _same_place(x, out) and np.may_share_memory(x, out):
            return False
    return True


cdef str _why_not_flat(object where, Load load):
    if load is not None:
        return "elements are changed as they are loaded"
    return "where= is given" if where is not True else "operands are no contiguous arrays, or the axis is not the last"


cdef dict _in_words(str name, object dtype, str door, str why, Load load):
    """The fields of `Explanation`; that of a ufunc, whose threads are decided by the type of an operand."""
    return {"door": door, "kernel": name, "dtype": dtype.name, "precision": "accurate" if precision_here() else "fast",
            "why_not_fast": why, "why_not_driver": why if door == "ufunc" else "", "threads": 1,
            "why_threads": "the type of an operand decides" if door == "ufunc" else "", "output": "new",
            "streamed": False, "loads": "" if load is None else load.in_words(), "stores": ""}


cdef bint _is_flat(object x, object second, object axis, object out):
    """Are the operands contiguous arrays of one type that kernels read, and rows along the last axis?"""
    return (type(x) is cnp.ndarray and has_kernels(cnp.PyArray_TYPE(<cnp.ndarray>x))
            and _are_dense(x, second, axis, out))


cdef bint _is_flat_half(object x, object second, object axis, object out, Load load):
    """The same of a type of 16 bits, whose elements may be changed by numbers alone as they are loaded."""
    return (type(x) is cnp.ndarray and _is_half(<cnp.ndarray>x) and cnp.PyArray_SIZE(<cnp.ndarray>x) > 0
            and (load is None or (load.bias is None and load.sink is None)) and _are_dense(x, second, axis, out))


cdef bint _are_dense(cnp.ndarray x, object second, object axis, object out):
    cdef int dtype = cnp.PyArray_TYPE(x)
    return (_is_plain(x, dtype) and _is_last(axis, cnp.PyArray_NDIM(<cnp.ndarray>x))
            and (second is None or (_is_plain(second, dtype) and PyArray_SAMESHAPE(second, x)))
            and (out is None or (_is_plain(out, dtype) and PyArray_ISWRITEABLE(<cnp.ndarray>out)
                                 and PyArray_SAMESHAPE(x, out) and _is_apart(x, out)
                                 and (second is None or _is_apart(second, out)))))


cdef bint _are_alike(object grad, object y, object axis, object out) except -1:
    """Are the operands plain arrays of one type that kernels compute, and of one shape, which has the axis?"""
    cdef int dtype
    if not (type(y) is cnp.ndarray and type(grad) is cnp.ndarray and PyLong_CheckExact(axis)):
        return False
    dtype = cnp.PyArray_TYPE(<cnp.ndarray>y)
    if (dtype != cnp.PyArray_TYPE(<cnp.ndarray>grad) or not PyArray_SAMESHAPE(<cnp.ndarray>y, <cnp.ndarray>grad)
            or not (has_kernels(dtype) or _is_half(<cnp.ndarray>y)) or not PyArray_ISBEHAVED_RO(<cnp.ndarray>y)):
        return False
    normalize_axis_index(axis, cnp.PyArray_NDIM(<cnp.ndarray>y))
    return out is None or (type(out) is cnp.ndarray and PyArray_SAMESHAPE(<cnp.ndarray>y, <cnp.ndarray>out)
                           and _takes(<cnp.ndarray>out, dtype) and PyArray_ISWRITEABLE(<cnp.ndarray>out))


cdef int _cost(int kind, bint backward) noexcept:
    """The cost class: hardmax is bound by memory, and a gradient from the output that holds no exponential."""
    return FR_LIGHT if kind == FR_HARDMAX or (backward and kind != FR_LOG_SOFTMAX) else FR_MEDIUM


cdef Py_ssize_t _describe(fr_row_call *call, const fr_rows *flavor, int kind, bint backward, cnp.ndarray a,
                          cnp.ndarray b, cnp.ndarray mask, int axis, cnp.ndarray y, Load load, cnp.ndarray sink,
                          cnp.ndarray factor, fr_row_finish finish) noexcept:
    """Describe a call on rows along an axis, into `y`; returns their number."""
    cdef int order[FR_MAX_AXES]
    cdef int dtype = cnp.PyArray_TYPE(y), k
    cdef Py_ssize_t rows
    if mask is not None:
        call.absent, call.alone = _absent(kind, dtype), _alone(kind, dtype)
    _clear(call)
    _set_kernels(call, flavor, kind, backward)
    rows = _lay_out(call, y, axis, order)
    _operand(call, FR_ROW_IN, a, axis, order, True)
    if b is not None:
        _operand(call, FR_ROW_SECOND, b, axis, order, True)
    if load is not None:
        call.load = &load.load
    if sink is not None:
        _operand(call, FR_ROW_SINK, sink, axis, order, False)
    if mask is not None:
        _operand(call, FR_ROW_WHERE, mask, axis, order, True)
    if factor is not None:
        call.finish = finish
        if cnp.PyArray_NDIM(factor):
            _operand(call, FR_ROW_FACTOR, factor, axis, order, False)
        else:
            call.operand[FR_ROW_FACTOR].origin = <char *>cnp.PyArray_DATA(factor)
            for k in range(call.naxes):
                call.operand[FR_ROW_FACTOR].stride[k] = 0
    _operand(call, FR_ROW_OUT, y, axis, order, True)
    return rows


cdef tuple _taken_together(const fr_rows *flavor, int kind, bint backward, cnp.ndarray a, cnp.ndarray b,
                           cnp.ndarray mask, int axis, cnp.ndarray y, Load load, cnp.ndarray sink):
    """The number of rows of a call, and how many of them a thread takes at once."""
    cdef fr_row_call *call = <fr_row_call *>malloc(sizeof(fr_row_call))  # the stack may be small
    cdef Py_ssize_t rows, unit
    if call == NULL:
        raise MemoryError
    rows = _describe(call, flavor, kind, backward, a, b, mask, axis, y, load, sink, None, FR_UNCHANGED_ROWS)
    fr_rows_merge(call)
    unit = fr_rows_together(call, rows)
    free(call)
    return rows, unit


cdef Py_ssize_t _BLOCK = _PER_THREAD

cdef enum:
    _NEIGHBORS = 33  # fewer are gathered at least as fast as copied


cdef bint _is_spread(cnp.ndarray x) noexcept:
    """Do elements of the array share memory, as after broadcasting?"""
    cdef int k
    for k in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_STRIDE(x, k) == 0 and cnp.PyArray_DIM(x, k) > 1:
            return True
    return False


cdef bint _is_repeated(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Is it one number for many neighbors in `y`? Kernels take lines of memory, which would be gathered from it."""
    cdef int k, nearest = -1
    cdef Py_ssize_t step, least = 0
    for k in range(cnp.PyArray_NDIM(y)):
        if cnp.PyArray_STRIDE(x, k) == 0 and cnp.PyArray_DIM(y, k) >= _NEIGHBORS:
            break
    else:
        return False
    for k in range(cnp.PyArray_NDIM(y)):
        step = _far(cnp.PyArray_STRIDE(y, k))
        if cnp.PyArray_DIM(y, k) > 1 and (nearest < 0 or step <= least):
            nearest, least = k, step
    return nearest >= 0 and cnp.PyArray_STRIDE(x, nearest) == 0 and cnp.PyArray_DIM(y, nearest) >= _NEIGHBORS


cdef cnp.ndarray _brought(cnp.ndarray x, cnp.ndarray y, int dtype):
    """The array as kernels of this type read it beside `y`: the array itself, or a copy."""
    if not _is_repeated(x, y):
        return _native(x, dtype)
    full = np.empty_like(y, cnp.PyArray_DescrFromType(dtype))
    full[...] = _native(x[tuple([slice(1 if stride == 0 else None) for stride in (<object>x).strides])], dtype)
    return full


cdef cnp.ndarray _result_like(cnp.ndarray a, cnp.ndarray b, int dtype):
    """A new array for results, in the order of memory of an operand in which each element has its own place."""
    descr = dtype_of(type_of(dtype))
    if not _is_spread(a):
        return np.empty_like(a, descr)
    if b is not None and not _is_spread(b):
        return np.empty_like(b, descr)
    return np.empty((<object>a).shape, descr)


cdef int _run_block(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b, cnp.ndarray mask,
                    int axis, cnp.ndarray y, int dtype, Crew crew, const Held *held, Load load, cnp.ndarray sink,
                    cnp.ndarray factor, fr_row_finish finish) except -1:
    """Run over rows into `y`; operands that kernels cannot read are copied, and so are results of 16 bits."""
    cdef fr_row_call call
    cdef Py_ssize_t rows
    cdef cnp.ndarray first, found = y
    check_held(held, names[kind])
    first = _brought(a, y, dtype)
    if backward:
        b = _brought(b, y, dtype)
    if cnp.PyArray_TYPE(y) != dtype:
        found = first if first is not a else np.empty_like(first)
    check_held(held, names[kind])
    rows = _describe(&call, kernels.of(dtype), kind, backward, first, b, mask, axis, found, load, sink, factor, finish)
    _run(&call, _cost(kind, backward), rows, crew)
    if found is not y:
        _kernels.copy_into(y, _rounded(found, cnp.PyArray_TYPE(y)))
    return 0


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
    fr_rows_merge(call)
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
                job.room = max(job.room, fr_rows_room(call, planes * width))
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
        fr_run_rows(&call, 0, planes * width, room + job.room_at)
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
        _run_fitted(job, _cost(kind, backward), y, crew, held, names[kind])
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


cdef cnp.ndarray _along(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b, cnp.ndarray mask,
                        int axis, cnp.ndarray y, int dtype, Crew crew, const Held *held, Load load,
                        cnp.ndarray sink, cnp.ndarray factor=None, fr_row_finish finish=FR_UNCHANGED_ROWS):
    """Run over the rows of arrays along one axis, into `y` or a new array of the type that computes.

    Operands may have any type, and `y` 16 bits: then it is new, and operands and results are converted in blocks. A
    factor is one number, or an array of one for each row.
    """
    cdef bint copied = y is None or cnp.PyArray_TYPE(y) != dtype
    if y is None:
        y = _result_like(a, b if backward else None, dtype)
        copied = (not _is_read(a, dtype) or _is_repeated(a, y)
                  or (backward and (not _is_read(b, dtype) or _is_repeated(b, y))))
    elif not copied:
        # All copies are made before anything is written, which may be read again or must stay if memory runs out.
        a, b = _native(a, dtype), None if b is None else _native(b, dtype)
        a, b, mask, sink = _unshared(a, y), _unshared(b, y), _unshared(mask, y), _unshared(sink, y)
        if factor is not None and np.may_share_memory(factor, y):
            factor = factor.copy()
    cdef bint one = factor is None or cnp.PyArray_NDIM(factor) == 0
    if copied and cnp.PyArray_TYPE(y) != dtype and _run_parts(kernels, kind, backward, a, b, mask, axis, y, dtype, held,
                                                              load, sink, factor, finish):
        return y
    parts = blocks(y, axis, crew.threads) if copied and cnp.PyArray_SIZE(y) > _BLOCK else ()
    if len(parts) < 2:
        _run_block(kernels, kind, backward, a, b, mask, axis, y, dtype, crew, held, load, sink, factor, finish)
        return y
    for at in parts:
        kept = at[:axis] + at[axis + 1:]
        _run_block(kernels, kind, backward, a[at], None if b is None else b[at], None if mask is None else mask[at],
                   axis, y[at], dtype, crew, held, load, None if sink is None else sink[kept],
                   factor if one else factor[kept], finish)
    return y


# --- Softmax and related functions ------------------------------------------------------------------------------------

@cython.binding(False)
def forward(RowKernels kernels not None, int kind, object x, object axis, object out, object where):
    """Normalize the rows of x along an axis."""
    cdef int dtype
    cdef Crew crew
    if where is True and type(x) is cnp.ndarray:
        settle()
        crew = crew_of(_cost(kind, False), <cnp.ndarray>x)
        if _is_flat(x, None, axis, out):
            dtype = cnp.PyArray_TYPE(<cnp.ndarray>x)
            return _run_flat(kernels.of(dtype), kind, _cost(kind, False), x, None, out, crew)
        if _is_flat_half(x, None, axis, out, None):
            dtype = computed_type(cnp.PyArray_TYPE(<cnp.ndarray>x), precision_here())
            return _run_halves(kernels, kind, _cost(kind, False), x, None, out, dtype)
    return _general(kernels, kind, False, x, None, axis, out, where)


@cython.binding(False)
def forward_loaded(RowKernels kernels not None, int kind, object x, object axis, object out, object where,
                   Load load not None):
    """Normalize the rows of x that are changed as they are loaded."""
    cdef str name = names[kind]
    cdef int dtype
    if load.load.scale == 1 and load.bias is None and load.capper is None and load.sink is None:
        return forward(kernels, kind, x, axis, out, where)
    if _is_handed_over((x, load.bias, load.sink), out[0] if isinstance(out, tuple) and len(out) == 1 else out, where):
        x = _composed(name, x, load)
        return forward(kernels, kind, x, axis, out, where)
    settle()
    if where is True and _is_flat_half(x, None, axis, out, load):
        dtype = computed_type(cnp.PyArray_TYPE(<cnp.ndarray>x), precision_here())
        load.choose(name, dtype)
        return _run_halves(kernels, kind, _cost(kind, False), x, None, out, dtype, load)
    return _general(kernels, kind, False, x, None, axis, out, where, load)


@cython.binding(False)
def foresee(RowKernels kernels not None, int kind, bint backward, object x, object second, object axis, object out,
            object where, Load load):
    """What a call would do, in words, after all its checks."""
    if load is not None and not load.in_words():
        load = None
    if load is not None and _is_handed_over((x, load.bias, load.sink), out, where):
        _refuse_sink(names[kind], load)
        return _in_words(names[kind], joint_dtype(x), "ufunc", "an operand has code of its own", load)
    return _general(kernels, kind, backward, x, second, axis, out, where, load, True)


@cython.binding(False)
def forward_in_place(RowKernels kernels not None, int kind, object x, object axis, object where):
    """Normalize the rows of x in place and return x itself."""
    target = x if type(x) is cnp.ndarray else as_target(names[kind], x)
    forward(kernels, kind, target, axis, target, where)
    return x


@cython.binding(False)
def from_output(RowKernels kernels not None, int kind, object grad, object y, object axis, object out,
                double factor=1, bint divides=False):
    """Gradient of `forward` from its output; times a factor, or divided by it. Those of 16 bits are rounded after."""
    cdef int dtype, cost = _cost(kind, True), exponent
    cdef fr_row_finish finish = FR_UNCHANGED_ROWS
    cdef Crew crew
    if factor != 1:
        finish = FR_DIVIDED if divides else FR_MULTIPLIED
        if divides and frexp(factor, &exponent) == 0.5 and abs(exponent) < 100:
            factor, finish = 1 / factor, FR_MULTIPLIED  # the same bits, sooner
    if kind == FR_HARDMAX:
        if _are_alike(grad, y, axis, out):
            return kernels.zeros(y, out)
    elif type(y) is cnp.ndarray and grad is not None:  # as a second operand None means that there is none
        settle()
        crew = crew_of(cost, <cnp.ndarray>y)
        if _is_flat(y, grad, axis, out):
            dtype = cnp.PyArray_TYPE(<cnp.ndarray>y)
            one = _one(factor, dtype, finish) if finish else None
            return _run_flat(kernels.of(dtype), kind, cost, grad, y, out, crew, one, finish)
        if _is_flat_half(y, grad, axis, out, None):
            dtype = computed_type(cnp.PyArray_TYPE(<cnp.ndarray>y), precision_here())
            one = _one(factor, dtype, finish) if finish else None
            return _run_halves(kernels, kind, cost, grad, y, out, dtype, None, one, finish)
    return _general(kernels, kind, True, grad, y, axis, out, True, None, False, factor, finish)


cdef enum:
    _SLOPES = 3  # elements of a heavy function take as long as results and gradients of one that is loaded


@cython.binding(False)
def backward_loaded(RowKernels kernels not None, str name, int kind, cnp.ndarray grad not None,
                    cnp.ndarray x not None, tuple axes, Load load not None, object capper_backward, cnp.ndarray mask,
                    bint keeps, bint copied, object out):
    """Gradients of rows that are changed as they are loaded: of x, in `out` if it can be; of the scale; if it `keeps`
    them, of the elements as they were loaded; of the sinks.

    Arrays have the type that computes, x perhaps as a copy; the mask, the bias and the sinks are nobody else's.
    """
    cdef fr_row_call call
    cdef fr_row_slope slope
    cdef int order[FR_MAX_AXES]
    cdef int axis, dtype = cnp.PyArray_TYPE(x)
    cdef Py_ssize_t rows
    cdef cnp.ndarray a = x, g = grad, y = None, dz = None, bias = None, sinks = None, dsinks = None, losses
    cdef const fr_rows *flavor
    cdef tuple whole, kept
    settle()
    cdef Held held
    held.count = 0
    keep(&held, x)
    keep(&held, grad)
    if type(out) is cnp.ndarray:
        y = out
        keep(&held, y)
    hold(&held, name)
    cdef Crew crew = _crew(FR_MEDIUM, x, True) if copied else _crew(FR_HEAVY, x, False, _SLOPES)
    # The caller's code may have given x another shape since the others were made to fit.
    axes, whole = _axes_of(axes, cnp.PyArray_NDIM(x)), (<object>x).shape
    kept = _without(whole, axes, False)
    if not PyArray_SAMESHAPE(grad, x):
        raise ValueError(f"{name}: grad must have the shape of x, {whole}, not {(<object>grad).shape}")
    if mask is not None:
        mask = spread_mask(name, mask, whole)
    load.choose(name, dtype)
    slope.cap = NULL
    if load.capper is not None:
        slope.cap = checked_kernel(capper_backward, (load.load.cap,), type_of(dtype), precision_here())
    if load.bias is not None:
        bias = spread(name, "bias", load.bias, dtype, whole)
    if load.sink is not None:
        sinks = spread(name, "sink", load.sink, dtype, kept)
        dsinks = np.zeros(kept, x.dtype)
    if (len(axes) != 1 or not _takes(y, dtype) or not PyArray_SAMESHAPE(y, x) or not PyArray_ISWRITEABLE(y)
            or np.may_share_memory(x, y) or np.may_share_memory(grad, y)):
        y = None
    axis = axes[0] if len(axes) == 1 else cnp.PyArray_NDIM(x) - len(axes)
    if len(axes) != 1:
        a, g = _merged(a, axes), _merged(g, axes)
        bias = None if bias is None else _merged(bias, axes)
        mask = None if mask is None else _merged(mask, axes)
    if y is None:
        y = np.empty_like(a)
    if keeps:
        dz = np.empty_like(y)
    _clear(&call)
    rows = _lay_out(&call, y, axis, order)
    losses = _place_losses(&call, rows, _FEW_CHUNKS, kept, axis, order)
    if mask is not None:
        call.absent = _absent(kind, dtype)
    flavor = kernels.of(dtype)
    check_held(&held, name)
    _set_kernels(&call, flavor, kind, False)
    slope.kernel, slope.tile = flavor.from_output[kind], flavor.from_output_tile[kind]
    slope.band = flavor.from_output_band[kind]
    call.load, call.slope = &load.load, &slope
    _operand(&call, FR_ROW_IN, a, axis, order, True)
    _operand(&call, FR_ROW_GRAD, g, axis, order, True)
    _operand(&call, FR_ROW_OUT, y, axis, order, True)
    if bias is not None:
        _operand(&call, FR_ROW_SECOND, bias, axis, order, True)
    if mask is not None:
        _operand(&call, FR_ROW_WHERE, mask, axis, order, True)
    if sinks is not None:
        _operand(&call, FR_ROW_SINK, sinks, axis, order, False)
        _operand(&call, FR_ROW_SINK_SLOPE, dsinks, axis, order, False)
    if dz is not None:
        _operand(&call, FR_ROW_LOADED_SLOPE, dz, axis, order, True)
    dscale = 0.0
    if cnp.PyArray_SIZE(x):
        _run(&call, FR_HEAVY, rows, crew)
        dscale = _sum(<const double *>cnp.PyArray_DATA(losses), cnp.PyArray_SIZE(losses))
    if len(axes) != 1:
        y = _parted(y, axes, whole)
        dz = None if dz is None else _parted(dz, axes, whole)
    return y, dscale, dz, dsinks


@cython.binding(False)
def as_real(str name, object x):
    """The argument as a plain array of an element type in native byte order; the array itself if it is one."""
    cdef cnp.ndarray a = _as_data(name, x)
    cdef int dtype = _type_of(name, a)
    if not has_kernels(dtype):
        return a.astype(a.dtype.newbyteorder("="), copy=False)
    return _native(a, dtype)


# --- Losses of rows, and their sums -----------------------------------------------------------------------------------

cdef double _sum(const double *x, Py_ssize_t n) noexcept nogil:
    """The sum, in eight lanes, because additions that wait for each other take longer than the losses."""
    cdef double hi[8]
    cdef double lo[8]
    cdef Py_ssize_t i, j
    for j in range(8):
        hi[j] = lo[j] = 0
    for i in range(0, n - n % 8, 8):
        for j in range(8):
            fr_add_to(&hi[j], &lo[j], x[i + j])
    for i in range(n - n % 8, n):
        fr_add_to(&hi[0], &lo[0], x[i])
    for j in range(1, 8):
        fr_add_to(&hi[0], &lo[0], hi[j])
        lo[0] += lo[j]
    return hi[0] + lo[0] if lo[0] - lo[0] == 0 else hi[0]


cdef cnp.ndarray _place_losses(fr_row_call *call, Py_ssize_t rows, int chunks, tuple shape, int axis, const int *order):
    """An array for the loss of each row, or for the sums of up to `chunks` chunks of many rows."""
    cdef Py_ssize_t step = _CHUNK * max(1, _CHUNK_ELEMENTS // (_CHUNK * max(1, call.n)))
    cdef cnp.ndarray losses
    if chunks and rows >= _MANY_ROWS:
        call.chunk = (rows + chunks * step - 1) // (chunks * step) * step
        losses = _empty((2 * ((rows + call.chunk - 1) // call.chunk),))
        call.sums = <double *>cnp.PyArray_DATA(losses)
    else:
        losses = _empty(shape)
        _operand(call, FR_ROW_LOSS, losses, axis, order, False)
    return losses


cdef cnp.ndarray _empty(tuple shape):
    """Room for losses."""
    cdef cnp.npy_intp lengths[FR_MAX_AXES]
    cdef int k, ndim = len(shape)
    for k in range(ndim):
        lengths[k] = shape[k]
    return cnp.PyArray_SimpleNew(ndim, lengths, cnp.NPY_DOUBLE)
