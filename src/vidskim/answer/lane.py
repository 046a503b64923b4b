"""One encoder of a recognizer: what it sees of a clip, what it makes of it, what that costs."""

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from vidskim.account import Account, MacCounter, count, on_meta
from vidskim.answer.openvino import FastBackbone
from vidskim.answer.precision import resolve, running_in
from vidskim.backbones.contract import Backbone, Features, clip_of
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError


@dataclass(frozen=True, slots=True)
class ClipMacs:
    """MACs of the whole classifier on one clip, and of its convolutional part."""

    whole: int
    features: int


@dataclass(slots=True)
class Lane:
    """An encoder and what brings its maps to the form that the aggregator takes.

    Attributes:
        encoder: a clip classifier, unmodified.
        label: what answers call it.
        adapter: its maps ``[M, C_e, T', H', W']`` to what the aggregator takes; None for as is.
        device: where both run.
        precision: of the encoder; the adapter runs in float32.
    """

    encoder: Backbone
    label: str
    adapter: nn.Module | None
    device: torch.device
    precision: str
    _macs: dict[tuple[int, ...], ClipMacs] = field(default_factory=dict)
    _map_numels: dict[tuple[int, ...], int] = field(default_factory=dict)
    _last: tuple[int, ...] | None = None

    @property
    def transform(self) -> Transform:
        """From decoded frames to the encoder's input."""
        assert self.encoder.transform is not None
        return self.encoder.transform

    @property
    def clip_macs(self) -> int:
        """Multiply-adds of the whole classifier on one view, of the size it saw last."""
        assert self.encoder.clip is not None
        return self.count(self._last or self.encoder.clip.input_shape).whole

    @property
    def map_bytes(self) -> int:
        """Bytes of the map of one view, of the size it saw last."""
        assert self.encoder.clip is not None
        shape = self._last or self.encoder.clip.input_shape
        if shape not in self._map_numels:
            assert isinstance(self.encoder, nn.Module)
            self._map_numels[shape] = _map_numel(self.encoder, shape)
        return 4 * self._map_numels[shape]

    def encode(self, x: Tensor, account: Account) -> Tensor:
        """Map views ``[M, 3, T, h, w]`` to ``[M, C, T', H', W']``, charged to an account."""
        self._last = (1, *x.shape[1:])
        macs = self.count(self._last)
        with account.stage("encode"):
            with running_in(self.precision, self.device):
                features = self.encoder.features(x)
            features = features.float()
        account.add_macs(macs.features * len(x), stage="encode")
        if self.adapter is None:
            return features
        with account.stage("aggregate"), MacCounter() as counter:
            adapted: Tensor = self.adapter(features)
        account.add_macs(counter.macs, stage="aggregate")
        return adapted

    def count(self, shape: tuple[int, ...]) -> ClipMacs:
        """Return the MACs of one view of a shape ``(1, 3, T, h, w)``."""
        if shape not in self._macs:
            assert isinstance(self.encoder, nn.Module)
            self._macs[shape] = ClipMacs(
                whole=count(self.encoder, shape).macs,
                features=count(Features(self.encoder), shape).macs,
            )
        return self._macs[shape]


def _map_numel(encoder: nn.Module, shape: tuple[int, ...]) -> int:
    ghost = on_meta(Features(cast(Backbone, encoder)))
    with torch.device("meta"), torch.no_grad():
        return int(ghost(torch.empty(shape)).numel())


class Head(nn.Module):
    """The classifier of an encoder as an adapter: what is averaged is then each clip's logits."""

    def __init__(self, encoder: Backbone) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[M, C, T', H', W']`` to logits ``[M, K]``."""
        return self.encoder.classify(features)


def make_lane(
    encoder: Backbone,
    *,
    label: str,
    adapter: nn.Module | None,
    device: torch.device,
    precision: str,
) -> Lane:
    """Put an encoder in evaluation mode on a device, and decide what it runs in.

    Raises:
        UsageError: a network that takes no clips, or a compiled one that is asked for another
            precision or device.
    """
    clip_of(encoder)
    own_precision = encoder.precision if isinstance(encoder, FastBackbone) else None
    if own_precision is not None and (precision != "fp32" or device.type != "cpu"):
        raise UsageError(
            f"{encoder.name} was compiled for the CPU in a precision of its own: leave precision "
            f"{precision!r} and device {str(device)!r} out"
        )
    assert isinstance(encoder, nn.Module)
    encoder.eval().to(device)
    if adapter is not None:
        adapter.eval().to(device)
    chosen = own_precision or resolve(precision, encoder, device=device)
    lane = Lane(encoder, label, adapter, device, chosen)
    lane.count(clip_of(encoder).input_shape)  # the counter's own start-up belongs to no video
    return lane


def labels_of(encoders: tuple[Backbone, ...]) -> list[str]:
    """Return what answers call encoders: their names, told apart where they agree."""
    names = [encoder.name for encoder in encoders]
    if len(set(names)) == len(names):
        return names
    roles = ("expensive", "cheap", *(f"number {n + 1}" for n in range(2, len(names))))
    return [f"{name} ({role})" for name, role in zip(names, roles)]
