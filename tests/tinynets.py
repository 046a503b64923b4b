"""Networks of a few thousand weights, the same each time, for tests of what wraps networks."""

from typing import Any

import torch

from vidskim.backbones.bottleneck3d import BottleneckNetwork
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import create_backbone
from vidskim.backbones.resnet2d import ResNet2d
from vidskim.backbones.resnet3d import ResNet3d
from vidskim.clips.transform import Transform
from vidskim.look.network import NetworkSaliency
from vidskim.look.sampler import Sampler
from vidskim.look.sources import MotionMaps
from vidskim.model.adapter import make_adapters
from vidskim.model.aggregate import create_aggregator
from vidskim.model.compressed import Compressed, map_channels
from vidskim.model.compression import TemporalCompression
from vidskim.model.memory import CollaborativeMemory, Infusion, Interaction
from vidskim.model.model import Model
from vidskim.model.presets import faster, memory_channels
from vidskim.train.multi_clip import MultiClip

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


def tiny_cheap(*, num_frames: int = 8, stride: int = 1, seed: int = 2) -> BottleneckNetwork:
    """A classifier of the same clips with more channels, larger maps and pixels of another scale.

    Its maps are 64 x 1 x 3 x 3, those of `tiny_classifier` 32 x 1 x 2 x 2.
    """
    torch.manual_seed(seed)
    network = create_backbone("r2d_26", num_classes=len(CLASSES), width=2)
    assert isinstance(network, BottleneckNetwork)
    network.fc.weight.data *= 30
    network.classes = CLASSES
    network.clip = ClipSpec(num_frames=num_frames, stride=stride, size=(80, 80))
    network.transform = Transform(
        resize_to=(80, 107), crop=(80, 80), mean=(0.5, 0.5, 0.5), std=(0.1, 0.1, 0.1)
    )
    return network.eval()


def tiny_faster(
    *,
    aggregator: str = "fast_gru",
    pattern: str = "1:2",
    num_clips: int = 6,
    num_frames: int = 8,
    seed: int = 3,
) -> Model:
    """FASTER with `tiny_classifier` as the expensive encoder and `tiny_cheap` as the cheap one."""
    encoders = [tiny_classifier(num_frames=num_frames), tiny_cheap(num_frames=num_frames)]
    torch.manual_seed(seed)
    learned = create_aggregator(aggregator, channels=32, num_classes=len(CLASSES))
    learned.head.weight.data *= 100
    adapters = make_adapters(encoders, channels=32)
    return faster(encoders, learned, adapters=adapters, pattern=pattern, num_clips=num_clips).eval()


def tiny_multi_clip(
    *,
    interaction: Interaction | None = "associative",
    infusion: Infusion = "gating",
    is_multilabel: bool = False,
    seed: int = 4,
) -> MultiClip:
    """`tiny_classifier` with a memory that changes its answers clearly, for training."""
    backbone = tiny_classifier()
    torch.manual_seed(seed)
    memory = None
    if interaction is not None:
        memory = CollaborativeMemory(
            memory_channels(backbone), interaction=interaction, infusion=infusion
        )
        torch.nn.init.normal_(memory.output.weight, std=3.0)
    return MultiClip(backbone, memory, num_clips=3, is_multilabel=is_multilabel).eval()


def tiny_memory(**options: Any) -> Model:
    """The same as a model, see `tiny_multi_clip`."""
    return tiny_multi_clip(**options).published().eval()


def tiny_compressed(
    *, at: str = "res3", num_frames: int = 8, stride: int = 1, seed: int = 5, **options: object
) -> Compressed:
    """`tiny_classifier` that looks at whole frames and keeps half of its steps, unequal mixes."""
    backbone = tiny_classifier(num_frames=num_frames, stride=stride)
    backbone.fc.weight.data /= 6  # whole frames have larger activations
    torch.manual_seed(seed)
    options = {"num_blocks": 1, "scale": "features", **options}
    compression = TemporalCompression(map_channels(backbone, at), **options)
    for projection in (compression.query, compression.key):
        projection.reset_parameters()
    return Compressed(backbone, at=at, compression=compression).eval()
