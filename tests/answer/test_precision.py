"""The choice between float32 and bf16, by a clock that the test winds."""

import logging

import pytest
import torch

from parts import recognizer_for
from tinynets import tiny_classifier, tiny_sampler
from vidskim import presets
from vidskim.answer import precision
from vidskim.answer.precision import Probe, probe, resolve
from vidskim.errors import UsageError


class Clock:
    """A clock that stands still but for what `features` takes in either precision."""

    def __init__(self, network, *, fp32: float, bf16: float) -> None:
        self.now = 0.0
        self.passes: list[str] = []
        self.cost = {"fp32": fp32, "bf16": bf16}
        network.stem.register_forward_pre_hook(self._tick)

    def _tick(self, *_) -> None:
        kind = "bf16" if torch.is_autocast_enabled("cpu") else "fp32"
        # the first pass of each builds kernels: it takes long and must not count
        self.now += 100 if kind not in self.passes else self.cost[kind]
        self.passes.append(kind)

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("fp32", "bf16", "chosen"), [(2.0, 1.0, "bf16"), (1.0, 1.0, "fp32"), (1.0, 3.0, "fp32")]
)
@pytest.mark.parametrize("rounds", [1, 3])
def test_the_faster_precision_is_chosen(fp32, bf16, chosen, rounds):
    network = tiny_classifier()
    clock = Clock(network, fp32=fp32, bf16=bf16)
    found = probe(network, rounds=rounds, clock=clock)
    assert (found.fp32_seconds, found.bf16_seconds) == (fp32 / 2, bf16 / 2), "of two clips"
    assert 0 < found.max_difference < 0.05
    assert found.precision == chosen
    assert clock.passes == ["fp32", "bf16"] * (1 + rounds)


def test_the_difference_is_that_of_the_class_probabilities():
    network = tiny_classifier()
    torch.manual_seed(3)
    network.train()
    found = probe(network, rounds=1)
    assert not network.training
    x = precision._clips(network.clip.input_shape[1:])
    assert x.shape == (2, *network.clip.input_shape[1:])
    with torch.no_grad():
        exact = network(x).softmax(1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = network.features(x)
        rounded = network.classify(features.float()).softmax(1)
    assert found.max_difference == pytest.approx(float((exact - rounded).abs().max()), abs=1e-5)


@pytest.mark.parametrize(
    ("difference", "chosen"), [(0.01, "bf16"), (0.2, "fp32"), (float("nan"), "fp32")]
)
def test_a_faster_wrong_answer_is_not_taken(difference, chosen):
    assert Probe(2.0, 1.0, difference).precision == chosen


def test_a_finding_reads_as_a_sentence():
    assert str(Probe(0.7, 0.35, 0.0012)) == (
        "precision bf16: fp32 700.0 ms, bf16 350.0 ms per clip, probabilities differ by at most "
        "0.0012"
    )


@pytest.mark.parametrize("chosen", ["fp32", "bf16"])
def test_auto_probes_once_and_tells_its_choice(monkeypatch, caplog, sample_video, chosen):
    calls = []

    def found(encoder, *, device):
        calls.append(encoder.name)
        return Probe(1.0, 2.0 if chosen == "fp32" else 0.5, 0.0)

    monkeypatch.setattr(precision, "probe", found)
    network = tiny_classifier()
    with caplog.at_level(logging.INFO, logger="vidskim.answer.precision"):
        auto = recognizer_for(network, look=presets.uniform(k=2), precision="auto")
        again = recognizer_for(network, look=presets.dense(), precision="auto")
    assert calls == ["r3d_18"]
    assert len(caplog.records) == 1
    assert f"r3d_18, precision {chosen}" in caplog.text
    assert auto.precision == again.precision == chosen
    answer = auto(sample_video)
    assert answer.to_json()["precision"] == chosen
    given = recognizer_for(network, look=presets.uniform(k=2), precision=chosen)(sample_video)
    assert answer.predictions == given.predictions


def test_a_given_precision_is_not_probed(monkeypatch):
    monkeypatch.setattr(precision, "probe", None)
    assert resolve("bf16", tiny_classifier()) == "bf16"
    assert resolve("fp32", tiny_classifier()) == "fp32"


def test_wrong_names_and_networks_are_refused():
    with pytest.raises(UsageError, match=r"did you mean 'auto'.*valid: auto, bf16, fp32"):
        resolve("autp", tiny_classifier())
    with pytest.raises(UsageError, match="resnet_18 is no clip classifier"):
        resolve("auto", tiny_sampler())
