import json

import av
import numpy as np
import pytest

import vidskim
from tinynets import CLASSES, tiny_classifier, tiny_sampler
from vidskim import Recognizer, Video, presets, save_backbone
from vidskim.api import make_recognizer
from vidskim.errors import CheckpointError, UsageError, VideoError
from vidskim.io.write.video import write_video
from vidskim.look.open import open_sampler
from vidskim.look.reel import write_reel


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    save_backbone(tiny_classifier(), folder / "classifier.safetensors")
    save_backbone(tiny_sampler(), folder / "sampler.safetensors", metadata={"map_size": [4, 6]})
    return folder


@pytest.mark.parametrize("method", presets.SELECTED)
def test_one_call_equals_a_recognizer_made_by_hand(sample_video, checkpoints, method):
    sampler = str(checkpoints / "sampler.safetensors") if method in presets.TRAINED else None
    answer = vidskim.recognize(
        sample_video,
        method=method,
        model=str(checkpoints / "classifier.safetensors"),
        k=None if method == "dense" else 3,
        sampler=sampler,
    )
    look = presets.look(method, k=3, saliency=lambda: open_sampler(sampler))
    other = Recognizer(tiny_classifier(), look=look)(sample_video)
    assert answer.predictions == other.predictions
    assert answer.clips == other.clips
    assert answer.saliency == other.saliency
    assert answer.method == method
    assert answer.cost.macs == other.cost.macs


def test_the_json_of_an_answer_has_every_key_of_the_contract(sample_video, checkpoints):
    model = str(checkpoints / "classifier.safetensors")
    found = vidskim.recognize(sample_video, method="packets", model=model, k=3).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found.keys() >= {
        *("video", "method", "model", "predictions", "clips", "saliency", "cost", "warnings")
    }
    assert found["video"].keys() >= {
        *("path", "duration_seconds", "num_frames", "frame_rate", "width", "height", "codec"),
        "has_audio",
    }
    assert found["video"]["frame_rate"] == "25/1"
    assert found["video"]["has_audio"] is True
    assert {p["label"] for p in found["predictions"]} == set(CLASSES)
    scores = [p["score"] for p in found["predictions"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-5)
    grid = Video(sample_video).clips(num_frames=8)
    assert len(found["saliency"]) == len(grid)
    assert [c["index"] for c in found["clips"]] == sorted(c["index"] for c in found["clips"])
    for clip in found["clips"]:
        assert clip.keys() >= {
            *("index", "start_seconds", "end_seconds", "start_frame", "saliency", "encoder")
        }
        assert clip["start_frame"] == 8 * clip["index"]
        assert clip["start_seconds"] == pytest.approx(clip["start_frame"] / 25)
        assert clip["end_seconds"] == pytest.approx(clip["start_seconds"] + 8 / 25)
        assert clip["saliency"] == found["saliency"][clip["index"]]
        assert clip["encoder"] == "r3d_18"
    assert found["cost"].keys() >= {
        *("macs", "dense_macs", "look_macs", "frames_decoded", "bytes_read", "seconds"),
        "peak_bytes",
    }
    assert found["cost"]["seconds"].keys() == {"look", "read", "encode", "aggregate", "total"}


def test_clips_are_chosen_as_a_look_chooses_them(sample_video):
    found = vidskim.select(sample_video, method="packets", k=4)
    choice = presets.packets(k=4)(Video(sample_video), num_frames=16, stride=1)
    assert tuple(c.clip for c in found.clips) == choice.clips
    assert found.frames is None
    assert "frames" not in found.to_json()
    assert found.to_json().keys() >= {"video", "clips"}


@pytest.mark.parametrize("method", ["uniform", "random", "packets", "motion"])
@pytest.mark.parametrize(("k", "expected"), [(1, 1), (7, 7), (100, 100), (299, 299), (1000, 300)])
def test_as_many_frames_as_were_asked_for(sample_video, method, k, expected):
    video = vidskim.select(sample_video, method=method, k=k, unit="frame").to_json()
    frames = video["frames"]
    assert len(frames["indices"]) == expected
    assert frames["indices"] == sorted(set(frames["indices"]))
    assert 0 <= frames["indices"][0] <= frames["indices"][-1] < 300
    assert frames["timestamps_seconds"] == pytest.approx(np.array(frames["indices"]) / 25)
    assert len(frames["scores"]) == expected
    assert all((s is None) == (method in ("uniform", "random")) for s in frames["scores"])


def test_a_frame_is_the_middle_of_its_clip(sample_video):
    found = vidskim.select(sample_video, method="uniform", k=3, unit="frame")
    assert found.frames is not None
    assert found.frames.indices == tuple(c.clip.start_frame + 7 for c in found.clips)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"unit": "frme"}, "did you mean 'frame'"),
        ({"method": "dense", "k": 0, "unit": "frame"}, "at least 1"),
        ({"num_frames": 0}, "between 1 and 4096"),
        ({"unit": "frame", "stride": -1}, "between 1 and 4096"),
        ({"method": "motion", "sampler": "x.safetensors"}, "takes no sampler"),
        ({"method": "motoin"}, "did you mean 'motion'"),
    ],
)
def test_wrong_arguments_of_select_are_refused(sample_video, arguments, words):
    with pytest.raises(UsageError, match=words):
        vidskim.select(sample_video, **arguments)


