"""No argument makes the library read or write outside the arrays of the call."""

from __future__ import annotations

import textwrap
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import CASES, SOME_CASES, Case
from compare import assert_same_bits, bits
from numpy._core.multiarray import get_handler_name
from programs import run_python

import fastrelu as fr
from fastrelu import _runtime, diagnostics, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from specs import Array

# --- Values that change while they are read ---------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["rows", "columns", "classes far apart"])
def test_labels_that_another_thread_writes(layout: str) -> None:
    """A label is checked where it is used, so a wrong one writes nothing beside its row."""
    program = f"""
import threading
import numpy as np, fastrelu as fr
n = 60_000
shape = {{"rows": (n, 2), "columns": (2, n), "classes far apart": (n, 2)}}[{layout!r}]
axis = 0 if {layout!r} == "columns" else 1
memory = np.full((shape[0] + 2, shape[1]), 7, "f4")
out = memory[1:-1]
if {layout!r} == "classes far apart":
    memory = np.full((n + 2, 10), 7, "f4")
    out = memory[1:-1, ::5]
x = np.ones(shape, "f4")
labels = np.zeros(n, np.int64)
stop = False
def write():
    while not stop:
        labels[...] = 1 << 40
        labels[...] = -(1 << 40)
        labels[...] = 0
        labels[...] = 1
writer = threading.Thread(target=write)
writer.start()
found = set()
try:
    for _ in range(300):
        try:
            fr.cross_entropy_value_and_grad(x, labels, axis=axis, out=out)
            fr.cross_entropy(x, labels, axis=axis, weight=[1.0, 2.0])
        except (IndexError, RuntimeError) as error:
            found.add(type(error).__name__)
finally:
    stop = True
    writer.join()
assert (memory[0] == 7).all() and (memory[-1] == 7).all()
if {layout!r} == "classes far apart":
    assert (np.delete(memory, [0, 5], axis=1) == 7).all()
assert found <= {{"IndexError", "RuntimeError"}}
print("ok")
"""
    assert run_python(program) == "ok\n"


# --- Sizes ------------------------------------------------------------------------------------------------------------

