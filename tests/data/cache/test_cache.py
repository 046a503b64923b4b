"""Every cache keeps the same promise: what is damaged is made again and said, never believed."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import vidskim
from tinynets import tiny_classifier
from tinyset import write_tiny_set
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.fingerprint import tensors_sha256
from vidskim.clips.transform import Transform
from vidskim.data.cache import cache
from vidskim.data.cache.answers import clip_answers
from vidskim.data.cache.frames import frame_store
from vidskim.data.cache.inputs import feature_store
from vidskim.data.cache.maps import clip_maps
from vidskim.data.cache.scores import saliency_scores, video_grids
from vidskim.data.manifest import read_manifest
from vidskim.look.packets import PacketSaliency
from vidskim.look.sources import MotionMaps

CLIP = ClipSpec(8, 1, (24, 24))


def of_frames(rows, folder):
    store = frame_store(rows, transform=Transform(short_side=24), folder=folder, workers=1)
    return [store[n].tolist() for n in range(len(store))]


def of_inputs(rows, folder):
    source = MotionMaps((3, 4))
    store = feature_store(rows, source, num_frames=8, stride=1, folder=folder, workers=1)
    return [(store.inputs(n).tolist(), store.counts(n).tolist()) for n in range(len(store))]


def of_answers(rows, folder):
    found = clip_answers(rows, tiny_classifier(), folder=folder)
    return [found[n].tolist() for n in range(len(found))]


def of_maps(rows, folder):
    found = clip_maps(rows, tiny_classifier(), folder=folder)
    return [(v.maps(range(5)).tolist(), v.logits(range(5)).tolist(), v.grid) for v in found.videos]


def of_grids(rows, folder):
    found = video_grids([row.path for row in rows], clip=CLIP, folder=folder)
    return [(grid.spans.tolist(), grid.packets.tolist()) for grid in found.found.values()]


def of_scores(rows, folder):
    paths = [row.path for row in rows]
    found = saliency_scores(paths, PacketSaliency(), settings=["p"], clip=CLIP, folder=folder)
    return [scores.tolist() for scores in found.found.values()]


KINDS = {
    "frames": of_frames,
    "inputs": of_inputs,
    "answers": of_answers,
    "maps": of_maps,
    "grids": of_grids,
    "scores": of_scores,
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return read_manifest(write_tiny_set(tmp_path_factory.mktemp("tiny"), train=2, test=0)).rows


@pytest.fixture(params=KINDS)
def kept(request, rows, tmp_path):
    """A function that opens a cache, what it gave, and the cache's files of one video or set."""

    def opened():
        return KINDS[request.param](rows, tmp_path)

    first = opened()
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "settings.json"]
    name = min(files).stem
    return opened, first, [path for path in files if path.stem == name]


def test_what_is_whole_is_opened_without_a_word(kept):
    opened, first, files = kept
    before = [path.stat().st_mtime_ns for path in files]
    assert opened() == first
    assert [path.stat().st_mtime_ns for path in files] == before


def flipped(share):
    def flip(whole):
        place = min(int(share * len(whole)), len(whole) - 1)
        return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]

    return flip


