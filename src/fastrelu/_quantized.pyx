# cython: wraparound=True
# Numbers of 8 bits and their channels: reads scales and zero points piece by piece of the elements; _packed lays these
# out, quantized.py reads the arguments.
"""Numbers quantized to bytes, and tables for them."""

import numpy as np

from fastrelu import _kernels

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

cimport fastrelu._core as _core
cimport fastrelu._runtime as _runtime
from fastrelu._numpy cimport PyArray_ISWRITEABLE, PyArray_SAMESHAPE
from fastrelu._packed cimport (
    Along,
    FR_PACKED_BLOCK,
    FR_PACKED_DEQUANTIZE,
    FR_PACKED_LOOKUP,
    FR_PACKED_QUANTIZE,
    _as_plain,
    _clear,
    _dtype_of,
    _format_of,
    _is_plain,
    _plain_result,
    _point,
    _returned,
    _run,
    _run_plain,
    _set_inner,
    _set_type,
    _take_number,
    _take_numbers,
    _type_of,
    fr_packed_blocks,
    fr_packed_part,
    fr_packed_plan,
    fr_packed_steps,
)

cnp.import_array()


cdef extern from "kernels/packed.h" nogil:
    ctypedef void (*fr_dequantize)(const char *, const char *, const char *, int, int, char *, Py_ssize_t) noexcept
    ctypedef struct fr_packed_loops "fr_packed":
        fr_dequantize *dequantize


# --- Channels -------------------------------------------------------------------------------------------------------
#
# Scales and zero points of channels are read piece by piece of the other operands. Broadcast to their shape they would
# take more time than the elements themselves: they are gathered one by one, and have four to eight times the bytes.

cdef enum:
    _X = 0  # places of the operands in a plan
    _SCALE = 1
    _ZERO = 2
    _OUT = 3
    _LONG = 32  # elements in a row from which a call of a kernel costs less than laying out their parameters
    _PERIOD = 128  # elements of all channels up to which their parameters are laid out once
    _TILE = FR_PACKED_BLOCK + _PERIOD  # elements whose parameters are laid out: few enough for a small stack
    _WIDE = 8  # elements that are laid out at once
    _FEW = 128  # parameters that are copied to the stack
    _TABLE = 256  # entries of a table
    _SOME = 16384  # scales that are checked here sooner than by NumPy


cdef struct _Channels:
    Along along
    fr_packed_plan *plan  # its operands are x, scales, zero points and the output
    Py_ssize_t size  # of a parameter
    int kinds  # of parameters: 2, or 1 with tables
    const char *numbers[2]  # of each channel, in the type of the kernel; or the index of the first entry of its table
    double few[2][_FEW]  # where they lie if there are no more than that
    const char *codes  # zero points in their own type, converted piece by piece: each element has one of its own
    int code  # NumPy's number of that type
    const unsigned char *tables


ctypedef fused _parameter:
    float
    double


cdef void _lay_out(const _Channels *job, const _parameter *numbers, Py_ssize_t first, Py_ssize_t n,
                   _parameter *to) noexcept nogil:
    """Write the parameter of each of n elements, and perhaps a few more."""
    cdef Py_ssize_t count = job.along.count, inner = job.along.inner, i = 0
    cdef Py_ssize_t channel = first // inner % count, stop = inner - first % inner
    cdef _parameter wide[_WIDE]
    cdef int j
    while i < n:
        if inner == 1:  # as they lie
            stop = min(count - channel, n - i)
            memcpy(to + i, numbers + channel, stop * sizeof(_parameter))
            i, channel = i + stop, 0
            continue
        if inner < _WIDE:
            stop = min(stop, n)
            wide[0] = numbers[channel]
            while i < stop:
                to[i] = wide[0]
                i += 1
        else:
            for j in range(_WIDE):
                wide[j] = numbers[channel]
            while i < stop and i < n:  # what is too much is overwritten by the next channel
                memcpy(to + i, wide, sizeof(wide))
                i += _WIDE
            i = stop
        channel = channel + 1 if channel + 1 < count else 0
        stop = i + inner


cdef void _lay_out_both(const _Channels *job, Py_ssize_t first, Py_ssize_t n, double (*tiles)[_TILE]) noexcept nogil:
    cdef int j
    for j in range(job.kinds):
        if job.size == sizeof(float):
            _lay_out[float](job, <const float *>job.numbers[j], first, n, <float *>tiles[j])
        else:
            _lay_out[double](job, <const double *>job.numbers[j], first, n, tiles[j])


