"""Where the steps of an attention lie in time, and which of them stand out."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attending import attending, hills
from tinyset import write_tiny_video
from vidskim.errors import UsageError
from vidskim.show.attended import (
    APART,
    MOST,
    NOTABLE,
    attention_of,
    lay_steps,
    most_attended,
    seen_stretches,
)

FRAMES = 80
"""3.2 seconds at 25 frames a second."""


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("attended") / "video.mp4"
    write_tiny_video(path, label="right", num_frames=FRAMES)
    return path


def test_steps_of_a_whole_video_touch_from_its_beginning_to_its_end(video):
    steps = lay_steps(attending(video, hills(5, 10, 3)))
    assert steps.starts == pytest.approx(np.arange(10) * 0.32)
    assert steps.ends == pytest.approx(np.arange(1, 11) * 0.32)
    assert steps.duration_seconds == pytest.approx(3.2)
    assert steps.holes == []
    edges, values = steps.over_time()
    assert edges == pytest.approx(np.arange(11) * 0.32)
    assert values == pytest.approx(steps.received.tolist())
    assert sum(values) == pytest.approx(1)


def test_what_lies_between_segments_is_a_hole(video):
    answer = attending(video, hills(4, 12, 3), segments=(1, 2, 6))  # of ten clips of 0.32 s
    assert seen_stretches(answer) == [
        (pytest.approx(0.32), pytest.approx(0.96)),
        (pytest.approx(1.92), pytest.approx(2.24)),
    ]
    steps = lay_steps(answer)
    assert steps.starts[[0, 7, 8]] == pytest.approx([0.32, 0.88, 1.92])
    assert steps.ends[[0, 7, 11]] == pytest.approx([0.40, 0.96, 2.24])
    assert np.ravel(steps.holes) == pytest.approx([0, 0.32, 0.96, 1.92, 2.24, 3.2])
    edges, values = steps.over_time()
    assert [n for n, value in enumerate(values) if value is None] == [0, 9]
    assert len(edges) == len(values) + 1
    image = steps.image(columns=320, most_rows=9)  # 0.01 s each
    unseen = np.isnan(image[0])
    assert unseen.nonzero()[0].tolist() == [*range(32), *range(96, 192), *range(224, 320)]


def test_a_step_that_reaches_over_a_border_of_touching_clips_has_no_hole(video):
    # ten clips of 8 frames, steps of 5 frames
    steps = lay_steps(attending(video, hills(2, 16, 3)))
    assert steps.holes == []
    assert steps.ends[:-1] == pytest.approx(steps.starts[1:])


def test_steps_of_a_repeated_frame_share_its_time(tmp_path):
    write_tiny_video(tmp_path / "v.mp4", label="left", num_frames=4)  # 0.16 s
    steps = lay_steps(attending(tmp_path / "v.mp4", hills(2, 8, 1)))
    expected = [0, 0.04, 0.08, *(0.12 + 0.008 * n for n in range(5))]
    assert steps.starts == pytest.approx(expected)
    assert steps.ends == pytest.approx([*expected[1:], 0.16])


def test_the_image_shows_the_largest_weight_wherever_it_is_coarse(video):
    weights = np.full((40, 20), 0.01)
    weights[17, 13] = 5.0
    steps = lay_steps(attending(video, weights))
    fine = steps.image(columns=2000, most_rows=40)
    assert fine.shape == (40, 2000)
    assert np.unravel_index(fine.argmax(), fine.shape) == (17, 1300)
    for step in range(20):  # the columns of a step are the step's
        assert fine[:, 100 * step + 50] == pytest.approx(steps.weights[:, step])
    coarse = steps.image(columns=7, most_rows=9)
    assert coarse.shape == (8, 7)
    assert coarse.max() == coarse[3, 4] == fine.max()


@given(
    st.integers(1, 60).flatmap(
        lambda T: st.lists(
            st.lists(st.floats(0.001, 1), min_size=T, max_size=T), min_size=1, max_size=4
        )
    )
)
def test_the_most_attended_are_local_maxima_apart_from_each_other(video, rows):
    answer = attending(video, np.array(rows))
    steps, found = lay_steps(answer), most_attended(answer)
    received = [sum(row[n] for row in steps.weights) / len(rows) for n in range(len(rows[0]))]
    T, highest = len(received), max(received)
    assert len(found) <= MOST
    if highest <= (1 + 2e-6) / T:  # all alike
        return
    assert max(moment.received for moment in found) == pytest.approx(highest)
    assert [moment.step for moment in found] == sorted(moment.step for moment in found)
    for moment in found:
        n = moment.step
        assert moment.received == pytest.approx(received[n])
        assert moment.received > 1 / T
        assert moment.received >= NOTABLE * highest - 1e-12
        assert all(received[m] <= received[n] + 1e-8 for m in (n - 1, n + 1) if 0 <= m < T)
        assert moment.frame == attention_of(answer).frame_indices[n]
        assert moment.start_seconds < moment.middle_seconds < moment.end_seconds
    starts = [moment.start_seconds for moment in found]
    assert all(b - a >= APART * 3.2 - 1e-9 for a, b in pairwise(starts))


def test_the_highest_hills_are_found_and_low_ones_left_out(video):
    weights = hills(3, 40, 30, 8, 20)
    weights[:, 35] += 0.3  # under half of the highest
    assert [moment.step for moment in most_attended(attending(video, weights))] == [8, 20, 30]


def test_steps_across_a_hole_are_no_neighbors(video):
    weights = np.full((2, 16), 0.1)
    weights[:, 7], weights[:, 8] = 1.0, 0.9  # the end of a segment, the beginning of the next
    answer = attending(video, weights, segments=(1, 7))
    assert [moment.step for moment in most_attended(answer)] == [7, 8]
    whole = attending(video, weights)
    assert [moment.step for moment in most_attended(whole)] == [7]


@pytest.mark.parametrize(("num_kept", "num_steps"), [(1, 1), (3, 7), (300, 80)])
def test_where_all_steps_receive_alike_none_stands_out(video, num_kept, num_steps):
    assert most_attended(attending(video, np.ones((num_kept, num_steps)))) == []


def test_a_plateau_is_one_moment_and_a_frame_is_named_once(video, tmp_path):
    weights = np.full((1, 20), 0.1)
    weights[0, 8:13] = 1.0
    assert [moment.step for moment in most_attended(attending(video, weights))] == [10]
    write_tiny_video(tmp_path / "one.mp4", label="left", num_frames=1)
    twice = attending(tmp_path / "one.mp4", hills(2, 20, 3, 15))
    assert [moment.frame for moment in most_attended(twice)] == [0]


@pytest.mark.parametrize(("received", "text"), [(1.0, "100%"), (0.153, "15%"), (0.0046, "0.46%")])
def test_a_share_is_told_with_two_digits(video, received, text):
    (moment,) = most_attended(attending(video, hills(2, 10, 4)))
    assert replace(moment, received=received).share == text


def test_an_answer_that_was_not_compressed_or_does_not_fit_is_refused(video):
    answer = attending(video, hills(2, 5, 3))
    with pytest.raises(UsageError, match=r"method motion has no attention .* sfc has"):
        lay_steps(replace(answer, method="motion", attention=None))
    good = answer.attention
    for wrong in (
        replace(good, weights=torch.ones(2, 4) / 4),
        replace(good, weights=torch.ones(5) / 5),
        replace(good, weights=torch.full((2, 5), torch.nan)),
        replace(good, seconds=good.seconds[::-1]),
        replace(good, frame_indices=good.frame_indices[:3]),
        replace(good, kept=(1, 5)),
        replace(good, kept=(1,)),
    ):
        with pytest.raises(UsageError, match=r"finite weights \[K, T\] and T steps in time order"):
            most_attended(replace(answer, attention=wrong))
