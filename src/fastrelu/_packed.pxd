# Interface of _packed for what else is packed: the plan, how operands are read and laid out, and the run.

cimport numpy as cnp
from libc.stdint cimport uint32_t

cimport fastrelu._core as _core
cimport fastrelu._kernels as _kernels
cimport fastrelu._runtime as _runtime

cdef extern from "kernels/packed_drive.h" nogil:
    enum:
        FR_PACKED_BLOCK
        FR_PACKED_OPERANDS
        FR_PACKED_MASK
        FR_PACKED_SELECT
        FR_PACKED_WORDS
        FR_PACKED_QUANTIZE
        FR_PACKED_DEQUANTIZE
        FR_PACKED_LOOKUP
    ctypedef struct fr_packed_plan:
        _kernels.fr_view view
        int inputs
        bint has_output
        Py_ssize_t n
        Py_ssize_t size[FR_PACKED_OPERANDS]
        bint direct[FR_PACKED_OPERANDS]
        const _runtime.fr_packed *loops
        const _runtime.fr_stream *stream
        int type
        Py_ssize_t itemsize
        _runtime.fr_move load
        _runtime.fr_move store
        int step
        unsigned char *bits
        _runtime.fr_kernel forward
        _runtime.fr_kernel gradient
        const char *numbers[2][_runtime.FR_MAX_PARAMETERS]
        int nnumbers[2]
        const char *inside
        const char *outside
        uint32_t limit
        const char *ones
        const char *scale
        const char *zero
        double range[2]
        bint is_signed
        bint several
        int level
        _runtime.fr_move load_level
        const unsigned char *table
    Py_ssize_t fr_packed_blocks(const fr_packed_plan *) noexcept
    void fr_packed_part(const fr_packed_plan *, Py_ssize_t, Py_ssize_t) noexcept
    void (*fr_packed_steps[6])(const fr_packed_plan *, const char *const *, char *, Py_ssize_t, Py_ssize_t) noexcept

# What has numbers of its own for each index along an axis of x: how a share of it is computed, from a job that begins
# with this, and which index an element has: i // inner % count.
cdef struct Along:
    _runtime.fr_share run
    Py_ssize_t count, inner

cdef inline void _set_inner(Along *along, cnp.ndarray x, int axis, const int *order) noexcept:
    """Learn how many elements of an index lie side by side in an order of the axes of x; NULL: in their own."""
    cdef int k, place
    along.inner = 1
    for place in range(cnp.PyArray_NDIM(x) - 1, -1, -1):
        k = place if order == NULL else order[place]
        if k == axis and along.count > 1:
            break
        along.inner *= cnp.PyArray_DIM(x, k)

cdef inline void _clear(fr_packed_plan *plan) noexcept:
    plan.load = plan.store = plan.load_level = NULL
    plan.forward = plan.gradient = NULL

cdef inline int _format_of(int type) noexcept:
    """How elements of a 16-bit type lie in memory."""
    return _runtime.FR_AS_BFLOAT if type == _runtime.FR_bfloat16 else _runtime.FR_AS_HALF

cdef inline int _dtype_of(const fr_packed_plan *plan) noexcept:
    """NumPy's number of the type of the kernels."""
    return cnp.NPY_DOUBLE if plan.type == _runtime.FR_float64 else cnp.NPY_FLOAT

cdef inline const char *_take_number(double value, int dtype, double *to) noexcept nogil:
    """A number in the type of the kernels."""
    if dtype == cnp.NPY_DOUBLE:
        to[0] = value
    else:
        (<float *>to)[0] = value
    return <const char *>to

cdef inline void _point(fr_packed_plan *plan, int which, const double *rounded, int count) noexcept:
    """Hand rounded parameters to a plan."""
    cdef int j
    plan.nnumbers[which] = count
    for j in range(count):
        plan.numbers[which][j] = <const char *>rounded + j * plan.itemsize

cdef int _set_type(fr_packed_plan *plan, int dtype, int level, str isa) except -1
cdef int _type_of(cnp.ndarray array, str name) except -1
cdef list _take_numbers(fr_packed_plan *plan, int which, tuple numbers)
cdef int _run(fr_packed_plan *plan, str name, list inputs, cnp.ndarray out, cnp.ndarray bits, int dtype, int out_dtype,
              int cost, Along *along, int axis, list kept) except -1

# Plain calls.

cdef inline bint _is_plain(object value, int dtype, str name) except -1:
    """Is it a plain contiguous array of a type, with elements?"""
    if not _core._is_native(value, dtype) or not cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>value):
        return False
    _runtime.check_whole(value, name)
    return cnp.PyArray_SIZE(<cnp.ndarray>value) > 0

cdef inline bint _are_apart(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Do two contiguous arrays share no memory?"""
    cdef const char *first = <const char *>cnp.PyArray_DATA(x)
    cdef const char *second = <const char *>cnp.PyArray_DATA(y)
    return (first + cnp.PyArray_SIZE(x) * cnp.PyArray_ITEMSIZE(x) <= second
            or second + cnp.PyArray_SIZE(y) * cnp.PyArray_ITEMSIZE(y) <= first)

cdef inline object _returned(cnp.ndarray y, object out):
    """A result, which is a scalar if there are no axes and no `out`."""
    return y if out is not None or cnp.PyArray_NDIM(y) else y[()]

cdef object _as_plain(object x)
cdef cnp.ndarray _plain_result(cnp.ndarray x, object out, int dtype, str name)
cdef object _run_plain(fr_packed_plan *plan, cnp.ndarray x, cnp.ndarray y, int step, int cost, const Along *along)
