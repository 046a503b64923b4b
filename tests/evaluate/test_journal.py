"""Answers on disk: taken up by the evaluation that would repeat them, by no other."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from measured import make_results
from torch import nn

from tinyset import CLASSES, write_tiny_set
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.registry import create_backbone
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError
from vidskim.evaluate.journal import Journal, key_of
from vidskim.evaluate.run import evaluate_manifest

ANSWERS = make_results({"uniform": (0.5, 1.0, 0.0, 1.0, 0.3)}, num_videos=3)[0].videos


def test_what_is_added_is_found_again(tmp_path):
    journal = Journal(tmp_path / "new" / "j.jsonl", keys={"a": "1", "b": "2"})
    assert len(journal) == 0
    journal.add("a", 0, ANSWERS[0])
    journal.add("b", 0, ANSWERS[1])
    journal.add("a", 4, ANSWERS[2])
    again = Journal(journal.path, keys={"a": "1", "b": "2"})
    assert [again.find(*place) for place in (("a", 0), ("b", 0), ("a", 4))] == list(ANSWERS)
    assert again.find("b", 4) is None


def test_other_keys_are_neither_found_nor_lost(tmp_path):
    path = tmp_path / "j.jsonl"
    Journal(path, keys={"a": "1"}).add("a", 0, ANSWERS[0])
    other = Journal(path, keys={"a": "changed"})
    assert other.find("a", 0) is None
    other.add("a", 0, ANSWERS[1])
    other.finish()
    assert Journal(path, keys={"a": "1"}).find("a", 0) == ANSWERS[0]


def test_the_file_goes_with_the_last_answer(tmp_path):
    journal = Journal(tmp_path / "j.jsonl", keys={"a": "1"})
    journal.add("a", 0, ANSWERS[0])
    journal.finish()
    assert list(tmp_path.iterdir()) == []
    journal.finish()


def test_torn_and_foreign_lines_are_passed_over(tmp_path):
    path = tmp_path / "j.jsonl"
    Journal(path, keys={"a": "1"}).add("a", 0, ANSWERS[0])
    with path.open("a") as file:
        file.write('[]\n{"key": "1", "row": 1, "answer": {"warnings": [], "x": 1}}\n{"key": "1"')
    journal = Journal(path, keys={"a": "1"})
    assert len(journal) == 1
    journal.add("a", 1, ANSWERS[1])
    assert Journal(path, keys={"a": "1"}).find("a", 1) == ANSWERS[1]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot keep answers there"):
        Journal(tmp_path / "file" / "j.jsonl", keys={})


def test_keys_tell_settings_and_methods_apart():
    keys = {key_of("a", {"k": 1}), key_of("a", {"k": 2}), key_of("b", {"k": 1}), key_of("a", {})}
    assert len(keys) == 4
    assert key_of("a", {"x": 1, "k": 2}) == key_of("a", {"k": 2, "x": 1})


def test_weights_sha256_sees_every_tensor():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    seen = {weights_sha256(network)}
    assert weights_sha256(network) in seen
    for tensor in network.state_dict().values():
        tensor.flatten()[:1].add_(1)
        seen.add(weights_sha256(network))
    assert len(seen) == 1 + len(network.state_dict())


@pytest.fixture
def small(tmp_path):
    """A manifest of six videos and a classifier's checkpoint."""
    torch.manual_seed(1)
    network = create_backbone("r3d_18", num_classes=2, width=4)
    network.classes = CLASSES
    network.clip = ClipSpec(4, 2, (16, 16))
    network.transform = Transform(short_side=16, crop=(16, 16))
    save_backbone(network, tmp_path / "model.safetensors")
    return write_tiny_set(tmp_path / "set", train=0, test=6), tmp_path / "model.safetensors"


SCRIPT = """
import sys, time
from vidskim.evaluate import benchmark
from vidskim.evaluate.run import evaluate_manifest
judge = benchmark._judge
def slow(*arguments):
    time.sleep(0.3)
    return judge(*arguments)
benchmark._judge = slow
data, model, out = sys.argv[1:]
evaluate_manifest(data, methods=("dense", "motion"), model=model, k=2, out=out)
"""


def test_a_killed_evaluation_ends_like_an_unbroken_one(small, tmp_path):
    data, model = small
    threads = str(torch.get_num_threads())
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(data), str(model), str(tmp_path / "out")],
        env={**os.environ, "OMP_NUM_THREADS": threads},
    )
    path = tmp_path / "out" / "answers.jsonl"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.read_text().count("\n") >= 3:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = path.read_text().count("\n")
    assert 3 <= kept < 12
    arguments = {"methods": ("dense", "motion"), "model": str(model), "k": 2}
    other = evaluate_manifest(data, **{**arguments, "k": 1}, out=tmp_path / "out")
    assert path.read_text().count("\n") == kept  # another k takes up nothing and loses nothing
    whole = evaluate_manifest(data, **arguments)
    broken = evaluate_manifest(data, **arguments, out=tmp_path / "out")
    assert not path.exists()
    assert [row.accuracy for row in broken.rows] == [row.accuracy for row in whole.rows]
    assert [row.gmacs for row in broken.rows] == [row.gmacs for row in whole.rows]
    assert other.rows[1].gmacs < broken.rows[1].gmacs
    assert (tmp_path / "out" / "videos.csv").read_text().count("\n") == 1 + 12
