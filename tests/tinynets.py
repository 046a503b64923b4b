"""Networks of a few thousand weights, the same each time, for tests of what wraps networks."""

import torch

from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import create_backbone
from vidskim.backbones.resnet2d import ResNet2d
from vidskim.backbones.resnet3d import ResNet3d
from vidskim.saliency.network import NetworkSaliency
from vidskim.saliency.sampler import Sampler
from vidskim.saliency.sources import MotionMaps
from vidskim.transforms import Transform

CLASSES = ("fall", "jump", "roll", "wave")


def tiny_classifier(*, num_frames: int = 8, stride: int = 1, seed: int = 0) -> ResNet3d:
    """A clip classifier of 32x32 pixels whose answers differ clearly from clip to clip."""
    torch.manual_seed(seed)
    network = create_backbone("r3d_18", num_classes=len(CLASSES), width=4)
    assert isinstance(network, ResNet3d)
    network.fc.weight.data *= 30
    network.classes = CLASSES
    network.clip = ClipSpec(num_frames=num_frames, stride=stride, size=(32, 32))
    network.transform = Transform(resize_to=(32, 43), crop=(32, 32))
    return network.eval()


def tiny_sampler(*, in_channels: int = 2, seed: int = 1) -> ResNet2d:
    """A saliency network on motion maps."""
    torch.manual_seed(seed)
    network = create_backbone(
        "resnet_18", num_classes=3, width=4, in_channels=in_channels, stem="small"
    )
    assert isinstance(network, ResNet2d)
    network.fc.weight.data *= 30
    return network.eval()


def motion_sampler(network: ResNet2d, *, size: tuple[int, int] | None = None) -> Sampler:
    """SCSampler on motion maps alone."""
    return Sampler(visual=(NetworkSaliency(network, MotionMaps(size)),))
