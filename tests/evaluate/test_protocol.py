import hashlib
import os
import sys
from importlib.metadata import version

import pytest
import torch

from vidskim.data.manifest import read_manifest
from vidskim.evaluate.protocol import Views, cpu_model, gather_hardware, gather_protocol

VIEWS = Views(num_clips=10, num_crops=1, num_frames=16, stride=2, size=(112, 96))


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "set" / "videos.csv"
    path.parent.mkdir()
    path.write_text("path,label,split\na.mp4,x,test\nb.mp4,y,test\nc.mp4,y,train\n")
    return path


def test_the_record_says_what_was_measured(manifest, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/some/where/bin/vidskim", "evaluate", "--data", "a b.csv"])
    protocol = gather_protocol(
        read_manifest(manifest, split="test"), views=VIEWS, seed=7, precision="bf16"
    )
    assert protocol.manifest == "videos.csv"
    assert protocol.manifest_sha256 == hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert (protocol.split, protocol.num_videos, protocol.seed) == ("test", 2, 7)
    assert protocol.command == "vidskim evaluate --data 'a b.csv'"
    assert protocol.versions["torch"] == torch.__version__
    assert protocol.versions["numpy"] == version("numpy")
    text = "\n".join(protocol.lines())
    assert "2 test videos, seed 7" in text
    assert "up to 10 clips x 1 crop, 16 frames x stride 2, 112 x 96 pixels, bf16" in text
    assert str(manifest.parent) not in text


def test_videos_of_several_splits_name_none(manifest):
    protocol = gather_protocol(read_manifest(manifest), views=VIEWS, seed=0, command=["run"])
    assert protocol.split is None
    assert "3 videos, seed 0" in protocol.lines()[0]


def test_hardware_is_this_machines():
    hardware = gather_hardware()
    assert hardware.torch_threads == torch.get_num_threads()
    assert 1 <= hardware.cores <= (os.cpu_count() or 1)
    assert hardware.cpu
    assert hardware.device == "cpu"


def test_the_processors_name(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nmodel\t\t: 17\nmodel name\t: ACME  One:Two\n\nmodel name : B\n"
    )
    assert cpu_model(path) == "ACME One:Two"
    path.write_text("no such line")
    assert cpu_model(path)
    assert cpu_model(tmp_path / "missing") == cpu_model(path)


@pytest.mark.cuda
def test_an_accelerator_is_named():
    hardware = gather_hardware("cuda")
    assert hardware.device == torch.cuda.get_device_name()
    assert hardware.device in str(hardware)
