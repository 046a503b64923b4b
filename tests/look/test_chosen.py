"""A choice under a budget, and other tools that read what was chosen."""

import pickle
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vidskim
from vidskim.clips.grid import split
from vidskim.errors import UsageError
from vidskim.io.write.video import write_video
from vidskim.look.look import Look
from vidskim.look.moments import Budget, select_moments
from vidskim.look.selection import by_score
from vidskim.video import Video


class Given:
    """A saliency that says what it was told to."""

    def __init__(self, scores):
        self.scores = scores

    def __call__(self, video, clips):
        return torch.tensor([self.scores[clip.index % len(self.scores)] for clip in clips])


def chosen_by(scores, video, *, unit="clip", num_frames=16, **budget):
    return select_moments(
        Video(video),
        look_for=lambda k: Look("given", by_score(k), Given(scores)),
        budget=Budget(**budget),
        unit=unit,
        num_frames=num_frames,
    )


SCORES = st.lists(st.one_of(st.just(0.5), st.floats(0, 1)), min_size=1, max_size=19)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scores=SCORES, k=st.integers(1, 400), data=st.data())
def test_frames_keep_every_rule(sample_video, scores, k, data):
    gap = data.draw(st.sampled_from([0.0, 0.04, 0.2, 1.0]))
    cover = data.draw(st.integers(0, min(k, 8)))
    found = chosen_by(scores, sample_video, unit="frame", k=k, min_gap_seconds=gap, cover=cover)
    frames = found.frames
    assert list(frames.indices) == sorted(set(frames.indices)) == found.indices
    assert frames.indices[0] >= 0
    assert frames.indices[-1] < 300
    assert len(frames.indices) == min(k, 300) or (gap > 0.04 and len(frames.indices) < k)
    assert frames.timestamps_seconds == pytest.approx(np.array(frames.indices) / 25)
    assert np.all(np.diff(frames.timestamps_seconds) >= gap - 1e-5)
    parts = {int(time / 12 * cover) for time in frames.timestamps_seconds}
    assert parts >= set(range(cover))
    for clip, index in ((c.clip, i) for c in found.clips for i in [c.clip.index]):
        assert found.saliency[index] == pytest.approx(scores[index % len(scores)])
        assert any(clip.start_frame <= n for n in frames.indices)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scores=SCORES, seconds=st.floats(0.7, 14.0), data=st.data())
def test_clips_keep_every_rule(sample_video, scores, seconds, data):
    gap = data.draw(st.sampled_from([0.0, 0.64, 2.0]))
    found = chosen_by(scores, sample_video, seconds=seconds, min_gap_seconds=gap)
    clips = [c.clip for c in found.clips]
    assert sum(c.end_seconds - c.start_seconds for c in clips) <= seconds + 1e-5
    assert all(b.start_seconds - a.end_seconds >= gap - 1e-5 for a, b in pairwise(clips))
    if gap == 0:
        assert len(clips) >= min(19, int(seconds / 0.64 + 1e-9))
    assert found.indices == sorted({n for c in clips for n in c.frame_indices})


def test_more_frames_than_clips_come_from_the_better_half(sample_video):
    scores = [0.1] * 19
    scores[4] = scores[5] = 0.9
    found = chosen_by(scores, sample_video, unit="frame", k=20)
    in_best = [n for n in found.frames.indices if 64 <= n < 96]
    assert len(in_best) == 4  # of ten clips, two frames each
    few = chosen_by(scores, sample_video, unit="frame", k=2)
    assert few.frames.indices == (64 + 7, 80 + 7)
    assert few.frames.scores == pytest.approx((0.9, 0.9))
    assert [c.clip.index for c in few.clips] == [4, 5]


def test_a_share_is_of_the_video(sample_video):
    assert len(vidskim.select(sample_video, budget_share=0.1, unit="frame").indices) == 30
    found = vidskim.select(sample_video, budget_share=0.25, method="packets")
    assert sum(c.clip.end_seconds - c.clip.start_seconds for c in found.clips) <= 3.0
    assert len(found.clips) == 4
    assert len(vidskim.select(sample_video, budget_share=1.0, method="uniform").clips) == 19
    assert len(vidskim.select(sample_video, budget_seconds=2.0, method="random").clips) == 3


