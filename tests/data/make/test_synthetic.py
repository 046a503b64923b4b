"""The synthetic set: what it shows is fixed by the seed, and shown only where it says."""

import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from vidskim.data.make import scene, synthetic
from vidskim.data.make.synthetic import (
    CLASSES,
    KINDS,
    MOTIONS,
    PAIRS,
    SHORTEST_SECONDS,
    MotionSpan,
    SyntheticFile,
    make_synthetic,
    make_video,
)
from vidskim.data.manifest import read_manifest
from vidskim.errors import UsageError
from vidskim.video import Video

PINNED = {
    "start": 5.823626806062749,
    "means": [126.2527, 117.1169, 122.3783, 126.7244, 117.7010, 122.4881],
    "weighted": 72907.81,
    "pixels": [149, 144, 137, 143, 130, 138, 128, 136, 100, 119, 125, 124],
    "energy": 7119.8488,
}
"""Of the first version of the set, on which published weights were trained."""


def rng_of(*seed):
    return np.random.default_rng(list(seed))


def frames_of(moments, *, num_frames, seed=(3, 1, 4)):
    return np.stack(list(synthetic._frames(rng_of(*seed), tuple(moments), num_frames)))


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    """Two training videos and three test videos of 15 s, one process."""
    out = tmp_path_factory.mktemp("synthetic")
    made = make_synthetic(out, train=2, test=3, min_seconds=15, max_seconds=15.5, workers=1)
    return made


def test_the_pictures_of_a_seed_stay_what_they_are():
    # The tolerance is for processors that round differently, not for changes.
    moments = synthetic._plan(rng_of(0, 1, 3), CLASSES["circle"], 30.0)
    frames = frames_of([replace(moments[0], start_seconds=0.2)], num_frames=12, seed=(0, 1, 3))
    assert frames.shape == (12, 144, 192, 3)
    assert frames.dtype == np.uint8
    weights = rng_of(0).normal(size=frames.shape)
    assert moments[0].start_seconds == pytest.approx(PINNED["start"], abs=1e-9)
    assert frames.mean((1, 2))[[0, 11]].ravel() == pytest.approx(PINNED["means"], abs=0.02)
    assert (frames * weights).sum() == pytest.approx(PINNED["weighted"], abs=60)
    assert frames[11, 60:84:8, 80:112:8, 0].ravel().tolist() == pytest.approx(
        PINNED["pixels"], abs=2
    )


def test_the_sound_of_a_seed_stays_what_it_is():
    moments = synthetic._plan(rng_of(0, 1, 1), CLASSES["chirp"], 15.0)
    sound = synthetic._sound(rng_of(0, 1, 1), "chirp", moments, 375)
    assert sound.shape == (15 * scene.SAMPLE_RATE,)
    assert float((sound.astype(float) ** 2).sum()) == pytest.approx(PINNED["energy"], rel=1e-4)


def test_a_class_shows_in_its_moments_only():
    moments = [MotionSpan("circle", 0.4, 0.8, 1.0), MotionSpan("circle", 1.2, 1.6, 1.0)]
    quiet = frames_of([], num_frames=50)
    circle = frames_of(moments, num_frames=50)
    bounce = frames_of([replace(m, motion="bounce") for m in moments], num_frames=50)
    seconds = np.arange(50) / scene.FRAME_RATE
    shown = np.zeros(50, dtype=bool)
    for moment in moments:
        shown |= (seconds >= moment.start_seconds) & (seconds < moment.end_seconds)
    for one, other in ((quiet, circle), (quiet, bounce), (circle, bounce)):
        differs = (one != other).any((1, 2, 3))
        assert not differs[~shown].any()
        assert differs[shown].mean() > 0.8  # a motion passes through its rest now and then


@pytest.mark.parametrize("name", MOTIONS)
def test_a_motion_begins_at_rest_and_moves(name):
    begin, later = MOTIONS[name](0.0, 1.0), MOTIONS[name](0.3, 1.0)
    assert (begin.x, begin.y, begin.angle, begin.scale) == pytest.approx((0, 0, 0, 1))
    assert (later.x, later.y, later.angle, later.scale) != pytest.approx((0, 0, 0, 1), abs=0.02)


