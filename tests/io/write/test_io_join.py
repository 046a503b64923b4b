"""Joined files against their parts: the same pixels and vectors, times without a gap."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from footage import STREAMS, loop, moving_pictures, plain_decode

from vidskim.errors import UsageError, VideoError
from vidskim.io.packets import read_packets
from vidskim.io.vectors import RECORD
from vidskim.io.walk import walk
from vidskim.io.write.join import join, read_part
from vidskim.io.write.video import write_video

JOINABLE = [
    *("mpeg4.avi", "mpeg4_b.mp4", "h264_long_gop.mp4", "h264_open_gop.mp4", "h264_no_b.mp4"),
    *("h264_tiny_gop.mp4", "h264_no_b.avi", "h264.ts", "h264.flv", "h264_open_gop.mkv"),
    *("hevc.mp4", "hevc.mkv", "vp9.webm"),
]


def _two(folder: Path, name: str) -> list[Path]:
    """Write two files of unlike content by the same settings: 30 and 17 frames."""
    codec, options = STREAMS[name]
    pictures = moving_pictures(40)
    paths = [folder / f"{place}_{name}" for place in "ab"]
    for path, shown in zip(paths, (pictures[:30], pictures[:22:-1])):
        write_video(path, shown, frame_rate=25, codec=codec, options=options)
    return paths


def _vectors(path: Path) -> list[tuple[str, np.ndarray]]:
    """Picture type and motion vectors of every frame, as our own reader exports them."""
    index = read_packets(path)
    found = []
    for _, frame in walk(path, index, [(0, len(index))], motion_vectors=True):
        side = frame.side_data.get("MOTION_VECTORS")
        records = np.zeros(0, RECORD) if side is None else np.frombuffer(bytes(side), RECORD)
        fields = [records[name].astype(np.int64) for name in RECORD.names]
        found.append((str(frame.pict_type), np.stack(fields)))
    return found


def _same_vectors(found, expected) -> bool:
    return len(found) == len(expected) and all(
        a == b and np.array_equal(x, y) for (a, x), (b, y) in zip(found, expected)
    )


@pytest.mark.parametrize("name", JOINABLE)
def test_frames_and_vectors_stay_bit_for_bit(tmp_path, name):
    paths = _two(tmp_path, name)
    order = [paths[0], paths[1], paths[1], paths[0]]
    joined = tmp_path / "joined.mp4"
    assert not join([read_part(path) for path in order], joined)
    expected = [frame for path in order for frame in plain_decode(path)]
    found = plain_decode(joined)
    assert len(found) == len(expected) == 94
    assert all(np.array_equal(a, b) for a, b in zip(found, expected))
    index = read_packets(joined)
    assert index.warnings == ()
    np.testing.assert_allclose(index.timestamps_seconds, np.arange(94) / 25, atol=1e-9)
    assert index.end_seconds == pytest.approx(94 / 25)
    assert np.flatnonzero(index.is_key)[0] == 0
    assert {30, 47, 64} <= set(np.flatnonzero(index.is_key).tolist())
    wanted, shown = [v for path in order for v in _vectors(path)], _vectors(joined)
    if name == "mpeg4_b.mp4":  # FFmpeg tells no vectors of the picture that ends such a file
        for last in (29, 46, 63):
            assert wanted[last][1].size == 0 < shown[last][1].size
            wanted[last] = shown[last]
    assert _same_vectors(shown, wanted)


def test_the_vectors_compared_are_not_empty(tmp_path):
    path = _two(tmp_path, "mpeg4.avi")[0]
    vectors = _vectors(path)
    assert sum(records.shape[1] for _, records in vectors) > 100
    other = [(kind, records + (records.size > 0)) for kind, records in vectors]
    assert not _same_vectors(vectors, other)


def test_equal_parts_give_equal_bytes_and_nothing_else(tmp_path):
    parts = [read_part(path) for path in _two(tmp_path, "h264_long_gop.mp4")]
    for name in ("one.mp4", "two.mp4"):
        join(parts, tmp_path / "out" / name)
    one, two = (tmp_path / "out" / name for name in ("one.mp4", "two.mp4"))
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in one.parent.iterdir()) == ["one.mp4", "two.mp4"]


def test_a_part_says_what_it_is(tmp_path):
    part = read_part(_two(tmp_path, "mpeg4.avi")[0])
    assert part.num_frames == 30
    assert str(part.header).startswith("mpeg4 80x64 yuv420p 25 fps, header ")


def test_files_of_another_form_are_refused_by_name(tmp_path):
    first = _two(tmp_path, "mpeg4.avi")[0]
    larger, faster = tmp_path / "larger.avi", tmp_path / "faster.avi"
    options = {"codec": "mpeg4", "options": {"g": "12"}}
    write_video(larger, moving_pictures(12, height=80), **options)
    write_video(faster, moving_pictures(12), frame_rate=30, **options)
    for other in (larger, faster):
        with pytest.raises(UsageError, match=rf"{other.name}.* cannot be joined to .*{first.name}"):
            join([read_part(first), read_part(other)], tmp_path / "joined.mp4")
    assert not (tmp_path / "joined.mp4").exists()


@pytest.mark.parametrize("out", ["joined.avi", "joined"])
def test_only_mp4_is_written(tmp_path, out):
    with pytest.raises(UsageError, match=r"ends in \.mp4"):
        join([read_part(_two(tmp_path, "mpeg4.avi")[0])], tmp_path / out)


def test_no_parts(tmp_path):
    with pytest.raises(UsageError, match="at least one part"):
        join([], tmp_path / "joined.mp4")


def test_frames_without_an_order_are_refused(tmp_path):
    path = tmp_path / "h264_b.avi"
    write_video(path, moving_pictures(30), options={"g": "12"})
    with pytest.raises(VideoError, match=r"h264_b\.avi.*order of its frames"):
        read_part(path)


def test_other_codecs_are_refused(tmp_path):
    path = tmp_path / "moving.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuvj420p"
        for picture in moving_pictures(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"is mjpeg, which is not joined"):
        read_part(path)


def _shifted(source: Path, target: Path, *, ticks: int, skip: int = 0) -> None:
    """Copy packets, the first ``skip`` left out, with all times moved by frames."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        frame = int(1 / stream.average_rate / stream.time_base)
        for place, packet in enumerate(reader.demux(stream)):
            if packet.size and place >= skip:
                packet.pts, packet.dts = packet.pts + ticks * frame, packet.dts + ticks * frame
                packet.stream = copy
                writer.mux(packet)


