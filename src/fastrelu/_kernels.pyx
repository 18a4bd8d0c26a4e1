# Below the doors (_core.pyx), which alone know what a call is: nothing here reads the arguments of one.
"""What a kernel is: the types that it takes, its loops and ufuncs, and arrays converted to and from its types."""

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.string cimport memcpy

from fastrelu._numpy cimport (
    NPY_NTYPES_LEGACY,
    PyArray_ISBEHAVED_RO,
    PyArray_ISNOTSWAPPED,
    PyArray_ISWRITEABLE,
    PyArray_SAMESHAPE,
)
from fastrelu._runtime cimport (
    FR_ADD,
    FR_AS_BFLOAT,
    FR_AS_DOUBLE,
    FR_AS_FLOAT,
    FR_AS_HALF,
    FR_COMBINATIONS,
    FR_DIRECTIONS,
    FR_F32_ACCURATE,
    FR_F32_FAST,
    FR_F64_ACCURATE,
    FR_F64_FAST,
    FR_FORWARD,
    FR_FROM_OUTPUT,
    FR_LIGHT,
    FR_MAX_OPERANDS,
    FR_MEDIUM,
    FR_OWN_TYPES,
    FR_PRECISIONS,
    FR_TYPES,
    FR_bfloat16,
    FR_float32,
    FR_float64,
    dtype_of,
    extents_meet,
    flavor_of,
    fr_combine,
    fr_guard,
    fr_guard_close,
    fr_guard_open,
    fr_kernels,
    fr_move,
    fr_type_of_flavor,
    fr_types,
    learn_bfloat16,
    tables,
    type_of,
)

cnp.import_array()
cnp.import_ufunc()


cdef extern from "kernels/kernels.h" nogil:
    const fr_op *fr_ops
    const int fr_nops
    const char **fr_wider

cdef extern from "kernels/drive.h" nogil:
    int fr_take_numbers(fr_domain, double *, int, void *, int) noexcept
    void fr_run_part(const fr_call *, const char *const *, char *, Py_ssize_t, int, int) noexcept
    void fr_convert_part(const fr_call *, const char *const *, char *, Py_ssize_t, int, int) noexcept
    void fr_make_plan(fr_plan *, const fr_call *, const fr_memory *, int) noexcept
    bint fr_join_plans(fr_plan *, const fr_plan *) noexcept
    void fr_run_plan(const fr_plan *, int, int) noexcept
    void fr_ufunc_loop(char **, const cnp.npy_intp *, const cnp.npy_intp *, void *) noexcept

cdef extern from "numpy/ufuncobject.h":
    int PyUFunc_AddPromoter(object, object, object) except -1

cdef extern from "Python.h":
    object PyCapsule_New(void *, const char *, void *)

drive.take_numbers = fr_take_numbers
drive.run_part = fr_run_part
drive.convert_part = fr_convert_part
drive.make_plan = fr_make_plan
drive.join_plans = fr_join_plans
drive.run_plan = fr_run_plan


# --- Element types --------------------------------------------------------------------------------------------------

cdef int _FORMATS[FR_TYPES]  # of the types in memory
_FORMATS[:] = [FR_AS_FLOAT, FR_AS_DOUBLE, FR_AS_HALF, FR_AS_BFLOAT]
cdef int _classes[NPY_NTYPES_LEGACY]  # class_of_dtype of NumPy's own types
cdef int _joined[FR_TYPES + 1][FR_TYPES + 1]  # the type in which operands of two types are computed
cdef list _kernels = []  # all of them, whose ufuncs learn bfloat16
learners = []  # what to call when others' ufuncs can learn it


cdef int _first_type(list dtypes) except -4:
    """The first type to which NumPy casts all of these safely."""
    cdef int i
    for i in range(FR_TYPES):
        if dtype_of(i) is not None and all([np.can_cast(dtype, dtype_of(i)) for dtype in dtypes]):
            return i
    return NEITHER


cdef int _fill_tables() except -1:
    cdef int i, j
    for i in range(NPY_NTYPES_LEGACY):
        dtype = cnp.PyArray_DescrFromType(i)
        _classes[i] = type_of(i) if type_of(i) >= 0 else BYTE if np.can_cast(dtype, "e") else _first_type([dtype])
    for i in range(FR_TYPES):
        _joined[i][BYTE] = _joined[BYTE][i] = _joined[i][i] = i
        for j in range(FR_TYPES):
            if i != j and dtype_of(i) is not None and dtype_of(j) is not None:
                _joined[i][j] = _first_type([dtype_of(i), dtype_of(j)])
    _joined[BYTE][BYTE] = BYTE
    return 0


