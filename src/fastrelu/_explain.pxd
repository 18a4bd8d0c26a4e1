# Interface of _explain for the other compiled modules: what all engines say about a call in the same words.

from fastrelu._kernels cimport Kernel, fr_call
from fastrelu._runtime cimport Crew

cdef str _why_threads(Crew crew, Py_ssize_t n)
cdef str _memory(object out, Py_ssize_t size)
cdef dict _in_words(str door, Kernel kernel, const fr_call *how)
cdef dict _foresee_general(Kernel kernel, object out, object where, list args, int why_not_fast)