HUGE = 2**60
TOO_LARGE: dict[str, Callable[[], Any]] = {
    "cross_entropy, smoothed": lambda: fr.cross_entropy(_spread(1, HUGE), [0], label_smoothing=0.1),
    "cross_entropy, smoothed, axis 0": lambda: fr.cross_entropy(_spread(HUGE, 1), [0], axis=0, label_smoothing=0.1),
    "cross_entropy, probabilities": lambda: fr.cross_entropy(_spread(1, HUGE), _spread(1, HUGE)),
    "cross_entropy, probabilities, axis 0": lambda: fr.cross_entropy(_spread(HUGE, 1), _spread(HUGE, 1), axis=0),
    "cross_entropy, gradient": lambda: fr.cross_entropy_value_and_grad(_spread(1, HUGE), [0]),
    "softmax": lambda: fr.softmax(_spread(HUGE)),
    "softmax, int8": lambda: fr.softmax(_spread(HUGE, dtype="i1")),
    "softmax, all axes": lambda: fr.softmax(_spread(4, HUGE // 4), axis=None),
    "softmax, masked": lambda: fr.softmax(_spread(4, HUGE // 4), where=np.ones((4, 1), bool)),
    "softmax, out": lambda: fr.softmax(_spread(4, HUGE // 4), out=_one_place(4, HUGE // 4)),
    "softmax, out, axis 0": lambda: fr.softmax(_spread(4, HUGE // 4), axis=0, out=_one_place(4, HUGE // 4)),
    "log_softmax, out, axis 0": lambda: fr.log_softmax(_spread(HUGE // 4, 4), axis=0, out=_one_place(HUGE // 4, 4)),
    "softmax gradient": lambda: fr.softmax_backward_from_output(_spread(HUGE), _spread(HUGE)),
    "crelu": lambda: fr.crelu(_spread(HUGE)),
    "crelu, int8": lambda: fr.crelu(_spread(4 * HUGE, dtype="i1")),
    "parameter gradient": lambda: fr.prelu_backward_parameters(np.float32(1), _spread(HUGE), np.float32(1)),
    "parameter gradient, broadcast": lambda: fr.prelu_backward_parameters(
        _spread(2**40, 1), _spread(1, 2**40), np.float32(1)
    ),
    "parameter gradient, out": lambda: fr.swish_backward_parameters(
        _spread(HUGE), _spread(HUGE), 1.0, out=_one_place(HUGE)
    ),
    "summarize, int8": lambda: diagnostics.summarize(_spread(HUGE, dtype="i1")),
    "summarize, units": lambda: diagnostics.summarize(_spread(HUGE), axis=0),
}


def _spread(*shape: int, dtype: str = "f4") -> Array:
    """Return one number seen as an array."""
    return np.broadcast_to(np.ones((), dtype), shape)


def _one_place(*shape: int) -> Array:
    """Return a writable array whose elements all lie in one place."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, (0,) * len(shape))


@pytest.mark.parametrize("name", TOO_LARGE)
def test_sizes_beyond_memory(name: str) -> None:
    """Arrays larger than any memory are refused, not counted around 2**64."""
    with pytest.raises((MemoryError, ValueError)) as caught:
        TOO_LARGE[name]()
    assert str(caught.value)


@pytest.mark.parametrize("case", SOME_CASES, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "i8", "f2"])
def test_sizes_beyond_memory_of_every_kernel(case: Case, dtype: str) -> None:
    """Element-wise functions refuse them too, of types that are converted and others."""
    n = HUGE * 4 // np.dtype(dtype).itemsize
    with pytest.raises((MemoryError, ValueError)):
        case(*[_spread(n, dtype=dtype)] * case.ndata)
    if case.ndata == 2:
        with pytest.raises((MemoryError, ValueError)):
            case(_spread(2**40, 1, dtype=dtype), _spread(1, 2**40, dtype=dtype))


# --- Alignment --------------------------------------------------------------------------------------------------------


def _unaligned(values: Any, dtype: str) -> Array:
    array = np.array(values, dtype)
    memory = np.empty(array.nbytes + 1, np.uint8)
    view: Array = memory[1:].view(dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned or view.itemsize == 1
    return view


@pytest.mark.parametrize("dtype", ["i8", "i4", ">i8", "u8", "i1"])
def test_unaligned_labels_and_weights(dtype: str) -> None:
    """Labels, weights and probabilities are read wherever they lie."""
    rng = np.random.default_rng(0)
    x, labels, weight = rng.standard_normal((40, 7)), rng.integers(0, 7, 40), rng.random(7)
    expected = fr.cross_entropy_value_and_grad(x, labels, weight=weight)
    got = fr.cross_entropy_value_and_grad(x, _unaligned(labels, dtype), weight=_unaligned(weight, "f8"))
    assert_same_bits(got[0], expected[0])
    assert_same_bits(got[1], expected[1])
    shares = rng.random((40, 7))
    assert_same_bits(fr.cross_entropy(x, _unaligned(shares, "f8")), fr.cross_entropy(x, shares))


# --- Small stacks -----------------------------------------------------------------------------------------------------


def test_threads_with_small_stacks() -> None:
    """Every kernel runs in a Python thread with a stack of 64 KiB, and on OpenMP's threads of that size."""
    program = """
import threading, warnings
import numpy as np, fastrelu as fr
from fastrelu import _runtime, diagnostics, fused, masks, quantized
from cases import CASES
_runtime.set_team(granted=3, insist=True)
_runtime.set_defaults(waking_from=_runtime.parallel_from)
warnings.simplefilter("ignore")  # of casts, and of where= without out=
n = 9000
def work():
    for case in CASES:
        x, where = case.data(n, "f4"), np.arange(n) % 2 == 0
        for data in (x, [a[::-1] for a in x], [a.reshape(90, 100).T for a in x], [a.astype("f2") for a in x]):
            case(*data)
        for where in (where, np.arange(n) % 97 == 0):
            case(*x, where=where), case(*(a[::-1].astype("f2") for a in x), where=where)
    for dtype in ("f4", "f8"):
        x = np.ones((150, 700), dtype)
        for level in ("fast", "accurate"):
            with fr.precision(level):
                for axis in (0, 1, None):
                    fr.softmax(x, axis=axis), fr.log_softmax(x, axis=axis, where=x > 0), fr.softmin(x[::-1], axis=axis)
                    fr.softmax_backward_from_output(x, x, axis=axis), fr.log_softmax_backward_from_output(x, x, axis=axis)
                    fr.sparsemax_backward_from_output(x, x, axis or 0)
                    diagnostics.summarize(x, axis=axis), diagnostics.summarize(x[::2, ::-3], axis=axis)
                fr.ufuncs.softmax(x, axis=0), fr.ufuncs.logsumexp(x[:20], axis=0), fr.ufuncs.relu(x)
                fr.cross_entropy_value_and_grad(x, np.arange(150), label_smoothing=0.1)
                fr.cross_entropy_value_and_grad(x.T, np.arange(150), axis=0)
                for unit, unit_backward in ((fr.swiglu, fr.swiglu_backward), (fr.geglu, fr.geglu_backward)):
                    unit(x), unit(x, 0, layout="interleaved"), unit_backward(x[:, ::2], x)
                    unit_backward(np.ones((75, 700), dtype), x, 0)
                for residual in (None, x):
                    fused.bias_act(x, x[0], "gelu", residual=residual)
                    fused.bias_act_backward(x.T, x.T, x[:, 0], "gelu", residual=None if residual is None else x.T)
                fr.crelu(x.T), fr.crelu_backward(np.ones((150, 1400), dtype), x)
                masks.relu_with_mask(x.T), quantized.quantize(x.T, np.full(150, 0.1), 0, "gelu", axis=1)
                for data in (x.reshape(-1, 3), x.reshape(-1, 3)[:, ::-1], x[:, ::2], x.astype("f2")[:, ::-2]):
                    for along in (0, 1):
                        scale = np.full(data.shape[along], 0.1)
                        q = quantized.quantize(data, scale, 0, "gelu", axis=along)
                        quantized.dequantize(q[:, ::-1], scale, 0, axis=along, dtype="f2")
                fr.logsumexp(x, 0, where=x > 0), fr.logsumexp_backward(x[0], x, 0), fr.hardmax(x, 0), fr.sparsemax(x, 0)
                fr.softmax_backward_parameters(x, x, 0, scale=2.0), fr.gumbel_softmax(x, 0)
                for part in (x > 2, np.arange(x.size).reshape(x.shape) % 97 == 0):
                    slopes = np.full(x.shape, 0.25)
                    fr.srelu(x.T, -1.0, slopes.T, 1.0, slopes.T, where=part.T, out=x.T.copy())
                fr.explain(fr.softmax, x, 0), fr.explain(fr.swiglu, x, layout="interleaved"), fr.explain(fr.crelu, x)
                fr.srelu_backward_parameters(x, x, 0.0, np.ones(700, dtype), np.ones((150, 1), dtype), 2.0)
                fr.celu_backward_parameters(x[:, ::2], x[:, ::2], np.ones((150, 1), dtype))
    print("ok")
threading.stack_size(64 << 10)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    assert run_python(program, OMP_STACKSIZE="64k") == "ok\n"


# --- Many axes --------------------------------------------------------------------------------------------------------

MANY = (2, 3) + (1,) * 62
MANY_CALLS: dict[str, Callable[[Array], Any]] = {
    "prelu": lambda x: fr.prelu(x, np.full(x.shape[1], 0.25), axis=1),
    "rrelu": lambda x: fr.rrelu(x, training=True, rng=np.random.default_rng(0))[0],
    "crelu": lambda x: fr.crelu(x, axis=1),
    "crelu gradient": lambda x: fr.crelu_backward(fr.crelu(x, axis=1), x, axis=1),
    "parameters": lambda x: fr.prelu_backward_parameters(x, x, np.full(x.shape[1:], 0.25))[1],
    "parameters, dx": lambda x: fr.prelu_backward_parameters(x, x[:1], 0.25)[0],
    "softmax": lambda x: fr.softmax(x, axis=1),
    "softmax, all axes": lambda x: fr.softmax(x, axis=None),
    "softmax, two axes": lambda x: fr.softmax(x, axis=(1, 0)),
    "softmax, masked": lambda x: fr.softmax(x, axis=0, where=x > 0),
    "softmax gradient": lambda x: fr.softmax_backward_from_output(x, x, axis=1),
    "cross_entropy": lambda x: fr.cross_entropy(x, np.zeros(x.shape[:1] + x.shape[2:], int), axis=1, reduction="none"),
    "summarize": lambda x: diagnostics.summarize(x, axis=0).mean,
}


@pytest.mark.parametrize("name", MANY_CALLS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
def test_64_axes(name: str, reverse: bool) -> None:
    """Arrays of 64 axes, NumPy's limit, give the results of two axes."""
    x = np.random.default_rng(0).standard_normal((2, 3))
    x = x[::-1, ::-1] if reverse else x
    expected = np.asarray(MANY_CALLS[name](x))
    got = np.asarray(MANY_CALLS[name](x.reshape(MANY)))
    assert_same_bits(got.reshape(expected.shape), expected)


def test_64_axes_of_units() -> None:
    """Units may lie along 64 axes."""
    x = np.random.default_rng(0).standard_normal(MANY)
    found = diagnostics.summarize(x, axis=tuple(range(64)))
    assert_same_bits(found.mean, x)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_64_axes_of_every_kernel(case: Case) -> None:
    """Every kernel takes arrays of 64 axes, dense and strided."""
    data = [a.reshape(2, 3) for a in case.data(6, "f4")]
    many = [a.reshape(MANY) for a in data]
    assert_same_bits(case(*many).reshape(2, 3), case(*data))
    assert_same_bits(case(*[a[::-1] for a in many]).reshape(2, 3), case(*[a[::-1] for a in data]))


# --- Memory that was freed --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:'where' used without 'out':UserWarning")  # NumPy's own; that is what is tested
def test_where_without_out_shows_no_other_result() -> None:
    """Where the mask is false a new result holds what NumPy leaves there, never numbers of a freed result."""
    mask = np.zeros(4 * _runtime.recycle_from, bool)
    for case in SOME_CASES:
        data = case.data(mask.size, "f4")
        assert get_handler_name(case(*data)) == "fastrelu"
        assert get_handler_name(case(*data, where=mask)) == "default_allocator"


# --- States that do not fit -------------------------------------------------------------------------------------------


def _state(model: nn.Module) -> dict[str, Array]:
    return {name: value.copy() for name, value in model.state_dict().items()}


def test_load_state_dict_changes_nothing_if_memory_is_read_only() -> None:
    """The last parameter cannot be written: the first one is as it was."""
    model = nn.Sequential(nn.Linear(3, 2, rng=0), nn.PReLU(2))
    before = _state(model)
    layer = model[1]
    assert isinstance(layer, nn.PReLU)
    layer.weight.data.flags.writeable = False
    with pytest.raises(ValueError, match=r"the memory of parameters is read-only: 1\.weight"):
        model.load_state_dict({name: value + 1 for name, value in before.items()})
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])
    # Of another type new memory takes the values.
    model.load_state_dict({name: value.astype("f8") + 1 for name, value in before.items()})
    assert all((value == before[name].astype("f8") + 1).all() for name, value in model.state_dict().items())


def test_load_state_dict_of_own_memory() -> None:
    """A state whose arrays are the parameters themselves, under each other's names, is read before it is written."""
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1))
    before = _state(model)
    own = model.state_dict()
    model.load_state_dict({name: own[{"0": "1", "1": "0"}[name[0]] + name[1:]] for name in own})
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[{"0": "1", "1": "0"}[name[0]] + name[1:]])


def test_threads_of_python_compute_at_once() -> None:
    """Four threads that call everything give the bits of one."""
    n = 3000
    expected = {case: bits(case(*case.data(n, "f4"))) for case in CASES}
    wrong: list[str] = []

    def work(start: int) -> None:
        for case in CASES[start:] + CASES[:start]:
            if (bits(case(*case.data(n, "f4"))) != expected[case]).any():
                wrong.append(str(case))

    threads = [threading.Thread(target=work, args=(20 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("call", ["fr.relu(x)", "fr.gelu(x, out=y)", "fr.softmax(x)", "fr.relu(x[::2])", "fr.crelu(x)"])
@pytest.mark.parametrize("variables", [{}, {"FASTRELU_NUM_THREADS": "1"}, {"FASTRELU_CACHE_BYTES": "0"}])
def test_garbage_is_collected_in_the_first_large_call(call: str, variables: dict[str, str]) -> None:
    """The first large call may run Python code, and so finalizers; it does before it reads its arrays."""
    code = f"""
        import gc, numpy as np, fastrelu as fr
        x, y = np.ones(1 << 22, np.float32), np.ones(1 << 22, np.float32)
        def hook(phase, info):
            if phase == "start" and x.size > 1:
                x.resize(1, refcheck=False)
        gc.collect()
        gc.callbacks.append(hook)
        gc.set_threshold(1)
        try:
            print(np.size({call}))
        except (RuntimeError, ValueError) as error:
            print(error)
    """
    assert run_python(textwrap.dedent(code), **variables).strip()