_fill_tables()


cdef int class_of_dtype(cnp.dtype dtype) except -4:
    cdef int found = kind_of_dtype(dtype)
    return FR_float32 if found == BYTE else found


cdef int kind_of_dtype(cnp.dtype dtype) except -4:
    cdef int number = dtype.type_num
    if number < NPY_NTYPES_LEGACY:
        return _classes[number]
    if type_of(number) < 0 and is_bfloat16(dtype):
        learn_bfloat16(dtype)
        _fill_tables()
        for kernel in _kernels:
            (<Kernel>kernel).take_bfloat16()
        for learner in learners:
            learner()
    return FR_bfloat16 if type_of(number) == FR_bfloat16 else _first_type([dtype])


cdef int joint_kind(int common, int kind) noexcept:
    """The kind of some operands, `common`, and another one; there was none yet if it is WEAK."""
    return kind if common < 0 else _joined[common][kind]


cdef int type_of_kind(int common) noexcept:
    """The type in which operands are computed that are of one kind together."""
    return FR_float64 if common < 0 else FR_float32 if common == BYTE else common


cpdef bint is_bfloat16(cnp.dtype dtype):
    """Is it the type that the package ml_dtypes registers with NumPy?"""
    kind = (<object>dtype).type
    return kind.__name__ == "bfloat16" and kind.__module__ == "ml_dtypes"


# --- Kernels --------------------------------------------------------------------------------------------------------

# Types and kernels that compute "fast" in more than "fast" float32.
cdef set _wider = set()
cdef int _pair = 0
while fr_wider[_pair] != NULL:
    _wider.add((fr_wider[_pair], fr_wider[_pair + 1]))
    _pair += 2


# The public function of a kernel that has a name of its own.
cdef dict _functions = {"gelu_tanh": "gelu", "hard_swish_line": "hard_swish"}


cdef str _SUFFIX(int direction):
    return ("", "_backward", "_backward_from_output")[direction]


@cython.final
cdef class Kernel:
    """One direction of one activation, for one instruction set: a call for each type and precision, and two ufuncs."""

    def __init__(self, int op, int direction, str isa, str function=None, tuple parameters=None):
        cdef const fr_kernels *kernels = &tables(isa).ops[op][direction]
        cdef fr_call *how
        cdef int flavor, type, level, j
        cdef bint little_more  # results of tiny x are x/2 and a little more
        self.op = &fr_ops[op]
        self.direction = direction
        # The output contains the exponential, and the rest is light.
        light = direction == FR_FROM_OUTPUT and self.op.cost == FR_MEDIUM
        self.cost = FR_LIGHT if light else self.op.cost
        self.ndata = 1 if direction == FR_FORWARD else 2
        self.nparams = self.op.nparams
        self.nin = self.ndata + self.nparams
        self.name = self.op.name.decode() + _SUFFIX(direction)
        if parameters is None:
            parameters = tuple([self.op.params[j].decode() for j in range(self.nparams)])
        self.operands = (("x",), ("grad", "x"), ("grad", "y"))[direction] + parameters
        if function is None:
            self.function = _functions.get(self.op.name.decode(), self.op.name.decode()) + _SUFFIX(direction)
            self.c_name = self.name.encode()
        else:
            self.function = function + _SUFFIX(direction)
            self.c_name = self.function.encode()
        self.c_doc = f"The ufunc behind `fastrelu.{self.name}`; inputs: {', '.join(self.operands)}.".encode()
        little_more = direction == FR_FORWARD and kernels.scalar[FR_F64_FAST] != kernels.scalar[FR_F64_ACCURATE]
        # NumPy keeps pointers to these arrays: they live as long as the kernel, and `_kernels` keeps every kernel.
        for type in range(FR_TYPES):
            self.loops[type] = <cnp.PyUFuncGenericFunction>fr_ufunc_loop
            for level in range(FR_PRECISIONS):
                self.loop_data[level][type] = how = &self.calls[type][level]
                flavor = fr_types[type].flavor[level]
                if level == 0 and (fr_types[type].name, self.name.encode()) in _wider:
                    flavor = FR_F32_ACCURATE
                how.scalar = kernels.scalar[flavor]
                how.array = kernels.array[flavor]
                how.stream = &tables(isa).stream
                how.convert = tables(isa).convert
                how.ndata = self.ndata
                how.nparams = self.nparams
                how.type = fr_type_of_flavor[flavor]
                how.itemsize = fr_types[how.type].size
                how.format = _FORMATS[type]
                how.light = self.cost == FR_LIGHT
                how.size = fr_types[type].size
                how.load = how.convert.load[how.type][how.format]
                how.store = how.convert.store[how.type][how.format]
                if type >= FR_OWN_TYPES and flavor == FR_F32_FAST:
                    how.direct = kernels.direct[type - FR_OWN_TYPES]
                for j in range(FR_COMBINATIONS):
                    how.fused[j] = kernels.fused[j][flavor]
                if little_more and type == FR_bfloat16 and how.type == FR_float64:
                    how.store = how.convert.store_up
            for j in range(self.nin + 1):
                self.loop_types[type * (self.nin + 1) + j] = -1 if type == FR_bfloat16 else dtype_of(type).type_num
        self.fast = self.make_ufunc(0)
        self.accurate = self.make_ufunc(1)
        _kernels.append(self)
        if dtype_of(FR_bfloat16) is not None:
            self.take_bfloat16()

    cdef make_ufunc(self, int level):
        ufunc = cnp.PyUFunc_FromFuncAndData(self.loops, self.loop_data[level], self.loop_types, FR_bfloat16, self.nin,
                                            1, cnp.PyUFunc_None, self.c_name, self.c_doc, 0)
        PyUFunc_AddPromoter(ufunc, (np.dtype,) * (self.nin + 1), _promoter)
        return ufunc

    cdef int take_bfloat16(self) except -1:
        """Give the ufuncs a loop for bfloat16."""
        cdef int types[FR_MAX_OPERANDS]
        cdef int j, number = dtype_of(FR_bfloat16).type_num
        for j in range(self.nin + 1):
            types[j] = number
        cnp.PyUFunc_RegisterLoopForType(self.fast, number, fr_ufunc_loop, types, self.loop_data[0][FR_bfloat16])
        cnp.PyUFunc_RegisterLoopForType(self.accurate, number, fr_ufunc_loop, types, self.loop_data[1][FR_bfloat16])
        return 0

    def __repr__(self):
        return f"<kernel {self.name}>"


