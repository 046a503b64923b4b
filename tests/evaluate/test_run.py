"""One evaluation from names to a report: which videos, what is refused, what is printed."""

import json

import pytest
import torch

from tinyset import CLASSES, write_tiny_set
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.backbones.registry import create_backbone
from vidskim.cli import main
from vidskim.clips.transform import Transform
from vidskim.errors import CheckpointError, ManifestError, UsageError
from vidskim.evaluate.run import evaluate_manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``tiny.csv`` with two training and three test videos, and a classifier of its classes."""
    torch.manual_seed(1)
    out = tmp_path_factory.mktemp("run")
    write_tiny_set(out, train=2, test=3)
    network = create_backbone("r3d_18", num_classes=2, width=4)
    network.classes = CLASSES
    network.clip = ClipSpec(4, 2, (16, 16))
    network.transform = Transform(short_side=16, crop=(16, 16))
    save_backbone(network, out / "model.safetensors")
    return out


@pytest.fixture
def evaluate(folder):
    def run(**changes):
        values = {"methods": ("uniform",), "model": str(folder / "model.safetensors"), "k": 2}
        return evaluate_manifest(**{"data": folder / "tiny.csv"} | values | changes)

    return run


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ["train_0.mp4", "train_1.mp4", "test_0.mp4", "test_1.mp4", "test_2.mp4"]),
        ({"split": "test"}, ["test_0.mp4", "test_1.mp4", "test_2.mp4"]),
        ({"split": "test", "limit": 2}, ["test_0.mp4", "test_1.mp4"]),
    ],
)
def test_split_and_limit_choose_the_videos(evaluate, changes, names):
    report = evaluate(**changes)
    assert [video.path for video in report.results[0].videos] == names
    assert report.protocol.num_videos == len(names)
    assert str(report.protocol.views) == (
        "up to 2 clips x 1 crop, 4 frames x stride 2, 16 x 16 pixels"
    )


def test_a_method_named_twice_is_measured_once(evaluate):
    report = evaluate(methods=("uniform", "random", "uniform"), limit=1)
    assert [row.method for row in report.rows] == ["uniform", "random"]


def test_moments_give_precision(evaluate, folder):
    moments = folder / "moments.csv"
    moments.write_text(
        "path,label,start_seconds,end_seconds\ntest_0.mp4,left,0,1.6\ntest_1.mp4,right,0,0.3\n"
    )
    report = evaluate(moments=moments, split="test")
    # Clips 1 and 4 of six of 0.32 s: both within the first, none within the second.
    precisions = [video.precision_at_k for video in report.results[0].videos]
    assert precisions == [1.0, 0.0, None]
    assert report.rows[0].precision_at_k == 0.5


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"methods": ()}, UsageError, "at least one method of dense"),
        ({"methods": ("orakel",)}, UsageError, "did you mean 'oracle'"),
        ({"k": 0}, UsageError, "k is at least 1"),
        ({"limit": 0}, UsageError, "limit is at least 1"),
        ({"device": "gpu"}, UsageError, "gpu"),
        ({"precision": "fp8"}, UsageError, "fp8"),
        ({"split": "tset"}, UsageError, "did you mean 'test'"),
        ({"split": "val"}, ManifestError, "no row is in split 'val'"),
        ({"moments": "gone.csv"}, ManifestError, "gone.csv"),
        ({"model": "gone.safetensors"}, CheckpointError, "gone.safetensors"),
        ({"methods": ("scsampler",), "sampler": "gone.safetensors"}, CheckpointError, "gone"),
    ],
)
def test_what_cannot_be_meant_is_refused(evaluate, changes, error, message):
    with pytest.raises(error, match=message):
        evaluate(**changes)


def test_the_command_prints_one_object(folder, capsys, tmp_path):
    status = main(
        ["evaluate", "--data", str(folder / "tiny.csv"), "--methods", "uniform,motion", "--model",
         str(folder / "model.safetensors"), "--k", "2", "--split", "test", "--json",
         "--out", str(tmp_path / "out")]
    )  # fmt: skip
    assert status == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in printed["rows"]] == ["uniform", "motion"]
    assert printed["protocol"]["manifest"] == "tiny.csv"
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written == printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "accuracy_cost.png", "results.csv", "results.json", "results.md", "videos.csv"
    ]  # fmt: skip


def test_parts_of_files_are_not_evaluated_as_whole_files(evaluate, folder):
    parts = folder / "parts.csv"
    parts.write_text("path,label,start_seconds,end_seconds\ntest_0.mp4,left,0.5,1\n")
    with pytest.raises(ManifestError, match=r"test_0\.mp4 has start_seconds or end_seconds"):
        evaluate(data=parts)
