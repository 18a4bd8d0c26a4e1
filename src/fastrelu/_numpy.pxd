# What NumPy's C interface has and Cython's `numpy` does not declare, or declares otherwise: for all compiled modules.

cimport numpy as cnp
from cpython.object cimport PyObject, PyTypeObject

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyArrayObject:
        pass
    ctypedef struct PyArrayObject_fields:
        PyObject *mem_handler
    ctypedef struct PyArray_Descr:
        pass
    enum:
        NPY_NTYPES_LEGACY

    bint PyArray_SAMESHAPE(cnp.ndarray, cnp.ndarray)
    bint PyArray_ISALIGNED(cnp.ndarray)
    bint PyArray_ISBEHAVED_RO(cnp.ndarray)
    bint PyArray_ISNOTSWAPPED(cnp.ndarray)
    bint PyArray_ISWRITEABLE(cnp.ndarray)
    bint PyArray_IS_C_CONTIGUOUS(cnp.ndarray)
    bint PyArray_IS_F_CONTIGUOUS(cnp.ndarray)
    PyObject *PyArray_BASE(cnp.ndarray)
    void PyArray_CLEARFLAGS(cnp.ndarray, int)
    void PyArray_ENABLEFLAGS(cnp.ndarray, int)
    int PyArray_DiscardWritebackIfCopy(cnp.ndarray)
    object PyArray_MatrixProduct2(object, object, cnp.ndarray)  # np.dot
    object PyArray_NewFromDescr(PyTypeObject *, PyArray_Descr *, int, const cnp.npy_intp *, const cnp.npy_intp *,
                                void *, int, PyObject *)
    object PyArray_NewLikeArray(cnp.ndarray, cnp.NPY_ORDER, PyArray_Descr *, int)
    object PyArray_Scalar(void *, PyArray_Descr *, PyObject *)
    ctypedef struct PyArray_ArrFuncs:
        void (*dotfunc)(void *, cnp.npy_intp, void *, cnp.npy_intp, void *, cnp.npy_intp, void *) noexcept nogil
    PyArray_ArrFuncs *PyDataType_GetArrFuncs(PyArray_Descr *)

    # Memory handlers
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *, size_t) noexcept nogil
        void *(*calloc)(void *, size_t, size_t) noexcept nogil
        void *(*realloc)(void *, void *, size_t) noexcept nogil
        void (*free)(void *, void *, size_t) noexcept nogil
    ctypedef struct PyDataMem_Handler:
        char name[127]
        cnp.npy_uint8 version
        PyDataMemAllocator allocator
    object PyDataMem_GetHandler()
    PyObject *PyArray_HANDLER(cnp.ndarray)
    PyObject *PyDataMem_DefaultHandler

    # Iterators over several arrays
    ctypedef struct NpyIter:
        pass
    enum:
        NPY_ITER_MULTI_INDEX
        NPY_ITER_DONT_NEGATE_STRIDES
        NPY_ITER_ZEROSIZE_OK
        NPY_ITER_COPY_IF_OVERLAP
        NPY_ITER_READONLY
        NPY_ITER_READWRITE
        NPY_ITER_WRITEONLY
        NPY_ITER_ALLOCATE
        NPY_ITER_NO_SUBTYPE
        NPY_ITER_NO_BROADCAST
        NPY_ITER_OVERLAP_ASSUME_ELEMENTWISE
    NpyIter *NpyIter_MultiNew(int, PyArrayObject **, cnp.npy_uint32, cnp.NPY_ORDER, cnp.NPY_CASTING, cnp.npy_uint32 *,
                              PyArray_Descr **) except? NULL
    int NpyIter_Deallocate(NpyIter *) except 0
    int NpyIter_GetNDim(NpyIter *)
    cnp.npy_intp NpyIter_GetIterSize(NpyIter *)
    int NpyIter_GetShape(NpyIter *, cnp.npy_intp *) except 0
    int NpyIter_CreateCompatibleStrides(NpyIter *, cnp.npy_intp, cnp.npy_intp *) except 0
    cnp.npy_intp *NpyIter_GetAxisStrideArray(NpyIter *, int) except NULL
    char **NpyIter_GetDataPtrArray(NpyIter *)
    PyArrayObject **NpyIter_GetOperandArray(NpyIter *)
