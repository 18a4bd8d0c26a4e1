"""The kernels over rows and their ufuncs: how a call is laid out for them, run over threads, and losses added up."""

import numpy as np

from fastrelu import _core as _python_core, _kernels, _runtime as _python_runtime
from fastrelu._kernels import add_promoter

cimport cython
cimport numpy as cnp
from libc.math cimport INFINITY
from libc.stdint cimport PTRDIFF_MAX, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastrelu._arguments cimport _as_number, _far, as_scale
from fastrelu._core cimport checked_kernel
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
    dtype_of,
    flavor_of,
    fr_atomic,
    fr_convert,
    fr_load,
    fr_move,
    fr_store,
    fr_type_of_flavor,
    fr_types,
    leave_room,
    precision_here,
    room_of,
    run_shares,
    size_of,
    tables,
    type_of,
)

cnp.import_array()
cnp.import_ufunc()

cdef extern from "kernels/rows.h" nogil:
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


# --- Laying out a call ------------------------------------------------------------------------------------------------

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


cdef bint _is_spread(cnp.ndarray x) noexcept:
    """Do elements of the array share memory, as after broadcasting?"""
    cdef int k
    for k in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_STRIDE(x, k) == 0 and cnp.PyArray_DIM(x, k) > 1:
            return True
    return False


cdef cnp.ndarray _result_like(cnp.ndarray a, cnp.ndarray b, int dtype):
    """A new array for results, in the order of memory of an operand in which each element has its own place."""
    descr = dtype_of(type_of(dtype))
    if not _is_spread(a):
        return np.empty_like(a, descr)
    if b is not None and not _is_spread(b):
        return np.empty_like(b, descr)
    return np.empty((<object>a).shape, descr)


# --- Running over all rows --------------------------------------------------------------------------------------------

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


cdef void _merge(fr_row_call *call) noexcept nogil:
    fr_rows_merge(call)


cdef size_t _room(const fr_row_call *call, Py_ssize_t rows) noexcept nogil:
    return fr_rows_room(call, rows)


cdef int _run_here(const fr_row_call *call, Py_ssize_t rows, char *room) noexcept nogil:
    return fr_run_rows(call, 0, rows, room)


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


# --- Losses of rows, and their sums -----------------------------------------------------------------------------------

cdef enum:
    _MANY_ROWS = 4096  # from here on losses are added up in chunks
    _CHUNK = 16  # rows: chunks hold a multiple of this, and has at least this many
    _CHUNK_ELEMENTS = 4096  # elements or more: to end a chunk takes as long as some hundred elements


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
