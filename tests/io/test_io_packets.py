"""The packet index against FFmpeg's decoder: order, times, types, sizes."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from footage import NUM_FRAMES, STREAMS, moving_pictures, write_timed

from vidskim.errors import VideoError
from vidskim.io.packets import read_packets
from vidskim.io.picture_type import picture_type_reader
from vidskim.io.write.video import write_video

TELLING = [name for name in STREAMS if not name.startswith("vp9")]


def _decoded(path: Path) -> list[tuple[int, float, str]]:
    """Packet number, time and type of every frame, in the order FFmpeg shows them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        context.thread_count, context.copy_opaque = 1, True
        frames = []
        for number, packet in enumerate(container.demux(stream)):
            packet.opaque = number
            frames += [
                (frame.opaque, frame.time, PictureType(frame.pict_type).name)
                for frame in context.decode(packet)
            ]
        return frames


@pytest.mark.parametrize("name", STREAMS)
def test_every_displayed_frame_is_counted_once(footage, truth, name):
    index = read_packets(footage(name))
    assert len(index) == index.num_frames == len(truth(name)) == NUM_FRAMES
    assert np.all(np.diff(index.timestamps_seconds) > 0)
    assert sorted(index.decode_order.tolist()) == list(range(NUM_FRAMES))
    assert not index.warnings


@pytest.mark.parametrize("name", STREAMS)
def test_times_are_those_of_the_decoded_frames(footage, name):
    index = read_packets(footage(name))
    expected = np.arange(NUM_FRAMES) / 25
    np.testing.assert_allclose(index.timestamps_seconds, expected, atol=0.0006)  # Matroska: 1 ms
    assert index.end_seconds == pytest.approx(NUM_FRAMES / 25, abs=0.002)
    assert index.duration_seconds == pytest.approx(NUM_FRAMES / 25, abs=0.002)


@pytest.mark.parametrize("name", [n for n in STREAMS if n not in ("h264_b.avi", "mpeg4_b.avi")])
def test_order_of_presentation_is_the_decoders(footage, name):
    index = read_packets(footage(name))
    if index.timed:
        assert index.decode_order.tolist() == [number for number, _, _ in _decoded(footage(name))]
    else:
        assert name == "raw.h264"


@pytest.mark.parametrize("name", TELLING)
def test_picture_types_are_those_of_the_decoder(footage, name):
    index = read_packets(footage(name))
    by_packet = dict(zip(index.decode_order.tolist(), index.picture_types.tolist()))
    decoded = {number: kind for number, _, kind in _decoded(footage(name))}
    if name.startswith("mpeg4_b.avi"):  # its decoder takes the packets apart anew
        assert Counter(by_packet.values()) == Counter(decoded.values())
    else:
        assert by_packet == decoded


@pytest.mark.parametrize("name", STREAMS)
def test_sizes_and_key_frames_are_the_containers(footage, name):
    index = read_packets(footage(name))
    with av.open(str(footage(name))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    order = index.decode_order
    assert index.sizes.tolist() == [packets[n].size for n in order]
    assert index.is_key.tolist() == [packets[n].is_keyframe for n in order]
    assert index.bytes_total == sum(packet.size for packet in packets)


def test_only_unreferenced_pictures_are_disposable(footage, truth):
    path = footage("h264_long_gop.mp4")
    disposable = read_packets(path).demuxed.is_disposable
    assert 10 < disposable.sum() < 50
    with av.open(str(path)) as container:  # leaving them out changes no other frame
        context = container.streams.video[0].codec_context
        context.thread_count = 1
        frames = []
        for number, packet in enumerate(container.demux(video=0)):
            if number >= NUM_FRAMES or not disposable[number]:
                frames += context.decode(packet)
    assert len(frames) == NUM_FRAMES - disposable.sum()
    for frame in frames:
        expected = truth("h264_long_gop.mp4")[round(frame.time * 25)]
        assert np.array_equal(frame.to_ndarray(format="rgb24"), expected)


def test_variable_frame_rate_and_gaps_keep_their_times(tmp_path):
    ticks = [0, 40, 45, 50, 1000, 1010, 1500, 1540, 1580, 9000]
    path = tmp_path / "variable.mp4"
    write_timed(path, moving_pictures(10), ticks=ticks, time_base=Fraction(1, 1000))
    index = read_packets(path)
    np.testing.assert_allclose(index.timestamps_seconds, np.array(ticks) / 1000, atol=1e-9)


def test_empty_slots_of_an_avi_are_no_frames(footage, tmp_path):
    """Chunks of no bytes stand for frames that were dropped; they leave gaps in the times."""
    path = tmp_path / "dropped.avi"
    ticks = [0, 1, 3, 4, 8, 9]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for picture, tick in zip(moving_pictures(6), ticks):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    index = read_packets(path)
    assert len(index) == 6
    np.testing.assert_allclose(index.timestamps_seconds, np.array(ticks) / 25)


def test_a_file_cut_off_is_indexed_as_far_as_it_goes(footage, tmp_path):
    path = tmp_path / "cut.mkv"
    data = footage("h264_open_gop.mkv").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    index = read_packets(path)
    assert 10 < len(index) < 50
    assert len(index.warnings) == 1
    assert "cut off" in index.warnings[0] or "damaged" in index.warnings[0]


def test_a_stream_without_frames_is_refused(tmp_path):
    path = tmp_path / "header.mkv"
    write_video(path, moving_pictures(30))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # up to the first cluster
    with pytest.raises(VideoError, match="cut off"):
        read_packets(path)


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4", "av1"])
def test_garbage_has_no_type(codec):
    read = picture_type_reader(codec, b"")
    for data in (b"", b"\0", b"\0\0\1", b"\0\0\1\xb6", b"\0" * 40, b"\xff" * 700):
        assert read(memoryview(data)) == "?"


def test_h264_types_by_hand():
    """Unit header, then first_mb_in_slice 0 (bit 1), then slice_type in Exp-Golomb."""
    read = picture_type_reader("h264", b"\x01\x64\x00\x1f\xff")  # four-byte lengths
    for bits, kind in {"1": "P", "010": "B", "011": "I", "00110": "P", "00111": "B"}.items():
        payload = int(("1" + bits).ljust(24, "0"), 2).to_bytes(3, "big")
        filler = b"\0\0\0\2\x09\xf0" + b"\0\0\0\3\x06\1\2"  # delimiter and SEI come first
        slice_ = b"\0\0\0\4\x41" + payload
        assert read(memoryview(filler + slice_)) == kind
        unreferenced = b"\0\0\0\4\x01" + payload
        assert read(memoryview(filler + unreferenced)) == kind.lower()


@pytest.mark.data
def test_indexes_of_real_files_hold_what_ffmpeg_decodes(data_folder):
    """Timestamps have gaps and headers lie; the index counts what can be decoded."""
    jhmdb = sorted((data_folder / "jhmdb21").glob("*/*.avi"))[:40]
    assert jhmdb
    for path in jhmdb:
        with av.open(str(path)) as container:
            times = [frame.time for frame in container.decode(video=0)]
        np.testing.assert_allclose(read_packets(path).timestamps_seconds, times)