cdef object _bool = type(np.dtype(bool))


cdef int _promote(PyObject *ufunc, PyObject **operands, PyObject **signature, PyObject **chosen) except? -2:
    """Choose the loop of a ufunc as the doors choose: by the classes of dtypes, NULL where there is no operand.

    NumPy asks once for each combination of types that has no loop of its own. It would take the first loop to which it
    can cast: bool would become float16, or float16 next to a Python number float32; and it would do so for bfloat16
    too, for good, if the type comes before it is known here.
    """
    cdef int j, kind, common = WEAK, nin = (<object>ufunc).nin
    cdef bint same = True
    cdef int mask = nin - 1 if (<object>ufunc).__name__.endswith("_where") else -1
    for j in range(nin):
        if j == mask:
            continue
        if operands[j] == NULL and signature[j] == NULL:
            continue
        found = <object>(operands[j] if signature[j] == NULL else signature[j])
        if found.type is float or found.type is int:
            continue  # a Python number
        kind = kind_of_dtype(np.dtype(found.type))
        if kind < 0:
            return -1  # NumPy raises
        common = joint_kind(common, kind)
    if signature[nin] != NULL:
        common = kind_of_dtype(np.dtype((<object>signature[nin]).type))
    own = type(dtype_of(type_of_kind(common)))
    for j in range(nin + 1):
        found = (_bool if j == mask else own) if signature[j] == NULL else <object>signature[j]
        same = same and operands[j] == <PyObject *>found
        Py_INCREF(found)
        chosen[j] = <PyObject *>found
    return -1 if same else 0


cdef object _promoter = PyCapsule_New(<void *>_promote, "numpy._ufunc_promoter", NULL)


def add_promoter(ufunc):
    """Make a ufunc choose its loops as the doors choose; a mask is the last input of one whose name says so."""
    PyUFunc_AddPromoter(ufunc, (np.dtype,) * ufunc.nargs, _promoter)


def kernel_names():
    """Every kernel of the list: activation, direction and name."""
    cdef list names = []
    cdef int op, direction
    for op in range(fr_nops):
        for direction in range(FR_DIRECTIONS):
            if fr_ops[op].domain_text[direction] != NULL:
                name = fr_ops[op].name.decode()
                names.append((name, direction, name + _SUFFIX(direction)))
    return names


def load_kernels(str isa, str activation=None):
    """All kernels for one instruction set by name, or those of one activation."""
    cdef dict kernels = {}
    cdef int op, direction
    for op in range(fr_nops):
        for direction in range(FR_DIRECTIONS):
            name = fr_ops[op].name.decode()
            if fr_ops[op].domain_text[direction] != NULL and activation in (None, name):
                kernels[name + _SUFFIX(direction)] = Kernel(op, direction, isa)
    return kernels