cdef void _convert_bytes(const fr_packed_plan *plan, const char *given, Py_ssize_t n, bint is_signed, int size,
                         char *to) noexcept nogil:
    """Convert bytes by the kernel that subtracts a zero point, here 0, which is faster than a cast."""
    cdef double pair[2]
    cdef int type = _runtime.FR_float32 if size == sizeof(float) else _runtime.FR_float64
    cdef int dtype = cnp.NPY_FLOAT if size == sizeof(float) else cnp.NPY_DOUBLE
    (<const fr_packed_loops *>plan.loops).dequantize[type](
        given, _take_number(1, dtype, &pair[0]), _take_number(0, dtype, &pair[1]), False, is_signed, to, n)


ctypedef fused _integer:
    int32_t
    int64_t


cdef void _convert_integers(const _integer *given, Py_ssize_t n, int size, char *to) noexcept nogil:
    cdef Py_ssize_t i
    if size == sizeof(float):
        for i in range(n):
            (<float *>to)[i] = <float>given[i]
    else:
        for i in range(n):
            (<double *>to)[i] = <double>given[i]


cdef void _convert_codes(const _Channels *job, Py_ssize_t first, Py_ssize_t n, char *to) noexcept nogil:
    """Write the zero points of elements in the type of the kernel."""
    if job.code == cnp.NPY_INT32:
        _convert_integers[int32_t](<const int32_t *>job.codes + first, n, job.size, to)
    elif job.code == cnp.NPY_INT64:
        _convert_integers[int64_t](<const int64_t *>job.codes + first, n, job.size, to)
    else:
        _convert_bytes(job.plan, job.codes + first, n, job.code == cnp.NPY_BYTE, job.size, to)


cdef void _repeat(char *tile, Py_ssize_t filled, Py_ssize_t size) noexcept nogil:
    """Fill a tile with copies of its first bytes."""
    cdef Py_ssize_t more
    while filled < size:
        more = min(filled, size - filled)
        memcpy(tile + filled, tile, more)
        filled += more


