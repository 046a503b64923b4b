"""What training reads: equal to a plain reading, kept while it holds, never wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tinyset import write_tiny_set, write_tiny_video
from vidskim.clips.transform import Transform
from vidskim.data.cache import frames as module
from vidskim.data.cache.frames import frame_store
from vidskim.data.manifest import Row, read_manifest
from vidskim.errors import ManifestError, UsageError
from vidskim.video import Video

TRANSFORM = Transform(short_side=24, crop=(24, 24))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return read_manifest(write_tiny_set(tmp_path_factory.mktemp("tiny"), train=4, test=0))


@pytest.fixture
def count_reads(monkeypatch):
    """The rows that are read from video, as they are."""
    read = []
    attempt = module._attempt

    def counted(function, row):
        read.append(row)
        return attempt(function, row)

    monkeypatch.setattr(module, "_attempt", counted)
    return read


def all_frames(path: Path) -> torch.Tensor:
    """Every frame, uint8 ``[F, 3, H, W]``, by the public reader in one piece."""
    video = Video(path)
    return video.frames(video.clips(num_frames=len(video.timestamps_seconds)))[0]


def test_frames_equal_the_transform_of_the_same_frames(manifest, tmp_path):
    stored = frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path)
    assert stored.rows == manifest.rows
    for n, row in enumerate(manifest.rows):
        frames = torch.from_numpy(stored[n].copy())
        assert frames.shape == (40, 3, 24, 32)
        source = all_frames(row.path)
        assert torch.equal(TRANSFORM(frames[None]), TRANSFORM(source[None]))


def test_frames_without_resizing_are_untouched(manifest, tmp_path):
    plain = Transform(short_side=48, crop=(48, 48))
    stored = frame_store(manifest.rows[:1], transform=plain, folder=tmp_path)
    assert np.array_equal(stored[0], all_frames(manifest.rows[0].path).numpy())


@pytest.mark.parametrize(
    ("start", "end", "first", "stop"),
    [
        (None, None, 0, 40),
        (0.4, 0.8, 10, 20),  # half-open: frame 20 is shown from 0.8 s
        (0.41, 0.79, 11, 20),
        (None, 0.2, 0, 5),
        (1.2, None, 30, 40),
        (0.5, 0.51, 13, 14),  # between two frames: the next one
        (1.0, 99.0, 25, 40),
    ],
)
def test_seconds_select_exact_frames(manifest, tmp_path, start, end, first, stop):
    path = manifest.rows[0].path
    row = Row(path, ("left",), start_seconds=start, end_seconds=end)
    plain = Transform(short_side=48, crop=(48, 48))
    stored = frame_store([row], transform=plain, folder=tmp_path)
    assert np.array_equal(stored[0], all_frames(path)[first:stop].numpy())


def test_a_store_is_read_once(manifest, tmp_path, count_reads):
    first = frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path)
    assert len(count_reads) == 4
    second = frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path)
    assert len(count_reads) == 4
    assert np.array_equal(first.flat, second.flat)
    assert first.shapes == second.shapes


def test_another_setting_or_row_is_another_store(manifest, tmp_path, count_reads):
    frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path)
    other = frame_store(manifest.rows, transform=Transform(short_side=30), folder=tmp_path)
    assert other[0].shape[2:] == (30, 40)
    assert len(frame_store(manifest.rows[:2], transform=TRANSFORM, folder=tmp_path)) == 2
    assert len(count_reads) == 4 + 4 + 2


def test_a_changed_file_is_read_again(tmp_path, count_reads):
    manifest = read_manifest(write_tiny_set(tmp_path / "set", train=2, test=0))
    cache = tmp_path / "cache"
    frame_store(manifest.rows, transform=TRANSFORM, folder=cache)
    a, b = (row.path for row in manifest.rows)
    a.write_bytes(b.read_bytes())
    stored = frame_store(manifest.rows, transform=TRANSFORM, folder=cache)
    assert len(count_reads) == 4
    assert np.array_equal(stored[0], stored[1])


@pytest.mark.parametrize("damage", ["cut", "removed", "index", "foreign index", "negative"])
def test_a_damaged_store_is_made_anew(manifest, tmp_path, count_reads, damage):
    whole = frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path)
    expected = np.array(whole.flat)
    (data,), (index,) = tmp_path.glob("*.bin"), tmp_path.glob("*.json")
    if damage == "cut":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "removed":
        data.unlink()
    elif damage == "negative":
        index.write_text(index.read_text().replace('"kept": [0,', '"kept": [-4,'))
    else:
        index.write_text('{"shapes": [[1' if damage == "index" else '["x"]')
    with pytest.warns(UserWarning, match=rf"{index}: damaged"):
        again = frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path)
    assert len(count_reads) == 8
    assert np.array_equal(again.flat, expected)


def test_few_damaged_files_are_left_out_with_a_warning_each_time(manifest, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    many = [Row(r.path, r.labels, start_seconds=s) for r in manifest.rows for s in (0.0, 0.8, 1.2)]
    rows = [*many[:5], Row(bad, ("left",)), *many[5:]]
    for _ in range(2):  # the second time from the store
        with pytest.warns(UserWarning, match=r"1 of 13 videos were left out.*bad\.mp4"):
            stored = frame_store(rows, transform=TRANSFORM, folder=tmp_path / "c", workers=1)
        assert stored.rows == tuple(many)
        assert np.array_equal(stored[5], stored[3][30:])  # video 1 from 1.2 s on
        assert len(stored) == 12


def test_a_video_that_is_cut_off_is_told_each_time_and_read_once(manifest, tmp_path, count_reads):
    cut = tmp_path / "cut.mkv"
    write_tiny_video(cut, label="left")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 3 // 5])
    rows = [*manifest.rows, Row(cut, ("left",))]
    told = r"^set\.csv: 1 of 5 videos are damaged .*, the first: .*cut\.mkv: cut off: 0\.5 of the"
    for _ in range(2):
        with pytest.warns(UserWarning, match=told) as caught:
            stored = frame_store(
                rows, transform=TRANSFORM, folder=tmp_path / "c", workers=1, source="set.csv"
            )
        assert len(caught) == 1
        assert stored.rows == tuple(rows)
        assert 0 < len(stored[4]) < 40
        assert [text.split(": ")[0] for text in stored.damaged] == [str(cut)]
    assert len(count_reads) == 5


def test_a_store_that_knows_of_no_damage_is_still_used(manifest, tmp_path, count_reads):
    """One that an older vidskim wrote: nothing is read again for it."""
    frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path, workers=1)
    (index,) = tmp_path.glob("*.json")
    record = json.loads(index.read_text())
    assert record.pop("damaged") == []
    del record["sha256"], record["data"]
    index.write_text(json.dumps(record))
    assert frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path).damaged == ()
    assert len(count_reads) == 4


@pytest.mark.parametrize("row", ["missing", "late"])
def test_many_damaged_files_are_an_error(manifest, tmp_path, row):
    bad = {
        "missing": Row(tmp_path / "gone.mp4", ("left",)),
        "late": Row(manifest.rows[0].path, ("left",), start_seconds=50.0),
    }[row]
    reason = {"missing": r"gone\.mp4", "late": "starts at 50 s, the last frame is at 1.56 s"}[row]
    told = f"^1 of 5 videos cannot be read.*{reason}.*; .* take their rows out of the manifest$"
    with pytest.raises(ManifestError, match=told):
        frame_store([*manifest.rows, bad], transform=TRANSFORM, folder=tmp_path / "c")
    told = f"^my set: {told[1:]}"
    with pytest.raises(ManifestError, match=told):
        frame_store(
            [*manifest.rows, bad], transform=TRANSFORM, folder=tmp_path / "c", source="my set"
        )
    assert not list((tmp_path / "c").iterdir())


def test_no_rows(tmp_path):
    with pytest.raises(ManifestError, match="no rows"):
        frame_store([], transform=TRANSFORM, folder=tmp_path)


def test_a_folder_that_cannot_be_written(manifest, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="another cache folder"):
        frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path / "file")


SCRIPT = """
import sys, time
from pathlib import Path
from vidskim.data.cache import frames as store
from vidskim.data.manifest import read_manifest
from vidskim.clips.transform import Transform
attempt = store._attempt
def slow(read, row):
    time.sleep(float(sys.argv[3]))
    return attempt(read, row)
