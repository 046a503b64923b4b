"""Clips carry their frames: the same span in other frames, the rest behind the last clip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidskim.clips.grid import at_spec, lay_clip, split, stride_of, with_rest
from vidskim.errors import UsageError
from vidskim.types import Clip

LENGTHS = st.integers(1, 12)


@given(start=st.integers(0, 50), num_frames=LENGTHS, stride=LENGTHS, left=st.integers(1, 200))
def test_a_clip_reads_frames_at_its_stride_and_repeats_the_last(start, num_frames, stride, left):
    total = start + left
    clip = lay_clip(start, num_frames=num_frames, stride=stride, total=total)
    valid = [n for t in range(num_frames) if (n := start + t * stride) < total]
    assert clip.num_valid == len(valid)
    assert clip.frame_indices == (*valid, *[valid[-1]] * (num_frames - len(valid)))
    assert (clip.start_frame, clip.num_frames) == (start, num_frames)
    assert clip.stop_frame == min(start + num_frames * stride, total)
    assert hash(clip) == hash(lay_clip(start, num_frames=num_frames, stride=stride, total=total))


@given(
    total=st.integers(1, 200),
    span=st.sampled_from([(4, 2, 8, 1), (8, 1, 2, 4), (1, 8, 8, 1), (2, 4, 4, 2), (3, 4, 4, 3)]),
)
def test_other_frames_of_a_span_are_those_of_the_other_grid(total, span):
    num_frames, stride, other_frames, other_stride = span
    times = [n / 25 for n in range(total)]
    grid = split(times, num_frames=num_frames, stride=stride)
    other = split(times, num_frames=other_frames, stride=other_stride)
    for clip, same in zip(grid, other):
        assert at_spec(clip, num_frames=other_frames, stride=other_stride) == same
        assert at_spec(same, num_frames=num_frames, stride=stride) == clip
        assert at_spec(clip, num_frames=num_frames, stride=stride) == clip


def test_other_frames_span_all_of_a_clip_with_the_rest_behind_it():
    whole = with_rest(split(list(range(18)), num_frames=4, stride=2), 18, end_seconds=18)
    assert [clip.frame_indices for clip in whole] == [(0, 2, 4, 6), (8, 10, 12, 14, 16)]
    found = [at_spec(clip, num_frames=8, stride=1) for clip in whole]
    assert [clip.frame_indices for clip in found] == [tuple(range(8)), tuple(range(8, 18))]
    assert [clip.num_valid for clip in found] == [8, 10]
    with pytest.raises(UsageError, match="at least 1"):
        at_spec(whole[0], num_frames=8, stride=0)


@given(total=st.integers(1, 200), num_frames=LENGTHS, stride=LENGTHS)
def test_a_grid_with_its_rest_reads_every_strided_frame(total, num_frames, stride):
    grid = split(list(range(total)), num_frames=num_frames, stride=stride)
    whole = with_rest(grid, total, end_seconds=total)
    numbers = [n for clip in whole for n in clip.frame_indices[: clip.num_valid]]
    assert numbers == list(range(0, total, stride))
    assert whole[-1].stop_frame == total
    assert whole[:-1] == grid[:-1]


def test_the_stride_of_a_clip():
    assert stride_of(lay_clip(5, num_frames=3, stride=4)) == 4
    assert stride_of(lay_clip(5, num_frames=1, stride=4)) == 4
    assert stride_of(Clip(0, (3, 5, 9), 3, 0.0, 1.0, 12)) == 2
