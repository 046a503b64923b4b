"""The classifier by OpenVINO: what wraps it everywhere, OpenVINO itself where it is installed."""

import csv
import importlib.util
import json
import logging
import sys

import pytest
import torch

from parts import recognizer_for
from tinynets import CLASSES, tiny_classifier, tiny_sampler
from vidskim import Recognizer, presets, save_backbone
from vidskim.account import count
from vidskim.answer.openvino import Agreement, FastBackbone, accelerate, compare, read_clips
from vidskim.backbones import Backbone
from vidskim.cli import main
from vidskim.errors import UsageError, VideoError

INSTALLED = all(importlib.util.find_spec(name) for name in ("openvino", "nncf"))
needs_openvino = pytest.mark.skipif(not INSTALLED, reason="needs the extra: vidskim[fast]")


@pytest.fixture
def network():
    return tiny_classifier()


def pretended(network, *, error: float = 0.0) -> FastBackbone:
    """A compiled network that is torch's own, with every feature off by ``error``."""

    def run(x):
        with torch.no_grad():
            return [network.features(torch.from_numpy(x)).numpy() + error]

    return FastBackbone(network, kind="int8", compiled=run)


def test_it_keeps_the_contract(network):
    fast = pretended(network)
    assert isinstance(fast, Backbone)
    x = torch.randn(2, 3, 8, 32, 32).contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        torch.testing.assert_close(fast(x), network(x))
        torch.testing.assert_close(fast.features(x), network.features(x))
    assert fast.stage_modules() == network.stage_modules()
    assert count(fast, (1, 3, 8, 32, 32)) == count(network, (1, 3, 8, 32, 32))
    with pytest.raises(UsageError, match=r"compiled for clips of \[3, 8, 32, 32\], got .* 64\]"):
        fast.features(torch.zeros(1, 3, 8, 32, 64))
    fast.reset_classifier(2, classes=("a", "b"))
    assert (fast.num_classes, fast.classes, network.num_classes) == (2, ("a", "b"), 2)


def test_answers_are_not_overwritten_by_the_next(network):
    same = torch.zeros(1, network.num_features, 1, 2, 2).numpy()

    def run(x):
        same[:] = x.mean()
        return [same]

    fast = FastBackbone(network, kind="bf16", compiled=run)
    first = fast.features(torch.ones(1, 3, 8, 32, 32))
    fast.features(torch.zeros(1, 3, 8, 32, 32))
    assert first.eq(1).all()