store._attempt = slow
rows = read_manifest(sys.argv[1]).rows
store.frame_store(rows, transform=Transform(short_side=24, crop=(24, 24)), folder=Path(sys.argv[2]))
"""


def test_killed_and_concurrent_making_leaves_no_wrong_store(manifest, tmp_path):
    expected = np.array(frame_store(manifest.rows, transform=TRANSFORM, folder=tmp_path / "a").flat)
    cache = tmp_path / "b"

    def start(seconds):
        command = [sys.executable, "-c", SCRIPT, str(manifest.source), str(cache), str(seconds)]
        return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})

    killed = start(20)
    deadline = time.monotonic() + 60
    while not list(cache.glob("*.part*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert list(cache.glob("*.part*"))  # killed while it was being made
    assert not list(cache.glob("*.json"))
    two = [start(0.05), start(0.08)]
    assert [process.wait() for process in two] == [0, 0]
    stored = frame_store(manifest.rows, transform=TRANSFORM, folder=cache)
    assert np.array_equal(stored.flat, expected)
    (index,) = cache.glob("*.json")
    assert json.loads(index.read_text())["kept"] == [0, 1, 2, 3]


def test_workers_give_the_same_store_in_order(manifest, tmp_path):
    rows = [*manifest.rows, *(Row(r.path, r.labels, end_seconds=0.5) for r in manifest.rows)]
    here = frame_store(rows, transform=TRANSFORM, folder=tmp_path / "a", workers=1)
    there = frame_store(rows, transform=TRANSFORM, folder=tmp_path / "b", workers=2)
    assert np.array_equal(here.flat, there.flat)
    assert here.shapes == there.shapes
