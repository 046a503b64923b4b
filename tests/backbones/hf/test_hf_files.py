"""Folders and hub models in Hugging Face's format: read safely, and refused in one line."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_hf import build, clips, write
from vidskim.backbones import load_backbone, save_backbone
from vidskim.errors import CheckpointError


@pytest.fixture
def vivit(tmp_path):
    model = build("vivit")
    write(model, tmp_path)
    return tmp_path, model


def edit_config(folder: Path, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_names_of_older_files_are_read(tmp_path):
    """VideoMAE kept biases apart, ViViT named its layers otherwise."""
    for case, renamed in (
        ("videomae", {"query.bias": "q_bias", "value.bias": "v_bias"}),
        (
            "vivit",
            {
                "vivit.layers.": "vivit.encoder.layer.",
                "attention.q_proj": "attention.attention.query",
                "attention.k_proj": "attention.attention.key",
                "attention.v_proj": "attention.attention.value",
                "attention.o_proj": "attention.output.dense",
                "mlp.fc1": "intermediate.dense",
                "mlp.fc2": "output.dense",
            },
        ),
    ):
        folder = tmp_path / case
        folder.mkdir()
        model = build(case)
        write(model, folder)
        state = {}
        for key, value in load_file(folder / "model.safetensors").items():
            for new, old in renamed.items():
                key = key.replace(new, old)
            state[key] = value
        assert state.keys() != model.state_dict().keys()
        save_file(state, folder / "model.safetensors")
        network = load_backbone(f"hf:{folder}")
        x = clips(network)
        with torch.no_grad():
            expected = model(x.transpose(1, 2)).logits
            torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5)


def test_pickles_are_read_without_running_them(vivit):
    folder, model = vivit
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no weights, expected"):
        load_backbone(f"hf:{folder}")
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    network = load_backbone(f"hf:{folder}")
    x = clips(network)
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x.transpose(1, 2)).logits, rtol=0, atol=1e-5)
    torch.save(model, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="refused, it holds more than tensors"):
        load_backbone(f"hf:{folder}")


def test_shards_are_joined(vivit):
    folder, model = vivit
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    keys = sorted(state)
    parts = {"model-1.safetensors": keys[::2], "model-2.safetensors": keys[1::2]}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {k: n for n, ks in parts.items() for k in ks}}))
    for name, part in parts.items():
        save_file({k: state[k] for k in part}, folder / name)
    network = load_backbone(f"hf:{folder}")
    x = clips(network)
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x.transpose(1, 2)).logits, rtol=0, atol=1e-5)
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"names model-2\.safetensors, which is missing"):
        load_backbone(f"hf:{folder}")
    index.write_text(json.dumps({"weight_map": {keys[0]: "../model.safetensors"}}))
    with pytest.raises(CheckpointError, match="expected files beside it"):
        load_backbone(f"hf:{folder}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("classifier.weight"), "1 missing .classifier.weight"),
        (lambda s: s.pop("vivit.layernorm.bias"), "1 missing .vivit.layernorm.bias"),
        (lambda s: s.update(extra=torch.ones(2)), "1 left over .extra"),
        (
            lambda s: s.update({"vivit.layernorm.bias": torch.ones(7)}),
            "1 of another shape .vivit.layernorm.bias",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(vivit, change, message):
    folder, _ = vivit
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_backbone(f"hf:{folder}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["ViTForImageClassification"]}, "ViTForImage.*expected one of VideoMAE"),
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, "holds BertForMaskedLM"),
        ({"architectures": ["VivitModel"]}, "holds VivitModel"),
        ({"architectures": 3, "model_type": 4}, "holds 4"),
        ({"model_type": "videomae"}, "holds VivitForVideoClassification"),
        ({"id2label": {"0": "a", "2": "b"}}, "does not number its classes"),
        ({"id2label": {}}, "a head of 0 classes"),
        ({"hidden_size": "24"}, "unusable configuration"),
        ({"hidden_size": 23}, "tensors|no network has these sizes|cannot be loaded"),
        ({"hidden_act": "no such"}, "cannot be loaded|no network"),
        ({"num_hidden_layers": 10**9}, "1000000000 layers"),
        ({"num_frames": 10**9}, "patches, 1 to 65536"),
        ({"image_size": 0}, "clips of 4 frames"),
        ({"num_channels": 1}, "three are read"),
        ({"num_hidden_layers": 200}, r"numbers, its configuration needs 844800 or more"),
        ({"intermediate_size": 10**6}, r"MLPs of 1000000 channels"),
        ({"num_hidden_layers": 3}, r"16 missing \(vivit.layers.2"),
        ({"num_hidden_layers": 1}, r"16 left over \(vivit.layers.1"),
    ],
)
def test_other_configurations_are_refused(vivit, changes, message):
    folder, _ = vivit
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=message) as error:
        load_backbone(f"hf:{folder}")
    assert "\n" not in str(error.value)


def test_damaged_files_are_refused(vivit):
    folder, _ = vivit
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged safetensors file"):
        load_backbone(f"hf:{folder}")
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        load_backbone(f"hf:{folder}")
    (folder / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="expected a JSON object"):
        load_backbone(f"hf:{folder}")
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_backbone(f"hf:{folder}")
    with pytest.raises(CheckpointError, match="no folder and no id"):
        load_backbone(f"hf:{weights}")


@pytest.mark.parametrize("name", ["~nobody-of-this-name", "a" * 5000, "a/" * 3000, ""])
def test_names_that_no_file_system_takes_are_refused(name):
    with pytest.raises(CheckpointError, match="no folder and no id"):
        load_backbone(f"hf:{name}")


def test_a_configuration_brings_sizes_only(vivit):
    """Code, kernels and quantizers that it names are not looked at."""
    folder, model = vivit
    edit_config(
        folder,
        auto_map={"AutoConfig": "evil.Config"},
        quantization_config={"quant_method": "gptq", "bits": 4},
        _attn_implementation="someone/kernel",
        attn_implementation="someone/kernel",
        dtype="float16",
    )
    network = load_backbone(f"hf:{folder}")
    assert set(network.options["config"]) == set(type(model.config).__annotations__)
    x = clips(network)
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x.transpose(1, 2)).logits, rtol=0, atol=1e-5)


def test_a_checkpoint_cannot_send_to_the_hub(vivit, tmp_path, monkeypatch):
    folder, _ = vivit
    network = load_backbone(f"hf:{folder}")
    monkeypatch.setattr("vidskim.backbones.hf.create.find_source", None)
    path = tmp_path / "header.safetensors"
    config = network.options["config"]
    for name, options in (("hf:someone/else", {"config": config}), ("hf:vivit", {})):
        network.name, network.options = name, options
        save_backbone(network, path)
        with pytest.raises(CheckpointError, match=r"header is damaged.*describes no network"):
            load_backbone(checkpoint=path)
    with pytest.raises(CheckpointError, match="not written by vidskim: give hf:FOLDER"):
        load_backbone("hf:vivit", checkpoint=folder / "model.safetensors")


def test_the_hub_is_asked_for_what_is_needed(vivit, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    folder, model = vivit
    asked = []

    def download(repository, filename, **_):
        asked.append(filename)
        if not (folder / filename).is_file():
            raise hub.errors.EntryNotFoundError("404")
        return str(folder / filename)

    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    network = load_backbone("hf:someone/vivit")
    x = clips(network)
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x.transpose(1, 2)).logits, rtol=0, atol=1e-5)
    assert asked[0] == "config.json"
    assert "pytorch_model.bin" not in asked


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError("no route"),
            r"cannot be fetched .*\(no route\): copy its config.json, .*hf:FOLDER",
        ),
        ("LocalEntryNotFoundError", "cannot be fetched"),
        ("EntryNotFoundError", "no config.json"),
    ],
)
def test_without_the_hub_it_says_what_to_put_where(monkeypatch, error, message):
    hub = pytest.importorskip("huggingface_hub")
    if isinstance(error, str):
        error = getattr(hub.errors, error)("not there")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(hub, "get_hf_file_metadata", fail)
    with pytest.raises(CheckpointError, match=message):
        load_backbone("hf:someone/vivit")