DAMAGES = {
    **{f"bit at {share}": flipped(share) for share in (0, 0.2, 0.4, 0.5, 0.7, 0.9, 0.99, 1)},
    "cut": lambda whole: whole[: len(whole) * 2 // 3],
    "cut by one": lambda whole: whole[:-1],
    "longer": lambda whole: whole + b"\0",
    "empty": lambda _: b"",
    "garbage": lambda _: b'{"a": [1, ',
    "another object": lambda _: b"{}",
    "a list": lambda _: b"[1]",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_made_again_and_told(kept, damage):
    opened, first, files = kept
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        with pytest.warns(UserWarning, match=rf"{path.with_suffix('')}\.\w+: damaged") as caught:
            assert opened() == first
        assert len(caught) == 1
        assert "\n" not in str(caught[0].message)
        assert path.read_bytes() == whole
        assert opened() == first


def test_one_of_two_files_that_is_missing_is_told(rows, tmp_path):
    first = of_frames(rows, tmp_path)
    for path in sorted(tmp_path.iterdir()):
        path.unlink()
        with pytest.warns(UserWarning, match=rf"damaged \({path.name} is missing\)"):
            assert of_frames(rows, tmp_path) == first
        assert path.exists()
    for path in tmp_path.iterdir():
        path.unlink()
    assert of_frames(rows, tmp_path) == first  # nothing is damaged where there is nothing


def before_digests(kind, path):
    """Write a file as older vidskims did."""
    if kind == "frames":
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            del record["sha256"], record["data"]
            path.write_text(json.dumps(record))
    elif kind == "answers":
        np.save(path, np.load(path))
    elif kind == "maps":
        tensors = load_file(path)
        with safe_open(path, framework="pt") as file:
            told = json.loads(file.metadata()["vidskim_maps"])
        told["sha256"] = tensors_sha256(sorted(tensors.items()))
        save_file(tensors, path, metadata={"vidskim_maps": json.dumps(told)})
    else:
        record = json.loads(path.read_text())
        record["sha256"] = record["sha256"][:16]
        path.write_text(json.dumps(record))


@pytest.mark.parametrize("kind", ["frames", "answers", "maps", "grids", "scores"])
def test_what_was_kept_before_is_still_opened(rows, tmp_path, kind):
    first = KINDS[kind](rows, tmp_path)
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "settings.json"]
    for path in files:
        before_digests(kind, path)
    old = [path.read_bytes() for path in files]
    assert KINDS[kind](rows, tmp_path) == first
    assert [path.read_bytes() for path in files] == old


SCRIPT = """
import json, sys, warnings
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[4])
warnings.simplefilter("error")
import test_cache
from vidskim.data.manifest import read_manifest
print(json.dumps(test_cache.KINDS[sys.argv[1]](read_manifest(sys.argv[2]).rows, Path(sys.argv[3]))))
"""


@pytest.mark.parametrize("kind", ["frames", "answers", "maps", "scores"])
def test_two_that_make_the_same_at_once_are_both_right(rows, tmp_path, kind):
    manifest = rows[0].path.parent / "tiny.csv"
    assert manifest.exists()
    places = [str(Path(__file__).parent), str(Path(vidskim.__file__).parent.parent), *sys.path]

    def make(_):
        command = [sys.executable, "-c", SCRIPT, kind, str(manifest), str(tmp_path / "two")]
        done = subprocess.run(
            [*command, json.dumps(places)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    with ThreadPoolExecutor(2) as pool:
        two = list(pool.map(make, range(2)))
    alone = json.loads(json.dumps(KINDS[kind](rows, tmp_path / "two")))  # as it stays behind
    for found in two:
        assert json.loads(json.dumps(found)) == alone
    assert not list(tmp_path.rglob("*.part*"))


def test_a_digest_is_that_of_values_names_types_and_shapes():
    x = torch.arange(6.0)
    told = {
        cache.seal(record, tensors)["sha256"]
        for record, tensors in [
            ({}, {}),
            ({"a": 1}, {}),
            ({"a": 2}, {}),
            ({"b": 1}, {}),
            ({"a": 1}, {"x": x}),
            ({"a": 1}, {"y": x}),
            ({"a": 1}, {"x": x.reshape(2, 3)}),
            ({"a": 1}, {"x": x.view(torch.int32)}),
            ({"a": 1}, {"x": x + 1}),
        ]
    }
    assert len(told) == 9
    sealed = cache.seal({"b": 1, "a": None}, {"x": x})
    assert cache.unseal(sealed, {"x": x}) == {"b": 1, "a": None}
    for damaged in ({**sealed, "b": 2}, {**sealed, "sha256": ""}, {**sealed, "c": 0}):
        with pytest.raises(OSError, match="not hold what was written"):
            cache.unseal(damaged, {"x": x})
