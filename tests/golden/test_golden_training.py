"""What a tiny run of every task reaches and leaves in its cache is what the record says."""

import json

import pytest
import torch
from record import differences
from safetensors.torch import load_file
from trained import RECIPES, STUDY, TRAINED, prepare, study, train

RECORD = json.loads(TRAINED.read_text(encoding="utf-8"))
WITHIN = 1e-3
"""Of losses and weights after a few steps."""


@pytest.fixture
def folder(tmp_path):
    """The files and the recipes, to write beside."""
    prepare(tmp_path)
    return tmp_path


def test_the_record_has_every_case():
    assert list(RECORD["train"]) == list(RECIPES)
    assert list(RECORD["study"]) == [STUDY]


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_is_the_recorded_one(folder, name):
    found = list(differences(RECORD["train"][name], train(name, folder), within=WITHIN))
    assert not found, f"task of {name}.yaml\n" + "\n".join(found)


def test_a_run_of_another_version_goes_on_to_the_same_weights(folder):
    assert (folder / "interrupted" / "state.pt").exists()
    weights = []
    for name in ("interrupted", "uninterrupted"):
        train(name, folder)
        weights.append(load_file(folder / name / "model.safetensors"))
    torch.testing.assert_close(weights[0], weights[1], atol=1e-5, rtol=1e-4)


def test_a_study_and_its_cache_are_the_recorded_ones(folder):
    found = list(differences(RECORD["study"][STUDY], study(folder), within=1e-4))
    assert not found, "\n".join(found)
