"""Stored network inputs: those of the source, each with its clip, kept in few bits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tinyset import write_tiny_set
from vidskim.data.cache import frames as module
from vidskim.data.cache.inputs import FeatureStore, aligned, feature_store, pack, unpack
from vidskim.data.manifest import Row, read_manifest
from vidskim.errors import ManifestError
from vidskim.look.sources import KeyFrames, LogMels, MotionMaps, Residuals
from vidskim.video import Video

SOURCES = (MotionMaps((3, 4)), Residuals((12, 16), 2), KeyFrames((12, 16)), LogMels())
TOLERANCE = {"motion": 3e-3, "residual": 0.5 / 16, "keyframe": 0.5 / 255 / 0.22, "audio": 2e-3}
"""Half of what two neighboring stored values differ by, or float16's rounding."""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounding")
    return read_manifest(write_tiny_set(folder, train=3, test=0, sound=True))


def stored(rows, source, folder, **changes) -> FeatureStore:
    return feature_store(rows, source, **{"num_frames": 8, "stride": 1, "folder": folder} | changes)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.kind)
def test_inputs_and_owners_are_the_source_s(manifest, tmp_path, source):
    found = stored(manifest.rows, source, tmp_path)
    assert found.rows == manifest.rows
    for n, row in enumerate(manifest.rows):
        video = Video(row.path)
        inputs, owner = (
            torch.cat(part) for part in zip(*source.read(video, video.clips(num_frames=8)))
        )
        order = owner.sort(stable=True).indices
        assert torch.equal(found.owner(n), owner[order])
        assert found.counts(n).tolist() == owner.bincount(minlength=5).tolist()
        assert found.num_inputs(n) == len(owner)
        difference = (found.inputs(n) - inputs[order]).abs().max()
        assert difference <= TOLERANCE[source.kind]
        some = np.array([2, 0, 2])
        assert torch.equal(found.inputs(n, some), found.inputs(n)[some])
    assert found.inputs(0).std() > 0.01


def test_another_grid_or_source_is_another_store(manifest, tmp_path, monkeypatch):
    read = []
    attempt = module._attempt
    monkeypatch.setattr(module, "_attempt", lambda f, row: read.append(row) or attempt(f, row))
    for _ in range(2):
        stored(manifest.rows, MotionMaps((3, 4)), tmp_path)
    assert len(read) == 3
    assert len(stored(manifest.rows, MotionMaps((3, 4)), tmp_path, num_frames=20).counts(0)) == 2
    stored(manifest.rows, MotionMaps((3, 4)), tmp_path, stride=2)
    stored(manifest.rows, MotionMaps((4, 4)), tmp_path)
    stored(manifest.rows, Residuals((12, 16), 1), tmp_path)
    stored(manifest.rows, Residuals((12, 16), 2), tmp_path)
    assert len(read) == 3 * 6


@pytest.mark.parametrize(
    ("start", "end", "clips"),
    [
        (None, None, [0, 1, 2, 3, 4]),
        (0.32, 0.96, [1, 2]),
        (0.33, 0.97, [2]),
        (0.7, None, [3, 4]),
        (0.4, 0.5, [1]),  # within no clip: the nearest
        (None, 0.1, [0]),
    ],
)
def test_seconds_keep_clips_within(manifest, tmp_path, start, end, clips):
    row = replace(manifest.rows[0], start_seconds=start, end_seconds=end)
    found = stored([row], KeyFrames((12, 16)), tmp_path)
    assert np.flatnonzero(found.counts(0)).tolist() == clips
    whole = stored([manifest.rows[0]], KeyFrames((12, 16)), tmp_path)
    assert len(found.counts(0)) == len(whole.counts(0)) == 5


def test_seconds_beyond_the_end(manifest, tmp_path):
    row = replace(manifest.rows[0], start_seconds=9.0)
    with pytest.raises(ManifestError, match=r"starts at 9 s, the last clip ends at 1\.60 s"):
        stored([row], KeyFrames((12, 16)), tmp_path)


def test_rows_without_anything_of_the_kind(manifest, tmp_path):
    silent = read_manifest(write_tiny_set(tmp_path / "silent", train=2, test=0)).rows
    rows = [silent[0], *manifest.rows, silent[1]]
    for _ in range(2):  # the second time from the store
        with pytest.warns(UserWarning, match=r"2 of 5 videos have no sound and were left out"):
            found = stored(rows, LogMels(), tmp_path / "c")
        assert found.rows == manifest.rows
        assert found.inputs(1).shape == (5, 1, 40, 200)
    with pytest.raises(ManifestError, match=r"none of 2 videos has sound.*another feature"):
        stored(silent, LogMels(), tmp_path / "c")


def test_many_broken_files_are_an_error(manifest, tmp_path):
    rows = [*manifest.rows, Row(tmp_path / "gone.mp4", ("left",))]
    with pytest.raises(ManifestError, match=r"1 of 4 videos cannot be read.*gone\.mp4"):
        stored(rows, MotionMaps((3, 4)), tmp_path / "c")


def test_stores_of_the_same_rows(manifest, tmp_path):
    a, b, c = manifest.rows
    motion = stored([a, b, c], MotionMaps((3, 4)), tmp_path)
    audio = stored([c, b], LogMels(), tmp_path)
    first, second = aligned([motion, audio])
    assert first.rows == second.rows == (b, c)
    assert torch.equal(first.inputs(1), motion.inputs(2))
    assert torch.equal(second.inputs(1), audio.inputs(0))
    with pytest.raises(ManifestError, match="no video has motion vectors and sound"):
        aligned([stored([a], MotionMaps((3, 4)), tmp_path), audio])


@pytest.mark.parametrize("kind", TOLERANCE)
def test_packing_loses_little_and_cuts_what_is_beyond(kind):
    x = torch.linspace(-1.5, 1.5, 60).reshape(1, 3, 4, 5)
    packed = pack(x, kind=kind)
    assert packed.itemsize == {"residual": 1, "keyframe": 1}.get(kind, 2)
    assert (unpack(packed, kind=kind) - x).abs().max() <= TOLERANCE[kind] + 1e-6
    far = unpack(pack(torch.full((1, 3, 1, 1), 9.0), kind=kind), kind=kind)
    assert far.isfinite().all()
    assert (far > 2).all()
