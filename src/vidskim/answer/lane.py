"""One encoder of a recognizer: what it takes of a run of clips, its map, what that costs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vidskim.account import Account, MacCounter, count, on_meta
from vidskim.answer.openvino import FastBackbone
from vidskim.answer.precision import resolve, running_in
from vidskim.backbones.contract import ClipSpec, Features, clip_of
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError
from vidskim.model.compressed import Compressed, bare_of, is_joined
from vidskim.model.compression import Attention
from vidskim.model.contract import Encoder
from vidskim.model.model import Join


@dataclass(frozen=True, slots=True)
class ClipMacs:
    """MACs of the whole classifier on one clip, and of its convolutional part."""

    whole: int
    features: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """The map of one run ``[V, C, T', H', W']``, and what was attended to for it."""

    maps: Tensor
    attention: Attention | None = None
    num_steps: int = 0
    """T of the map that was compressed."""


@dataclass(slots=True)
class Lane:
    """An encoder and its adapter, on a device in a precision.

    Attributes:
        encoder: a clip classifier, unmodified.
        label: what answers call it.
        adapter: of its maps; it runs in float32.
        join: clips of one input; None for all of a run's.
        device: where both run.
        precision: of the encoder.
    """

    encoder: Any
    label: str
    adapter: nn.Module
    join: Join
    device: torch.device
    precision: str
    _macs: dict[tuple[int, ...], ClipMacs] = field(default_factory=dict)
    _map_numels: dict[tuple[int, ...], int] = field(default_factory=dict)
    _last: tuple[int, ...] | None = None

    @property
    def bare(self) -> Encoder:
        """The classifier by itself, which a dense pass runs on every clip."""
        bare: Encoder = bare_of(self.encoder)
        return bare

    @property
    def clip(self) -> ClipSpec:
        """The clip it takes."""
        return clip_of(self.encoder)

    @property
    def transform(self) -> Transform:
        """From decoded frames to its input."""
        assert self.encoder.transform is not None
        return self.encoder.transform  # type: ignore[no-any-return]

    @property
    def is_compressed(self) -> bool:
        """Whether the encoder compresses its inputs over time."""
        return isinstance(self.encoder, Compressed)

    @property
    def is_joined(self) -> bool:
        """Whether the frames of a run are one input, of any length."""
        return is_joined(self.encoder, self.join)

    @property
    def clip_macs(self) -> int:
        """Multiply-adds of the bare classifier on one view, of the size it took last."""
        own = clip_of(self.bare).input_shape
        return self.count(own if self.is_joined else self._last or own).whole

    def bare_clips(self, num_grid: int) -> int:
        """Return how many clips of the bare classifier are as long as so many of the grid."""
        own = clip_of(self.bare).num_frames
        return -(-num_grid * self.clip.num_frames // own)

    @property
    def map_bytes(self) -> int:
        """Bytes of the map of one clip's view, of the size it took last."""
        shape = self._last or self.clip.input_shape
        if shape not in self._map_numels:
            ghost = on_meta(Features(self.encoder))
            with torch.device("meta"), torch.no_grad():
                self._map_numels[shape] = int(ghost(torch.empty(shape)).numel())
        return 4 * self._map_numels[shape]

    def encode(self, x: Tensor, account: Account) -> Tensor:
        """Map views ``[M, 3, T, h, w]`` to ``[M, C, T', H', W']``, charged to an account."""
        self._last = (1, *x.shape[1:])
        macs = self.count(self._last)
        with account.stage("encode"):
            with running_in(self.precision, self.device):
                features = self.encoder.features(x)
            features = self._checked(features, x, by=self.encoder.name).float()
        account.add_macs(macs.features * len(x), stage="encode")
        return self._adapted(features, account)

    def encode_parts(self, parts: Iterator[Tensor], account: Account) -> Encoded:
        """Encode a run whose frames come part by part, ``[V, 3, t, h, w]`` each."""
        runs = running_in(self.precision, self.device)
        attention, num_steps = None, 0
        with account.stage("encode"), MacCounter() as counter, runs:
            if isinstance(self.encoder, Compressed):
                features, attention, num_steps = self.encoder.attend(parts)
            else:
                x = torch.cat(list(parts), dim=2)
                features = self._checked(self.encoder.features(x), x, by=self.encoder.name)
            features = features if features.dtype == torch.float64 else features.float()
        account.add_macs(counter.macs, stage="encode")
        return Encoded(self._adapted(features, account), attention, num_steps)

    def _adapted(self, features: Tensor, account: Account) -> Tensor:
        if isinstance(self.adapter, nn.Identity):
            return features
        with account.stage("aggregate"), MacCounter() as counter:
            adapted = self._checked(
                self.adapter(features), features, by=type(self.adapter).__name__
            )
        account.add_macs(counter.macs, stage="aggregate")
        return adapted

    def _checked(self, made: Tensor, given: Tensor, *, by: str) -> Tensor:
        """Return what was made of some inputs.

        Raises:
            UsageError: it is not one map or vector of class scores for each of them.
        """
        is_right = isinstance(made, Tensor) and made.is_floating_point()
        if not is_right or len(made) != len(given) or made.ndim < 2:
            told = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise UsageError(
                f"{by} gives {told} for {len(given)} inputs: one map [C, T, H, W] for each of them"
            )
        return made

    def count(self, shape: tuple[int, ...]) -> ClipMacs:
        """Return the MACs of the bare classifier on one view of a shape ``(1, 3, T, h, w)``."""
        if shape not in self._macs:
            bare: Any = self.bare
            self._macs[shape] = ClipMacs(
                whole=count(bare, shape).macs, features=count(Features(bare), shape).macs
            )
        return self._macs[shape]


def make_lane(
    encoder: Any,
    *,
    label: str,
    adapter: nn.Module,
    join: Join,
    device: torch.device,
    precision: str,
) -> Lane:
    """Put an encoder in evaluation mode on a device, and decide what it runs in.

    Raises:
        UsageError: a compiled network that is asked for another precision or device.
    """
    own_precision = encoder.precision if isinstance(encoder, FastBackbone) else None
    if own_precision is not None and (precision != "fp32" or device.type != "cpu"):
        raise UsageError(
            f"{encoder.name} was compiled for the CPU in a precision of its own: leave precision "
            f"{precision!r} and device {str(device)!r} out"
        )
    encoder.eval().to(device)
    adapter.eval().to(device)
    bare = bare_of(encoder)
    chosen = own_precision or resolve(precision, bare, device=device)
    lane = Lane(encoder, label, adapter, join, device, chosen)
    # what is measured once belongs to the account of no video: the counter's start-up, the reach
    lane.count(clip_of(bare).input_shape)
    if isinstance(encoder, Compressed) and not encoder.takes_own_length():
        encoder.reach()
    return lane


def labels_of(encoders: tuple[Any, ...]) -> list[str]:
    """Return what answers call encoders: their names, told apart where they agree."""
    names = [encoder.name for encoder in encoders]
    if len(set(names)) == len(names):
        return names
    roles = ("expensive", "cheap", *(f"number {n + 1}" for n in range(2, len(names))))
    return [f"{name} ({role})" for name, role in zip(names, roles)]