def test_a_recognizer_takes_it_and_says_so(network, sample_video):
    look = presets.uniform(k=3)
    exact = Recognizer(network, look=look)(sample_video)
    found = Recognizer(pretended(network), look=look)(sample_video)
    assert found.to_json()["precision"] == "openvino int8"
    assert found.cost.macs == exact.cost.macs
    scores = [{p.label: p.score for p in answer.predictions} for answer in (found, exact)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    with pytest.raises(UsageError, match="compiled for the CPU"):
        recognizer_for(pretended(network), look=look, precision="bf16")


def test_the_agreement_is_that_of_the_probabilities(network):
    fast = pretended(network, error=0.05)
    torch.manual_seed(0)
    clips = list(torch.randn(5, 3, 8, 32, 32))
    with torch.no_grad():
        exact = network(torch.stack(clips)).softmax(1)
        close = network.classify(network.features(torch.stack(clips)) + 0.05).softmax(1)
    labels = [CLASSES[i] for i in exact.argmax(1)]
    labels[0] = "no such class"
    found = compare(network, fast, clips=clips, labels=labels)
    difference = (exact - close).abs()
    assert difference.max() > 0.001
    assert found.num_clips == 5
    assert found.max_difference == pytest.approx(float(difference.max()), abs=1e-5)
    assert found.mean_difference == pytest.approx(float(difference.mean()), abs=1e-5)
    same = exact.argmax(1) == close.argmax(1)
    assert found.same_label == pytest.approx(float(same.float().mean()))
    assert found.exact_accuracy == pytest.approx(0.8)
    assert found.fast_accuracy == pytest.approx(float(same[1:].sum()) / 5)
    assert found.exact_seconds > 0
    assert found.fast_seconds > 0
    assert compare(network, fast, clips=clips).exact_accuracy is None


def test_an_agreement_reads_as_a_sentence():
    assert str(Agreement(8, 0.021, 0.0004, 0.875, 0.64, 0.16, 0.75, 0.625)) == (
        "8 clips: probabilities differ by 0.0004 on average and 0.0210 at most, the best class is "
        "the same for 88%, clip accuracy 62.5% instead of 75.0% (loss +12.5%); 160.0 ms per clip "
        "instead of 640.0"
    )


def test_clips_are_spread_over_the_files_that_can_be_read(network, sample_video, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video" * 100)
    found = read_clips([sample_video, bad, sample_video], network, num_clips=6)
    assert [path for path, _ in found] == [str(sample_video)] * 4
    assert found[0][1].shape == (3, 8, 32, 32)
    assert not torch.equal(found[0][1], found[1][1])
    with pytest.raises(VideoError, match="bad"):
        read_clips([bad], network, num_clips=6)


@pytest.mark.parametrize("missing", ["openvino", "nncf"])
def test_a_missing_extra_gives_the_command_that_installs_it(
    missing, monkeypatch, network, sample_video
):
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)
    for name in ("openvino", "nncf"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else logging)
    with pytest.raises(UsageError, match=r'needs (OpenVINO|nncf): pip install "vidskim\[fast\]"'):
        accelerate(network, kind="int8", videos=[sample_video])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sample_video):
    """A checkpoint, a video and a manifest that names it."""
    place = tmp_path_factory.mktemp("fast")
    save_backbone(tiny_classifier(), place / "m.safetensors")
    (place / "v.mp4").write_bytes(sample_video.read_bytes())
    with (place / "videos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), ("v.mp4", CLASSES[0])])
    return place


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--fast int4", "did you mean 'int8'"),
        ("--calibrate videos.csv", "only fast int8 is calibrated"),
        ("--fast bf16 --calibrate videos.csv", "only fast int8 is calibrated, bf16 is not"),
        ("--fast bf16 --precision bf16", "leave precision 'bf16'"),
        ("--fast int8 --device cuda", "and device 'cuda' out"),
    ],
)
@pytest.mark.parametrize("verb", ["recognize v.mp4", "evaluate --data videos.csv"])
def test_options_that_do_not_go_together_are_refused(
    verb, options, message, folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    assert main([*verb.split(), "--model", "m.safetensors", *options.split()]) == 2
    assert message in capsys.readouterr().err


def test_a_network_without_clips_is_refused(monkeypatch, sample_video):
    monkeypatch.setattr("vidskim.answer.openvino._openvino", lambda: None)
    with pytest.raises(UsageError, match="resnet_18 is no clip classifier"):
        accelerate(tiny_sampler(), kind="bf16", videos=[sample_video])


@needs_openvino
@pytest.mark.parametrize(("kind", "bound"), [("bf16", 0.02), ("int8", 0.1)])
def test_openvino_agrees_with_torch(kind, bound, network, sample_video, caplog):
    with caplog.at_level(logging.INFO, logger="vidskim.answer.openvino"):
        fast = accelerate(network, kind=kind, videos=[sample_video])
    assert fast.agreement.num_clips == 8
    assert 0 < fast.agreement.max_difference < bound
    assert f"openvino {kind} against fp32 on 8 clips" in caplog.text
    x = torch.stack([clip for _, clip in read_clips([sample_video], network, num_clips=3)])
    with torch.no_grad():
        for batch in (1, 2, 3):
            found, exact = (n(x[:batch]).softmax(1) for n in (fast, network))
            assert (found - exact).abs().max() < bound
    assert sys.modules["openvino_telemetry"] is None


@needs_openvino
def test_a_network_that_cannot_be_compiled_is_refused_in_one_line(network, sample_video):
    plain = network.features
    network.features = lambda x: plain(x) * float(x.mean())  # decides by numbers, not by shapes
    with pytest.raises(UsageError, match=r"r3d_18 cannot be compiled by OpenVINO \(.*leave --fast"):
        accelerate(network, kind="bf16", videos=[sample_video])


@needs_openvino
def test_int8_is_calibrated_on_the_files_that_are_given(network, sample_video, monkeypatch):
    read = []
    plain = read_clips
    monkeypatch.setattr(
        "vidskim.answer.openvino.read_clips", lambda v, *a, **k: read.append(v) or plain(v, *a, **k)
    )
    accelerate(network, kind="int8", videos=[sample_video], calibrate=[str(sample_video)])
    assert read == [[sample_video], [str(sample_video)]]


@needs_openvino
def test_the_command_line_tells_the_loss_beside_the_answer(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    line = "recognize v.mp4 --model m.safetensors --fast int8 --calibrate videos.csv --json"
    assert main(line.split()) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["precision"] == "openvino int8"
    assert err.startswith("r3d_18, openvino int8 against fp32 on 8 clips: probabilities differ by")
    assert err.count("\n") == 1
    line = "evaluate --data videos.csv --model m.safetensors --methods uniform --fast int8 --json"
    assert main(line.split()) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["protocol"]["precision"] == "openvino int8"
    assert "clip accuracy" in err
