"""What a recorded forward call makes read-only: every array is as writable afterwards as it was before."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fastrelu import nn

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (4, 4)


class Net(nn.Module):
    """A network whose forward is given; float64."""

    def __init__(self, run: Callable[..., Any], **layers: Any) -> None:
        super().__init__()
        self.run = run
        self.relu, self.tanh, self.flat = nn.ReLU(), nn.Tanh(), nn.Flatten()
        self.inplace = nn.ReLU(inplace=True)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def forward(self, *args: Any) -> Any:
        """Call what was given."""
        return self.run(self, *args)


class Own(Net):
    """The same with a backward of its own."""

    def backward(self, grad: Any) -> Any:  # type: ignore[override]  # as in a tutorial
        """Return no gradient of use."""
        return grad


def read_only(array: Any) -> Any:
    """Return it after it was made read-only."""
    array.flags.writeable = False
    return array


def base(**flags: bool) -> Any:
    """Return negative numbers, which a ReLU in place changes."""
    array = -np.ones(SHAPE)
    array.setflags(**flags)
    return array


def read_only_base() -> list[Any]:
    """Return a writable view of what is read-only now."""
    whole = base()
    part = whole[:2]
    return [read_only(whole), part]


# Arrays that share memory, of which some are read-only.
SHARING: dict[str, Callable[[], list[Any]]] = {
    "alone": lambda: [base()],
    "the same twice": lambda: [b := base(), b],
    "a view": lambda: [b := base(), b[:2]],
    "views of views": lambda: [b := base(), v := b[:3], v[:2], v.T],
    "the base is not given": lambda: [v := base()[:3], v[1:]],
    "a broadcast view": lambda: [b := base(), np.broadcast_to(b, (3, *SHAPE))],
    "a read-only view": lambda: [b := base(), read_only(b[:])],
    "a view of a read-only view": lambda: [b := base(), v := read_only(b[:]), v[1:], b[1:]],
    "a read-only base": read_only_base,
    "all read-only": lambda: [b := base(write=False), b[:2]],
    "a diagonal": lambda: [b := base(), b.diagonal()],
}


@pytest.fixture
def mapped(tmp_path: Any) -> Any:
    """Return a writable np.memmap."""
    array: Any = np.memmap(tmp_path / "x", np.float64, "w+", shape=SHAPE)
    array[...] = -1
    return array


class Marked(np.ndarray):
    """A subclass of a user."""


# Arrays of other kinds, and those over memory that NumPy does not own: it refuses to let a capsule's be writable again.
KINDS: dict[str, Callable[[Any], Any]] = {
    "ndarray": lambda _: base(),
    "memmap": lambda mapped: mapped,
    "view of a memmap": lambda mapped: mapped[1:],
    "matrix": lambda _: base().view(np.matrix),
    "masked": lambda _: np.ma.masked_array(base(), base() > 0),
    "of a user": lambda _: base().view(Marked),
    "bytearray": lambda _: np.frombuffer(bytearray(base())).reshape(SHAPE),
    "capsule": lambda _: np.from_dlpack(base()),
    "view of a capsule": lambda _: np.from_dlpack(base())[1:],
    "without elements": lambda _: base()[:0],
    "without axes": lambda _: np.array(-1.0),
}


def is_array(value: Any) -> bool:
    """Whether it is no NumPy scalar."""
    return isinstance(value, np.ndarray)


def flags_of(arrays: list[Any]) -> list[bool]:
    """Return which arrays are writable."""
    return [array.flags.writeable for array in arrays]


def call(self: Any, *arrays: Any) -> list[Any]:
    """Hand each array to two layers."""
    return [layer(array) for array in arrays for layer in (self.relu, self.tanh)]


def use(self: Any, *arrays: Any) -> list[Any]:
    """Do that in a network: all is read-only then."""
    made = call(self, *arrays)
    assert not any(flags_of([*arrays, *filter(is_array, made)]))
    return made


def fail(self: Any, *arrays: Any) -> Any:
    """Raise after the layers."""
    use(self, *arrays)
    raise KeyError("forward")


def nested(self: Any, *arrays: Any) -> Any:
    """Record in a record: the inner one ends first."""
    first = self.own(*arrays)
    assert not any(flags_of([*arrays, *filter(is_array, first)]))
    return use(self, *arrays), first


WAYS: dict[str, Callable[[], Any]] = {
    "network": lambda: Net(use),
    "error": lambda: Net(fail),
    "own backward": lambda: Net(lambda self, *arrays: self.own(*arrays), own=Own(call)),
    "network within": lambda: Net(nested, own=Own(lambda self, *arrays: self.net(*arrays), net=Net(use))),
    "error within": lambda: Net(nested, own=Own(lambda self, *arrays: self.net(*arrays), net=Net(fail))),
}


def expected(way: str) -> Any:
    """Return the context in which that forward is called."""
    return pytest.raises(KeyError, match="forward") if "error" in way else contextlib.nullcontext()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sharing", SHARING)
def test_arrays_are_as_writable_as_before(sharing: str, way: str) -> None:
    """In every order of the arguments, whatever forward does; values stay."""
    for order in itertools.permutations(range(len(SHARING[sharing]()))):
        arrays = SHARING[sharing]()
        before, values = flags_of(arrays), [array.copy() for array in arrays]
        with expected(way):
            WAYS[way]()(*[arrays[i] for i in order])
        assert flags_of(arrays) == before
        assert all(map(np.array_equal, arrays, values))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_arrays(kind: str, way: str, mapped: Any) -> None:
    """Subclasses and memory of others: read-only within forward, writable afterwards, and results too."""
    array = KINDS[kind](mapped)
    made: Any = []
    with expected(way):
        made = WAYS[way]()(array)
    results = made[0] + made[1] if isinstance(made, tuple) else made
    assert all(flags_of([array, *filter(is_array, results)]))


CHANGES: dict[str, Callable[[Any], Any]] = {
    "multiplied": lambda x: np.multiply(x, 0, out=x),
    "set": lambda x: x.__setitem__(..., 0),
    "set through a view": lambda x: x.T.__setitem__(..., 0),
    "operator": lambda x: x.__imul__(0),
    "filled": lambda x: np.copyto(x, 0),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "without elements"])
def test_changes_within_forward_are_refused(kind: str, change: str, mapped: Any) -> None:
    """The gradient would be of other values; the error says what to do, and the array keeps its values."""
    array = KINDS[kind](mapped)
    values = array.copy()

    def forward(self: Any, x: Any) -> Any:
        y = self.tanh(x)
        CHANGES[change](x)
        return y

    with pytest.raises(ValueError, match="read-only") as caught:
        Net(forward)(array)
    assert "nn.Add, nn.Multiply, nn.ReLU(inplace=True)" in caught.value.__notes__[0]
    assert np.array_equal(array, values)
    assert array.flags.writeable


@pytest.mark.parametrize("sharing", SHARING)
def test_layers_in_place_write_into_nothing_read_only(sharing: str) -> None:
    """Neither at first, nor after other layers had the array, its base or its views."""
    for i, used in itertools.product(range(len(SHARING[sharing]())), (False, True)):
        arrays = SHARING[sharing]()
        before, target = flags_of(arrays), arrays[i]

        def forward(self: Any, x: Any, *others: Any, used: bool = used) -> Any:
            if used:
                use(self, *others)
            return self.inplace(x)

        if before[i]:
            assert Net(forward)(target, *arrays) is target
            assert not target.any()
        else:
            with pytest.raises(ValueError, match="read-only"):
                Net(forward)(target, *arrays)
            assert target.all()
        assert flags_of(arrays) == before


# --- What forward makes ---------------------------------------------------------------------------------------------


def within(function: Callable[[Any], Any]) -> Any:
    """Return a module with a backward of its own that calls a function."""
    return Own(lambda _, x: function(x))


def without_gradient(self: Any, x: Any) -> Any:
    """Return a view that a layer makes of a view, unrecorded."""
    with nn.no_grad():
        return self.flat(self.flat(x))


# Calls that return a view of what they get, and whether it is writable if that is.
VIEWS: dict[str, tuple[Callable[[Any, Any], Any], bool]] = {
    "flattened": (lambda self, x: self.flat(x), True),
    "flattened twice": (lambda self, x: self.flat(self.flat(x)), True),
    "detached": (lambda _, x: nn.detach(x), True),
    "detached view": (lambda _, x: nn.detach(nn.detach(x)), True),
    "without gradient": (without_gradient, True),
    "of a module": (lambda self, x: self.turned(x), True),
    "several of a module": (lambda self, x: self.split(x)[1], True),
    "broadcast by a module": (lambda self, x: self.broadcast(x), False),
    "windows by a module": (lambda self, x: self.windows(x), False),
    "by NumPy": (lambda _, x: x[1:], False),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("made", ["argument", "read-only argument", "output"])
def test_views_that_forward_returns(view: str, made: str) -> None:
    """Those that layers make are as writable as what they are views of; NumPy's stay read-only, as NumPy makes them."""
    call, writable = VIEWS[view]

    def forward(self: Any, x: Any) -> Any:
        h = self.relu(x)
        return call(self, h if made == "output" else x), h

    model = Net(
        forward,
        turned=within(lambda x: x[::-1].T),
        split=within(lambda x: np.split(x, 2)),
        broadcast=within(lambda x: np.broadcast_to(x, (2, *x.shape))),
        windows=within(lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, 0)),
    )
    x = base(write=made != "read-only argument")
    y, h = model(x)
    assert np.shares_memory(y, h if made == "output" else x)
    assert y.flags.writeable == (writable and made != "read-only argument")
    assert x.flags.writeable == (made != "read-only argument")
    assert h.flags.writeable


