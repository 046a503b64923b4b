"""Stretches cut out at packets: what they hold, by arithmetic, and that decoding tells."""

from itertools import pairwise

import numpy as np
import pytest
from footage import NUM_FRAMES, STREAMS, moving_pictures, plain_decode
from hypothesis import given
from hypothesis import strategies as st

from vidskim.io.packets import read_packets
from vidskim.io.write.cut import lead_seconds, merge, shows_the_same, widen
from vidskim.io.write.video import write_video


@given(st.lists(st.tuples(st.integers(-5, 40), st.integers(-5, 40)), max_size=8))
def test_merged_stretches_are_the_union(pairs):
    merged = merge([range(a, b) for a, b in pairs], num_frames=32)
    assert {n for m in merged for n in m} == {
        n for a, b in pairs for n in range(a, b) if 0 <= n < 32
    }
    assert all(a.stop < b.start for a, b in pairwise(merged))
    assert all(len(stretch) for stretch in merged)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "v.mp4"
    codec, options = STREAMS["h264_open_gop.mp4"]
    write_video(path, moving_pictures(NUM_FRAMES), codec=codec, options=options)
    return read_packets(path)


@pytest.mark.parametrize("start", range(0, 60, 3))
@pytest.mark.parametrize("length", [1, 5, 17])
def test_a_widened_stretch_needs_no_packet_outside(index, start, length):
    wanted = merge([range(start, start + length)], num_frames=len(index))
    (found,) = widen(index, wanted)
    assert index.is_key[found.start]
    assert found.start <= wanted[0].start
    assert found.stop >= wanted[0].stop
    assert not index.is_key[found.start + 1 : wanted[0].start + 1].any()
    order = index.decode_order[found.start : found.stop]
    inside = index.demuxed.frame_numbers[order.min() : order.max() + 1]
    # Between its first and last packet lie its own frames and, of an open group, earlier ones.
    assert set(found) <= set(inside.tolist())
    assert max(inside) == found.stop - 1
    assert found.stop - wanted[0].stop <= 8
    assert lead_seconds(index, wanted[0]) == pytest.approx((wanted[0].start - found.start) / 25)


def test_a_copy_with_other_pixels_is_told_from_the_source(tmp_path):
    pictures = moving_pictures(24)
    write_video(tmp_path / "a.mp4", pictures, options={"bf": "0"})
    changed = [*pictures[:20], 255 - pictures[20], *pictures[21:]]
    write_video(tmp_path / "b.mp4", changed, options={"bf": "0"})
    write_video(tmp_path / "c.mp4", pictures[:20], options={"bf": "0"})
    write_video(tmp_path / "d.mp4", pictures, options={"bf": "0"}, frame_rate=24)
    index = read_packets(tmp_path / "a.mp4")
    whole = [range(24)]

    def same(name):
        return shows_the_same(tmp_path / "a.mp4", index, whole, copy=tmp_path / name)

    assert same("a.mp4")
    assert [same(name) for name in ("b.mp4", "c.mp4", "d.mp4")] == [False, False, False]
    assert len(plain_decode(tmp_path / "b.mp4")) == 24
    assert np.isfinite(index.timestamps_seconds).all()
