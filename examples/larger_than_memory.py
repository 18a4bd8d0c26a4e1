"""Activations on data larger than memory, in worker processes of dask: file to file, statistics, inference, zarr.

``pip install "fastrelu[distributed]"``, then ``python examples/larger_than_memory.py``, on Linux; it takes a minute
or two. ``--quick`` shows the same on little data; docs/guides/larger-than-memory.md explains it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import itertools
import os
import shutil
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, as_completed, futures_of
from tqdm import tqdm

import fastrelu as fr
from fastrelu import nn

COLUMNS = 1024
ROWS = 2048  # of a chunk: 8 MiB
CHUNK = ROWS * COLUMNS * 4  # bytes
PIECE = 64  # rows computed at a time: 256 KiB, which stays in the cache of a processor
# Workers of one thread. Without an address, dask's page of status wants port 8787, and warns if it is taken.
ONE_THREAD = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}


class Stored:
    """A file of numbers that workers open themselves: only its name travels, and a chunk is mapped while it is used."""

    ndim, dtype = 2, np.dtype(np.float32)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shape = path.stat().st_size // (COLUMNS * 4), COLUMNS

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, where):
        """Map a part of the file."""
        return np.asarray(np.memmap(self.path, self.dtype, "r", shape=self.shape)[where])

    def opened(self, start, stop):
        """Map rows for writing."""
        return np.asarray(np.memmap(self.path, self.dtype, "r+", shape=self.shape)[start:stop])


def create(path: Path, rows: int) -> Stored:
    """Create a file without contents."""
    with path.open("wb") as file:
        file.truncate(rows * COLUMNS * 4)
    return Stored(path)


# --- What workers do with a chunk -----------------------------------------------------------------------------------


def fill(stored, start, stop):
    """Write random numbers that depend on the row only."""
    np.random.default_rng(start).standard_normal(dtype=np.float32, out=stored.opened(start, stop))


def moments(x):
    """Return the sum and the sum of squares of each column."""
    sums = np.zeros((1, 2, COLUMNS))
    for i in range(0, len(x), PIECE):
        z = x[i : i + PIECE].astype(float)
        sums[0] += z.sum(axis=0), np.square(z, out=z).sum(axis=0)
    return sums


def row_sums(x, mean, scale):
    """Standardize, activate in place, sum the rows; the one piece of memory is used again and again."""
    sums, z = np.empty(len(x), x.dtype), np.empty((PIECE, COLUMNS), x.dtype)
    for i in range(0, len(x), PIECE):
        part = z[: len(x) - i]
        standardize(x[i : i + PIECE], mean, scale, part)
        fr.silu_(part).sum(axis=1, out=sums[i : i + PIECE])
    return sums


def standardize(x, mean, scale, out):
    """Standardize columns."""
    np.subtract(x, mean, out=out)
    np.multiply(out, scale, out=out)


def into_mapped_file(source, target, start, stop, mean, scale):
    """Standardize and activate chunks; the results go straight into the mapped target."""
    z = np.empty((PIECE, COLUMNS), source.dtype)
    for first in range(start, stop, ROWS):
        x, y = source[first : min(first + ROWS, stop)], target.opened(first, min(first + ROWS, stop))
        for i in range(0, len(x), PIECE):
            part = z[: len(x) - i]
            standardize(x[i : i + PIECE], mean, scale, part)
            fr.silu(part, out=y[i : i + PIECE])


def file_to_file(source, target, start, stop, mean, scale, activate=fr.silu_):
    """Do the same by reading and writing pieces: no page of a file is mapped, and all memory is one piece."""
    z = np.empty((PIECE, COLUMNS), source.dtype)
    with source.path.open("rb", buffering=0) as read, target.path.open("r+b", buffering=0) as write:
        read.seek(start * z.strides[0])
        write.seek(start * z.strides[0])
        for i in range(start, stop, PIECE):
            part = z[: stop - i]
            read.readinto(part)
            standardize(part, mean, scale, part)
            write.write(activate(part))


def in_numpy(z):
    """Compute the activation without this library."""
    return z / (1 + np.exp(-z))


def numpy_file_to_file(source, target, start, stop, mean, scale):
    """Standardize and activate chunks as one would without this library."""
    for first in range(start, stop, ROWS):
        last = min(first + ROWS, stop)
        target.opened(first, last)[...] = in_numpy((source[first:last] - mean) * scale)


def copy(source, target, start, stop):
    """Copy a chunk from one store to another."""
    target[start:stop] = source[start:stop]


def store_to_store(source, target, start, stop, mean, scale):
    """Standardize and activate a chunk between stores that copy; in place, so that there is one array."""
    x = source[start:stop]
    x -= mean
    x *= scale
    target[start:stop] = fr.silu_(x)


def predict(source, start, stop, net):
    """Return the classes that a network finds; `net` has come to the worker once, before."""
    return net(source[start:stop]).argmax(axis=1)


def flush(path):
    """Wait until a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def digest():
    """Return the instruction set of this process, and the bits of some results in each precision and type."""
    x = np.random.default_rng(0).standard_normal(10_000)
    bits = {}
    for name, precision, dtype in itertools.product(("gelu", "silu", "softplus"), ("fast", "accurate"), ("f4", "f8")):
        with fr.precision(precision):
            bits[name, precision, dtype] = hashlib.sha256(getattr(fr, name)(x.astype(dtype))).hexdigest()
    return fr.config()["isa"], bits


