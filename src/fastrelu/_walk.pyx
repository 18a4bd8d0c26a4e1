# A network has as many calls as layers, and of small ones each costs little: what is done for each call of a record is
# compiled. What is done once for a record, and what raises errors, is in nn/record.py. Arrays go by their identities,
# as the record keeps all of them alive. A call is a tuple, `Node` in nn/record.py: module, inputs, outputs, saved.
"""The way back through the calls of a recorded forward call."""

cimport numpy as cnp
from cpython.long cimport PyLong_FromVoidPtr

import numpy as np

from fastrelu._numpy cimport PyArray_BASE

cnp.import_array()


class Own:
    """A call of a module with a backward of its own: arguments, output, and what it and its descendants saved."""

    __slots__ = ("args", "log", "output")

    def __init__(self, args, output, log):
        self.args, self.output, self.log = args, output, log


cdef object _Own = Own


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


def owner(array):
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


def parameters_of(list todo, type Parameter):
    """Return the parameters of which the backward of calls may read the values, or change the gradients."""
    cdef list found = []
    cdef tuple node
    for entry in todo:
        node = (<tuple>entry)[0]
        module = node[0]
        for x in <tuple>node[1]:
            if isinstance(x, Parameter):
                found.append(x)
        if _has_own_backward(module, node[3]):
            found.extend(module.parameters())
        elif module._learns:
            for x in (<dict>module.__dict__).values():
                if type(x) is Parameter:
                    found.append(x)
    return found


def part_from_parameters(dict gradients, list parameters):
    """Copy gradients that the caller took from parameters, to whose gradients the backward adds."""
    cdef set memory = set()
    for p in parameters:
        for x in (p._grad, p._buffer):
            if x is not None:
                memory.add(owner(x))
    for key in list(gradients):
        if owner(gradients[key]) in memory:
            gradients[key] = gradients[key].copy()


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


def go_back(list todo, dict gradients, set owned, type Parameter, own_backward):
    """Go back through calls, of which each is released before the next one.

    `gradients` are those of arrays, by identity; those in `owned` are overwritten, as nothing else refers to them.
    `own_backward` is called with the call, for a backward that a user wrote.
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
            found = own_backward(node, gradients, input_grad=bool(needed), overwrite_grad=overwrite)
        else:
            key = _key(outputs[0])
            found = module._go_back(gradients.pop(key), saved, input_grad=needed, overwrite_grad=overwrite)
            if needed and len(inputs) == 1:
                _add(inputs[0], found, module._fresh_gradient, gradients, owned, Parameter)
                continue
        if needed:
            for array, gradient in zip(inputs, found, strict=True):
                _add(array, gradient, module._fresh_gradient, gradients, owned, Parameter)
