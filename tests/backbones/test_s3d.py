"""S3D beside torchvision, and torchvision's names in another arithmetic."""

import pytest
import torch
from by_taps import File, max_pool
from torch import Tensor, nn

from vidskim.account import count
from vidskim.backbones import create_backbone, load_backbone
from vidskim.clips.transform import Transform

CLASSES = 5

SEQUENCE = {  # place: 1x1, reduce and 3x3x3, twice, and what follows the pooling
    5: (64, 96, 128, 16, 32, 32),
    6: (128, 128, 192, 32, 96, 64),
    8: (192, 96, 208, 16, 48, 64),
    9: (160, 112, 224, 24, 64, 64),
    10: (128, 128, 256, 24, 64, 64),
    11: (112, 144, 288, 32, 64, 64),
    12: (256, 160, 320, 32, 128, 128),
    14: (256, 160, 320, 32, 128, 128),
    15: (384, 192, 384, 48, 128, 128),
}


def _unit(file: File, name: str, x: Tensor, channels: int, kernel=(1, 1, 1), step=1) -> Tensor:
    stride = [step if k > 1 else 1 for k in kernel]
    return file.norm(f"{name}.1", file.conv(f"{name}.0", x, channels, kernel, stride=stride))


def _separable(file: File, name: str, x: Tensor, channels: int, k: int = 3, step=1) -> Tensor:
    x = _unit(file, f"{name}.0", x, channels, (1, k, k), step)
    return _unit(file, f"{name}.1", x, channels, (k, 1, 1), step)


def torchvision_logits(file: File, x: Tensor) -> Tensor:
    """Run S3D by torchvision's names on a clip whose last map is smaller than 7x7."""
    x = _separable(file, "features.0", x, 64, 7, 2)
    x = max_pool(x, (1, 3, 3), stride=(1, 2, 2))
    x = _unit(file, "features.2", x, 64)
    x = _separable(file, "features.3", x, 192)
    x = max_pool(x, (1, 3, 3), stride=(1, 2, 2))
    for place, (c0, mid1, c1, mid2, c2, c3) in SEQUENCE.items():
        at = f"features.{place}"
        if place == 8:
            x = max_pool(x, (3, 3, 3), stride=(2, 2, 2))
        if place == 14:
            x = max_pool(x, (2, 2, 2), stride=(2, 2, 2), pads=[(0, 0)] * 3)
        parts = [_unit(file, f"{at}.branch0", x, c0)]
        for n, mid, c in ((1, mid1, c1), (2, mid2, c2)):
            y = _unit(file, f"{at}.branch{n}.0", x, mid)
            parts.append(_separable(file, f"{at}.branch{n}.1", y, c))
        around = max_pool(x, (3, 3, 3), stride=(1, 1, 1))
        parts.append(_unit(file, f"{at}.branch3.1", around, c3))
        x = torch.cat(parts, 1)
    steps = x.mean((3, 4))
    pairs = (steps[:, :, 1:] + steps[:, :, :-1]) / 2
    weight = file.draw("classifier.1.weight", (CLASSES, 1024, 1, 1, 1)).flatten(1)
    return pairs.mean(2) @ weight.T + file.draw("classifier.1.bias", (CLASSES,))


def test_torchvisions_names_give_the_same_logits(tmp_path):
    x = torch.randn(1, 3, 24, 65, 77, generator=torch.Generator().manual_seed(1))
    file = File(eps=1e-3)
    expected = torchvision_logits(file, x)
    torch.save(file.state, tmp_path / "s3d.pth")
    ours = load_backbone(checkpoint=tmp_path / "s3d.pth")
    assert ours.name == "s3d"
    with torch.no_grad():
        features = ours.features(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4 * expected.abs().max())
        plain = ours.score(features.mean((2, 3, 4)))
    assert features.shape[2] == 3
    assert (plain - expected).abs().max() > 0.01 * expected.abs().max()


def test_agrees_with_torchvision(tmp_path):
    video = pytest.importorskip("torchvision", reason="the oracle: make oracle").models.video
    torch.manual_seed(0)
    theirs = video.s3d(num_classes=CLASSES).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.05, 0.3)
    torch.save(theirs.state_dict(), tmp_path / "s3d.pth")
    ours = load_backbone(checkpoint=tmp_path / "s3d.pth")
    x = torch.randn(1, 3, 24, 209, 224)  # the last map is 3x7x7, the smallest with two windows
    with torch.no_grad():
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-5)
        plain = ours.score(ours.features(x).mean((2, 3, 4)))
    assert (plain - expected).abs().max() > 1e-3
    kinds = [
        {(m.eps, m.momentum) for m in n.modules() if isinstance(m, nn.BatchNorm3d)}
        for n in (ours, theirs)
    ]
    assert kinds[0] == kinds[1]
    assert ours.dropout.p == theirs.classifier[0].p
    preset = video.S3D_Weights.KINETICS400_V1.transforms()
    assert ours.transform == Transform(
        resize_to=tuple(preset.resize_size),
        crop=tuple(preset.crop_size),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def test_cost_is_the_documented_one():
    with torch.device("meta"):
        network = create_backbone("s3d")
    # torchvision's documentation: 17.98 GFLOPs at 16 frames of 224x224, 8,320,048 parameters
    counted = count(network, (1, 3, 16, 224, 224))
    assert (counted.macs, counted.params) == (17_978_771_456, 8_320_048)
    assert count(network, network.clip.input_shape).macs == 71_913_857_024
