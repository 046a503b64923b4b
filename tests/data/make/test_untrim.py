"""Composed sets: what the manifests say is what the files show, and no source crosses a split."""

import hashlib
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import av
import numpy as np
import pytest

from vidskim.cli import main
from vidskim.data.make.compose import Form
from vidskim.data.make.untrim import _claim, make_untrimmed
from vidskim.data.manifest import Row, read_manifest, write_manifest
from vidskim.errors import ManifestError, UsageError
from vidskim.io.packets import read_packets
from vidskim.io.write.video import write_video

FORM = Form(4.0, 6.0, 0.15, 0.3)
BACKGROUND = ("still", "walk")
CLASSES = ("fall", "jump")
VOP = b"\0\0\1\xb6"
"""Opens a picture of MPEG-4 Part 2."""


def _write_clip(path: Path, *, seed: int, num_frames: int, **options) -> None:
    """Write 64x48 pixels at 25 frames a second; no two clips and no two frames look alike."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 256, (6, 8 + num_frames, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    frames = [np.ascontiguousarray(ground[:, 4 * t : 4 * t + 64]) for t in range(num_frames)]
    settings = {"codec": "mpeg4", "options": {"g": "12", "bf": "0", "q": "4"}} | options
    write_video(path, frames, **settings)


def _write_source(folder: Path) -> Path:
    """Write four classes in two splits, two clips of each source, and their manifest."""
    rows = []
    seed = 0
    for split in ("train", "test"):
        for label in (*CLASSES, *BACKGROUND):
            for place in range(4 if label in CLASSES else 6):
                seed += 1
                path = folder / label / f"{split}_{place}.avi"
                _write_clip(path, seed=seed, num_frames=9 + 2 * (seed % 5))
                group = f"{split} {label} {place // 2}"
                rows.append(Row(path, (label,), split=split, group=group))
    write_manifest(rows, folder / "labels.csv")
    return folder / "labels.csv"


def _make(source: Path, out: Path, **changes):
    arguments = {
        "background": BACKGROUND,
        "form": FORM,
        "videos": {"train": 6, "test": 3},
        "workers": 1,
    }
    return make_untrimmed(source, out, **arguments | changes)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the trimmed clips; never written to."""
    return _write_source(tmp_path_factory.mktemp("trimmed"))


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set; never written to."""
    out = tmp_path_factory.mktemp("untrimmed") / "set"
    result = _make(source, out)
    assert result.notes == ()
    assert result.num_videos == 9
    assert result.manifest == out / "videos.csv"
    return out


def _rows(out: Path, name: str) -> tuple[Row, ...]:
    return read_manifest(out / f"{name}.csv").rows


def _contents(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def _pictures(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def _check_set(source: Path, out: Path, *, form: Form, rate: float) -> None:
    """Hold every video against the manifests and against the frames of the clips."""
    clips = {}
    for row in read_manifest(source).rows:
        for number, picture in enumerate(pictures := _pictures(row.path)):
            clips.setdefault(hashlib.sha256(picture).digest(), []).append(
                (row, number, len(pictures))
            )
    moments = _rows(out, "moments")
    parts = _rows(out, "parts")
    for video in _rows(out, "videos"):
        index = read_packets(video.path)
        pictures = _pictures(video.path)
        np.testing.assert_allclose(
            index.timestamps_seconds, np.arange(len(pictures)) / rate, atol=1e-6
        )
        shown = [part for part in parts if part.path == video.path]
        edges = [part.start_seconds for part in shown] + [shown[-1].end_seconds]
        assert edges == [0.0] + [part.end_seconds for part in shown]
        for part in shown:
            first, last = round(part.start_seconds * rate), round(part.end_seconds * rate)
            for number, picture in enumerate(pictures[first:last]):
                known = clips[hashlib.sha256(picture).digest()]
                assert any(
                    (row.label, row.split, row.group) == (part.label, video.split, part.group)
                    and (at, length) == (number, last - first)
                    for row, at, length in known
                )
        assert edges[-1] == pytest.approx(len(pictures) / rate, abs=1e-5)
        own = [m for m in moments if m.path == video.path]
        assert {m.label for m in own} == {video.label}
        runs = [list(g) for key, g in groupby(shown, key=lambda p: p.label) if key == video.label]
        assert [(m.start_seconds, m.end_seconds) for m in own] == [
            (run[0].start_seconds, run[-1].end_seconds) for run in runs
        ]
        seconds = sum(m.end_seconds - m.start_seconds for m in own)
        assert form.min_seconds - 1e-5 <= edges[-1] <= form.max_seconds + 1e-5
        assert form.min_share - 1e-5 <= seconds / edges[-1] <= form.max_share + 1e-5
        targets = {p.group for p in shown if p.label == video.label}
        assert not targets & {p.group for p in shown if p.label != video.label}
    sides = {(part.group, part.split) for part in parts}
    assert len(sides) == len({group for group, _ in sides})


def test_the_files_show_what_the_manifests_say(source, made):
    _check_set(source, made, form=FORM, rate=25.0)
    for row in _rows(made, "videos"):
        assert row.label in CLASSES
        assert row.path.parent.name == row.split


def test_classes_take_turns(made):
    for split in ("train", "test"):
        labels = [row.label for row in _rows(made, "videos") if row.split == split]
        assert labels == [CLASSES[n % 2] for n in range(len(labels))]


def test_trimmed_clips_are_the_sources_of_the_classes(source, made):
    expected = [row for row in read_manifest(source).rows if row.label in CLASSES]
    found = _rows(made, "trimmed")
    assert [(r.path.resolve(), r.label, r.split, r.group) for r in found] == [
        (r.path.resolve(), r.label, r.split, r.group) for r in expected
    ]


def test_the_same_seed_gives_the_same_bytes_with_any_workers(source, made, tmp_path):
    _make(source, tmp_path / "set", workers=2)
    assert _contents(tmp_path / "set") == _contents(made)


def test_a_longer_set_begins_with_the_shorter_one(source, made, tmp_path):
    _make(source, tmp_path / "set", videos={"train": 7, "test": 0})
    longer, shorter = _contents(tmp_path / "set"), _contents(made)
    for name in shorter:
        if name.startswith("train/"):
            assert longer[name] == shorter[name]
    assert not any(name.startswith("test/") for name in longer)


def test_another_seed_gives_other_videos(source, made, tmp_path):
    _make(source, tmp_path / "set", seed=1)
    here, there = _contents(made), _contents(tmp_path / "set")
    videos = [name for name in here if name.endswith(".mp4")]
    assert all(here[name] != there[name] for name in videos)
    _check_set(source, tmp_path / "set", form=FORM, rate=25.0)


def test_chosen_classes_only(source, tmp_path):
    _make(source, tmp_path, classes=["jump"], background=["walk", "still", "fall"])
    assert {row.label for row in _rows(tmp_path, "videos")} == {"jump"}
    assert {row.label for row in _rows(tmp_path, "trimmed")} == {"jump"}
    assert {row.label for row in _rows(tmp_path, "parts")} == {"jump", "walk", "still", "fall"}


def test_a_run_goes_on_where_it_stopped(source, made, tmp_path):
    _make(source, tmp_path / "set")
    videos = sorted((tmp_path / "set").rglob("*.mp4"))
    before = {path: path.stat().st_mtime_ns for path in videos}
    videos[2].unlink()
    videos[4].write_bytes(videos[3].read_bytes())  # a file of another length is no result
    (tmp_path / "set" / "videos.csv").unlink()
    _make(source, tmp_path / "set")
    assert _contents(tmp_path / "set") == _contents(made)
    after = {path: path.stat().st_mtime_ns for path in videos}
    assert {path for path in videos if before[path] != after[path]} == {videos[2], videos[4]}


def test_a_killed_run_leaves_whole_files_only(source, made, tmp_path):
    script = (
        "from vidskim.data.make.compose import Form\n"
        "from vidskim.data.make.untrim import make_untrimmed\n"
        f"make_untrimmed({str(source)!r}, {str(tmp_path / 'set')!r}, background={BACKGROUND!r}, "
        f"form={FORM!r}, videos={{'train': 6, 'test': 400}}, workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(tmp_path.glob("set/test/test_*.mp4"))) > 2:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = _contents(made)
    found = [path for path in tmp_path.rglob("*.mp4") if not path.name.startswith(".")]
    assert len(found) > 6
    known = [path for path in found if path.relative_to(tmp_path / "set").as_posix() in whole]
    for path in known:
        name = path.relative_to(tmp_path / "set").as_posix()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == whole[name]
    assert not (tmp_path / "set" / "videos.csv").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"form": replace(FORM, max_seconds=7.0)},
        {"form": replace(FORM, max_share=0.35)},
        {"classes": ["jump"]},
        {"background": ["walk"]},
    ],
)
def test_another_set_in_the_same_folder_is_refused(source, made, change):
    before = _contents(made)
    with pytest.raises(UsageError, match=r"holds a set made with seed=0 .*another folder"):
        _make(source, made, **change)
    assert _contents(made) == before


def test_other_clips_in_the_same_folder_are_refused(source, made, tmp_path):
    rows = read_manifest(source).rows
    write_manifest(rows[1:], tmp_path / "fewer.csv")
    with pytest.raises(UsageError, match=r"holds a set made with .*clips="):
        _make(tmp_path / "fewer.csv", made)


def _changed(source: Path, tmp_path: Path, change) -> Path:
    write_manifest([change(row) for row in read_manifest(source).rows], tmp_path / "changed.csv")
    return tmp_path / "changed.csv"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda row: replace(row, group="film" if row.path.stem.endswith("_0") else row.group),
            r"source group 'film' stands in splits 'train' and 'test'; put it on one side",
        ),
        (lambda row: replace(row, split=None, group=None), r"train_0\.avi is in no split"),
        (lambda row: replace(row, start_seconds=0.1), r"train_0\.avi is a part of a file"),
        (lambda row: replace(row, labels=(*row.labels, "x")), r"train_0\.avi has several labels"),
        (
            lambda row: replace(row, split="train", group=None) if row.label == "fall" else row,
            r"no clip of 'fall' is in split 'test'",
        ),
    ],
)
def test_manifests_that_are_refused(source, tmp_path, change, message):
    with pytest.raises(ManifestError, match=message):
        _make(_changed(source, tmp_path, change), tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"background": []}, "at least one background"),
        ({"background": ["wlak"]}, "did you mean 'walk'"),
        ({"classes": ["jmup"]}, "did you mean 'jump'"),
        ({"classes": ["jump", "walk"]}, "'walk' is a class of the videos and a background"),
        ({"background": [*CLASSES, *BACKGROUND]}, "leave at least one"),
        ({"videos": {"train": 0, "test": 0}}, "no videos asked for"),
        ({"videos": {"train": -1}}, "train is -1"),
        ({"videos": {"tset": 1}}, "did you mean 'test'"),
        ({"videos": {"val": 1}}, "is in split 'val'"),
        ({"seed": -1}, "seed is -1"),
        ({"workers": 0}, "workers is 0"),
        ({"form": Form(20.0, 60.0, 0.2, 0.3)}, r"'fall' in split 'train': .* no video of 20 to 60"),
    ],
)
def test_bad_arguments(source, tmp_path, change, message):
    with pytest.raises((UsageError, ManifestError), match=message):
        _make(source, tmp_path / "set", **change)
    assert not (tmp_path / "set").exists()


def test_a_file_where_the_folder_should_be(source, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot write the set there"):
        _make(source, tmp_path / "file")


def test_clips_that_cannot_be_used_are_left_out_and_named(tmp_path):
    source = _write_source(tmp_path / "clips")
    paths = {row.path.relative_to(tmp_path / "clips").as_posix(): row.path for row in _all(source)}
    paths["walk/train_0.avi"].unlink()
    pictures = paths["still/test_1.avi"].read_bytes().split(VOP)
    paths["still/test_1.avi"].write_bytes(VOP.join(pictures[:3]))
    _write_clip(paths["jump/train_1.avi"], seed=1, num_frames=11, frame_rate=30)
    lonely = {paths[n] for n in ("walk/train_0.avi", "still/test_1.avi", "jump/train_1.avi")}
    result = _make(source, tmp_path / "set")
    failed, unlike = result.notes
    assert "2 clips are left out" in failed
    assert "train_0.avi: does not exist" in failed
    assert "test_1.avi: is not whole" in failed
    assert "1 clips are left out because they cannot be joined to the 37 clips of mpeg4" in unlike
    assert "jump/train_1.avi" in unlike
    assert not lonely & {row.path for row in _rows(tmp_path / "set", "trimmed")}


def _all(source: Path) -> tuple[Row, ...]:
    return read_manifest(source).rows


def test_a_class_of_which_nothing_can_be_joined(tmp_path):
    source = _write_source(tmp_path / "clips")
    for row in _all(source):
        if row.label == "jump" and row.split == "test":
            row.path.write_bytes(b"no video")
    with pytest.raises(UsageError, match=r"'jump' in split 'test': no clip .* \(4 clips are left"):
        _make(source, tmp_path / "set")


def test_no_clip_that_can_be_joined(source, tmp_path):
    rows = [replace(row, path=tmp_path / row.path.name) for row in _all(source)]
    rows = [replace(row, path=tmp_path / f"{n}.avi") for n, row in enumerate(rows)]
    write_manifest(rows, tmp_path / "gone.csv")
    with pytest.raises(ManifestError, match=r"none of 40 clips can be joined.*0\.avi: does not"):
        _make(tmp_path / "gone.csv", tmp_path / "set")


def test_sound_is_copied_where_all_have_it_and_told_where_not(tmp_path):
    source = _write_source(tmp_path / "clips")
    tone = np.sin(np.arange(12000)).astype(np.float32) / 4
    for number, row in enumerate(_all(source)):
        _write_clip(row.path, seed=number, num_frames=9 + 2 * (number % 5), audio=tone[:9600])
    assert _make(source, tmp_path / "loud").notes == ()
    for row in _rows(tmp_path / "loud", "videos"):
        with av.open(str(row.path)) as container:
            length = sum(f.samples for f in container.decode(audio=0)) / 16000
            assert length > 0.5 * len(read_packets(row.path)) / 25
    _write_clip(_all(source)[0].path, seed=0, num_frames=11)
    (note,) = _make(source, tmp_path / "mixed").notes
    assert "39 of 40 clips have sound, in 1 forms" in note


def test_the_command(source, made, tmp_path, capsys):
    words = [
        *("data", "untrim", str(source), str(tmp_path / "set"), "--background", "still, walk"),
        *("--train", "6", "--test", "3", "--min_seconds", "4", "--max-seconds", "6"),
        *("--min-share", "0.15", "--max_share", "0.3", "--workers", "1"),
    ]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("9 videos, ")
    assert "videos.csv" in shown.out
    assert shown.err == ""
    assert _contents(tmp_path / "set") == _contents(made)
    assert main([*words, "--classes", "jmup"]) == 2
    assert "did you mean 'jump'" in capsys.readouterr().err


def test_a_set_can_be_composed_of_h264_of_one_encoder(tmp_path):
    source = _write_source(tmp_path / "clips")
    rows = []
    for number, row in enumerate(_all(source)):
        path = row.path.with_suffix(".mp4")
        _write_clip(path, seed=number, num_frames=11, codec="h264", options={"g": "30"})
        rows.append(replace(row, path=path))
    write_manifest(rows, tmp_path / "h264.csv")
    assert _make(tmp_path / "h264.csv", tmp_path / "set").notes == ()
    _check_set(tmp_path / "h264.csv", tmp_path / "set", form=FORM, rate=25.0)


@pytest.mark.data
@pytest.mark.parametrize("classes", [None, "pullup golf shoot_bow clap pour"])
def test_real_clips(data_folder, tmp_path, classes):
    rows = read_manifest(data_folder / "jhmdb21" / "labels.csv").rows[::2]
    write_manifest(rows, tmp_path / "half.csv")
    chosen = sorted({row.label for row in rows} - {"walk", "stand", "sit"})
    if classes is not None:
        chosen = classes.split()
    result = make_untrimmed(
        tmp_path / "half.csv",
        tmp_path / "set",
        background=["walk", "stand", "sit"],
        classes=None if classes is None else chosen,
        videos={"train": 3, "test": len(chosen)},
        workers=1,
    )
    assert result.notes == ()
    tested = [row.label for row in _rows(tmp_path / "set", "videos") if row.split == "test"]
    assert tested == chosen
    _check_set(tmp_path / "half.csv", tmp_path / "set", form=Form(), rate=30.0)


def test_a_folder_knows_its_set_again_whatever_classes_are_called(tmp_path):
    for _ in range(2):
        _claim(tmp_path, "seed=0 classes=a\rb,\x1b[2J\n")
    with pytest.raises(UsageError, match="made with") as refused:
        _claim(tmp_path, "seed=1\n")
    assert "\x1b" not in str(refused.value)
