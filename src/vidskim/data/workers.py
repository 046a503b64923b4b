"""The same work on many files at once: a pool of processes with a progress bar."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

import torch
from tqdm import tqdm

from vidskim.errors import UsageError, VidskimError

Item = TypeVar("Item")
Result = TypeVar("Result")

ITEMS_PER_WORKER = 4
"""A worker that gets fewer costs more to start (it imports torch) than it saves."""


def map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    title: str,
    workers: int | None = None,
) -> Iterator[Result]:
    """Yield ``function(item)`` of every item, in order; few items are worked off in this process.

    Workers are started afresh, so a script that calls this without an ``if __name__ ==
    "__main__":`` around its own work would start itself again.

    Args:
        function: of a module, with picklable argument and result.
        items: what it is called with.
        title: of the progress bar, which shows after two seconds.
        workers: processes; by default one per core.

    Raises:
        UsageError: fewer than one worker.
        VidskimError: a worker died, most often for want of memory.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; give at least 1 process")
    workers = min(workers or os.cpu_count() or 1, len(items) // ITEMS_PER_WORKER)
    if workers <= 1:
        yield from tqdm(map(function, items), total=len(items), desc=title, delay=2, disable=None)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        results = pool.map(function, items, chunksize=2)
        try:
            yield from tqdm(results, total=len(items), desc=title, delay=2, disable=None)
        except BrokenProcessPool:
            raise VidskimError(
                f"{title}: a worker process died, most often for want of memory; use fewer "
                'workers, and in a script put the call under `if __name__ == "__main__":`'
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Use one thread per worker, and leave Ctrl-C to the parent, which cleans up."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