def renamed(Kernel kernel, str isa, str function, *parameters):
    """A kernel as another function than its table's has it: messages name that function and its parameters."""
    return Kernel(kernel.op - fr_ops, kernel.direction, isa, function, parameters)


cdef fr_combine combining(const fr_call *how, int combination) noexcept:
    """The loop that combines two arrays of the type of a call, and rounds to it; NULL if there is none."""
    if how.load == NULL:
        return how.convert.combine[how.type][combination]
    # What is computed in float64 is combined in it.
    return how.convert.direct[how.format - FR_AS_HALF][combination] if how.type == FR_float32 else NULL


cdef fr_combine sum_loop(int type) noexcept:
    """The loop that adds two arrays of a type, with the same bits in each precision; NULL if there is none."""
    return combining(&(<Kernel>_kernels[0]).calls[type][0], FR_ADD)


# --- Whole arrays converted -------------------------------------------------------------------------------------------

# NumPy warns of flags that its own conversions set, the kernels do not: what became of a number shows in the result. A
# decorator, for a `with` block would crash where memory ends; and a call that it decorates.
quiet = np.errstate(all="ignore")
quietly = quiet(lambda function, *args, **options: function(*args, **options))
cdef object _copy_quietly = quiet(np.copyto)


cdef int computed_type(int dtype, int level) noexcept:
    """NumPy's number of the type in which a type is computed."""
    cdef int type = fr_type_of_flavor[flavor_of(dtype, level)]
    return cnp.NPY_DOUBLE if type == FR_float64 else cnp.NPY_FLOAT


cdef fr_move _move_of(int half, bint double_, bint load) noexcept:
    """What converts elements of a 16-bit type, and back unless it is to `load`, to float32 or to float64."""
    cdef const fr_call *how = &(<Kernel>_kernels[0]).calls[half][double_]
    return how.load if load else how.convert.store[how.type][how.format]


cdef int _move_all(fr_move move, cnp.ndarray x, cnp.ndarray y) except -1:
    """Convert the elements of an array into another, in the order in which they lie in both."""
    cdef const char *source = <const char *>cnp.PyArray_DATA(x)
    cdef char *target = <char *>cnp.PyArray_DATA(y)
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x)
    cdef fr_guard caller
    with nogil:
        caller = fr_guard_open()
        move(source, target, n)
        fr_guard_close(caller)
    return 0


cdef cnp.ndarray _moved(cnp.ndarray x, int dtype, bint load, fr_move store=NULL):
    """An array converted between a 16-bit type and one that has kernels, in the same order of axes."""
    cdef int half = type_of(cnp.PyArray_TYPE(x) if load else dtype)
    cdef bint double_ = (dtype if load else cnp.PyArray_TYPE(x)) == cnp.NPY_DOUBLE
    if not (PyArray_ISBEHAVED_RO(x) and _is_dense(x)):
        if load and PyArray_ISNOTSWAPPED(x):
            x = x.view(np.uint16)  # NumPy crashes in copies of bfloat16 for which it finds no memory
        x = np.array(x, (<object>x).dtype.newbyteorder("="), order="K", copy=True, subok=False)
    cdef cnp.ndarray y = np.empty_like(x, dtype_of(type_of(dtype)), subok=False)
    _move_all(store if store != NULL else _move_of(half, double_, load), x, y)
    return y


cdef cnp.ndarray widened(cnp.ndarray x, int dtype):
    """An array of a 16-bit type in float32 or float64."""
    return _moved(x, dtype, True)


cdef cnp.ndarray narrowed(cnp.ndarray x, int dtype):
    """An array of float32 or float64 rounded to a 16-bit type."""
    return _moved(x, dtype, False)


def as_half(cnp.ndarray x not None, cnp.dtype dtype not None):
    """An array of float32 or float64 rounded to a 16-bit type."""
    class_of_dtype(dtype)
    return narrowed(x, dtype.type_num)


def as_native(cnp.ndarray x not None):
    """The array, in float32 if it is of a 16-bit type."""
    cdef int kind = class_of_dtype(x.descr)
    return x if kind < FR_OWN_TYPES or not _is_half(x) else widened(x, cnp.NPY_FLOAT)


cdef bint _is_half(cnp.ndarray x) noexcept:
    """Is it of a 16-bit type, without kernels of its own?"""
    return type_of(cnp.PyArray_TYPE(x)) >= <int>FR_OWN_TYPES


