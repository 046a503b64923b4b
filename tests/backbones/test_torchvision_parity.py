"""Our networks, transforms and records beside torchvision's, an independent implementation."""

import pytest
import torch
from torch import nn

from vidskim.backbones import OFFICIAL_WEIGHTS, create_backbone, load_backbone
from vidskim.clips.transform import Transform

torchvision = pytest.importorskip("torchvision", reason="the oracle: make oracle")

RECORDS = {
    "r3d_18": torchvision.models.video.R3D_18_Weights.KINETICS400_V1,
    "mc3_18": torchvision.models.video.MC3_18_Weights.KINETICS400_V1,
    "r2plus1d_18": torchvision.models.video.R2Plus1D_18_Weights.KINETICS400_V1,
}
CASES = {
    "r3d_18": (torchvision.models.video.r3d_18, (2, 3, 8, 32, 32)),
    "mc3_18": (torchvision.models.video.mc3_18, (2, 3, 8, 32, 32)),
    "r2plus1d_18": (torchvision.models.video.r2plus1d_18, (2, 3, 8, 32, 32)),
    "resnet_18": (torchvision.models.resnet18, (2, 3, 64, 64)),
}


def _randomize_statistics(network: nn.Module) -> None:
    """Give every batch norm its own scale, shift and statistics, so that a swap would show."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


@pytest.mark.parametrize("name", CASES)
def test_networks_agree_with_copied_weights(name, tmp_path):
    build, shape = CASES[name]
    torch.manual_seed(0)
    theirs = build(num_classes=11).eval()
    _randomize_statistics(theirs)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = load_backbone(checkpoint=tmp_path / "theirs.pth")
    assert ours.name == name
    assert list(ours.state_dict()) == list(theirs.state_dict())

    x = torch.randn(shape)
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.01
    ours.train()
    theirs.train()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
    running = ("stem.1.running_mean", "bn1.running_mean")[name == "resnet_18"]
    torch.testing.assert_close(ours.state_dict()[running], theirs.state_dict()[running])


def test_a_fresh_network_is_initialized_alike():
    torch.manual_seed(0)
    theirs = torchvision.models.video.r2plus1d_18(num_classes=50).state_dict()
    ours = create_backbone("r2plus1d_18", num_classes=50).state_dict()
    for key, value in theirs.items():
        torch.testing.assert_close(
            ours[key].float().std(correction=0),
            value.float().std(correction=0),
            rtol=0.1,
            atol=1e-3,
            msg=key,
        )


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_published_weights(name):
    ours, theirs = OFFICIAL_WEIGHTS[name], RECORDS[name]
    metrics = theirs.meta["_metrics"]["Kinetics-400"]
    assert ours.url == theirs.url
    assert ours.sha256_prefix == theirs.url.rsplit("-", 1)[1].removesuffix(".pth")
    assert ours.classes == tuple(theirs.meta["categories"])
    assert ours.num_classes == len(ours.classes) == 400
    assert ours.top1 == pytest.approx(metrics["acc@1"] / 100)
    assert ours.size_megabytes == pytest.approx(theirs.meta["_file_size"], abs=0.06)
    preset = theirs.transforms()
    assert ours.transform == Transform(
        resize_to=tuple(preset.resize_size),
        crop=tuple(preset.crop_size),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


@pytest.mark.parametrize(
    ("resize", "crop", "H", "W"),
    [
        ((128, 171), (112, 112), 240, 320),
        ((128, 171), (112, 112), 96, 131),
        ([64], (57, 60), 90, 133),
        ([64], (64, 64), 133, 90),
        ([90], (33, 34), 90, 133),
    ],
)
def test_transforms_equal_the_preset(resize, crop, H, W):
    from torchvision.transforms._presets import VideoClassification

    frames = torch.randint(0, 256, (2, 5, 3, H, W), dtype=torch.uint8)
    theirs = VideoClassification(crop_size=crop, resize_size=resize)
    if isinstance(resize, tuple):
        ours = Transform(resize_to=resize, crop=crop)
    else:
        ours = Transform(short_side=resize[0], crop=crop)
    out = ours(frames)
    torch.testing.assert_close(out, theirs(frames), rtol=0, atol=1e-6)
    assert out.is_contiguous()


def test_antialiased_resizing_equals_torchvision():
    from torchvision.transforms.functional import resize

    frames = torch.randint(0, 256, (4, 3, 90, 133), dtype=torch.uint8)
    unchanged = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    ours = Transform(resize_to=(40, 50), antialias=True, **unchanged)(frames)
    theirs = resize(frames, [40, 50], antialias=True)
    torch.testing.assert_close(ours.transpose(0, 1) * 255, theirs.float(), rtol=0, atol=1e-3)