def test_one_clip_and_fewer_clips_than_asked_for(tmp_path):
    path = tmp_path / "short.mp4"
    rng = np.random.default_rng(0)
    write_video(path, [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(5)])
    found = vidskim.select(path, method="packets", k=10, cover=4)
    assert [c.clip.num_valid for c in found.clips] == [5]
    assert found.indices == [0, 1, 2, 3, 4]
    assert vidskim.select(path, k=10, unit="frame", cover=5).indices == [0, 1, 2, 3, 4]
    assert vidskim.select(path, k=2, unit="frame", min_gap_seconds=1.0).indices == [2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 3, "budget_seconds": 2.0}, "not several"),
        ({"budget_seconds": -1.0}, "above 0"),
        ({"budget_share": 1.5}, r"\(0, 1\]"),
        ({"budget_share": 0.0}, r"\(0, 1\]"),
        ({"budget_seconds": 2.0, "unit": "frame"}, "frames have no length"),
        ({"k": 3, "cover": 4}, "cannot be covered"),
        ({"min_gap_seconds": -0.5}, "at least 0"),
        ({"method": "uniform", "min_gap_seconds": 1.0}, "scores nothing"),
        ({"method": "random", "cover": 2}, "scores nothing"),
        ({"method": "dense", "budget_share": 0.5}, "takes every clip"),
        ({"budget_seconds": 0.1}, "holds not one clip"),
        ({"cover": 4, "min_gap_seconds": 8.0}, "leaves no room"),
    ],
)
def test_impossible_budgets_are_refused(sample_video, arguments, words):
    with pytest.raises(UsageError, match=words):
        vidskim.select(sample_video, **arguments)


@pytest.fixture(scope="module")
def files(tmp_path_factory, sample_video):
    """One video in containers whose headers tell its number of frames, and one that does not."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(60)]
    for name in ("video.mp4", "video.mkv"):
        write_video(folder / name, pictures)
    write_video(folder / "other.mp4", pictures[:50])
    return folder


def by_plain_decode(path, indices):
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return np.stack([frames[n] for n in indices])


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv"])
@pytest.mark.parametrize("unit", ["frame", "clip"])
def test_hugging_face_reads_the_chosen_frames(files, name, unit):
    load_video = pytest.importorskip("transformers.video_utils").load_video
    found = vidskim.select(files / name, method="packets", k=3, unit=unit)
    frames, metadata = load_video(
        str(files / name), backend="pyav", sample_indices_fn=found.as_sample_indices_fn()
    )
    assert np.array_equal(np.asarray(frames), by_plain_decode(files / name, found.indices))
    assert list(metadata.frames_indices) == found.indices


def test_the_callable_by_its_contract(files):
    found = vidskim.select(files / "video.mp4", method="motion", k=7, unit="frame")
    choose = pickle.loads(pickle.dumps(found.as_sample_indices_fn()))  # workers are sent it
    for metadata in ({"total_num_frames": 60}, {"total_num_frames": 0}, {}, object()):
        indices = choose(metadata=metadata, num_frames=3, fps=None, device="cpu")
        assert isinstance(indices, np.ndarray)
        assert indices.dtype == np.int64
        assert indices.tolist() == found.indices == sorted(set(found.indices))
    with pytest.raises(UsageError, match=r"with 60 frames, the video at hand has 50"):
        choose({"total_num_frames": 50})


def test_hugging_face_is_refused_another_video(files):
    load_video = pytest.importorskip("transformers.video_utils").load_video
    found = vidskim.select(files / "video.mp4", k=3, unit="frame")
    with pytest.raises(UsageError, match="select from that one"):
        load_video(str(files / "other.mp4"), sample_indices_fn=found.as_sample_indices_fn())


def test_a_header_that_lies_is_no_other_video(files, monkeypatch):
    """The index of an AVI file may count empty slots: readers that trust it see too many frames."""
    found = vidskim.select(files / "video.mp4", k=3, unit="frame").as_sample_indices_fn()
    monkeypatch.setattr("vidskim.look.moments.SampleIndices._declared", lambda self: 72)
    assert len(found({"total_num_frames": 72})) == 3
    with pytest.raises(UsageError, match="has 73"):
        found({"total_num_frames": 73})


def test_torchcodec_reads_the_chosen_frames(files):
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"needs a torchcodec that fits torch: {str(error).splitlines()[0]}")
    found = vidskim.select(files / "video.mp4", method="packets", k=9, unit="frame")
    decoder = VideoDecoder(str(files / "video.mp4"))
    batch = decoder.get_frames_at(indices=found.indices)
    assert batch.pts_seconds.tolist() == pytest.approx(list(found.frames.timestamps_seconds))
    expected = by_plain_decode(files / "video.mp4", found.indices)
    difference = batch.data.permute(0, 2, 3, 1).numpy().astype(int) - expected
    assert np.abs(difference).mean() < 1.5  # another conversion from YUV to RGB


def test_indices_are_what_torchcodec_takes(files):
    """``get_frames_at(indices: torch.Tensor | list[int])``, each in [0, number of frames)."""
    for unit in ("clip", "frame"):
        indices = vidskim.select(files / "video.mp4", k=4, unit=unit).indices
        assert isinstance(indices, list)
        assert all(type(n) is int and 0 <= n < 60 for n in indices)


def test_the_saliency_of_clips_is_told_with_frames(sample_video):
    found = vidskim.select(sample_video, method="packets", k=4, unit="frame")
    video = Video(sample_video)
    times = video.timestamps_seconds.tolist()
    grid = split(times, num_frames=16, end_seconds=video.packets.end_seconds)
    assert len(found.saliency) == len(grid)
    for number, score in zip(found.frames.indices, found.frames.scores):
        assert score == found.saliency[min(number // 16, len(grid) - 1)]