@pytest.mark.parametrize("seconds", [SHORTEST_SECONDS - 0.04, 30.0])
@pytest.mark.parametrize("kind", KINDS)
def test_moments_lie_in_the_video_and_apart(seconds, kind):
    shortest, longest = KINDS[kind]
    pairs = {str(pair): pair for pairs in PAIRS.values() for pair in pairs}
    for label, motions in (CLASSES if kind == "moments" else pairs).items():
        for seed in range(40):
            moments = synthetic._plan(rng_of(seed), motions, seconds, lasting=KINDS[kind])
            assert len(moments) == 2 if len(motions) > 1 else len(moments) in (2, 3)
            assert moments[0].start_seconds >= 1.0
            assert moments[-1].end_seconds <= seconds - 1.0 + 1e-9
            assert all(shortest <= m.end_seconds - m.start_seconds <= longest for m in moments)
            assert all(b.start_seconds - a.end_seconds >= 3.0 - 1e-9 for a, b in pairwise(moments))
            shown = tuple(m.motion for m in moments)
            assert shown == motions if len(motions) > 1 else set(shown) == set(motions), label


def test_order_classes_differ_in_order_only():
    assert CLASSES["left_then_right"] == CLASSES["right_then_left"][::-1]
    moving = MOTIONS["dart_left"](0.2, 1.0), MOTIONS["dart_right"](0.2, 1.0)
    assert moving[0].x == pytest.approx(-moving[1].x)
    assert moving[0].y == pytest.approx(moving[1].y)


def test_no_clip_and_no_sum_over_clips_tells_pairs():
    motions = sorted({motion for pairs in PAIRS.values() for pair in pairs for motion in pair})
    assert len(motions) == 4
    for pairs in PAIRS.values():
        assert sorted(motion for pair in pairs for motion in pair) == motions
    assert len({frozenset(pair) for pairs in PAIRS.values() for pair in pairs}) == 6
    told = []
    for seed in range(300):  # what a clip of each motion says for each class
        scores = rng_of(seed).normal(size=(len(PAIRS), len(motions)))
        sums = {
            (label, pair): scores[:, [motions.index(motion) for motion in pair]].sum(1)
            for label, pairs in PAIRS.items()
            for pair in pairs
        }
        told.append(sum(list(PAIRS)[s.argmax()] == label for (label, _), s in sums.items()))
    assert max(told) == 4


