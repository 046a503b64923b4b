import json

import pytest
import torch
from safetensors.torch import save_file

from tinynets import CLASSES, tiny_classifier, tiny_sampler
from vidskim import create_backbone, save_backbone
from vidskim.backbones.open import demo_checkpoint, open_model
from vidskim.errors import CheckpointError, UsageError


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "classifier.safetensors"
    save_backbone(tiny_classifier(), path)
    return path


@pytest.fixture(scope="module")
def sampler(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "sampler.safetensors"
    save_backbone(tiny_sampler(), path, metadata={"map_size": [4, 6]})
    return path


def test_a_checkpoint_is_opened_as_it_was_saved(classifier):
    network, origin = open_model(str(classifier))
    assert origin.model == f"{classifier} (r3d_18)"
    assert origin.warnings == ()
    assert network.classes == CLASSES
    expected = tiny_classifier().state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in network.state_dict().items())


def test_a_name_and_a_path_open_a_file_that_fits_several_names(tmp_path):
    path = tmp_path / "epoch:3.pth"
    network = create_backbone("slow_r50_4x16", num_classes=3)
    torch.save(network.state_dict(), path)
    with pytest.raises(CheckpointError, match=r"fits slow_r50_4x16, .*as slow_r50_4x16:/"):
        open_model(str(path))
    opened, origin = open_model(f"slow_r50_16x4:{path}")
    assert (opened.name, opened.num_classes, opened.clip.num_frames) == ("slow_r50_16x4", 3, 16)
    assert torch.equal(opened.fc.weight, network.fc.weight)
    assert origin.model == f"{path} (slow_r50_16x4)"
    with pytest.raises(CheckpointError, match="no such file"):
        open_model("slow_r50_16x4:nowhere.pth")


def test_random_weights_are_the_same_each_time_and_warned_of(classifier):
    state = torch.get_rng_state()
    networks = [open_model(str(classifier), random_weights=True)[0] for _ in range(2)]
    _, origin = open_model("r3d_18", random_weights=True)
    assert torch.equal(torch.get_rng_state(), state)
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    trained = tiny_classifier().state_dict()
    assert not torch.equal(first["fc.weight"], trained["fc.weight"])
    assert networks[0].clip == tiny_classifier().clip
    assert origin.model == "r3d_18, random weights"
    assert "its answers mean nothing" in origin.warnings[0]


def test_other_weights_of_a_backbone_are_named_behind_it(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDSKIM_CACHE", str(tmp_path))
    network, origin = open_model("x3d_xs@pytorchvideo-k400", random_weights=True)
    assert network.name == "x3d_xs"
    assert origin.model == "x3d_xs@pytorchvideo-k400, random weights"
    with pytest.raises(
        CheckpointError, match=r"put the file into .* as tpn_r50_16x4-tpn-k400\.pth"
    ):
        open_model("tpn_r50_16x4")
    with pytest.raises(UsageError, match="did you mean 'pytorchvideo-k400'"):
        open_model("x3d_xs@pytorchvideo-k4000", random_weights=True)
    with pytest.raises(UsageError, match="unknown model 'x3d_xx': did you mean 'x3d_xs'"):
        open_model("x3d_xx@pytorchvideo-k400")
    with pytest.raises(UsageError, match="unknown model 'demo@x'"):
        open_model("demo@x")


@pytest.mark.parametrize("name", ["resnet_18", "vggish"])
@pytest.mark.parametrize("random_weights", [True, False])
def test_a_network_that_takes_no_clips_is_known_but_no_classifier(name, random_weights):
    with pytest.raises(
        UsageError, match=f"{name} looks at images, .* give one of r3d_18, .*demo, or a file"
    ):
        open_model(name, random_weights=random_weights)


def test_a_saliency_network_is_no_clip_classifier(sampler):
    with pytest.raises(CheckpointError, match=r"no clip classifier; .* --sampler"):
        open_model(str(sampler))


@pytest.mark.parametrize("random_weights", [False, True])
def test_what_is_not_there_is_refused(tmp_path, random_weights):
    with pytest.raises(UsageError, match="did you mean 'r3d_18'"):
        open_model("r3d-18", random_weights=random_weights)
    for missing in (str(tmp_path / "x.safetensors"), "missing.pth"):
        with pytest.raises(CheckpointError, match="no such file"):
            open_model(missing, random_weights=random_weights)
    with pytest.raises(CheckpointError, match="is a folder"):
        open_model(str(tmp_path), random_weights=random_weights)


def test_the_demo_is_a_file_of_the_package():
    assert demo_checkpoint("classifier").parent.name == "weights"
    if not demo_checkpoint("classifier").exists():
        pytest.skip("needs the shipped weights: train them with recipes/demo")
    network, origin = open_model("demo")
    assert origin.model == f"demo ({network.name})"
    assert network.classes is not None


def test_a_header_that_lies_builds_nothing_at_random_either(tmp_path):
    path = tmp_path / "net.safetensors"
    header = {"version": 1, "name": "r3d_18", "options": {"width": 10**6}, "num_classes": 2}
    header |= dict.fromkeys(("classes", "clip", "transform"))
    header |= {"vidskim_version": "0", "metadata": {}}
    save_file({"fc.bias": torch.zeros(2)}, path, metadata={"vidskim": json.dumps(header)})
    with pytest.raises(CheckpointError, match="does not fit r3d_18"):
        open_model(str(path), random_weights=True)


def test_weights_for_several_classes_at_once_are_told(monkeypatch):
    name = "slow_r50_8x8@pytorchvideo-charades"
    monkeypatch.setattr(
        "vidskim.backbones.open.load_backbone", lambda _: create_backbone("slow_r50_8x8")
    )
    _, origin = open_model(name)
    (warning,) = origin.warnings
    assert warning.startswith(f"{name} tells classes apart by sigmoid")
    assert open_model("slow_r50_8x8@pytorchvideo-k400")[1].warnings == ()


def test_random_weights_by_id_see_what_the_published_ones_see():
    network, _ = open_model("slow_r50_8x8@pytorchvideo-k400", random_weights=True)
    assert network.clip.size == network.transform.crop == (256, 256)
    assert network.head_window == (7, 7)
    assert open_model("slow_r50_8x8", random_weights=True)[0].clip.size == (224, 224)