cdef void _share_channels(const void *what, long share, long shares, int part) noexcept nogil:
    """A share of the blocks, in pieces of one channel, or of parameters that lie side by side in memory.

    Pieces end anywhere where x and the output are contiguous; elsewhere they are blocks.
    """
    cdef const _Channels *job = <const _Channels *>what
    cdef fr_packed_plan copy
    cdef fr_packed_plan *plan = job.plan
    cdef double tiles[2][_TILE]
    cdef const char *data[3]
    cdef Py_ssize_t n = plan.n, blocks = fr_packed_blocks(plan), size = job.size
    cdef Py_ssize_t count = job.along.count, inner = job.along.inner, period = count * inner
    cdef Py_ssize_t first = blocks * share // shares * FR_PACKED_BLOCK
    cdef Py_ssize_t stop = min(blocks * (share + 1) // shares * FR_PACKED_BLOCK, n)
    cdef Py_ssize_t channel = first // inner % count, run = inner - first % inner
    cdef Py_ssize_t m, most = FR_PACKED_BLOCK, start, tiled = 0
    cdef bint direct = plan.direct[_X] and plan.direct[_OUT], at_once = direct and plan.stream == NULL, one, laid
    cdef bint by_channel = direct and inner >= _LONG, in_place = direct and inner == 1 and period > _PERIOD
    cdef const char *x = plan.view.origin[_X]
    cdef char *out = plan.view.origin[_OUT]
    cdef _runtime.fr_guard caller = _runtime.fr_guard_open()
    cdef int j
    if shares > 1:
        copy = plan[0]
        plan = &copy
    # A step whose numbers need no block on the way takes any number of elements, and so does a part of the plan.
    if direct and job.codes == NULL and (not at_once or (plan.forward == NULL and plan.load == NULL
                                                         and plan.store == NULL and plan.load_level == NULL)):
        most = n
    while first < stop:
        m = min(stop - first, most)
        one, laid, start = run >= m or by_channel, False, channel
        if one:
            m = min(m, run)
        elif inner == 1 and (in_place or count - channel >= m):
            m = min(m, count - channel)
        elif period <= _PERIOD:
            if not tiled:
                # Whole periods, and from any of their elements on as many parameters as a block has elements.
                _lay_out_both(job, 0, period, tiles)
                for j in range(job.kinds):
                    _repeat(<char *>tiles[j], period * size, min(period + stop - first, _TILE) * size)
                tiled = _TILE // period * period
            laid, start = True, first % period
            m = min(m, tiled - start) if direct else m
        else:
            laid, start, m = True, 0, min(m, FR_PACKED_BLOCK)
            _lay_out_both(job, first, m, tiles)
        data[_X] = x + first * plan.size[_X]
        for j in range(2):
            data[_SCALE + j] = (<const char *>tiles[j] if laid else job.numbers[j]) + start * size
        if job.codes != NULL:
            _convert_codes(job, first, m, <char *>tiles[1])
            data[_ZERO] = <const char *>tiles[1]
        if job.tables == NULL:
            plan.scale, plan.zero = data[_SCALE] if one else NULL, data[_ZERO] if one else NULL
        else:
            plan.several, plan.table = not one, job.tables + (_TABLE * channel if one else 0)
        if at_once:
            fr_packed_steps[plan.step](plan, data, out + first * plan.size[_OUT], first, m)
        elif direct:
            plan.n = m
            for j in range(_OUT):
                plan.view.origin[j] = <char *>data[j]
            plan.view.origin[_OUT] = out + first * plan.size[_OUT]
            fr_packed_part(plan, 0, 1)
        else:
            for j in range(_SCALE, _OUT):  # so that they begin with this block
                plan.view.origin[j] = <char *>data[j] - first * size
            fr_packed_part(plan, first // FR_PACKED_BLOCK, blocks)
        first += m
        if m < run:
            run -= m
        elif m == run:  # without divisions
            channel, run = channel + 1 if channel + 1 < count else 0, inner
        else:
            channel, run = first // inner % count, inner - first % inner
    _runtime.fr_guard_close(caller)


cdef int _byte_type_of(cnp.ndarray array, str name) except -1:
    cdef int dtype = cnp.PyArray_TYPE(array)
    if dtype not in (cnp.NPY_BYTE, cnp.NPY_UBYTE):
        _runtime.refuse_change(name)
    return dtype


cdef cnp.ndarray _of_channels(object value, Py_ssize_t count, int dtype):
    """One number, or one for each channel, as a contiguous array of a type with one number for each."""
    cdef cnp.ndarray array = np.asarray(value, cnp.PyArray_DescrFromType(dtype)), full
    if (cnp.PyArray_NDIM(array) == 1 and cnp.PyArray_DIM(array, 0) == count
            and cnp.PyArray_CHKFLAGS(array, cnp.NPY_ARRAY_CARRAY_RO)):
        return array
    full = cnp.PyArray_SimpleNew(1, <cnp.npy_intp *>&count, dtype)
    cnp.PyArray_CopyInto(full, array)
    return full


cdef void _set_channels(_Channels *channels, fr_packed_plan *plan) noexcept:
    """Hand the parameters of channels to a plan."""
    cdef int j
    channels.along.run = _share_channels
    channels.plan = plan
    for j in range(_SCALE, _OUT):
        plan.size[j], plan.direct[j] = channels.size, True
        plan.view.origin[j] = <char *>channels.numbers[j - _SCALE]
    plan.scale = plan.zero = NULL


cdef int _set_scale(fr_packed_plan *plan, _Channels *channels, cnp.ndarray x, object scale, object zero, object axis,
                    int dtype, list kept, str name) except -1:
    """Hand a scale and a zero point to a plan: numbers, or arrays with one for each index along an axis of x."""
    cdef Py_ssize_t count = 1 if axis is None else cnp.PyArray_DIM(x, axis)
    _runtime.settle()
    for value in (scale, zero):
        _runtime.check_whole(value, name)
        kept.append(_of_channels(value, count, dtype))
    channels.along.count, channels.size = count, cnp.PyArray_ITEMSIZE(<cnp.ndarray>kept[0])
    channels.numbers[0] = <const char *>cnp.PyArray_DATA(<cnp.ndarray>kept[0])
    channels.numbers[1] = <const char *>cnp.PyArray_DATA(<cnp.ndarray>kept[1])
    channels.kinds, channels.codes, channels.tables = 2, NULL, NULL
    _set_channels(channels, plan)
    if axis is None:
        plan.scale, plan.zero = channels.numbers[0], channels.numbers[1]
    return 0


cdef int _cost_of(object forward) except -1:
    """The cost class of a pass with this kernel, or none, in it."""
    return _runtime.FR_LIGHT if forward is None else forward.cost


cdef int _set_level(fr_packed_plan *plan, int own, str isa) except -1:
    """Choose the type in which numbers of a type are quantized."""
    plan.level = _runtime.FR_float64 if own == _runtime.FR_float64 else _runtime.FR_float32
    if plan.load != NULL:
        plan.load_level = _runtime.tables(isa).convert.load[plan.level][_format_of(own)]
    return 0


cdef int _level_dtype(const fr_packed_plan *plan) noexcept:
    """NumPy's number of that type."""
    return cnp.NPY_DOUBLE if plan.level == _runtime.FR_float64 else cnp.NPY_FLOAT


def quantize(str name, str isa, forward, tuple numbers, cnp.ndarray x not None, scale, zero, double low, double high,
             cnp.ndarray out not None, axis=None):
    """Write the quantized function of x, or x itself if `forward` is None, into `out`, an array of bytes.

    `scale` and `zero` are numbers; with an axis of x, from 0 on, one or both have a number for each index along it.
    """
    cdef fr_packed_plan plan
    cdef _Channels channels
    cdef int dtype = _type_of(x, name), own = _runtime.type_of(dtype), precision = _runtime.precision_here()
    cdef int out_dtype = _byte_type_of(out, name)
    cdef list kept = []
    _clear(&plan)
    _set_type(&plan, dtype, precision, isa)
    _set_level(&plan, own, isa)
    plan.forward = NULL if forward is None else _core.checked_kernel(forward, numbers, own, precision)
    numbers_kept = _take_numbers(&plan, 0, numbers)
    _set_scale(&plan, &channels, x, scale, zero, axis, _level_dtype(&plan), kept, name)
    plan.range[0], plan.range[1] = low, high
    plan.step = FR_PACKED_QUANTIZE
    _run(&plan, name, [x], out, None, dtype, out_dtype, _cost_of(forward), NULL if axis is None else &channels.along,
         0 if axis is None else axis, kept)
    del numbers_kept


def dequantize(str name, str isa, cnp.ndarray q not None, scale, zero, cnp.ndarray out not None, axis=None):
    """Write ``(q - zero) * scale`` of bytes into `out`, rounded once."""
    cdef fr_packed_plan plan
    cdef _Channels channels
    cdef int dtype = _byte_type_of(q, name), out_dtype = _type_of(out, name)
    cdef list kept = []
    _clear(&plan)
    _set_type(&plan, out_dtype, 0, isa)
    _set_scale(&plan, &channels, q, scale, zero, axis, _dtype_of(&plan), kept, name)
    plan.is_signed = dtype == cnp.NPY_BYTE
    plan.step = FR_PACKED_DEQUANTIZE
    _run(&plan, name, [q], out, None, dtype, out_dtype, _runtime.FR_LIGHT, NULL if axis is None else &channels.along,
         0 if axis is None else axis, kept)


cdef cnp.ndarray _set_tables(fr_packed_plan *plan, _Channels *channels, cnp.ndarray table, Py_ssize_t count):
    """Hand a table for each channel to a plan; return the indexes of their first entries if they are many."""
    cdef cnp.npy_intp length = count
    cdef cnp.ndarray many = None
    cdef int64_t *starts = <int64_t *>channels.few[0]
    cdef Py_ssize_t i
    if count > _FEW:
        many = cnp.PyArray_SimpleNew(1, &length, cnp.NPY_INT64)
        starts = <int64_t *>cnp.PyArray_DATA(many)
    for i in range(count):
        starts[i] = _TABLE * i
    channels.along.count, channels.size, channels.kinds, channels.codes = count, sizeof(int64_t), 1, NULL
    channels.numbers[0] = channels.numbers[1] = <const char *>starts
    channels.tables = <const unsigned char *>cnp.PyArray_DATA(table)
    _set_channels(channels, plan)
    return many


def lookup(str name, str isa, cnp.ndarray table not None, cnp.ndarray x not None, cnp.ndarray out not None, axis=None):
    """Write the entries of a contiguous table, whose indexes are bytes, into `out`.

    With an axis of x, from 0 on, there is a table for each index along it.
    """
    cdef fr_packed_plan plan
    cdef _Channels channels
    cdef list kept = [table]
    _clear(&plan)
    _set_type(&plan, cnp.NPY_FLOAT, 0, isa)
    plan.several = False
    plan.step = FR_PACKED_LOOKUP
    _runtime.settle()
    cdef int dtype = _byte_type_of(x, name), out_dtype = _byte_type_of(out, name)
    cdef Py_ssize_t count = 1 if axis is None else cnp.PyArray_DIM(x, axis)
    _byte_type_of(table, name)
    if not cnp.PyArray_IS_C_CONTIGUOUS(table) or cnp.PyArray_SIZE(table) < _TABLE * count:
        _runtime.refuse_change(name)
    plan.table = <const unsigned char *>cnp.PyArray_DATA(table)
    if axis is not None:
        kept.append(_set_tables(&plan, &channels, table, count))
    _run(&plan, name, [x], out, None, dtype, out_dtype, _runtime.FR_LIGHT, NULL if axis is None else &channels.along,
         0 if axis is None else axis, kept)


# --- Plain calls ----------------------------------------------------------------------------------------------------
#
# Calls on plain arrays whose other arguments are plain numbers or arrays of them: nothing else has to be converted. The
# functions return None, and have done nothing, if a call is another one, or wrong: the functions above take it, or what
# stands before them says what is wrong. After `settle` no code of the caller runs.

# NumPy's number of a type, by the objects that mean it most often.
cdef dict _meant = {}
for _scalar in (np.int8, np.uint8, np.float16, np.float32, np.float64):
    _dtype = np.dtype(_scalar)
    for _name in (_scalar, _dtype, _dtype.name, _dtype.char, _dtype.str[1:]):
        _meant[_name] = _dtype.num
_meant[float] = cnp.NPY_DOUBLE


def _take_bfloat16():
    dtype = _runtime.dtype_of(_runtime.FR_bfloat16)
    _meant[dtype] = _meant[(<object>dtype).type] = dtype.type_num


_kernels.learners.append(_take_bfloat16)
if _runtime.dtype_of(_runtime.FR_bfloat16) is not None:
    _take_bfloat16()


cdef int _meant_type(object dtype) except -2:
    """NumPy's number of the type that the caller names; -1 if it has another name."""
    return _meant.get(dtype, -1) if type(dtype) is type or type(dtype) is str or isinstance(dtype, np.dtype) else -1


cdef object _listed_numbers(tuple numbers):
    """Numbers of Python as an array of float64 or int64, made sooner than by NumPy; None if a type is another."""
    cdef cnp.npy_intp n = len(numbers), i
    cdef int overflow = 0
    cdef cnp.ndarray array
    cdef object number
    if n == 0:
        return None
    if PyFloat_CheckExact(numbers[0]):
        array = cnp.PyArray_SimpleNew(1, &n, cnp.NPY_DOUBLE)
        for i in range(n):
            number = numbers[i]
            if not PyFloat_CheckExact(number):
                return None
            (<double *>cnp.PyArray_DATA(array))[i] = PyFloat_AS_DOUBLE(number)
        return array
    array = cnp.PyArray_SimpleNew(1, &n, cnp.NPY_INT64)
    for i in range(n):
        number = numbers[i]
        if not PyLong_CheckExact(number):
            return None
        (<int64_t *>cnp.PyArray_DATA(array))[i] = PyLong_AsLongLongAndOverflow(number, &overflow)
        if overflow:
            return None
    return array


cdef object _generic = np.generic


cdef object _given_number(object value):
    """A number of NumPy, or an array without axes, as a number of Python; a list of numbers as an array."""
    if PyFloat_CheckExact(value) or PyLong_CheckExact(value):
        return value
    if type(value) is cnp.ndarray:
        return value if cnp.PyArray_NDIM(<cnp.ndarray>value) else value.item()
    if type(value) is list:
        value = tuple(value)
    if type(value) is tuple:
        return _listed_numbers(value)
    return value.item() if isinstance(value, _generic) else value


cdef int _plain_bytes(object x) noexcept:
    """The same of an array of bytes."""
    if type(x) is not cnp.ndarray or cnp.PyArray_TYPE(<cnp.ndarray>x) not in (cnp.NPY_BYTE, cnp.NPY_UBYTE):
        return -1
    return cnp.PyArray_TYPE(<cnp.ndarray>x)


cdef bint _take_scale(fr_packed_plan *plan, object scale, object zero, int dtype, bint signed, double *to) except -1:
    """Hand a scale and a zero point of a type of bytes to a plan; False unless they are numbers that need no check."""
    cdef double value
    cdef long long point
    if not PyFloat_CheckExact(scale) or not PyLong_CheckExact(zero) or not -128 <= zero <= 255:
        return False
    value, point = PyFloat_AS_DOUBLE(scale), zero
    if not 2.0 ** -100 < value < 2.0 ** 100 or not (-128 <= point <= 127 if signed else 0 <= point):
        return False
    plan.scale = _take_number(value, dtype, &to[0])
    plan.zero = _take_number(point, dtype, &to[1])
    return True


ctypedef fused _given:
    float
    double
    int8_t
    uint8_t
    int32_t
    int64_t


cdef bint _converted(const _given *given, Py_ssize_t n, double least, double most, _parameter *to) noexcept:
    """Convert numbers; are all of them within these two?"""
    cdef Py_ssize_t i
    cdef double value
    for i in range(n):
        value = <double>given[i]
        if not least <= value <= most:
            return False
        to[i] = <_parameter>value
    return True


cdef bint _few_converted(cnp.ndarray given, double least, double most, _parameter *to) noexcept:
    """The same of the numbers of an array, if it is of one of these types."""
    cdef Py_ssize_t n = cnp.PyArray_SIZE(given)
    cdef int dtype = cnp.PyArray_TYPE(given)
    cdef const void *data = cnp.PyArray_DATA(given)
    if dtype == cnp.NPY_FLOAT:
        return _converted(<const float *>data, n, least, most, to)
    if dtype == cnp.NPY_DOUBLE:
        return _converted(<const double *>data, n, least, most, to)
    if dtype == cnp.NPY_BYTE:
        return _converted(<const int8_t *>data, n, least, most, to)
    if dtype == cnp.NPY_UBYTE:
        return _converted(<const uint8_t *>data, n, least, most, to)
    if cnp.PyArray_ITEMSIZE(given) == sizeof(int32_t):
        return _converted(<const int32_t *>data, n, least, most, to)
    return _converted(<const int64_t *>data, n, least, most, to)


cdef bint _are_usual(const char *numbers, Py_ssize_t n, int dtype) noexcept:
    """Are two or more numbers of float32 or float64 positive, and their exponents in the middle half of all?

    The difference from the lowest such number then has no bit in its first two. Of float32 it is that of two numbers at
    once, because one that borrows from the other is below the lowest.
    """
    cdef uint64_t bits, more, all = 0, rest = 0
    cdef uint64_t lowest = 0x2000000020000000 if dtype == cnp.NPY_FLOAT else 0x2000000000000000
    cdef uint64_t wrong = 0xC0000000C0000000 if dtype == cnp.NPY_FLOAT else 0xC000000000000000
    cdef Py_ssize_t size = n * (4 if dtype == cnp.NPY_FLOAT else 8), i
    for i in range(0, size - 15, 16):
        memcpy(&bits, numbers + i, 8)
        memcpy(&more, numbers + i + 8, 8)
        all |= bits - lowest
        rest |= more - lowest
    for i in range(size & ~<Py_ssize_t>15, size - 7, 8):
        memcpy(&bits, numbers + i, 8)
        all |= bits - lowest
    memcpy(&bits, numbers + size - 8, 8)  # with the last of an odd number
    return (all | rest | (bits - lowest)) & wrong == 0


cdef bint _are_within(cnp.ndarray given, double least, double most, int dtype) except -1:
    """Are many numbers within these two? False of NaN, and perhaps of scales that are very large or small."""
    cdef double low, high
    cdef int own = cnp.PyArray_TYPE(given)
    if (own == cnp.NPY_FLOAT or (own == cnp.NPY_DOUBLE and own == dtype)) and cnp.PyArray_SIZE(given) <= _SOME:
        return _are_usual(cnp.PyArray_BYTES(given), cnp.PyArray_SIZE(given), own)
    low, high = np.minimum.reduce(given), np.maximum.reduce(given)
    return least <= low and high <= most


cdef bint _is_of(int dtype, bint integers) noexcept:
    """Is it a type whose numbers are converted here?"""
    if integers:
        return (dtype == cnp.NPY_BYTE or dtype == cnp.NPY_UBYTE or dtype == cnp.NPY_INT or dtype == cnp.NPY_LONG
                or dtype == cnp.NPY_LONGLONG)
    return dtype == cnp.NPY_FLOAT or dtype == cnp.NPY_DOUBLE


cdef object _plain_numbers(_Channels *channels, int which, object value, double least, double most, int dtype,
                           str name):
    """Learn the scale or the zero point of each channel; None if it is not plain, or not within these two.

    Returns the array that has them if they are many, and True if they are few.
    """
    cdef cnp.npy_intp count = channels.along.count
    cdef cnp.ndarray given, to = None
    cdef bint fits, integers = which == 1
    cdef int own
    cdef void *memory = &channels.few[which]
    if type(value) is cnp.ndarray:
        given = value
        own = cnp.PyArray_TYPE(given)
        if (cnp.PyArray_NDIM(given) != 1 or cnp.PyArray_DIM(given, 0) != count or not _is_of(own, integers)
                or not _is_plain(given, own, name)):
            return None
        fits = own == <int>(cnp.NPY_BYTE if least < 0 else cnp.NPY_UBYTE)  # the type has no other numbers
        if count > _FEW:
            if not fits and not _are_within(given, least, most, dtype):
                return None
        if count > _FEW and integers and count == channels.plan.n:
            channels.codes, channels.code = cnp.PyArray_BYTES(given), own
            if cnp.PyArray_ITEMSIZE(given) > 1:
                channels.code = cnp.NPY_INT32 if cnp.PyArray_ITEMSIZE(given) == sizeof(int32_t) else cnp.NPY_INT64
            channels.numbers[which] = channels.codes
            return given
        if count > _FEW:
            to = given if own == dtype else _runtime.fresh(1, &count, dtype, count * channels.size)
            memory = cnp.PyArray_DATA(to)
        if fits or (count > _FEW and (own == cnp.NPY_BYTE or own == cnp.NPY_UBYTE)):
            _convert_bytes(channels.plan, cnp.PyArray_BYTES(given), count, own == cnp.NPY_BYTE, channels.size,
                           <char *>memory)
        elif count > _FEW:
            if to is not given:
                cnp.PyArray_CopyInto(to, given)
        elif not (_few_converted(given, least, most, <float *>memory) if dtype == cnp.NPY_FLOAT
                  else _few_converted(given, least, most, <double *>memory)):
            return None
    elif (PyLong_CheckExact(value) if integers else PyFloat_CheckExact(value)) and least <= value <= most:
        if count > _FEW:
            to = _runtime.fresh(1, &count, dtype, count * channels.size)
            memory = cnp.PyArray_DATA(to)
        _take_number(value, dtype, <double *>memory)
        _repeat(<char *>memory, channels.size, count * channels.size)
    else:
        return None
    channels.numbers[which] = <const char *>memory
    return True if to is None else to


cdef int _plain_axis(object axis, object x) except -2:
    """An axis of x from 0 on; -1 if it is none, or no plain number."""
    cdef int ndim = cnp.PyArray_NDIM(<cnp.ndarray>x), overflow = 0
    cdef long long along
    if not PyLong_CheckExact(axis):
        return -1
    along = PyLong_AsLongLongAndOverflow(axis, &overflow)
    along += ndim if along < 0 else 0
    return along if not overflow and 0 <= along < ndim else -1


cdef tuple _plain_channels(_Channels *channels, fr_packed_plan *plan, object x, object scale, object zero, object axis,
                           bint signed, int dtype, str name):
    """Hand the parameters of channels along an axis of x to a plan; None unless they need no other check.

    Returns the axis and the arrays of the parameters, or True in the place of one.
    """
    cdef int along = _plain_axis(axis, x)
    # Two numbers have no axis, which an error says elsewhere.
    if along < 0 or not (type(scale) is cnp.ndarray or type(zero) is cnp.ndarray):
        return None
    channels.kinds, channels.codes, channels.tables = 2, NULL, NULL
    channels.plan, plan.n = plan, cnp.PyArray_SIZE(<cnp.ndarray>x)
    channels.along.count, channels.size = cnp.PyArray_DIM(<cnp.ndarray>x, along), _runtime.size_of(dtype)
    scales = _plain_numbers(channels, 0, scale, 1e-30, 1e30, dtype, name)
    if scales is None:
        return None
    zeros = _plain_numbers(channels, 1, zero, -128 if signed else 0, 127 if signed else 255, dtype, name)
    if zeros is None:
        return None
    _set_channels(channels, plan)
    _set_inner(&channels.along, x, along, NULL)
    return along, scales, zeros


cdef cnp.ndarray _elements_result(cnp.ndarray x, object out, int dtype, str name, tuple found):
    """The same as `_plain_result` for arrays of any strides, apart from the parameters that were found."""
    cdef cnp.ndarray y
    cdef int k
    if type(out) is cnp.ndarray and found is not None:
        for number in found[1:]:
            if type(number) is cnp.ndarray and _runtime.extents_meet(out, number):
                return None
    if cnp.PyArray_IS_C_CONTIGUOUS(x) and (out is None or _is_plain(out, dtype, name)):
        return _plain_result(x, out, dtype, name)
    if out is None:
        if cnp.PyArray_NDIM(x) == 1:
            return cnp.PyArray_SimpleNew(1, cnp.PyArray_DIMS(x), dtype)
        return np.empty_like(x, cnp.PyArray_DescrFromType(dtype))
    if not (_core._is_native(out, dtype) and PyArray_ISWRITEABLE(<cnp.ndarray>out) and PyArray_SAMESHAPE(x, out)):
        return None
    y = out
    _runtime.check_whole(y, name)
    for k in range(cnp.PyArray_NDIM(y)):
        if cnp.PyArray_STRIDE(y, k) == 0:
            return None
    return None if _runtime.extents_meet(x, y) else y


cdef object _run_elements(fr_packed_plan *plan, _Channels *channels, tuple found, cnp.ndarray x, object out, int dtype,
                          int step, str name, object forward):
    """Run a plan, with channels unless `found` is None, and return the result; None if `out` is not plain."""
    cdef cnp.ndarray y = _elements_result(x, out, dtype, name, found)
    cdef Along *along = NULL if found is None else &channels.along
    if y is None:
        return None
    if cnp.PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_IS_C_CONTIGUOUS(y):
        return _returned(_run_plain(plan, x, y, step, _cost_of(forward), along), out)
    plan.step = step
    _run(plan, name, [x], y, None, cnp.PyArray_TYPE(x), dtype, _cost_of(forward), along,
         0 if found is None else found[0],
         None if found is None else [number for number in found[1:] if type(number) is cnp.ndarray])
    return y


cdef bint _has_elements(object x, int dtype, str name) except -1:
    """Is it an array that a plain call reads, of any strides?"""
    if not _core._is_native(x, dtype):
        return False
    _runtime.check_whole(x, name)
    return cnp.PyArray_SIZE(<cnp.ndarray>x) > 0


def plain_quantize(str name, str isa, forward, tuple numbers, object x, object scale, object zero, object bytes_type,
                   object out, object axis):
    """Return what :func:`quantize` writes."""
    cdef fr_packed_plan plan
    cdef _Channels channels
    cdef double rounded[_runtime.FR_MAX_PARAMETERS]
    cdef double pair[2]
    cdef int dtype, level = _runtime.precision_here()
    cdef int own = _meant_type(bytes_type)
    cdef bint signed = own == cnp.NPY_BYTE
    cdef tuple found = None
    scale, zero = _given_number(scale), _given_number(zero)
    _runtime.settle()
    x = _as_plain(x)
    dtype = cnp.PyArray_TYPE(<cnp.ndarray>x) if type(x) is cnp.ndarray else -1
    if (dtype < 0 or _runtime.type_of(dtype) < 0 or not (signed or own == cnp.NPY_UBYTE)
            or not _has_elements(x, dtype, name)):
        return None
    _clear(&plan)
    _set_type(&plan, dtype, level, isa)
    if plan.load != NULL and numbers:  # which are rounded in two steps
        return None
    _set_level(&plan, _runtime.type_of(dtype), isa)
    if axis is None:
        if not _take_scale(&plan, scale, zero, _level_dtype(&plan), signed, pair):
            return None
    else:
        found = _plain_channels(&channels, &plan, x, scale, zero, axis, signed, _level_dtype(&plan), name)
        if found is None:
            return None
    if forward is not None:
        plan.forward = _core.plain_kernel(forward, numbers, _runtime.type_of(dtype), level, rounded)
        if plan.forward == NULL:
            return None
        _point(&plan, 0, rounded, len(numbers))
    plan.range[0], plan.range[1] = -128 if signed else 0, 127 if signed else 255
    return _run_elements(&plan, &channels, found, x, out, own, FR_PACKED_QUANTIZE, name, forward)


def plain_dequantize(str name, str isa, object q, object scale, object zero, object dtype, object out, object axis):
    """Return what :func:`dequantize` writes."""
    cdef fr_packed_plan plan
    cdef _Channels channels
    cdef double pair[2]
    cdef int own = _plain_bytes(q), to = _meant_type(dtype)
    cdef tuple found = None
    cdef bint signed = own == cnp.NPY_BYTE
    scale, zero = _given_number(scale), _given_number(zero)
    _runtime.settle()
    if own < 0 or to < 0 or _runtime.type_of(to) < 0 or not _has_elements(q, own, name):
        return None
    _clear(&plan)
    _set_type(&plan, to, 0, isa)
    plan.is_signed = signed
    if axis is None:
        if not _take_scale(&plan, scale, zero, _dtype_of(&plan), signed, pair):
            return None
    else:
        found = _plain_channels(&channels, &plan, q, scale, zero, axis, signed, _dtype_of(&plan), name)
        if found is None:
            return None
    return _run_elements(&plan, &channels, found, q, out, to, FR_PACKED_DEQUANTIZE, name, None)


def plain_lookup(str name, str isa, object table, object q, object out, object axis):
    """Return what :func:`lookup` writes."""
    cdef fr_packed_plan plan
    cdef _Channels channels
    cdef int dtype = _plain_bytes(table), own = _plain_bytes(q), along = 0
    cdef tuple found = None
    cdef cnp.ndarray entries
    _runtime.settle()
    if dtype < 0 or own < 0 or not _is_plain(table, dtype, name) or not _has_elements(q, own, name):
        return None
    entries = table
    if axis is not None:
        along = _plain_axis(axis, q)
        if along < 0 or cnp.PyArray_NDIM(entries) != 2 or cnp.PyArray_DIM(entries, 0) != cnp.PyArray_DIM(q, along):
            return None
    elif cnp.PyArray_NDIM(entries) != 1:
        return None
    if cnp.PyArray_DIM(entries, cnp.PyArray_NDIM(entries) - 1) != _TABLE or (
            type(out) is cnp.ndarray and _runtime.extents_meet(out, entries)):
        return None
    _clear(&plan)
    _set_type(&plan, cnp.NPY_FLOAT, 0, isa)
    plan.several = False
    plan.table = <const unsigned char *>cnp.PyArray_DATA(entries)
    if axis is not None:
        found = along, entries, _set_tables(&plan, &channels, entries, cnp.PyArray_DIM(entries, 0))
        _set_inner(&channels.along, q, along, NULL)
    return _run_elements(&plan, &channels, found, q, out, dtype, FR_PACKED_LOOKUP, name, None)
