"""Networks of every family, a few thousand weights each, with a compression inside."""

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from vidskim.backbones.registry import create_backbone
from vidskim.model.compressed import Compressed, map_channels
from vidskim.model.compression import TemporalCompression


def narrow(name: str, *, seed: int = 0, double: bool = True, **options):
    """A network of a few thousand weights whose batch norms do something, zeros nowhere."""
    torch.manual_seed(seed)
    width = 16 if name.startswith(("slowfast", "x3d")) else 4  # maps that four divides
    network = create_backbone(name, num_classes=4, width=width, **options)
    for part, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            least = 0.001 if part.endswith(".norm") else 0.5  # non-local blocks grow by cubes
            torch.nn.init.uniform_(module.weight, least, 3 * least)
            torch.nn.init.normal_(module.bias, std=0.3)
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 1.5)
    return network.double().eval() if double else network.eval()


def compressed(network, at: str, **options) -> Compressed:
    torch.manual_seed(7)
    options.setdefault("num_blocks", 1)
    compression = TemporalCompression(map_channels(network, at), **options)
    for projection in (compression.query, compression.key):
        projection.reset_parameters()  # the identity would hide what is mixed
    return Compressed(network, at=at, compression=compression).to(network.fc.weight.dtype).eval()


def video(num_frames: int, *, size: tuple[int, int] = (32, 32), batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(num_frames)
    return torch.randn(batch, 3, num_frames, *size, generator=generator).double()
