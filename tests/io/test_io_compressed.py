"""Motion maps against FFmpeg's own side data and against footage of known velocity."""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from footage import reading_of
from resident import growth_over_clips

from vidskim.clips.grid import lay_clip, split
from vidskim.io.motion import iter_motion, motion
from vidskim.io.packets import read_packets
from vidskim.io.probe import probe
from vidskim.io.reading import Reading
from vidskim.io.records import iter_records
from vidskim.io.references import find_references
from vidskim.io.vectors import motion_maps
from vidskim.io.walk import ReadStats
from vidskim.io.write.video import write_video
from vidskim.types import Clip

VELOCITY = (3.0, 2.0)
PANS = {
    "pyramid.mp4": ("h264", {"bf": "3", "x264-params": "b-adapt=0:scenecut=0"}),
    "two_b.mp4": ("h264", {"bf": "2", "x264-params": "b-adapt=0:scenecut=0"}),
    "no_pyramid.mp4": ("h264", {"bf": "3", "x264-params": "b-adapt=0:b-pyramid=none:scenecut=0"}),
    "no_b.mp4": ("h264", {"bf": "0", "g": "10"}),
    "mpeg4.avi": ("mpeg4", {"g": "12", "b": "4000000"}),
    "mpeg4_b.mp4": ("mpeg4", {"g": "12", "bf": "2", "b": "4000000"}),
    "mpeg4_b.avi": ("mpeg4", {"g": "12", "bf": "2", "b": "4000000"}),
    "pyramid.avi": ("h264", {"bf": "3", "x264-params": "b-adapt=0:scenecut=0"}),
    "pyramid.ts": ("h264", {"bf": "3", "x264-params": "b-adapt=0:scenecut=0"}),
}
NUM_FRAMES = 40


def panned(count: int, *, height: int = 112, width: int = 160) -> Iterator[np.ndarray]:
    """A gray texture that moves 3 pixels to the right and 2 down per frame, around the edges.

    Gray, because the chroma of an odd displacement falls between pixels: encoders then like to
    refer to twice as far a frame.
    """
    texture = np.random.default_rng(0).random((height, width))
    for _ in range(20):
        texture += sum(np.roll(texture, d, axis) for d in (-1, 1) for axis in (0, 1))
        texture /= 5
    texture = (texture - texture.min()) / np.ptp(texture) * 255
    image = np.repeat(texture.astype(np.uint8)[:, :, None], 3, axis=2)
    for t in range(count):
        yield np.roll(image, (2 * t, 3 * t), (0, 1))


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from a name of `PANS` to its file, written at first use."""
    folder = tmp_path_factory.mktemp("pans")

    def make(name: str) -> Path:
        path = folder / name
        if not path.exists():
            codec, options = PANS[name]
            write_video(path, panned(NUM_FRAMES), codec=codec, options=options)
        return path

    return make


def side_data(path: Path) -> dict[int, np.ndarray]:
    """The independent truth: vectors of every frame from a plain single-threaded decode."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"flags2": "+export_mvs"}
        found = {}
        for number, frame in enumerate(container.decode(stream)):
            vectors = frame.side_data.get("MOTION_VECTORS")
            if vectors is not None:
                found[number] = vectors.to_ndarray().copy()
        return found


def assert_same(records: np.ndarray, expected: np.ndarray) -> None:
    """Every field that is read is equal; the bytes between fields are undefined."""
    assert len(records) == len(expected)
    for field in records.dtype.names:
        np.testing.assert_array_equal(records[field], expected[field])


def known(path: Path) -> tuple[Reading, list[Clip]]:
    """A file to read and its grid of clips."""
    index, clips = whole(path)
    return reading_of(path, index), clips


def whole(path: Path) -> tuple:
    """A file's index and its grid of clips."""
    index = read_packets(path)
    return index, split(index.timestamps_seconds.tolist(), num_frames=8)


@pytest.mark.parametrize("name", PANS)
def test_velocity_of_a_pan(pan: Callable[[str], Path], name: str) -> None:
    index, clips = whole(pan(name))
    found = motion(reading_of(pan(name), index), clips)
    medians = found.vectors.flatten(2).median(dim=2).values
    np.testing.assert_allclose(medians, torch.tensor(VELOCITY).expand_as(medians), atol=0.26)
    np.testing.assert_allclose(medians.median(0).values, VELOCITY)
    np.testing.assert_allclose(found.vectors.mean((0, 2, 3)), VELOCITY, rtol=0.05)


