"""The pool: results in order, few items without any process, clear words when a worker dies."""

import os
import signal

import pytest

from vidskim.data.workers import ITEMS_PER_WORKER, map_in_processes
from vidskim.errors import ManifestError, UsageError, VidskimError


def process_of(item: int) -> tuple[int, int]:
    return item, os.getpid()


def fail_on_three(item: int) -> int:
    if item == 3:
        raise ManifestError("three cannot be read")
    return item


def die_on_three(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_few_items_are_worked_off_here():
    items = range(2 * ITEMS_PER_WORKER - 1)
    found = list(map_in_processes(process_of, items, title="x", workers=8))
    assert found == [(item, os.getpid()) for item in items]


def test_many_items_go_to_processes_and_come_back_in_order():
    found = list(map_in_processes(process_of, range(20), title="x", workers=2))
    assert [item for item, _ in found] == list(range(20))
    assert os.getpid() not in {process for _, process in found}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_an_item_comes_through(workers):
    with pytest.raises(ManifestError, match="cannot be read"):
        list(map_in_processes(fail_on_three, range(8), title="x", workers=workers))


def test_a_dead_worker_is_told():
    with pytest.raises(VidskimError, match=r"synthetic: a worker process died.*fewer workers"):
        list(map_in_processes(die_on_three, range(8), title="synthetic", workers=2))


@pytest.mark.parametrize("workers", [0, -2])
def test_fewer_than_one_worker(workers):
    with pytest.raises(UsageError, match=f"workers is {workers}"):
        list(map_in_processes(process_of, range(8), title="x", workers=workers))