cdef bint _is_dense(cnp.ndarray x):
    """Do the elements fill their memory without a gap, in whatever order of axes?"""
    cdef int axis, ndim = cnp.PyArray_NDIM(x)
    cdef Py_ssize_t expected = cnp.PyArray_ITEMSIZE(x)
    cdef int placed = 0
    cdef cnp.npy_uint64 done = 0
    while placed < ndim:
        for axis in range(ndim):
            if done >> axis & 1:
                continue
            if cnp.PyArray_DIM(x, axis) == 1 or cnp.PyArray_STRIDE(x, axis) == expected:
                done |= <cnp.npy_uint64>1 << axis
                expected *= cnp.PyArray_DIM(x, axis)
                placed += 1
                break
        else:
            return False
    return True


cdef bint _lie_alike(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Do the elements of two arrays of one shape lie in the same order and as far apart, counted in elements?"""
    cdef int axis
    for axis in range(cnp.PyArray_NDIM(x)):
        if (cnp.PyArray_DIM(x, axis) > 1 and cnp.PyArray_STRIDE(x, axis) * cnp.PyArray_ITEMSIZE(y)
                != cnp.PyArray_STRIDE(y, axis) * cnp.PyArray_ITEMSIZE(x)):
            return False
    return True


def copy_into(target not None, result, where=True):
    """Write a result into an array of its shape, cast if its kind stays: np.copyto, but for 16-bit types.

    NumPy takes ten times as long to cast float16, and crashes in copies and casts of bfloat16 for which it finds no
    memory.
    """
    if where is True and _put(target, result):
        return
    if isinstance(result, np.ndarray) and np.can_cast(result.dtype, target.dtype, "same_kind"):
        if result.dtype != target.dtype and (_is_16_bit(target.dtype) or _is_16_bit(result.dtype)):
            result = as_native(np.asarray(result))
            if _is_16_bit(target.dtype) and result.dtype.char in "fd":
                result = as_half(result, target.dtype)
        if is_bfloat16(result.dtype) and result.dtype == target.dtype:
            target, result = target.view(np.uint16), np.asarray(result).view(np.uint16)
    copy = np.copyto if getattr(result, "dtype", None) == target.dtype else _copy_quietly
    copy(target, result, casting="same_kind", where=where)


cdef bint _is_16_bit(cnp.dtype dtype) noexcept:
    """Is it a type without kernels of its own?"""
    return type_of(dtype.type_num) >= <int>FR_OWN_TYPES


cdef bint _put(object target, object x) except -1:
    """Copy an array right into another of its shape and layout, cast between types with kernels and those of 16 bits.

    Returns whether they are such arrays.
    """
    cdef cnp.ndarray source, to
    cdef int given, wanted, half
    cdef bint load
    if not (type(target) is cnp.ndarray and type(x) is cnp.ndarray):
        return False
    source, to = x, target
    given, wanted = type_of(cnp.PyArray_TYPE(source)), type_of(cnp.PyArray_TYPE(to))
    load = given >= <int>FR_OWN_TYPES
    if (given < 0 or wanted < 0 or (load and wanted >= <int>FR_OWN_TYPES and given != wanted)
            or not PyArray_ISWRITEABLE(to) or not PyArray_ISBEHAVED_RO(source) or not PyArray_ISBEHAVED_RO(to)
            or not PyArray_SAMESHAPE(source, to) or not _is_dense(source) or not _lie_alike(source, to)
            or extents_meet(source, to)):
        return False
    if given == wanted:
        memcpy(cnp.PyArray_DATA(to), cnp.PyArray_DATA(source), cnp.PyArray_NBYTES(source))
    elif load or wanted >= <int>FR_OWN_TYPES:
        half = given if load else wanted
        _move_all(_move_of(half, FR_float64 in (given, wanted), load), source, to)
    elif given == FR_float64:
        _to_float(<const double *>cnp.PyArray_DATA(source), <float *>cnp.PyArray_DATA(to), cnp.PyArray_SIZE(source))
    else:
        _to_double(<const float *>cnp.PyArray_DATA(source), <double *>cnp.PyArray_DATA(to), cnp.PyArray_SIZE(source))
    return True


cdef void _to_float(const double *x, float *y, Py_ssize_t n) noexcept:
    cdef fr_guard caller = fr_guard_open()
    for i in range(n):
        y[i] = <float>x[i]
    fr_guard_close(caller)


cdef void _to_double(const float *x, double *y, Py_ssize_t n) noexcept:
    cdef fr_guard caller = fr_guard_open()
    for i in range(n):
        y[i] = x[i]
    fr_guard_close(caller)
