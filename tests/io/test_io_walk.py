"""The walk against a plain decode of the whole file: any frames, the same pixels, least work."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from footage import NUM_FRAMES, STREAMS, loop, moving_pictures, plain_decode, write_timed
from hypothesis import given, settings
from hypothesis import strategies as st

from vidskim.io import source
from vidskim.io.packets import PacketIndex, read_packets
from vidskim.io.source import PacketSource
from vidskim.io.walk import Damage, ReadStats, plan, walk
from vidskim.io.write.video import write_video

WANTED = [
    [(0, 1)],
    [(NUM_FRAMES - 1, NUM_FRAMES)],
    [(9, 13), (40, 41)],
    [(11, 12), (13, 14), (23, 25), (35, 37), (62, 64)],
    [(30, 64), (0, 5), (3, 9)],
    [(0, NUM_FRAMES)],
    [(-5, 2), (60, 99), (50, 50)],
]


def _numbers(wanted: Iterable[tuple[int, int]], total: int = NUM_FRAMES) -> list[int]:
    return sorted({n for start, stop in wanted for n in range(max(start, 0), min(stop, total))})


@pytest.mark.parametrize("max_skipped", [0, 128], ids=["seeking", "reading on"])
@pytest.mark.parametrize("name", STREAMS)
def test_any_frames_equal_a_plain_decode(footage, truth, name, max_skipped, monkeypatch):
    monkeypatch.setattr(source, "MAX_SKIPPED_PACKETS", max_skipped)
    path, expected = footage(name), truth(name)
    index = read_packets(path)
    for wanted in WANTED:
        damage = Damage()
        frames = list(walk(path, index, wanted, damage=damage))
        assert [number for number, _ in frames] == _numbers(wanted)
        for number, frame in frames:
            assert np.array_equal(frame.to_ndarray(format="rgb24"), expected[number])
        assert damage == Damage()


def test_a_late_or_failing_seek_is_repaired(footage, truth, monkeypatch):
    name = "h264_no_b.mp4"
    path, expected = footage(name), truth(name)
    index = read_packets(path)
    monkeypatch.setattr(source, "MAX_SKIPPED_PACKETS", 0)

    def land_late(self: PacketSource, number: int) -> bool:
        return seek(self, min(number + 16, 56))

    def fail(self: PacketSource, number: int) -> bool:
        return False

    seek = PacketSource._seek
    for behavior in (land_late, fail):
        monkeypatch.setattr(PacketSource, "_seek", behavior)
        frames = list(walk(path, index, [(20, 22), (50, 51)]))
        assert [number for number, _ in frames] == [20, 21, 50]
        for number, frame in frames:
            assert np.array_equal(frame.to_ndarray(format="rgb24"), expected[number])


@pytest.mark.parametrize("name", STREAMS)
def test_the_plan_enters_at_key_frames_and_never_twice(footage, name):
    index = read_packets(footage(name))
    keys = index.demuxed.is_key

    @settings(max_examples=30)
    @given(st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), max_size=6))
    def check(wanted: list[tuple[int, int]]) -> None:
        segments = plan(index, wanted)
        numbers = [n for segment in segments for n in segment.numbers.tolist()]
        assert numbers == _numbers(wanted)
        for segment in segments:
            assert keys[segment.first_packet] or segment.first_packet == 0
            packets = index.decode_order[segment.numbers]
            assert packets.min() >= segment.first_packet
            assert packets.max() <= segment.last_packet < len(keys)
        for before, after in pairwise(segments):
            assert before.last_packet < after.first_packet

    check()


def test_each_group_of_pictures_is_decoded_at_most_once_and_no_further_than_needed(footage):
    path = footage("h264_no_b.mp4")  # key frames at 0, 8, 16, ...
    index = read_packets(path)
    for wanted, expected in {
        ((3, 4),): 4,
        ((3, 4), (5, 6)): 6,
        ((3, 4), (9, 10)): 4 + 2,
        ((7, 9),): 9,
        ((0, 64),): 64,
        ((0, 1), (63, 64)): 1 + 8,
    }.items():
        stats = ReadStats()
        list(walk(path, index, wanted, stats=stats))
        assert stats.frames_decoded == expected
        assert stats.bytes_read >= sum(index.sizes[start:stop].sum() for start, stop in wanted)
        assert stats.bytes_read <= index.bytes_total


def test_pictures_that_nothing_refers_to_are_left_undecoded(footage):
    path = footage("h264_long_gop.mp4")
    index = read_packets(path)
    stats = ReadStats()
    list(walk(path, index, [(63, 64)], stats=stats))
    assert stats.frames_decoded <= NUM_FRAMES - index.demuxed.is_disposable.sum() + 1


def test_a_long_file_is_jumped_through(footage, tmp_path):
    path = tmp_path / "long.mp4"
    loop(footage("h264_no_b.mp4"), path, times=20)
    index = read_packets(path)
    assert len(index) == 20 * NUM_FRAMES
    stats = ReadStats()
    assert [n for n, _ in walk(path, index, [(5, 6), (1270, 1271)], stats=stats)] == [5, 1270]
    assert stats.frames_decoded == 6 + 7
    assert stats.bytes_read < index.bytes_total / 10


def test_nothing_wanted_opens_nothing(footage):
    index = read_packets(footage("mpeg4.avi"))
    assert list(walk("/no/such/file.mp4", index, [])) == []
    assert list(walk("/no/such/file.mp4", index, [(70, 90)])) == []


def test_gaps_and_uneven_times_do_not_confuse_the_numbers(tmp_path):
    path = tmp_path / "variable.mp4"
    ticks = [0, 40, 45, 50, 1000, 1010, 1500, 1540, 1580, 9000, 9001, 9500]
    pictures = moving_pictures(12)
    write_timed(path, pictures, ticks=ticks, time_base=Fraction(1, 1000), g="4")
    expected = plain_decode(path)
    index = read_packets(path)
    for number in range(12):
        [(got, frame)] = walk(path, index, [(number, number + 1)])
        assert got == number
        assert np.array_equal(frame.to_ndarray(format="rgb24"), expected[number])
        assert frame.time == pytest.approx(index.timestamps_seconds[number])


def test_frames_come_by_number_where_times_contradict_the_decoder(tmp_path):
    """One frame of this file claims to be shown a minute late; the decoder knows better."""
    path = tmp_path / "contradiction.mkv"
    pictures = moving_pictures(40)
    ticks = [40 * n for n in range(40)]
    write_timed(path, pictures, ticks=ticks, time_base=Fraction(1, 1000), g="10", bf="0")
    with av.open(str(path)) as reader, av.open(str(tmp_path / "lies.mkv"), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for packet in reader.demux(stream):
            if packet.size:
                wrong = {13 * 40: 60_000, 25 * 40: 24 * 40 - 10}
                packet.stream, packet.dts = copy, packet.dts - 200  # no time before it
                packet.pts = wrong.get(packet.pts, packet.pts)
                writer.mux(packet)
    index = read_packets(tmp_path / "lies.mkv")
    assert index.timed
    shown = [n for n in range(40) if n not in (13, 24, 25)]
    shown = [*shown[: shown.index(23) + 1], 25, 24, *shown[shown.index(26) :], 13]
    expected = plain_decode(path)
    frames = list(walk(tmp_path / "lies.mkv", index, [(0, 40)]))
    assert [number for number, _ in frames] == list(range(40))
    for number, frame in frames:
        assert np.array_equal(frame.to_ndarray(format="rgb24"), expected[shown[number]])


def _zero_packets(path: Path, index: PacketIndex, numbers: Iterable[int]) -> None:
    data = bytearray(path.read_bytes())
    for number in numbers:
        start = int(index.demuxed.positions[index.decode_order[number]])
        data[start : start + int(index.sizes[number])] = bytes(int(index.sizes[number]))
    path.write_bytes(data)


def test_refused_packets_are_skipped_and_counted(tmp_path):
    path = tmp_path / "damaged.mp4"
    write_video(path, moving_pictures(32), options={"g": "8", "bf": "0"})
    expected = plain_decode(path)
    index = read_packets(path)
    _zero_packets(path, index, [20, 21])
    damage = Damage()
    frames = dict(walk(path, index, [(0, 32)], damage=damage))
    assert sorted(set(range(32)) - set(frames)) == damage.numbers_missing == [20, 21]
    assert damage.packets_refused == 2
    for number in [*range(20), *range(24, 32)]:  # the next group of pictures is whole again
        assert np.array_equal(frames[number].to_ndarray(format="rgb24"), expected[number])


def test_a_file_that_shrank_since_it_was_indexed_ends_early(tmp_path):
    path = tmp_path / "shrunk.mkv"
    write_video(path, moving_pictures(32), options={"g": "8", "bf": "0"})
    index = read_packets(path)
    path.write_bytes(path.read_bytes()[: int(index.demuxed.positions[16])])
    damage = Damage()
    numbers = [number for number, _ in walk(path, index, [(4, 6), (28, 30)], damage=damage)]
    assert numbers == [4, 5]
    assert damage.numbers_missing == [28, 29]


def test_motion_vectors_are_exported_only_on_demand(footage):
    path = footage("h264_long_gop.mp4")
    index = read_packets(path)
    [(_, plain)] = walk(path, index, [(5, 6)])
    [(_, frame)] = walk(path, index, [(5, 6)], motion_vectors=True)
    assert plain.side_data.get("MOTION_VECTORS") is None
    assert len(frame.side_data.get("MOTION_VECTORS").to_ndarray()) > 0


@pytest.mark.parametrize("name", ["h264_long_gop.mp4", "mpeg4.avi"])
def test_pixels_are_exact_unless_nobody_looks_at_them(footage, truth, name):
    path = footage(name)
    index = read_packets(path)
    for number, frame in walk(path, index, [(0, 64)], motion_vectors=True):
        assert np.array_equal(frame.to_ndarray(format="rgb24"), truth(name)[number])
    rough = [
        number
        for number, frame in walk(path, index, [(0, 64)], exact_pixels=False)
        if not np.array_equal(frame.to_ndarray(format="rgb24"), truth(name)[number])
    ]
    assert len(rough) > 32  # work was left out


@pytest.mark.data
def test_real_files_equal_a_plain_decode(data_folder, monkeypatch):
    """Every file in random order of access, with and without seeks."""
    rng = np.random.default_rng(0)
    for path in sorted((data_folder / "clips").glob("*/*")):
        if path.suffix in (".json", ".wav", ".mp3") or path.stat().st_size > 1_000_000:
            continue
        index = read_packets(path)
        with av.open(str(path)) as container:
            best = container.streams.best("video")
            best.codec_context.thread_count = 1
            expected = []
            for packet in container.demux(best):
                try:
                    expected += [frame.to_ndarray() for frame in best.codec_context.decode(packet)]
                except av.error.InvalidDataError:
                    continue
        damaged = "corrupted" in path.name
        assert len(index) == len(expected) + damaged
        if damaged:
            continue
        for max_skipped in (0, 128):
            monkeypatch.setattr(source, "MAX_SKIPPED_PACKETS", max_skipped)
            starts = rng.integers(0, len(index), 3).tolist()
            for number, frame in walk(path, index, [(start, start + 4) for start in starts]):
                assert np.array_equal(frame.to_ndarray(), expected[number]), (path, number)
