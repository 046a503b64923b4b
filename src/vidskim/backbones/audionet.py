"""Networks on log-mel windows ``[N, 1, 40, 200]``: what SCSampler listens with (section 3.2.2).

The paper describes its audio network in a supplement that is not public: a VGG on windows of 40
mel bands by 200 steps, with layers called conv4_2, pool4 and fc1. Two known networks have such
layers, and both are here:

============  ============================================  =========  ========
network       layers                                        GMACs      M params
============  ============================================  =========  ========
``vggish``    3x3 to 64, 128, 256 x 2, 512 x 2 channels,    1.10       72.2
              pooling after each width, then fully
              connected 4096, 4096, 128
``l3_audio``  3x3 to 64 x 2, 128 x 2, 256 x 2, 512 x 2      1.63       4.9
              channels with batch norm, pooling between
              widths, mean over the map
============  ============================================  =========  ========

VGGish: Hershey et al., "CNN Architectures for Large-Scale Audio Classification", ICASSP 2017, in
the form of its AudioSet release. L3: Arandjelovic and Zisserman, "Look, Listen and Learn", ICCV
2017, figure 2. Neither loads published weights: those are made for windows of another size.

With ``head_on`` a network ends at one of those layers and its head is a linear layer on all that
the layer gives, bands and steps apart: the other variants of the paper's table 6.
"""

from collections.abc import Collection, Mapping
from typing import Any, cast

from torch import Tensor, nn

from vidskim.backbones.network import Network, initialize_convolutions
from vidskim.errors import UsageError, unknown_name

LOG_MEL_SIZE = (40, 200)
"""Mel bands and steps of a window twice the clip long."""

POOLED_SIZE = (2, 12)
"""What four poolings by two leave of it."""

LAYER_SIZES = {"conv4_2": (5, 25), "pool4": POOLED_SIZE, "fc1": (1, 1)}
"""Layers that a head may stand on, and their map's size for the paper's windows."""


class AudioNet(Network):
    """A classifier of log-mel windows; keeps `contract.Backbone` with one dimension less.

    Args:
        name: what the registry calls it.
        stages: name of each stage to the attribute that holds it, in order.
        in_channels: of the input, one for a log-mel spectrogram.
        width: channels of the first convolution, 64 in the papers.
        head_on: layer that the head stands on, "" for the last.

    Raises:
        UsageError: channels below one.
    """

    image_size = LOG_MEL_SIZE

    def __init__(
        self,
        name: str,
        *,
        stages: Mapping[str, str],
        in_channels: int,
        width: int,
        head_on: str = "",
    ) -> None:
        options: dict[str, Any] = {"in_channels": in_channels, "width": width}
        if head_on:
            options["head_on"] = head_on
            stages = {**stages, "flat": "flat"}
        super().__init__(name, stages=stages, clip=None, transform=None, options=options)
        if in_channels < 1 or width < 1:
            raise UsageError(
                f"in_channels and width are at least one, got {in_channels} and {width}"
            )


class Flat(nn.Module):
    """Gives every place of a map channels of its own, ``[N, C, h, w]`` to ``[N, C * h * w, 1, 1]``.

    A map of another size than ``size`` is averaged to it first.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.resize = nn.AdaptiveAvgPool2d(size)

    def forward(self, x: Tensor) -> Tensor:
        """Return the flat map."""
        return cast(Tensor, self.resize(x).flatten(1)[:, :, None, None])


class Embedding(nn.Module):
    """Fully connected layers on a map of fixed size, ``[N, C, h, w]`` to ``[N, D, 1, 1]``.

    A map of another size is averaged to that size first; one of that size stays as it is.
    """

    def __init__(self, channels: int, *, hidden: int, features: int, depth: int = 3) -> None:
        super().__init__()
        self.resize = nn.AdaptiveAvgPool2d(POOLED_SIZE)
        flat = channels * POOLED_SIZE[0] * POOLED_SIZE[1]
        layers: list[nn.Module] = []
        for inputs, outputs in ((flat, hidden), (hidden, hidden), (hidden, features))[:depth]:
            linear = nn.Linear(inputs, outputs)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the whole window as a map of one place."""
        return cast(Tensor, self.layers(self.resize(x).flatten(1))[:, :, None, None])


def vggish(
    *, in_channels: int = 1, num_classes: int = 400, width: int = 64, head_on: str = ""
) -> AudioNet:
    """VGGish; 1.10 GMACs per 1x40x200 window. Bands and steps of the last map are kept apart."""
    _check_layer("vggish", head_on, LAYER_SIZES)
    embeds = head_on in ("", "fc1")
    network = AudioNet(
        "vggish",
        stages={f"conv{i}": f"conv{i}" for i in (1, 2, 3, 4)}
        | ({"embedding": "embedding"} if embeds else {}),
        in_channels=in_channels,
        width=width,
        head_on=head_on,
    )
    before = in_channels
    for i, repeats in enumerate((1, 1, 2, 2)):
        layers: list[nn.Module] = []
        for _ in range(repeats):
            layers += [nn.Conv2d(before, width << i, 3, padding=1), nn.ReLU(inplace=True)]
            before = width << i
        if i < 3 or head_on != "conv4_2":
            layers.append(nn.MaxPool2d(2))
        network.add_module(f"conv{i + 1}", nn.Sequential(*layers))
    initialize_convolutions(network)
    if embeds:
        depth = 1 if head_on else 3
        network.embedding = Embedding(before, hidden=64 * width, features=2 * width, depth=depth)
        before = 64 * width if head_on else 2 * width
    _add_head(network, before, num_classes, head_on=head_on)
    return network


def l3_audio(
    *, in_channels: int = 1, num_classes: int = 400, width: int = 64, head_on: str = ""
) -> AudioNet:
    """L3's audio network; 1.63 GMACs per 1x40x200 window, a fifteenth of VGGish's parameters."""
    _check_layer("l3_audio", head_on, ("conv4_2",))
    network = AudioNet(
        "l3_audio",
        stages={f"conv{i}": f"conv{i}" for i in (1, 2, 3, 4)},
        in_channels=in_channels,
        width=width,
        head_on=head_on,
    )
    before = in_channels
    for i in range(4):
        layers: list[nn.Module] = [] if i == 0 else [nn.MaxPool2d(2)]
        for _ in range(2):
            layers += [
                nn.Conv2d(before, width << i, 3, padding=1, bias=False),
                nn.BatchNorm2d(width << i),
                nn.ReLU(inplace=True),
            ]
            before = width << i
        network.add_module(f"conv{i + 1}", nn.Sequential(*layers))
    initialize_convolutions(network)
    _add_head(network, before, num_classes, head_on=head_on)
    return network


def _check_layer(name: str, head_on: str, layers: Collection[str]) -> None:
    """Refuse a layer that a network does not have.

    Raises:
        UsageError: with the layers it has.
    """
    if head_on and head_on not in layers:
        raise unknown_name(f"layer of {name}", head_on, layers)


def _add_head(network: AudioNet, channels: int, num_classes: int, *, head_on: str) -> None:
    """Add the head, on a flat map where it stands on a layer inside."""
    if head_on:
        height, width = LAYER_SIZES[head_on]
        network.flat = Flat((height, width))
        channels *= height * width
    network.add_head(channels, num_classes)


BUILDERS = {"vggish": vggish, "l3_audio": l3_audio}