def test_pairs_take_turns(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(synthetic, "make_video", lambda job: seen.append(job) or ())
    monkeypatch.setattr(
        synthetic,
        "map_in_processes",
        lambda work, jobs, **_: [synthetic.make_video(j) for j in jobs],
    )
    made = make_synthetic(tmp_path, kind="pairs", train=12, test=24)
    assert [row.label for row in read_manifest(made).rows[:4]] == [*PAIRS, "pairs_a"]
    assert (tmp_path / "seed.txt").read_text() == "seed=0 seconds=30.0-40.0 format=1 kind=pairs\n"
    shown = Counter((job.label, job.motions) for job in seen)
    assert all(set(motions) in map(set, PAIRS[label]) for label, motions in shown)
    assert len(shown) == 12  # six pairs, each in both orders
    assert set(shown.values()) == {3}
    assert {job.moment_seconds for job in seen} == {(3.0, 4.0)}


def test_files_and_manifests(small_set):
    videos = read_manifest(small_set)
    moments = read_manifest(small_set.with_name("moments.csv"))
    assert Counter(row.split for row in videos.rows) == {"train": 2, "test": 3}
    names = list(CLASSES)
    assert [row.label for row in videos.rows] == [names[0], names[1], names[0], names[1], names[2]]
    assert len({row.group for row in videos.rows}) == 5
    for row in videos.rows:
        with av.open(str(row.path)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            types = "".join(PictureType(f.pict_type).name for f in container.decode(video))
            assert audio.codec_context.name == "aac"
            codec = video.codec_context.name
        assert 15 <= len(types) / scene.FRAME_RATE <= 15.5
        if codec == "h264":
            assert "B" in types
        else:
            assert codec == "mpeg4"
            assert set(types) == {"I", "P"}
            assert all(kind == "I" for kind in types[::12])
        own = [m for m in moments.rows if m.path == row.path]
        assert len(own) in (2, 3)
        assert {(m.label, m.split, m.group) for m in own} == {(row.label, row.split, row.group)}
        assert all(0 < m.start_seconds < m.end_seconds < len(types) / 25 for m in own)
    assert not list(small_set.parent.rglob(".*"))


def test_no_class_is_told_by_its_codec(tmp_path, monkeypatch):
    codecs = {}
    monkeypatch.setattr(
        synthetic, "write_video", lambda path, _, *, codec, **__: codecs.update({path: codec})
    )
    for label in ("bounce", "knock"):
        for seed in range(12):
            path = str(tmp_path / f"{label}{seed}.mp4")
            job = SyntheticFile(
                path, label, CLASSES[label], (1.5, 2.2), "test", 0, seed, 15.0, 15.5
            )
            synthetic.make_video(job)
        made = {codec for path, codec in codecs.items() if label in path}
        assert made == {"h264", "mpeg4"}, label


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(small_set, tmp_path):
    again = make_synthetic(tmp_path / "a", train=1, test=0, min_seconds=15, max_seconds=15.5)
    other = make_synthetic(
        tmp_path / "b", train=1, test=0, min_seconds=15, max_seconds=15.5, seed=1
    )
    first, same, different = (
        read_manifest(path).rows[0].path.read_bytes() for path in (small_set, again, other)
    )
    assert same == first
    assert different != first


def test_a_long_h264_file_is_byte_equal_every_time(tmp_path):
    """Half a minute with B-frames: here x264's macroblock tree gave different files."""
    content = set()
    for name in "abc":
        path = tmp_path / f"{name}.mp4"
        make_video(
            SyntheticFile(str(path), "sweep", ("sweep",), (1.5, 2.2), "test", 11, 0, 30.0, 40.0)
        )
        content.add(path.read_bytes())
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    assert len(content) == 1


def test_finished_files_are_kept_and_missing_ones_made(small_set):
    paths = [row.path for row in read_manifest(small_set).rows]
    before = {path: path.stat().st_mtime_ns for path in paths}
    text = small_set.with_name("moments.csv").read_text()
    content = paths[1].read_bytes()
    paths[1].unlink()
    make_synthetic(small_set.parent, train=2, test=3, min_seconds=15, max_seconds=15.5, workers=1)
    after = {path: path.stat().st_mtime_ns for path in paths}
    assert {path for path in paths if before[path] != after[path]} == {paths[1]}
    assert paths[1].read_bytes() == content
    assert small_set.with_name("moments.csv").read_text() == text


def test_a_stamp_that_a_full_disk_left_empty_stops_nobody(tmp_path):
    (tmp_path / "seed.txt").touch()
    make_synthetic(tmp_path, train=1, test=0, min_seconds=15, max_seconds=15, workers=1)
    assert (tmp_path / "seed.txt").read_text().startswith("seed=0 seconds=15.0-15.0")


def test_another_set_in_the_same_folder_is_refused(small_set):
    for change in ({"seed": 1}, {"max_seconds": 16}, {"kind": "pairs"}):
        with pytest.raises(UsageError, match=r"seed=0 seconds=15\.0-15\.5.*another folder"):
            make_synthetic(
                small_set.parent, **{"train": 1, "min_seconds": 15, "max_seconds": 15.5} | change
            )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_seconds": 14}, "15 <= min_seconds"),
        ({"min_seconds": 30, "max_seconds": 20}, "got 30 and 20"),
        ({"max_seconds": float("inf")}, "max_seconds"),
        ({"max_seconds": 1e30}, r"max_seconds <= 3600, got 30 and 1e\+30"),
        ({"min_seconds": float("nan")}, "min_seconds"),
        ({"train": 0, "test": 0}, "at least one video"),
        ({"train": -1}, "train=-1"),
        ({"seed": -1}, "seed is -1"),
        ({"kind": "pair"}, "unknown kind of set 'pair': did you mean 'pairs'"),
        ({"workers": 0, "train": 1, "test": 0}, "workers is 0"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        make_synthetic(tmp_path / "set", **arguments)


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot write the set there"):
        make_synthetic(tmp_path / "file", train=1, test=0)


def test_a_killed_run_leaves_whole_files_only(small_set, tmp_path):
    script = (
        "from vidskim.data.make.synthetic import make_synthetic\n"
        f"make_synthetic({str(tmp_path)!r}, train=2, test=3, min_seconds=15, max_seconds=15.5, "
        "workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    first = tmp_path / "train" / "train_0000_bounce.mp4"
    deadline = time.monotonic() + 60
    while not first.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = [p for p in tmp_path.rglob("*.mp4") if not p.name.startswith(".")]
    assert first in finished
    whole = {path.name: path.read_bytes() for path in small_set.parent.rglob("*.mp4")}
    assert all(path.read_bytes() == whole[path.name] for path in finished)
    assert not (tmp_path / "videos.csv").exists()


def test_trimmed_clips_hold_their_moment_and_stay_in_the_file(small_set):
    moments = read_manifest(small_set.with_name("moments.csv")).rows
    trimmed = read_manifest(small_set.with_name("trimmed.csv")).rows
    assert len(moments) == len(trimmed)
    for moment, clip in zip(moments, trimmed):
        assert (clip.path, clip.labels, clip.split) == (moment.path, moment.labels, moment.split)
        assert 0 <= clip.start_seconds <= moment.start_seconds
        duration = Video(clip.path).info.duration_seconds
        assert moment.end_seconds <= clip.end_seconds <= duration + 1e-6
        assert clip.end_seconds - clip.start_seconds >= 3.5
