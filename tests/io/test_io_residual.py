"""Residuals: prediction plus residual is the frame, pixel for pixel, by plain loops."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from footage import reading_of

from vidskim.clips.grid import lay_clip, split
from vidskim.errors import UsageError
from vidskim.io.packets import PacketIndex, read_packets
from vidskim.io.probe import probe
from vidskim.io.reading import Reading
from vidskim.io.records import iter_records
from vidskim.io.residual import choose_predicted, iter_residuals, residuals
from vidskim.io.walk import ReadStats
from vidskim.io.write.video import write_video
from vidskim.types import Clip


def known(path: Path) -> tuple[Reading, list[Clip]]:
    """A file to read and its grid of clips."""
    index, clips = whole(path)
    return reading_of(path, index), clips


def whole(path: Path) -> tuple[PacketIndex, list[Clip]]:
    """A file's index and its grid of clips."""
    index = read_packets(path)
    return index, split(index.timestamps_seconds.tolist(), num_frames=16)


def predict_by_loops(
    reference: np.ndarray, records: np.ndarray, *, past: int, future: int
) -> np.ndarray:
    """Copy whole-pixel blocks of the reference, one pixel at a time; no vector: the same place."""
    height, width = reference.shape[:2]
    predicted = reference.copy()
    places = {
        (bool(r["source"] > 0), int(r["dst_x"]), int(r["dst_y"])): (r["motion_x"], r["motion_y"])
        for r in records
    }
    for ahead in (True, False):  # past vectors win over future ones
        for r in records[(records["source"] > 0) == ahead]:
            twin = places.get((not ahead, int(r["dst_x"]), int(r["dst_y"])), (0, 0))
            divided = r["w"] < 16 or r["h"] < 16
            still = r["motion_x"] == 0 and r["motion_y"] == 0
            if still and divided and (twin[0] or twin[1]):
                continue
            stretch = -past / future if ahead else 1.0
            dx = int(np.floor(stretch * r["motion_x"] / r["motion_scale"] + 0.5))
            dy = int(np.floor(stretch * r["motion_y"] / r["motion_scale"] + 0.5))
            left, top = int(r["dst_x"]) - r["w"] // 2, int(r["dst_y"]) - r["h"] // 2
            for y in range(top, min(top + r["h"], height)):
                for x in range(left, min(left + r["w"], width)):
                    source_y = min(max(y + dy, 0), height - 1)
                    source_x = min(max(x + dx, 0), width - 1)
                    predicted[y, x] = reference[source_y, source_x]
    return predicted


@pytest.mark.parametrize("name", ["h264_long_gop.mp4", "h264_no_b.mp4", "mpeg4.avi", "mpeg4_b.mp4"])
def test_prediction_plus_residual_is_the_frame(
    footage: Callable[[str], Path], truth: Callable[[str], list[np.ndarray]], name: str
) -> None:
    path = footage(name)
    index, clips = whole(path)
    found = residuals(reading_of(path, index), clips[:2], per_clip=2)
    frames = truth(name)
    records = dict(iter_records(reading_of(path, index), [range(64)]))
    assert found.values.shape == (4, 3, 64, 80)
    assert found.values.dtype == torch.int16
    assert found.clip_index.tolist() == [0, 0, 1, 1]
    for values, number, reference in zip(
        found.values.numpy(), found.frame_number.tolist(), found.reference_number.tolist()
    ):
        predicted = predict_by_loops(
            frames[reference], records[number], past=number - reference, future=1
        )
        np.testing.assert_array_equal(predicted + values.transpose(1, 2, 0), frames[number])


def test_the_past_reference_is_a_p_or_i_frame(footage: Callable[[str], Path]) -> None:
    path = footage("h264_long_gop.mp4")
    index, clips = whole(path)
    found = residuals(reading_of(path, index), clips, per_clip=3)
    assert set(index.picture_types[found.frame_number.numpy()]) == {"P"}
    assert set(index.picture_types[found.reference_number.numpy()]) <= {"I", "P"}
    for number, reference in zip(found.frame_number.tolist(), found.reference_number.tolist()):
        assert set(index.picture_types[reference + 1 : number]) <= {"B"}


def test_a_clip_of_b_frames_only_uses_the_past_reference(
    footage: Callable[[str], Path], truth: Callable[[str], list[np.ndarray]]
) -> None:
    path = footage("h264_long_gop.mp4")
    index = read_packets(path)
    types = "".join(index.picture_types)
    start = types.index("BB", 8)
    clip = lay_clip(start, num_frames=2)
    found = residuals(reading_of(path, index), [clip])
    (number,), (reference,) = found.frame_number.tolist(), found.reference_number.tolist()
    assert types[number] == "B"
    assert reference < number
    later = [n for n in range(number + 1, 64) if index.decode_order[n] < index.decode_order[number]]
    records = dict(iter_records(reading_of(path, index), [range(64)]))[number]
    frames = truth("h264_long_gop.mp4")
    predicted = predict_by_loops(
        frames[reference], records, past=number - reference, future=min(later) - number
    )
    values = found.values[0].numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(predicted + values, frames[number])


def test_compensation_leaves_less_than_the_plain_difference(tmp_path: Path) -> None:
    texture = np.random.default_rng(0).random((16, 24, 3)).repeat(8, 0).repeat(8, 1)
    ground = (texture * 255).astype(np.uint8)
    path = tmp_path / "pan.mp4"
    pictures = [np.roll(ground, (2 * t, 4 * t), (0, 1)) for t in range(20)]
    write_video(path, pictures, options={"bf": "0", "crf": "12"})
    index, clips = whole(path)
    for quarter_luma in (False, True):
        found = residuals(reading_of(path, index), clips, quarter_luma=quarter_luma)
        residual = found.values.float().abs().mean()
        number, reference = int(found.frame_number[0]), int(found.reference_number[0])
        change = np.abs(pictures[number].astype(int) - pictures[reference]).mean()
        assert residual < change / 5


