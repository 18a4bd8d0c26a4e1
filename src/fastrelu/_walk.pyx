# A network has as many calls as layers, and of small ones each costs little: what is done for each call of a layer, in
# a record or alone, is compiled. What is done once for a record, and what raises errors, is in nn/record.py and
# nn/module.py. Arrays go by their identities, as the record keeps all of them alive. A call is a tuple, `Node` in
# nn/record.py: module, inputs, outputs, saved.
"""What the calls of layers save, and the way back through them."""

cimport numpy as cnp
from cpython.long cimport PyLong_FromVoidPtr

import numpy as np

from fastrelu._numpy cimport PyArray_BASE, PyArray_ISNOTSWAPPED, PyArray_SAMESHAPE

from fastrelu._read_only import hold, hold_views
from fastrelu._steps import updates as _numbers

cnp.import_array()


class Own:
    """A call of a module with a backward of its own: arguments, output, and what it and its descendants saved."""

    __slots__ = ("args", "log", "output")

    def __init__(self, args, output, log):
        self.args, self.output, self.log = args, output, log


cdef object _Own = Own
cdef object _hold = hold, _hold_views = hold_views
cdef list _updates = _numbers
cdef object _here, _Record, _Off, _keep


def use_modes(here, type Record, type Off, keep):
    """Set where a thread finds what is recorded in it, two of the things that it finds, and what saves a call alone."""
    global _here, _Record, _Off, _keep
    _here, _Record, _Off, _keep = here, Record, Off, keep


def save(module, tuple inputs, tuple outputs, saved):
    """Save what backward needs of a call of a layer: in the record of the network, or for the layer alone.

    A call that changes nothing has neither inputs nor outputs: the array that it returns is the one that it got.
    """
    current = _here.current
    if current is None:
        if not module.training:
            saved = None
    elif type(current) is _Record:
        if current.since != _updates[0]:
            current.mark()
        (<list>current.nodes).append((module, inputs, outputs, saved))
        _hold(current.held, inputs, outputs)
        saved = None
    elif type(current) is _Off:
        if current.record is not None:
            current.record.detached.extend(outputs)
            _hold_views(current.record.held, inputs, outputs)
        saved = None
    last = module._saved
    if saved is not None and (last is None or current is not None):
        _keep(module, (saved, _updates[0]))
    elif last is not None:
        last.call = None if saved is None else (saved, _updates[0])


cdef inline object _key(object value):
    return PyLong_FromVoidPtr(<void *>value)


cdef bint _any_in(set keys, tuple values) except -1:
    for value in values:
        if _key(value) in keys:
            return True
    return False


cdef bint _has_own_backward(object module, object saved) except -1:
    """Whether the backward of a call is one that a user wrote."""
    return type(saved) is _Own or "backward" in module.__dict__


cdef inline bint _is_plain(object value) noexcept:
    """Whether a value is an array of float32 or float64 in native byte order, and of no subclass."""
    if not cnp.PyArray_CheckExact(value):
        return False
    return cnp.PyArray_TYPE(value) in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE) and PyArray_ISNOTSWAPPED(value)


def plain_alike(tuple values):
    """Whether values are plain arrays of one type, float32 or float64: nothing to convert or to refuse."""
    for value in values:
        if not _is_plain(value) or cnp.PyArray_TYPE(value) != cnp.PyArray_TYPE(values[0]):
            return False
    return len(values) > 0


def alike(a, b):
    """Whether values are plain arrays of one shape and type."""
    if not cnp.PyArray_CheckExact(a) or not cnp.PyArray_CheckExact(b) or not PyArray_SAMESHAPE(a, b):
        return False
    return cnp.PyArray_DESCR(a) is cnp.PyArray_DESCR(b) or a.dtype == b.dtype


cpdef object shape_of(object value):
    """Return np.shape of a value, which asks an array itself for longer than a small layer computes."""
    return value.shape if cnp.PyArray_Check(value) else np.shape(value)


def shapes_of(values):
    """Return the shapes of a sequence of values."""
    return [shape_of(value) for value in values]


def everything(tuple values):
    """Return values, and what they consist of."""
    cdef list found = list(values)
    for value in found:  # which grows
        if isinstance(value, (tuple, list)):
            found.extend(value)
        elif isinstance(value, dict):
            found.extend(value.values())
    return found


def identities(tuple values):
    """Return the identities of values, and of what they consist of."""
    return {_key(value) for value in everything(values)}


def usual_call(module, grad, input_grad, overwrite_grad):
    """Return what the last call of a layer alone saved, and release it; None if anything has to be checked further.

    It is usual that the options are True or False, that `grad` is a plain array of the output's shape, and that no
    parameter of any module has changed since the call.
    """
    cdef tuple call
    cdef Py_ssize_t i
    if type(input_grad) is not bool or type(overwrite_grad) is not bool or not _is_plain(grad):
        return None
    last = module._saved
    if last is None:
        return None
    found = last.call
    if type(found) is not tuple:
        return None
    call = found
    if call[1] != _updates[0]:
        return None
    shape = module._output_shape(call[0])
    if type(shape) is not tuple or len(<tuple>shape) != cnp.PyArray_NDIM(grad):
        return None
    for i in range(cnp.PyArray_NDIM(grad)):
        if (<tuple>shape)[i] != cnp.PyArray_DIM(grad, i):
            return None
    last.call = None
    return call[0]


cpdef object owner(object array):
    """Return the identity of the array that owns the memory of an array."""
    cdef object base = array
    while cnp.PyArray_Check(base):
        array = base
        if PyArray_BASE(<cnp.ndarray>array) is NULL:
            break
        base = <object>PyArray_BASE(<cnp.ndarray>array)
    return _key(array)