@pytest.mark.parametrize("name", ["pyramid.mp4", "no_pyramid.mp4", "two_b.mp4"])
@pytest.mark.parametrize("ahead", [False, True])
def test_each_direction_alone_tells_the_velocity(
    pan: Callable[[str], Path], name: str, ahead: bool
) -> None:
    index = read_packets(pan(name))
    references = find_references(index)
    medians = []
    for number, records in iter_records(reading_of(pan(name), index), [range(NUM_FRAMES)]):
        chosen = records[(records["source"] > 0) == ahead]
        chosen = chosen[(chosen["motion_x"] != 0) | (chosen["motion_y"] != 0)]
        if references.future[number] == 0 or len(chosen) < 10:
            continue
        vectors, intra = motion_maps(
            [chosen],
            grid=(7, 10),
            past=references.past[[number]],
            future=references.future[[number]],
        )
        medians.append(np.median(vectors[0][:, intra[0] == 0], axis=1))
    assert len(medians) > 10
    right = np.abs(np.array(medians) - VELOCITY).max(axis=1) < 0.26
    assert right.mean() > 0.9  # here and there an encoder prefers a farther reference


@pytest.mark.parametrize("name", PANS)
def test_vectors_equal_ffmpeg_bit_for_bit(pan: Callable[[str], Path], name: str) -> None:
    index = read_packets(pan(name))
    truth = side_data(pan(name))
    found = dict(iter_records(reading_of(pan(name), index), [range(NUM_FRAMES)]))
    assert len(found) >= 9
    for number, records in found.items():
        assert_same(records, truth[number])
    unseen = set(truth) - set(found)
    assert all(not truth[number]["motion_x"].any() for number in unseen)


@pytest.mark.parametrize("name", PANS)
def test_any_choice_of_clips_gives_the_same_maps(pan: Callable[[str], Path], name: str) -> None:
    index, clips = whole(pan(name))
    dense = motion(reading_of(pan(name), index), clips)
    by_number = {int(n): place for place, n in enumerate(dense.frame_number)}
    chosen = [clips[4], clips[1], clips[1], clips[2]]
    some = motion(reading_of(pan(name), index), chosen)
    assert some.clip_index.unique().tolist() == [0, 1, 2, 3]
    assert some.clip_index.diff().min() >= 0
    for place, clip in enumerate(chosen):
        numbers = some.frame_number[some.clip_index == place].tolist()
        assert numbers == [n for n in by_number if clip.start_frame <= n < clip.stop_frame]
    places = [by_number[int(n)] for n in some.frame_number]
    assert torch.equal(some.vectors, dense.vectors[places])
    assert torch.equal(some.intra, dense.intra[places])


@pytest.mark.parametrize("name", PANS)
def test_single_frames_have_the_vectors_of_a_whole_read(
    pan: Callable[[str], Path], name: str
) -> None:
    index = read_packets(pan(name))
    dense = dict(iter_records(reading_of(pan(name), index), [range(NUM_FRAMES)]))
    for number in dense:
        ((same, records),) = iter_records(reading_of(pan(name), index), [range(number, number + 1)])
        assert same == number
        assert_same(records, dense[number])


def test_clips_come_in_time_order_with_every_frame_they_span(pan: Callable[[str], Path]) -> None:
    path = pan("pyramid.mp4")
    index = read_packets(path)
    long = lay_clip(3, num_frames=20)
    strided = lay_clip(5, num_frames=4, stride=3, index=1)
    late = lay_clip(36, num_frames=8, total=40, index=2)
    arrived = list(iter_motion(reading_of(path, index), [late, strided, long]))
    assert [clip.index for clip, _ in arrived] == [0, 1, 2]
    assert [part.frame_number.tolist() for _, part in arrived] == [
        list(range(3, 23)),
        list(range(5, 17)),
        list(range(36, 40)),
    ]
    assert [part.clip_index.unique().item() for _, part in arrived] == [2, 1, 0]


def test_i_frames_have_no_map(pan: Callable[[str], Path]) -> None:
    path = pan("no_b.mp4")
    index, clips = whole(path)
    found = motion(reading_of(path, index), clips)
    assert np.flatnonzero(index.is_key).tolist() == [0, 10, 20, 30]
    assert sorted({*range(NUM_FRAMES)} - {*found.frame_number.tolist()}) == [0, 10, 20, 30]
    only_key = motion(
        reading_of(path, index), [lay_clip(10, num_frames=1, start_seconds=0.4, end_seconds=0.44)]
    )
    assert only_key.vectors.shape == (0, 2, 7, 10)
    assert motion(reading_of(path, index), []).vectors.shape == (0, 2, 7, 10)