# --- Memory of the workers ------------------------------------------------------------------------------------------


def status(field):
    """Return a number of bytes from the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def start_peak():
    """Forget the peak of this process' memory so far; return what it has now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return status("VmRSS")


def spilled(dask_worker):
    """Return the bytes that this worker keeps on disk for want of memory."""
    return getattr(getattr(dask_worker.data, "spilled_total", None), "disk", 0)


# --- The program ----------------------------------------------------------------------------------------------------


WASTEFUL = {"lazy, row sums", "NumPy, file to file"}


class Stage:
    """One step of the program: its time, bytes per second, peak memory of the workers, spilled bytes."""

    def __init__(self, client: Client, name: str, size: int) -> None:
        self.client, self.name, self.size = client, name, size

    def __enter__(self):
        """Start."""
        os.sync()  # what earlier steps wrote is on the disk
        self.before = self.client.run(start_peak)
        self.started = time.perf_counter()
        return self

    def wait(self, futures):
        """Wait for tasks under a progress bar; return their results."""
        with tqdm(desc=self.name, total=len(futures), leave=False, disable=not sys.stderr.isatty()) as bar:
            for batch in as_completed(futures).batches():  # one by one they cost as much as the scheduling
                bar.update(len(batch))
        return self.client.gather(futures)

    def __exit__(self, *failed):
        """Stop, print, and check the promises about memory."""
        self.seconds = time.perf_counter() - self.started
        if failed[0]:
            return
        peaks = self.client.run(status, "VmHWM")
        chunks = max(peaks[worker] - self.before[worker] for worker in peaks) / CHUNK
        on_disk = sum(self.client.run(spilled).values())
        print(
            f"{self.name:<22} {self.seconds:6.2f} s {self.size / self.seconds / 1e9:6.2f} GB/s, "
            f"peak {max(peaks.values()) / 2**20:4.0f} MiB a worker: {chunks:4.1f} chunks above its base, "
            f"{on_disk} bytes spilled"
        )
        assert on_disk == 0
        assert chunks <= 3 or self.name in WASTEFUL


