"""What trained aggregators share: a state that clips change in turn, and a head that reads it."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from vidskim.errors import UsageError


class Learned(nn.Module):
    """A recurrent aggregator: the first clip is the state, each further one changes it.

    Args:
        channels: C of the maps it takes.
        num_classes: K.
        dropout: share of the pooled features that training drops before the head.

    Raises:
        UsageError: no channels or classes, or a dropout outside of [0, 1).
    """

    name: ClassVar[str]

    def __init__(self, channels: int, num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if channels < 1 or num_classes < 1:
            raise UsageError(
                f"{self.name} needs channels and classes, got {channels} and {num_classes}"
            )
        if not 0 <= dropout < 1:
            raise UsageError(f"dropout is a share below 1, got {dropout}")
        self.channels = channels
        self.num_classes = num_classes
        self.options: dict[str, Any] = {"dropout": dropout}
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, N, C, T', H', W']`` to logits ``[B, K]``."""
        return self.read(self.step(self.start(), features))

    def start(self) -> Tensor | None:
        """Return the state before the first clip."""
        return None

    @property
    def description(self) -> str:
        """Its name."""
        return self.name

    def step(
        self, state: Tensor | None, features: Tensor, *, counts: Sequence[int] | None = None
    ) -> Tensor | None:
        """Take in the next maps ``[B, n, C, T', H', W']`` of each video; return the new state.

        Args:
            state: before them, which is not changed.
            features: the maps.
            counts: clips that each map was made of; an order counts maps, whatever is said here.

        Raises:
            UsageError: maps of other channels, or of another size than those before.
        """
        if features.ndim != 6 or features.shape[2] != self.channels:
            raise UsageError(
                f"{self.name} takes features [B, N, {self.channels}, T, H, W], got "
                f"{list(features.shape)}: give adapters, or an aggregator of other channels"
            )
        for clip in features.unbind(1):  # [B, C, T', H', W']
            state = self._first(clip) if state is None else self._next(state, clip)
        return state

    def read(self, state: Tensor | None) -> Tensor:
        """Return the logits ``[B, K]`` after the clips so far.

        Raises:
            UsageError: there was none.
        """
        if state is None:
            raise UsageError(f"{self.name} cannot answer before the first clip")
        output = self._output(state)
        pooled = output.flatten(2).mean(2) if output.ndim > 2 else output  # [B, C]
        logits: Tensor = self.head(self.dropout(pooled))
        return logits

    def _first(self, clip: Tensor) -> Tensor:
        """Return the state after the first clip ``[B, C, T', H', W']``."""
        return clip

    def _next(self, state: Tensor, clip: Tensor) -> Tensor:
        """Return the state after one more clip."""
        raise NotImplementedError

    def _output(self, state: Tensor) -> Tensor:
        """Return what the head reads of a state: a map, or a vector ``[B, C]``."""
        return state


def check_same_size(name: str, state: Tensor, clip: Tensor) -> None:
    """Refuse maps of different sizes, which would broadcast or fail far from here.

    Raises:
        UsageError: the sizes differ.
    """
    if state.shape != clip.shape:
        raise UsageError(
            f"{name} keeps maps of one size: {list(clip.shape[1:])} after {list(state.shape[1:])}; "
            "give encoders whose maps agree, or adapters"
        )


def pointwise(in_channels: int, channels: int) -> nn.Conv3d:
    """Return a 1x1x1 convolution without bias."""
    return nn.Conv3d(in_channels, channels, 1, bias=False)
