"""What is kept of looks: found again, and never believed when it is damaged."""

import json

import pytest
import torch

from tinyset import write_tiny_video
from vidskim.backbones.contract import ClipSpec
from vidskim.data.cache import scores as module
from vidskim.data.cache.scores import video_grids

CLIP = ClipSpec(num_frames=8, stride=1, size=(24, 24))


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "v.mp4"
    write_tiny_video(path, label="left", num_frames=20)
    return path


def changed(text):
    """One digit of one number."""
    place = text.index("0.", text.index("packets")) + 2
    return text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :]


def without_digest(text):
    record = json.loads(text)
    del record["sha256"]
    return json.dumps(record)


@pytest.mark.parametrize(
    "damage",
    [lambda _: "", lambda _: "[]", lambda _: "[" * 9999, lambda t: t[:-9], changed, without_digest],
)
def test_a_damaged_record_is_made_anew(video, tmp_path, monkeypatch, damage):
    first = video_grids([video], clip=CLIP, folder=tmp_path / "cache")[video]
    (file,) = (tmp_path / "cache").glob("grids-*/[0-9a-f]*.json")
    whole = file.read_text()
    assert damage(whole) != whole
    file.write_text(damage(whole))
    with pytest.warns(UserWarning, match=rf"{file}: damaged"):
        again = video_grids([video], clip=CLIP, folder=tmp_path / "cache")[video]
    assert torch.equal(again.packets, first.packets)
    assert torch.equal(again.spans, first.spans)
    assert file.read_text() == whole
    monkeypatch.setattr(module, "PacketSaliency", None)  # what is whole is not made again
    assert video_grids([video], clip=CLIP, folder=tmp_path / "cache")[video] is not None