def test_views_without_elements() -> None:
    """An empty batch comes out as writable as any other."""
    x = base()[:0]
    made = Net(lambda self, x: [self.relu(x), self.flat(x), nn.detach(x)])(x)
    assert all(flags_of([x, *made]))


def test_a_module_that_returns_what_it_got() -> None:
    """A read-only view of another argument stays what it is."""
    x = base()
    v = read_only(x[:])
    assert Net(lambda self, x, v: self.second(x, v), second=Own(lambda _, x, v: v))(x, v) is v  # noqa: ARG005  the signature is given
    assert flags_of([x, v]) == [True, False]


# --- Threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_ends", ["first", "last"])
@pytest.mark.parametrize("sharing", SHARING)
def test_threads_that_record_at_once(sharing: str, first_ends: str) -> None:
    """Two forward calls overlap, of every two arrays that share memory; either ends first."""
    for i, j in itertools.product(range(len(SHARING[sharing]())), repeat=2):
        arrays = SHARING[sharing]()
        before = flags_of(arrays)
        began, ended = threading.Event(), threading.Event()
        found: list[Any] = []

        def wait(event: threading.Event) -> None:
            assert event.wait(60)

        def outer(self: Any, x: Any) -> Any:
            self.tanh(x)
            began.set()  # noqa: B023  the thread ends within the turn
            if first_ends == "last":
                wait(ended)  # noqa: B023  the thread ends within the turn
            return x

        def inner(self: Any, x: Any) -> Any:
            self.tanh(x)
            if first_ends == "first":
                wait(ended)  # noqa: B023  the thread ends within the turn
            found.append(x.flags.writeable)  # noqa: B023  the thread ends within the turn
            return x

        def work(array: Any) -> None:
            Net(outer)(array)
            if first_ends == "first":
                ended.set()  # noqa: B023  the thread ends within the turn

        thread = threading.Thread(target=work, args=(arrays[i],))
        thread.start()
        wait(began)
        Net(inner)(arrays[j])
        ended.set()
        thread.join()
        assert found == [False]
        assert flags_of(arrays) == before


def test_layers_in_place_leave_what_another_thread_records() -> None:
    """The gradient there needs the values; this thread may write as soon as that forward call has ended."""
    x, began, go_on = base(), threading.Event(), threading.Event()

    def forward(self: Any, x: Any) -> Any:
        y = self.tanh(x)
        began.set()
        assert go_on.wait(60)
        return y

    thread = threading.Thread(target=lambda: Net(forward)(x))
    thread.start()
    assert began.wait(60)
    try:
        for run in (lambda self, x: self.inplace(x), lambda self, x: [self.relu(x), self.inplace(x)]):
            with pytest.raises(ValueError, match="read-only"):
                Net(run)(x)
            assert x.all()
    finally:
        go_on.set()
        thread.join()
    assert Net(lambda self, x: self.inplace(x))(x) is x
    assert x.flags.writeable
    assert not x.any()