def calls_behind(list nodes, set wanted):
    """Return the positions of the calls from which arrays come, and whether any call at all works in place.

    `wanted` are the identities of the arrays, and afterwards of those that no call made from which they come.
    """
    cdef list active = []
    cdef bint inplace = False
    cdef Py_ssize_t i
    cdef tuple node, inputs, outputs
    for i in range(len(nodes) - 1, -1, -1):
        node = nodes[i]
        inputs, outputs = node[1], node[2]
        inplace = inplace or getattr(node[0], "inplace", False)
        if _any_in(wanted, outputs):
            for value in outputs:
                wanted.discard(_key(value))
            for value in inputs:
                wanted.add(_key(value))
            active.append(i)
    active.reverse()
    return active, inplace


def calls_to_do(list nodes, list active, set needs):
    """Return those of some calls that have gradients to compute, and for each which inputs need one.

    `needs` are the identities of the arrays that need a gradient, and afterwards of those that depend on them too.
    """
    cdef list todo = []
    cdef tuple node, inputs
    for i in active:
        node = nodes[i]
        module, inputs = node[0], node[1]
        need = _any_in(needs, inputs)
        if need and len(inputs) > 1:
            need = tuple([_key(x) in needs for x in inputs])
        if need or (module._learns and module._trains()):
            for value in <tuple>node[2]:
                needs.add(_key(value))
            todo.append((node, need))
    return todo


cdef int _find_own(list found, object module, object saved, type Parameter) except -1:
    """Add to `found` the parameters of a module whose values its backward may read, or whose gradients it changes."""
    if _has_own_backward(module, saved):
        found.extend(module.parameters())
    elif module._learns:
        for x in (<dict>module.__dict__).values():
            if type(x) is Parameter:
                found.append(x)
    return 0


def parameters_of(list todo, type Parameter):
    """Return the parameters of which the backward of calls may read the values, or change the gradients."""
    cdef list found = []
    cdef tuple node
    for entry in todo:
        node = (<tuple>entry)[0]
        for x in <tuple>node[1]:
            if isinstance(x, Parameter):
                found.append(x)
        _find_own(found, node[0], node[3], Parameter)
    return found


cdef set _memory(list parameters):
    """Return the identities of the arrays that own the memory of gradients."""
    cdef set memory = set()
    for p in parameters:
        gradient, buffer = p._grad, p._buffer
        if gradient is not None:
            memory.add(owner(gradient))
        if buffer is not None and buffer is not gradient:
            memory.add(owner(buffer))
    return memory


def part_from_parameters(dict gradients, list parameters):
    """Copy gradients that the caller took from parameters, to whose gradients the backward adds."""
    cdef set memory = _memory(parameters)
    for key in list(gradients):
        if owner(gradients[key]) in memory:
            gradients[key] = gradients[key].copy()


def parted(module, saved, grad, type Parameter):
    """Return a gradient for a layer alone, as a copy if the caller took it from a parameter of the layer."""
    cdef list found = []
    _find_own(found, module, saved, Parameter)
    return grad.copy() if owner(grad) in _memory(found) else grad


cdef bint _overwrites(tuple outputs, dict gradients, set owned) except -1:
    """Whether a call may overwrite the gradients of its outputs, which are no longer owned from now on."""
    cdef bint all_owned = True
    for value in outputs:
        key = _key(value)
        if key in gradients and key not in owned:
            all_owned = False
    for value in outputs:
        owned.discard(_key(value))
    return all_owned


cdef bint _has_gradient(tuple outputs, dict gradients) except -1:
    for value in outputs:
        if _key(value) in gradients:
            return True
    return False


cdef int _add(object array, object gradient, bint fresh, dict gradients, set owned, type Parameter) except -1:
    """Add a gradient to that of an array; `fresh` is one that nothing else refers to."""
    if gradient is None:
        return 0
    if isinstance(array, Parameter):
        array.add_gradient(np.array(gradient, array.dtype))
        return 0
    key = _key(array)
    if key not in gradients:
        gradients[key] = gradient
        if fresh:
            owned.add(key)
    elif key in owned:
        np.add(gradients[key], gradient, out=gradients[key])
    else:
        gradients[key] = gradients[key] + gradient
        owned.add(key)
    return 0


def go_back(root, list todo, dict gradients, set owned, type Parameter, own_backward):
    """Go back through calls, of which each is released before the next one.

    `gradients` are those of arrays, by identity; those in `owned` are overwritten, as nothing else refers to them.
    `own_backward` is called with `root`, the network, and with the call, for a backward that a user wrote.
    """
    cdef tuple node, inputs, outputs
    cdef bint overwrite
    while todo:
        node, needed = todo.pop()
        module, inputs, outputs, saved = node
        if not _has_gradient(outputs, gradients):
            continue
        overwrite = _overwrites(outputs, gradients, owned)
        if _has_own_backward(module, saved):
            found = own_backward(root, node, gradients, input_grad=bool(needed), overwrite_grad=overwrite)
        else:
            key = _key(outputs[0])
            found = module._go_back(gradients.pop(key), saved, input_grad=needed, overwrite_grad=overwrite)
            if needed and len(inputs) == 1:
                _add(inputs[0], found, module._fresh_gradient, gradients, owned, Parameter)
                continue
        if needed:
            for array, gradient in zip(inputs, found, strict=True):
                _add(array, gradient, module._fresh_gradient, gradients, owned, Parameter)
