"""Processes and threads on one program for a while: python -m tests.benchmarks.concurrency [PROGRAM] [--seconds 60].

Each of 4 processes loads the program, and 8 threads of it run it on inputs of their own and compare each answer, bit
by bit, with the one that their process had before the others began. Prints what each process found: runs, answers
that differed, how much its memory grew from the first quarter of the time to the last moment, how much of the program
it has in memory, and its share of that, a page that n processes have counting 1/n. Then the program is unloaded.
Ends with 1 where an answer differed, memory grew, or the program was in memory more than once. Needs Linux.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import graphopt
from graphopt.tensors import Feeds

PROCESSES, THREADS = 4, 8
PATIENCE = 300.0
"""Seconds that a process waits for the others to start or to end."""
GROWTH = 4 << 20
"""Bytes of memory that are no leak: what allocators keep for each thread."""
WIDE = "g (float[N,1024] x) => (float[N,2048] y) <float[1024,2048] w> { y = MatMul (x, w) }"
"""A network of 8 MB."""


@dataclass(frozen=True)
class Found:
    """What one process says; sizes are in bytes.

    Attributes:
        growth: of all its memory.
        resident: what it has in memory of the program's file, as it is mapped.
        share: what of that it accounts for.
        own: what of that it has changed, and so shares with nobody.
        left: whether the file is still mapped when the program is unloaded.

    """

    runs: int
    wrong: int
    growth: int
    resident: int
    share: int
    own: int
    left: bool


def main() -> int:
    """Print a line a process; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        program = arguments.program or compiled(Path(folder) / "wide.gopt")
        found = run(program, arguments.seconds)
        for one in found:
            sys.stdout.write(f"{asdict(one)}\n")
        return int(not passed(found, program))


def compiled(path: Path, threads: int | None = None) -> Path:
    """Compile a network to a program in one file, whose operators take some threads of each thread that calls them."""
    from tests.networks import network  # the processes need none

    graphopt.compile(network(WIDE), threads=threads, cache=False).save(path)
    return path


def run(program: Path, seconds: float) -> list[Found]:
    """Run a program in all processes at once."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES, timeout=seconds + PATIENCE)  # broken where one of them has crashed
    with ProcessPoolExecutor(PROCESSES, context, _begin, (barrier,)) as pool:
        return list(pool.map(_work, [program] * PROCESSES, [seconds] * PROCESSES))


def passed(found: Sequence[Found], program: Path) -> bool:
    """Whether all answers were right, memory stayed what it was, and the program was there once."""
    clean = all(one.runs and not (one.wrong or one.own or one.left) and one.growth < GROWTH for one in found)
    return clean and sum(one.share for one in found) <= program.stat().st_size * 1.01


def _begin(barrier: Barrier) -> None:
    global _TOGETHER  # noqa: PLW0603  # how a pool hands a barrier to its processes
    _TOGETHER = barrier
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # tvm_ffi takes seconds for it where it is


def _work(program: Path, seconds: float) -> Found:
    module = graphopt.load(program)
    feeds = [_feeds(module, seed) for seed in range(THREADS)]
    answers = [module.run(feed) for feed in feeds]
    _TOGETHER.wait()
    runs, wrong, growth = _hammer(module, feeds, answers, seconds)
    _TOGETHER.wait()
    resident, share, own = _mapped(program)
    _TOGETHER.wait()
    del module
    gc.collect()
    return Found(runs, wrong, growth, resident, share, own, left=str(program) in Path("/proc/self/maps").read_text())


def _feeds(module: graphopt.CompiledModule, seed: int) -> Feeds:
    """Make inputs of the first shapes that there is native code for."""
    rng = np.random.default_rng(seed)
    shapes, dtypes = module.variants[0], {spec.name: spec.dtype for spec in module.inputs}
    return {name: rng.standard_normal(shape).astype(dtypes[name]) for name, shape in shapes.items()}


def _hammer(
    module: graphopt.CompiledModule, feeds: Sequence[Feeds], answers: Sequence[Feeds], seconds: float
) -> tuple[int, int, int]:
    """Run in all threads; return the runs, the wrong answers, and how much memory grew."""
    start = time.monotonic()
    counts, wrong = [0] * THREADS, [0] * THREADS

    def loop(index: int) -> None:
        while time.monotonic() < start + seconds:
            outputs = module.run(feeds[index])
            wrong[index] += not all(np.array_equal(outputs[name], array) for name, array in answers[index].items())
            counts[index] += 1

    threads = [threading.Thread(target=loop, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 4)
    before = _resident()
    for thread in threads:
        thread.join()
    return sum(counts), sum(wrong), _resident() - before


def _resident() -> int:
    """Return the bytes that this process has in memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


def _mapped(program: Path) -> tuple[int, int, int]:
    """Return the bytes of a file that are in memory here, those that count for this process, those that it changed."""
    sizes = {"Rss:": 0, "Pss:": 0, "Private_Dirty:": 0}
    within = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        field, *rest = line.split()
        if not field.endswith(":"):
            within = line.endswith(str(program))
        elif within and field in sizes:
            sizes[field] += int(rest[0]) << 10
    resident, share, own = sizes.values()
    return resident, share, own


if __name__ == "__main__":
    sys.exit(main())