def test_the_file_is_looked_at_before_weights_are_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    with pytest.raises(VideoError, match="does not exist"):
        vidskim.recognize(tmp_path / "missing.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("no video\n" * 99)
    with pytest.raises(VideoError, match=r"text\.mp4"):
        vidskim.recognize(text)


def test_a_recognizer_for_many_videos(checkpoints, sample_video):
    recognizer = make_recognizer(
        method="uniform", model=str(checkpoints / "classifier.safetensors"), k=2
    )
    assert recognizer(sample_video).predictions == recognizer(sample_video).predictions
    with pytest.raises(CheckpointError, match="no such file"):
        make_recognizer(method="scsampler", model="r3d_18", sampler="missing.safetensors")


def decoded(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_a_reel_shows_the_chosen_clips(sample_video, tmp_path):
    found = vidskim.select(sample_video, method="uniform", k=2)
    clips = [c.clip for c in found.clips]
    write_reel(sample_video, clips, tmp_path / "reels" / "reel.mkv", widen_seconds=0)
    shown = decoded(tmp_path / "reels" / "reel.mkv").astype(float)
    source = decoded(sample_video).astype(float)
    expected = source[[n for clip in clips for n in range(clip.start_frame, clip.stop_frame)]]
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 8
    assert Video(tmp_path / "reels" / "reel.mkv").info.frame_rate == 25


def write_lossless(path, *, height, width):
    """Write eight frames of any size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv444p"
        for shade in range(8):
            image = np.full((height, width, 3), 30 * shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def test_a_reel_of_odd_size_loses_a_row_and_a_column(tmp_path):
    write_lossless(tmp_path / "odd.mkv", height=95, width=127)
    write_reel(tmp_path / "odd.mkv", Video(tmp_path / "odd.mkv").clips(), tmp_path / "reel.mp4")
    assert decoded(tmp_path / "reel.mp4").shape == (8, 94, 126, 3)


def test_one_pixel_a_side_makes_no_reel(tmp_path, sample_video, monkeypatch):
    class Thin:
        def __call__(self, frame):
            return np.zeros((40, 1, 3), np.uint8)

    monkeypatch.setattr("vidskim.io.write.stretches.RgbConverter", Thin)
    clips = Video(sample_video).clips()[:1]
    with pytest.raises(VideoError, match="one pixel a side make no reel"):
        write_reel(sample_video, clips, tmp_path / "reel.webm")
    assert not list(tmp_path.iterdir())


def test_a_reel_never_replaces_its_source_or_surprises(sample_video, tmp_path):
    clips = Video(sample_video).clips()[:1]
    before = sample_video.read_bytes()
    with pytest.raises(UsageError, match="is the video itself"):
        write_reel(sample_video, clips, sample_video.parent / "." / sample_video.name)
    link = tmp_path / "link.mp4"
    link.symlink_to(sample_video)
    with pytest.raises(UsageError, match="is the video itself"):
        write_reel(sample_video, clips, link)
    assert sample_video.read_bytes() == before
    with pytest.raises(UsageError, match=r"ends in one of \.mp4"):
        write_reel(sample_video, clips, tmp_path / "reel.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_reel(sample_video, clips, tmp_path / "file" / "reel.mp4")


def test_a_short_clip_in_a_reel_is_not_padded(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, [np.full((32, 32, 3), 9 * n, np.uint8) for n in range(10)])
    write_reel(path, Video(path).clips(num_frames=16), tmp_path / "reel.mp4")
    assert len(decoded(tmp_path / "reel.mp4")) == 10
