"""References, against drawings of real groups of pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vidskim.io.packets import read_packets
from vidskim.io.references import display_order, find_references, reference_distances


def test_pyramid() -> None:
    #                 I0 b1 B2 b3 P4 b5 B6 b7 P8 P9
    order = np.array([0, 3, 2, 4, 1, 7, 6, 8, 5, 9])
    past, future = reference_distances(order)
    assert past.tolist() == [1, 1, 2, 1, 4, 1, 2, 1, 4, 1]
    assert future.tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 0]


def test_no_pyramid_and_no_b_frames() -> None:
    #                                      I0 b1 b2 b3 P4
    past, future = reference_distances(np.array([0, 2, 3, 4, 1]))
    assert past.tolist() == [1, 1, 2, 3, 4]
    assert future.tolist() == [0, 3, 2, 1, 0]
    past, future = reference_distances(np.arange(6))
    assert past.tolist() == [1] * 6
    assert future.tolist() == [0] * 6


def test_disposable_frames_are_no_references() -> None:
    #                 I0 B1 b2 P3: nothing waits for B1, yet b2 refers to it
    order, disposable = np.array([0, 2, 3, 1]), np.array([False, False, True, False])
    assert reference_distances(order)[0].tolist() == [1, 1, 2, 3]
    past, future = reference_distances(order, is_disposable=disposable)
    assert past.tolist() == [1, 1, 1, 3]
    assert future.tolist() == [0, 2, 1, 0]


def test_no_frames_and_one() -> None:
    assert [len(part) for part in reference_distances(np.zeros(0, np.int64))] == [0, 0]
    assert [part.tolist() for part in reference_distances(np.zeros(1, np.int64))] == [[1], [0]]


def test_order_of_display_from_types() -> None:
    def shown(decoded: str) -> str:
        frames = decoded.split()
        types = np.array([frame[0].upper() for frame in frames])
        disposable = np.array([frame[0].islower() for frame in frames])
        return " ".join(frames[n] for n in display_order(types, is_disposable=disposable))

    assert shown("I0 P4 B2 b1 b3 P5 P7 B6") == "I0 b1 B2 b3 P4 P5 B6 P7"
    assert shown("I0 P3 b1 b2 I6 b4 b5") == "I0 b1 b2 P3 b4 b5 I6"
    assert shown("I0 P3 B1 b2 P4") == "I0 B1 b2 P3 P4"
    assert shown("I0 P1 P2") == "I0 P1 P2"


@pytest.mark.parametrize("name", ["h264_b.avi", "mpeg4_b.avi"])
def test_files_that_do_not_tell_the_order_agree_with_those_that_do(
    footage: Callable[[str], Path], name: str
) -> None:
    timeless = find_references(read_packets(footage(name)))
    told = find_references(
        read_packets(footage(name.replace("h264_b.avi", "h264.ts").replace("avi", "mp4")))
    )
    assert (timeless.past == told.past).all()
    assert (timeless.future == told.future).all()
    assert (timeless.is_b == told.is_b).all()
    assert told.is_b.sum() > 10