def test_hidden_frames_are_refused(tmp_path):
    source, cut = _two(tmp_path, "h264_no_b.mp4")[0], tmp_path / "cut.mp4"
    _shifted(source, cut, ticks=-3)
    with pytest.raises(VideoError, match=r"cut\.mp4.*hides some of its frames"):
        read_part(cut)


def test_a_start_in_the_middle_of_a_group_is_refused(tmp_path):
    source, cut = _two(tmp_path, "mpeg4.avi")[0], tmp_path / "cut.mkv"
    _shifted(source, cut, ticks=0, skip=3)
    with pytest.raises(VideoError, match=r"cut\.mkv.*(start with a key frame|damaged)"):
        read_part(cut)


def test_packed_pictures_are_refused(tmp_path):
    source, packed = _two(tmp_path, "mpeg4.avi")[0], tmp_path / "packed.avi"
    with av.open(str(source)) as reader, av.open(str(packed), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        packets = [bytes(packet) for packet in reader.demux(stream) if packet.size]
        for place, data in enumerate([packets[0], packets[1] + packets[2], *packets[3:]]):
            packet = av.Packet(data)
            packet.stream, packet.time_base = copy, Fraction(1, 25)
            packet.pts = packet.dts = place
            packet.is_keyframe = place % 12 == 0
            writer.mux(packet)
    with pytest.raises(VideoError, match=r"packed\.avi.*(two pictures in one packet|damaged)"):
        read_part(packed)


def test_truncated_and_damaged_files_are_refused(tmp_path):
    path = _two(tmp_path, "mpeg4.avi")[0]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 4 // 5])
    with pytest.raises(VideoError, match=r"a_mpeg4\.avi.*not whole"):
        read_part(path)
    place = data.index(b"\0\0\1\xb6", len(data) // 2)
    path.write_bytes(data[: place + 6] + b"\xff" * 60 + data[place + 66 :])
    with pytest.raises(VideoError, match=r"a_mpeg4\.avi.*is damaged: \d+ of 30 frames"):
        read_part(path)
    path.write_bytes(b"")
    with pytest.raises(VideoError, match="is empty"):
        read_part(path)


def test_a_part_that_changed_since_leaves_no_file(tmp_path):
    paths = _two(tmp_path, "mpeg4.avi")
    parts = [read_part(path) for path in paths]
    out = tmp_path / "out" / "joined.mp4"
    loop(paths[0], tmp_path / "longer.avi", times=2)
    (tmp_path / "longer.avi").replace(paths[1])
    with pytest.raises(VideoError, match=r"b_mpeg4\.avi.*has changed"):
        join(parts, out)
    assert list(out.parent.iterdir()) == []


def _with_tone(path: Path, *, second: float, sample_rate: int = 16000) -> Path:
    """Write two seconds of video that are silent but for 0.2 s of a tone."""
    time = np.arange(2 * sample_rate) / sample_rate
    heard = (time >= second) & (time < second + 0.2)
    sound = (0.5 * heard * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    write_video(path, moving_pictures(50), audio=sound, sample_rate=sample_rate)
    return path


def _tones(path: Path) -> list[float]:
    """Seconds at which tones begin, by FFmpeg's own decode and timestamps."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        blocks = [(f.time, f.to_ndarray()[0]) for f in container.decode(stream)]
        rate = stream.codec_context.sample_rate
    at = np.concatenate([time + np.arange(len(block)) / rate for time, block in blocks])
    loud = at[np.abs(np.concatenate([block for _, block in blocks])) > 0.2]
    return loud[np.diff(loud, prepend=-1) > 0.3].tolist()


def test_sound_keeps_its_place_in_every_part(tmp_path):
    seconds = (0.4, 1.3, 0.9)
    paths = [_with_tone(tmp_path / f"{s}.mp4", second=s) for s in seconds]
    alone = [_tones(path)[0] for path in paths]
    joined = tmp_path / "joined.mp4"
    assert join([read_part(path) for path in paths], joined)
    expected = [2 * place + start for place, start in enumerate(alone)]
    assert _tones(joined) == pytest.approx(expected, abs=0.005)
    assert all(
        np.array_equal(a, b) for a, b in zip(plain_decode(joined), moving_pictures_of(paths))
    )


def moving_pictures_of(paths: list[Path]) -> list[np.ndarray]:
    return [frame for path in paths for frame in plain_decode(path)]


def test_sound_of_two_forms_is_left_out(tmp_path):
    low = _with_tone(tmp_path / "low.mp4", second=0.5)
    high = _with_tone(tmp_path / "high.mp4", second=0.5, sample_rate=32000)
    silent = tmp_path / "silent.mp4"
    write_video(silent, moving_pictures(50))
    for other in (high, silent):
        assert not join([read_part(low), read_part(other)], tmp_path / "joined.mp4")
        with av.open(str(tmp_path / "joined.mp4")) as container:
            assert not container.streams.audio
            assert len(list(container.decode(video=0))) == 100


@pytest.mark.data
def test_real_clips_with_gaps_in_their_index(data_folder, tmp_path):
    clips = sorted((data_folder / "jhmdb21").glob("*/*.avi"))[::60]
    gaps = [np.diff(read_packets(path).timestamps_seconds).max() for path in clips]
    assert max(gaps) > 1.5 / 30  # the empty slots are there
    joined = tmp_path / "joined.mp4"
    join([read_part(path) for path in clips], joined)
    expected = [frame for path in clips for frame in plain_decode(path)]
    found = plain_decode(joined)
    assert len(found) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected))
    assert _same_vectors(_vectors(joined), [v for path in clips for v in _vectors(path)])
    times = read_packets(joined).timestamps_seconds
    np.testing.assert_allclose(times, np.arange(len(found)) / 30, atol=1e-9)
