"""The list of networks and of their published weights, as a user and a program see it."""

import json

import pytest

from vidskim.backbones.registry import list_networks
from vidskim.cost.model import cost_of
from vidskim.cost.zoo import find_model, list_models
from vidskim.errors import UsageError
from vidskim.show import text as printing
from vidskim.show.models import counted_models, shipped_models


def test_every_network_is_listed_with_its_cost():
    models = {model.name: model for model in list_models()}
    assert tuple(models) == list_networks()
    for name in ("r3d_18", "resnet_18"):
        counted = cost_of(name)
        model = models[name]
        assert (model.macs, model.params, model.input) == (
            counted.macs,
            counted.params,
            counted.input_shape,
        )
    assert models["r3d_18"].kind == "clip"
    assert models["resnet_18"].kind == "image"
    lines = printing.models(list(models.values())).splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(models)]] == list(models)
    assert max(len(line) for line in lines) < 130
    (line,) = [line for line in lines if line.startswith("slow_r50_8x8 ")]
    assert line.split()[4:] == [
        "pyslowfast-k400",
        "74.8%",
        "10x3",
        "8x8",
        "256",
        "Apache-2.0",
        "+6",
    ]


def test_a_network_is_shown_with_all_its_weights():
    model = find_model("slow_r50_8x8")
    text = printing.model(model)
    for weights in model.weights:
        assert weights.name in text
        for said in (weights.url, weights.source, weights.license, weights.protocol):
            assert said in text
    assert text.count("(default)") == 1
    assert "slow_r50_8x8@pyslowfast-k400 (default)" in text
    assert "none is published; written down at the first use" in text
    assert "SHA-256 begins with 2132fc87" in text
    assert "74.8%; Kinetics-400 validation, 10 clips x 3 crops of 256x256, 8x8" in text
    assert "(fetch it by hand)" in text
    assert "no published weights are known" in printing.model(find_model("resnet_18"))


def test_a_program_reads_the_default_beside_the_cost_and_all_weights_below():
    found = json.loads(json.dumps(find_model("mc3_18").to_json()))
    assert found["sha256_prefix"] == "a90a0ba3"
    assert found["url"] == "https://download.pytorch.org/models/mc3_18-a90a0ba3.pth"
    assert found["top1"] == pytest.approx(0.6396)
    assert found["input"] == [1, 3, 16, 112, 112]
    (weights,) = found["weights"]
    assert weights["name"] == "mc3_18@torchvision-k400"
    assert weights["clip"] == {"num_frames": 16, "stride": 2, "size": [112, 112]}
    assert weights["filename"] == "mc3_18-a90a0ba3.pth"
    without = find_model("resnet_18").to_json()
    assert without["url"] is None
    assert without["weights"] == []
    assert without.keys() == found.keys()


def test_an_unknown_network_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'slow_r50_8x8'"):
        find_model("slow_r50_8x9")


def test_a_network_is_found_by_the_name_of_its_weights():
    assert find_model("mc3_18@torchvision-k400").name == "mc3_18"
    with pytest.raises(UsageError, match="unknown weights of mc3_18 'torchvision-k40'"):
        find_model("mc3_18@torchvision-k40")


def test_the_table_that_ships_is_the_one_that_is_counted():
    """Or: python -m vidskim.show.models."""
    assert shipped_models() == json.loads(json.dumps(counted_models()))
