"""Feature maps on disk: those of the encoder, found again by content, damaged ones made anew."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tinynets import tiny_classifier
from tinyset import write_tiny_set
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import create_backbone
from vidskim.data.cache import cache
from vidskim.data.cache import maps as module
from vidskim.data.cache.maps import clip_maps
from vidskim.data.manifest import Row, read_manifest
from vidskim.errors import CheckpointError, ManifestError, UsageError
from vidskim.video import Video


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Four videos of five clips of eight frames."""
    return read_manifest(write_tiny_set(tmp_path_factory.mktemp("tiny"), train=4, test=0)).rows


@pytest.fixture
def encoded(monkeypatch):
    """The files that the encoder really looks at."""
    seen = []
    original = module._Encoder.__call__

    def counted(self, row):
        seen.append(row.path.name)
        return original(self, row)

    monkeypatch.setattr(module._Encoder, "__call__", counted)
    return seen


def direct(row, encoder, places):
    """Return maps and logits of clips without the store."""
    video = Video(row.path)
    grid = video.clips(num_frames=encoder.clip.num_frames, stride=encoder.clip.stride)
    with torch.inference_mode():
        maps = encoder.features(encoder.transform(video.frames([grid[n] for n in places])))
        return maps, encoder.classify(maps)


@pytest.mark.parametrize("held", [True, False], ids=["memory", "disk"])
def test_maps_and_logits_are_the_encoder_s(rows, tmp_path, monkeypatch, held):
    monkeypatch.setattr(module, "HELD_BYTES", 2**30 if held else 0)
    encoder = tiny_classifier()
    maps = clip_maps(rows, encoder, folder=tmp_path)
    assert maps.rows == rows
    assert all((video.held is not None) == held for video in maps.videos)
    assert maps.shapes == {(32, 1, 2, 2)}
    for n, row in enumerate(rows):
        assert maps[n].clips == (0, 1, 2, 3, 4)
        assert maps[n].grid == len(maps[n]) == 5
        expected, logits = direct(row, encoder, [3, 0])
        found = maps[n].maps([3, 0])
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=2**-10)
        torch.testing.assert_close(maps[n].logits([3, 0]), logits, atol=1e-4, rtol=1e-4)
        assert (expected[0] - expected[1]).abs().max() > 0.01


def test_a_clip_is_read_without_the_others(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HELD_BYTES", 0)
    maps = clip_maps(rows[:1], tiny_classifier(), folder=tmp_path)
    taken = []

    class Counted:
        def __init__(self, kept):
            self.kept = kept

        def __getitem__(self, place):
            taken.append(place)
            return self.kept[place]

    class Opened:
        def __init__(self, path, framework):
            self.file = safe_open(path, framework=framework)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def get_slice(self, name):
            return Counted(self.file.get_slice(name))

    monkeypatch.setattr(module, "safe_open", Opened)
    assert maps[0].maps([1, 4]).shape == (2, 32, 1, 2, 2)
    assert taken == [slice(1, 2), slice(4, 5)]


@pytest.mark.parametrize(
    ("max_clips", "clips"), [(1, (2,)), (2, (1, 3)), (3, (0, 2, 4)), (9, (0, 1, 2, 3, 4))]
)
def test_fewer_clips_are_spread_evenly(rows, tmp_path, max_clips, clips):
    encoder = tiny_classifier()
    maps = clip_maps(rows[:1], encoder, folder=tmp_path, max_clips=max_clips)
    assert (maps[0].clips, maps[0].grid) == (clips, 5)
    expected, _ = direct(rows[0], encoder, clips)
    torch.testing.assert_close(maps[0].maps(range(len(clips))), expected, atol=1e-5, rtol=2**-10)


def test_rows_with_seconds_keep_the_clips_within(rows, tmp_path, encoded):
    clip = 8 / 25
    stretches = [
        replace(rows[0], start_seconds=clip, end_seconds=3 * clip + 0.001),
        replace(rows[0], start_seconds=3 * clip, end_seconds=None),
        rows[0],
    ]
    maps = clip_maps(stretches, tiny_classifier(), folder=tmp_path)
    assert [video.clips for video in maps.videos] == [(1, 2), (3, 4), (0, 1, 2, 3, 4)]
    assert torch.equal(maps[0].maps([1]), maps[2].maps([2]))
    assert len(encoded) == 3
    clip_maps(stretches, tiny_classifier(), folder=tmp_path)
    assert len(encoded) == 3


def test_maps_are_found_again_by_content(rows, tmp_path, encoded):
    clip_maps(rows, tiny_classifier(), folder=tmp_path / "c")
    assert len(encoded) == 4
    copy = tmp_path / "copy.mp4"
    shutil.copy(rows[2].path, copy)
    more = [*rows, Row(copy, ("left",))]
    again = clip_maps(more, tiny_classifier(), folder=tmp_path / "c")
    assert len(encoded) == 4
    assert torch.equal(again[4].maps([0]), again[2].maps([0]))
    copy.write_bytes(rows[3].path.read_bytes())
    changed = clip_maps(more, tiny_classifier(), folder=tmp_path / "c")
    assert torch.equal(changed[4].maps([0]), changed[3].maps([0]))


def test_a_video_is_hashed_once_while_it_does_not_change(rows, tmp_path, monkeypatch):
    copy = tmp_path / "copy.mp4"
    shutil.copy(rows[0].path, copy)
    first = cache.content_name(copy)
    monkeypatch.setattr(cache.hashlib, "file_digest", None)
    assert cache.content_name(copy) == first
    monkeypatch.undo()
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)  # of the same size
    assert cache.content_name(copy) != first


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.fc.bias.data[0].add_(1),
        lambda e: setattr(e, "clip", ClipSpec(8, 2, (32, 32))),
        lambda e: setattr(e, "transform", replace(e.transform, mean=(0.1, 0.2, 0.3))),
    ],
    ids=["weights", "stride", "transform"],
)
def test_every_setting_that_changes_a_number_makes_other_maps(rows, tmp_path, encoded, change):
    clip_maps(rows[:1], tiny_classifier(), folder=tmp_path)
    other = tiny_classifier()
    change(other)
    clip_maps(rows[:1], other, folder=tmp_path)
    clip_maps(rows[:1], tiny_classifier(), folder=tmp_path, precision="bf16")
    clip_maps(rows[:1], tiny_classifier(), folder=tmp_path, max_clips=2)
    assert len(encoded) == 4
    clip_maps(rows[:1], tiny_classifier(), folder=tmp_path, batch_size=2)
    assert len(encoded) == 4