def main() -> None:
    """Run all steps, and compare their results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="little data, to see that it works")
    parser.add_argument("--workers", type=int, default=min(2, len(os.sched_getaffinity(0))), help="processes")
    parser.add_argument(
        "--folder", help="where the files go; in a file system in memory, such as /dev/shm, no disk is timed"
    )
    parser.add_argument("--limit", type=int, default=240, help="memory limit of a worker in MiB")
    options = parser.parse_args()
    limit = options.limit * 2**20
    chunks = 12 if options.quick else 5 * options.workers * limit // CHUNK + 1
    rows = chunks * ROWS - 100  # the last chunk is shorter
    size = rows * COLUMNS * 4
    # dask's nanny sets OMP_NUM_THREADS=1 for its workers, which the library heeds: they share the processors.
    workers = {"n_workers": options.workers, "memory_limit": limit, **ONE_THREAD}
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as name,
        LocalCluster(**workers) as cluster,
        Client(cluster) as client,
    ):
        threads = sum(client.run(fr.get_num_threads).values())
        print(
            f"{options.workers} workers of {options.limit} MiB, {threads} threads together; "
            f"{size / 1e9:.2f} GB of data, {size / (limit * options.workers):.1f} times their memory"
        )
        assert threads == options.workers
        source = create(Path(name) / "source", rows)
        pieces = [(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS)]
        with Stage(client, "write the data", size) as stage:
            stage.wait([client.submit(fill, source, *piece) for piece in pieces])
        mean, scale, sums = with_map_blocks(client, source)
        with_files(client, source, mean, scale, sums, rounds=1 if options.quick else 3)
        with_network(client, source, pieces)
        with_zarr(client, source, pieces, mean, scale, sums)
    compare_instruction_sets()


def with_map_blocks(client, source):
    """Find mean and deviation of each column; standardize, activate and sum rows."""
    size = source.shape[0] * COLUMNS * 4
    x = da.from_array(source, chunks=(ROWS, COLUMNS), inline_array=True, asarray=False)
    with Stage(client, "mean and deviation", size) as stage:
        parts = x.map_blocks(moments, chunks=(1, 2, COLUMNS), new_axis=2, dtype=float, meta=np.empty((0, 0, 0)))
        first, second = np.concatenate(stage.wait(futures_of(parts.persist()))).sum(axis=0) / len(source)
    mean, scale = first.astype(np.float32), (1 / np.sqrt(second - first**2)).astype(np.float32)
    to_sums = {"func": row_sums, "mean": mean, "scale": scale, "drop_axis": 1, "meta": np.empty(0, np.float32)}
    with Stage(client, "activation, row sums", size) as stage:
        sums = np.concatenate(stage.wait(futures_of(x.map_blocks(**to_sums).persist())))
    lazy = da.from_array(source, chunks=(ROWS, COLUMNS), inline_array=True)
    with Stage(client, "lazy, row sums", size) as stage:
        other = np.concatenate(stage.wait(futures_of(fr.silu((lazy - mean) * scale).sum(axis=1).persist())))
    np.testing.assert_allclose(other, sums, rtol=1e-4, atol=1e-3)
    # Rows have the same bits in any chunking.
    again = da.from_array(source, chunks=(1000, COLUMNS), inline_array=True, asarray=False)[: 4 * ROWS]
    assert again.map_blocks(**to_sums).compute().tobytes() == sums[: 4 * ROWS].tobytes()
    return mean, scale, sums


def with_files(client, source, mean, scale, sums, rounds):
    """Standardize and activate from one file to another, in turn with a copy and with NumPy, until it is on the disk."""
    size, folder = len(source) * COLUMNS * 4, source.path.parent
    mean, scale = client.scatter([mean, scale], broadcast=True)
    # These need no more memory for more rows, and large parts are faster: four tasks for each worker.
    span = ROWS * -(-len(source) // (ROWS * 4 * len(client.ncores())))
    spans = [(start, min(start + span, len(source))) for start in range(0, len(source), span)]
    kinds = {
        "file to file": file_to_file,
        "into a mapped file": into_mapped_file,
        "NumPy, file to file": numpy_file_to_file,
        "NumPy, in pieces": partial(file_to_file, activate=in_numpy),
    }
    seconds, rows = {name: [] for name in ("copy", *kinds)}, {}
    for i in range(rounds):
        os.sync()
        started = time.perf_counter()
        shutil.copyfile(source.path, folder / "copy")
        flush(folder / "copy")
        seconds["copy"].append(time.perf_counter() - started)
        (folder / "copy").unlink()
        for name, function in (*list(kinds.items())[i:], *list(kinds.items())[:i]):  # each comes after each
            target = create(folder / "target", len(source))
            with Stage(client, name, size) as stage:
                stage.wait([client.submit(function, source, target, *span, mean, scale, pure=False) for span in spans])
                flush(target.path)
            seconds[name].append(stage.seconds)
            rows[name] = target[::1000].copy()
            target.path.unlink()
    print(f"{'in the best round':<22} seconds   GB/s  times the copy  times file to file  median seconds")
    best = {name: min(times) for name, times in seconds.items()}
    for name, times in seconds.items():
        ratios = (best[name] / best[other] for other in ("copy", "file to file"))
        columns = best[name], size / best[name] / 1e9, *ratios, statistics.median(times)
        print(f"{name:<22} {{:7.2f}} {{:6.2f}} {{:15.2f}} {{:19.2f}} {{:15.2f}}".format(*columns))
    assert rows["file to file"].tobytes() == rows["into a mapped file"].tobytes()
    assert np.array_equal(rows["file to file"].sum(axis=1), sums[::1000])
    np.testing.assert_allclose(rows["file to file"], rows["NumPy, file to file"], rtol=1e-5, atol=1e-6)


def with_network(client, source, pieces):
    """Find the classes of all rows; the weights travel once to each worker, not with each task."""
    net = nn.Sequential(nn.Linear(COLUMNS, 64, rng=0), nn.SiLU(), nn.Linear(64, 10, rng=1)).eval()
    there = client.scatter(net, broadcast=True)
    with Stage(client, "inference", len(source) * COLUMNS * 4) as stage:
        classes = np.concatenate(stage.wait([client.submit(predict, source, *piece, there) for piece in pieces]))
    assert np.array_equal(classes[-50:], predict(source, len(source) - 50, len(source), net))


def with_zarr(client, source, pieces, mean, scale, sums):
    """Do the same from one chunked store to another."""
    if importlib.util.find_spec("zarr") is None:
        print("without zarr, which is not installed")
        return
    import zarr  # noqa: PLC0415  optional

    client.run(importlib.import_module, "zarr")  # its memory belongs to the base
    size, folder = len(source) * COLUMNS * 4, source.path.parent
    # Four of its chunks to one of ours: what zarr copies on the way is small.
    stored = {"shape": source.shape, "chunks": (ROWS // 4, COLUMNS), "dtype": source.dtype, "compressors": None}
    first, second = (zarr.create_array(folder / name, **stored) for name in ("in.zarr", "out.zarr"))
    with Stage(client, "file to zarr", size) as stage:
        stage.wait([client.submit(copy, source, first, *piece) for piece in pieces])
    with Stage(client, "zarr to zarr", size) as stage:
        stage.wait([client.submit(store_to_store, first, second, *piece, mean, scale) for piece in pieces])
    assert np.array_equal(second[-50:].sum(axis=1), sums[-50:])


def compare_instruction_sets() -> None:
    """Compare bits between workers that have different instruction sets."""
    sets, found = fr.config()["isa_available"], {}
    for isa in sets:
        # Set before the process starts: `env=` of a nanny comes after the import of this file, and of the library.
        os.environ["FASTRELU_ISA"] = isa
        with (
            LocalCluster(n_workers=1, **ONE_THREAD) as cluster,
            Client(cluster) as client,
        ):
            found.update(client.run(digest).values())
    assert set(found) == set(sets)
    for call in found["base"]:
        everywhere = len({bits[call] for bits in found.values()}) == 1
        fused = len({bits[call] for isa, bits in found.items() if isa != "base"}) <= 1  # these have multiply-add
        assert fused
        assert everywhere or call[1:] != ("accurate", "f4")
    print(f"workers with {', '.join(sets)}: accurate float32 has the same bits on all, everything on all but base")


if __name__ == "__main__":
    main()