def test_all_intra_is_told_from_no_motion(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(6)]
    still = [noise[0]] * 6
    options = {"bf": "0", "x264-params": "scenecut=0"}
    write_video(tmp_path / "noise.mp4", noise, options=options)
    write_video(tmp_path / "still.mp4", still, options=options)
    noisy, calm = (
        motion(*known(path)) for path in (tmp_path / "noise.mp4", tmp_path / "still.mp4")
    )
    assert noisy.frame_number.tolist() == calm.frame_number.tolist() == [1, 2, 3, 4, 5]
    assert noisy.intra.mean() > 0.9
    assert calm.intra.max() == 0
    assert not calm.vectors.any()


@pytest.mark.parametrize("name", ["hevc.mp4", "vp9.webm"])
def test_a_codec_without_vectors_warns_once_and_decodes_nothing(
    footage: Callable[[str], Path], name: str
) -> None:
    warnings: list[str] = []
    stats = ReadStats()
    index, clips = whole(footage(name))
    found = motion(reading_of(footage(name), index, stats=stats, warnings=warnings), clips)
    motion(reading_of(footage(name), index, warnings=warnings), clips)
    assert found.vectors.shape == (0, 2, 4, 5)
    assert len(list(iter_motion(reading_of(footage(name), index), clips))) == len(clips)
    assert len(warnings) == 1
    assert "exports no motion vectors" in warnings[0]
    assert stats.frames_decoded <= 2


def test_what_is_known_of_a_file_is_not_read_again(pan: Callable[[str], Path]) -> None:
    path = pan("no_b.mp4")
    index, clips = whole(path)
    probing, with_info, without = ReadStats(), ReadStats(), ReadStats()
    info = probe(path, index, stats=probing)
    told = motion(reading_of(path, index, info=info, stats=with_info), clips)
    found = motion(reading_of(path, index, stats=without), clips)
    assert torch.equal(told.vectors, found.vectors)
    assert with_info.frames_decoded == NUM_FRAMES
    assert without.frames_decoded == NUM_FRAMES + probing.frames_decoded
    assert without.bytes_read == with_info.bytes_read + probing.bytes_read


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_files_give_maps_as_displayed(tmp_path: Path, degrees: int) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 112, "yuv420p"
        stream.set_display_rotation(-degrees)
        for picture in panned(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    found = motion(*known(path))
    assert found.vectors.shape[2:] == ((7, 10) if degrees == 180 else (10, 7))
    expected = {90: (-2.0, 3.0), 180: (-3.0, -2.0), 270: (2.0, -3.0)}[degrees]
    np.testing.assert_allclose(found.vectors.flatten(2).median(2).values[0], expected)


def test_a_file_cut_off_gives_what_is_readable(pan: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.avi"
    data = pan("mpeg4.avi").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    index, clips = whole(path)
    found = motion(reading_of(path, index, warnings=[]), clips)
    assert 5 < len(found.frame_number) < 30
    np.testing.assert_allclose(found.vectors.flatten(2).median(2).values.median(0).values, VELOCITY)


def test_memory_stays_flat(tmp_path: Path) -> None:
    reader = "vidskim.io.motion.iter_motion"
    growth = growth_over_clips(tmp_path, reader, num_frames=8, after=5)
    # 200 frames of 460 kB would be 92 MB
    assert growth < 8e6


@pytest.mark.data
def test_real_files_equal_ffmpeg(data_folder: Path) -> None:
    names = ["mv_extractor/vid_h264.mp4", "torchcodec/nasa_13013.mp4", "video_llama/boat.mp4"]
    for name in names:
        path = data_folder / "clips" / name
        index = read_packets(path)
        with av.open(str(path)) as container:
            best = container.streams.best("video").index
        truth = {}
        with av.open(str(path)) as container:
            stream = container.streams[best]
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"flags2": "+export_mvs"}
            for number, frame in enumerate(container.decode(stream)):
                vectors = frame.side_data.get("MOTION_VECTORS")
                if vectors is not None:
                    truth[number] = vectors.to_ndarray().copy()
                if number == 150:
                    break
        found = 0
        for number, records in iter_records(reading_of(path, index), [range(40, 100)]):
            assert_same(records, truth[number])
            found += 1
        assert found > 50


@pytest.mark.data
def test_every_real_file_gives_maps_or_says_why_not(data_folder: Path) -> None:
    with_motion = 0
    for path in sorted((data_folder / "clips").glob("*/*.mp4")):
        warnings: list[str] = []
        index, clips = whole(path)
        found = motion(reading_of(path, index, warnings=warnings), clips[:4])
        assert torch.isfinite(found.vectors).all()
        assert ((found.intra >= 0) & (found.intra <= 1)).all()
        assert len(found.frame_number) > 0 or warnings or len(index) < 3, path
        with_motion += len(found.frame_number) > 0
    assert with_motion > 20