def test_quarter_luma_is_the_average_of_a_full_luma_residual(
    footage: Callable[[str], Path],
) -> None:
    path = footage("h264_no_b.mp4")
    index, clips = whole(path)
    found = residuals(reading_of(path, index), clips[:1], quarter_luma=True)
    assert found.values.shape == (1, 1, 16, 20)
    number, reference = int(found.frame_number[0]), int(found.reference_number[0])
    with av.open(str(path)) as container:
        frames = [frame.reformat(format="gray").to_ndarray() for frame in container.decode(video=0)]
    records = dict(iter_records(reading_of(path, index), [range(64)]))[number]
    predicted = predict_by_loops(frames[reference], records, past=1, future=1)
    full = frames[number].astype(float) - predicted
    expected = full.reshape(16, 4, 20, 4).mean((1, 3))
    assert np.abs(found.values[0, 0].numpy() - expected).max() <= 0.5


def test_chosen_frames_are_spread_evenly() -> None:
    p = np.zeros(40, bool)
    p[10:30] = True
    b = ~p
    assert choose_predicted(range(10, 30), candidates=(p, b), per_clip=1) == [20]
    assert choose_predicted(range(10, 30), candidates=(p, b), per_clip=4) == [12, 17, 22, 27]
    assert choose_predicted(range(26, 34), candidates=(p, b), per_clip=9) == [26, 27, 28, 29]
    assert choose_predicted(range(30, 34), candidates=(p, b), per_clip=1) == [32]
    assert choose_predicted(range(30, 34), candidates=(p,), per_clip=1) == []


def test_a_near_reference_goes_before_the_middle() -> None:
    p = np.ones(20, bool)
    distance = np.full(20, 4)
    distance[[3, 9, 17]] = 1
    assert choose_predicted(range(20), candidates=(p,), per_clip=1, distance=distance) == [9]
    assert choose_predicted(range(20), candidates=(p,), per_clip=2, distance=distance) == [3, 17]
    assert choose_predicted(range(8), candidates=(p,), per_clip=1, distance=distance) == [3]
    assert choose_predicted(range(4, 9), candidates=(p,), per_clip=1, distance=distance) == [6]


def test_clips_come_in_time_order_and_overlap_freely(footage: Callable[[str], Path]) -> None:
    path = footage("h264_no_b.mp4")
    index, clips = whole(path)
    dense = residuals(reading_of(path, index), clips)
    chosen = [clips[2], clips[0], clips[2]]
    some = residuals(reading_of(path, index), chosen)
    assert some.clip_index.tolist() == [0, 1, 2]
    assert torch.equal(some.values, dense.values[[2, 0, 2]])
    arrived = [clip.index for clip, _ in iter_residuals(reading_of(path, index), chosen)]
    assert arrived == [0, 2, 2]


def test_nothing_predicted_gives_empty_residuals(footage: Callable[[str], Path]) -> None:
    index, clips = whole(footage("hevc.mp4"))
    warnings: list[str] = []
    stats = ReadStats()
    found = residuals(reading_of(footage("hevc.mp4"), index, stats=stats, warnings=warnings), clips)
    assert found.values.shape == (0, 3, 64, 80)
    assert len(warnings) == 1
    assert stats.frames_decoded <= 2
    path = footage("h264_no_b.mp4")
    index = read_packets(path)
    only_key = lay_clip(8, num_frames=1)
    assert residuals(reading_of(path, index), [only_key]).values.shape == (0, 3, 64, 80)
    assert residuals(reading_of(path, index), [], quarter_luma=True).values.shape == (0, 1, 16, 20)


@pytest.mark.parametrize("name", ["h264_long_gop.mp4", "h264_no_b.mp4", "mpeg4.avi", "mpeg4_b.mp4"])
def test_no_frame_is_decoded_twice(footage: Callable[[str], Path], name: str) -> None:
    path = footage(name)
    index, clips = whole(path)
    stats = ReadStats()
    found = residuals(reading_of(path, index, info=probe(path, index), stats=stats), clips)
    assert len(found.values) == len(clips)
    assert stats.frames_decoded <= len(index)


def test_per_clip_must_be_positive(footage: Callable[[str], Path]) -> None:
    path = footage("h264_no_b.mp4")
    with pytest.raises(UsageError, match="at least 1, got 0"):
        residuals(reading_of(path, read_packets(path)), [], per_clip=0)


def test_rotated_files_give_residuals_as_displayed(tmp_path: Path) -> None:
    ground = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    ground = ground.repeat(16, 0).repeat(16, 1)
    # converted once: how swscale rounds depends on where a picture lies in memory
    pictures = []
    for t in range(6):
        picture = np.ascontiguousarray(np.roll(ground, 5 * t, 1))
        pictures.append(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p"))
    found = {}
    for degrees in (0, 90):
        path = tmp_path / f"{degrees}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"bf": "0", "threads": "1"})
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
            stream.set_display_rotation(-degrees)
            for t, picture in enumerate(pictures):
                picture.pts = t
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        found[degrees] = residuals(*known(path)).values
    assert found[90].shape == (1, 3, 160, 96)
    assert torch.equal(found[90], found[0].rot90(-1, (2, 3)))