def other_grid(path):
    """Write the same tensors with a wrong place of the last clip."""
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()[module.HEADER_KEY])
    tensors["clips"] = tensors["clips"] + 1
    told = cache.seal({"grid": told["grid"]}, tensors)
    save_file(tensors, path, metadata={module.HEADER_KEY: json.dumps(told)})


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no tensors"),
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x55"),
        lambda path: path.write_bytes(path.read_bytes().replace(b"vidskim_maps", b"vidskim_mops")),
        lambda path: path.write_bytes(path.read_bytes().replace(b"F16", b"I16")),
        other_grid,
    ],
)
def test_a_damaged_file_is_made_anew(rows, tmp_path, encoded, damage):
    first = clip_maps(rows[:1], tiny_classifier(), folder=tmp_path)
    path, expected = first[0].file, first[0].maps(range(5)).clone()
    whole = path.read_bytes()
    damage(path)
    assert path.read_bytes() != whole
    with pytest.warns(UserWarning, match=rf"{path}: damaged"):
        again = clip_maps(rows[:1], tiny_classifier(), folder=tmp_path)
    assert len(encoded) == 2
    assert torch.equal(again[0].maps(range(5)), expected)
    assert path.read_bytes() == whole


def test_what_was_encoded_before_a_kill_is_kept(rows, tmp_path, monkeypatch, encoded):
    original = module._save

    def killed(tensors, grid, path):
        if len(encoded) == 3:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        original(tensors, grid, path)

    monkeypatch.setattr(module, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        clip_maps(rows, tiny_classifier(), folder=tmp_path)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2  # nothing under the name of the third
    monkeypatch.setattr(module, "_save", original)
    encoded.clear()
    assert len(clip_maps(rows, tiny_classifier(), folder=tmp_path)) == 4
    assert len(encoded) == 2
    assert not list(tmp_path.rglob("*.part*"))


def test_unreadable_videos_are_left_out_and_named(rows, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    more = [*rows, Row(bad, ("left",)), *rows, *rows]
    with pytest.warns(UserWarning, match=r"1 of 13 videos were left out.*bad\.mp4"):
        maps = clip_maps(more, tiny_classifier(), folder=tmp_path / "c")
    assert maps.rows == tuple(rows) * 3
    assert torch.equal(maps[4].maps([1]), maps[0].maps([1]))
    with pytest.raises(ManifestError, match=r"1 of 5 videos cannot be read.*bad\.mp4"):
        clip_maps(more[:5], tiny_classifier(), folder=tmp_path / "c")


def test_a_clip_that_cannot_be_read_is_left_out(rows, tmp_path, monkeypatch):
    original = Video.iter_frames

    def without_third(self, clips):
        return (found for found in original(self, clips) if found[0].index != 2)

    monkeypatch.setattr(Video, "iter_frames", without_third)
    maps = clip_maps(rows[:1], tiny_classifier(), folder=tmp_path)
    assert (maps[0].clips, maps[0].grid) == ((0, 1, 3, 4), 5)
    expected, _ = direct(rows[0], tiny_classifier(), [3])
    torch.testing.assert_close(maps[0].maps([2]), expected, atol=1e-5, rtol=2**-10)


def test_numbers_beyond_float16_are_cut_and_none_are_refused(rows, tmp_path):
    large = tiny_classifier()
    large.layer4[1].conv2[1].bias.data.fill_(1e6)
    maps = clip_maps(rows[:1], large, folder=tmp_path)
    assert float(maps[0].maps(range(5)).max()) == 65504
    broken = tiny_classifier()
    broken.layer4[0].conv1[0].weight.data.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="r3d_18: gives maps that are no numbers"):
        clip_maps(rows[:1], broken, folder=tmp_path)


def test_rows_are_taken_in_another_order(rows, tmp_path):
    maps = clip_maps(rows, tiny_classifier(), folder=tmp_path)
    fewer = maps.of_rows([rows[3], rows[1]])
    assert fewer.rows == (rows[3], rows[1])
    assert torch.equal(fewer[0].maps([0]), maps[3].maps([0]))


def test_what_cannot_be_encoded(rows, tmp_path):
    with pytest.raises(UsageError, match="no clip classifier"):
        clip_maps(rows, create_backbone("resnet_18", width=4), folder=tmp_path)
    with pytest.raises(ManifestError, match="no rows"):
        clip_maps([], tiny_classifier(), folder=tmp_path)
    with pytest.raises(UsageError, match="at least 1, got 0"):
        clip_maps(rows, tiny_classifier(), folder=tmp_path, max_clips=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="give another folder"):
        clip_maps(rows, tiny_classifier(), folder=tmp_path / "file")
