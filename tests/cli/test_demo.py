"""The demo from nothing to its table and pictures, on a small set and a small network."""

import csv

import pytest
import torch

from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.backbones.registry import create_backbone
from vidskim.cli import demo
from vidskim.clips.transform import Transform
from vidskim.data.make.synthetic import CLASSES
from vidskim.errors import UsageError
from vidskim.look.methods import SELECTED


def test_fewer_videos_than_classes_are_refused(tmp_path):
    with pytest.raises(UsageError, match=f"at least {len(CLASSES)} videos, got 3"):
        demo.run_demo(tmp_path, videos=3, train=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_demo_writes_table_figure_and_time_line(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    network = create_backbone("r3d_18", num_classes=len(CLASSES), width=4)
    network.classes = tuple(CLASSES)
    network.clip = ClipSpec(8, 4, (16, 16))
    network.transform = Transform(short_side=16, crop=(16, 16))
    save_backbone(network, tmp_path / "c.safetensors")
    maps = create_backbone("resnet_18", num_classes=12, in_channels=2, width=4, stem="small")
    save_backbone(maps, tmp_path / "s.safetensors", metadata={"map_size": [3, 4]})
    networks = (str(tmp_path / "c.safetensors"), str(tmp_path / "s.safetensors"))
    monkeypatch.setattr(demo, "_train", lambda out: networks)
    out = tmp_path / "out"
    demo.run_demo(out, videos=12, train=True, seconds=(15.0, 15.5))
    printed = capsys.readouterr()
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == [*SELECTED, "oracle"]
    assert all(row["num_videos"] == "12" and row["num_failed"] == "0" for row in rows)
    assert all(0 <= float(row["precision_at_k"]) <= 1 for row in rows)
    for row in rows:
        assert f"| {row['method']} " in printed.out
    for name in ("accuracy_cost.png", "timeline.png"):
        assert (out / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert str(out / name) in printed.out
    assert "12 videos of 15 to 15.5 s" in printed.err
    assert not (out / "answers.jsonl").exists()
