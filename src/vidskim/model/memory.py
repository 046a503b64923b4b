"""The memory: clips write to it, its size does not depend on their number, each clip reads from it.

Yang et al., "Beyond Short Clips: End-to-End Video-Level Learning with Collaborative Memories",
CVPR 2021, section 3.2. P = T' H' W' places of a map, D = C / r. X_n are the places of clip n,
``[P, C]``::

    write     M    = sum over clips of (X_n W_k)' (X_n W_v)           [D, D]    eq. 2
    read      M_n  = (X_n W_q) M                                      [P, D]    eq. 3
    infuse    X_n (1 + sigmoid(mean over places of M_n, times W_o))   [P, C]    eq. 4

Equation 3 is attention without softmax, of every place of a clip to every place of all clips, at a
cost that grows with the number of clips only once.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vidskim.errors import UsageError, unknown_name
from vidskim.model.full_precision import full_precision

Interaction = Literal["associative", "average"]
"""How clips write: outer products of keys and values (eq. 2), or the mean of all their places."""

Infusion = Literal["gating", "residual"]
"""How a clip takes in what it reads: scales its channels (eq. 4), or adds it to its places."""

Normalization = Literal["none", "clip", "video"]
"""What the sum of eq. 2 is divided by: nothing, as printed; the places of each clip; or the places
of all clips, which makes the memory independent of their number and size."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the clips of each video wrote so far; of one size whatever their number."""

    total: Tensor
    """The sum over clips, ``[B, D, D]``; of average pooling ``[B, D]``."""
    num_clips: int
    num_places: int
    """P of all clips together."""

    def shared_by(self, count: int) -> "Memory":
        """Return the memory of one video for so many crops of it, each read like a video."""
        return replace(self, total=self.total.expand(count, *self.total.shape[1:]))


class CollaborativeMemory(nn.Module):
    """Tells the clips of one video of each other; a `vidskim.model.contract.Context`.

    A call writes all clips and reads for each, in one pass. Where a video has more clips than fit
    at once, ``write`` accumulates over them and ``read`` goes over them again, at constant memory.
    The result does not depend on the order of the clips.

    The four matrices have no bias, as in the equations. W_o starts at zero, so that an untrained
    memory treats all channels alike: gating scales them by 1.5, a residual adds nothing.

    Args:
        channels: C of the maps it acts on. Maps with more channels pass the others on as they are:
            those of SlowFast's fast pathway, which come last.
        interaction: "associative" or "average".
        infusion: "gating" or "residual".
        reduction: r; D = C / r.
        normalize: "none", "clip" or "video". The paper prints no factor; with "video", our choice,
            values stay in one range however many clips a test has. Average pooling is a mean over
            all places whatever is said here.

    Raises:
        UsageError: an unknown word, or channels that r does not divide.
    """

    def __init__(
        self,
        channels: int,
        *,
        interaction: Interaction = "associative",
        infusion: Infusion = "gating",
        reduction: int = 4,
        normalize: Normalization = "video",
    ) -> None:
        super().__init__()
        for what, word, words in (
            ("interaction", interaction, get_args(Interaction)),
            ("infusion", infusion, get_args(Infusion)),
            ("normalize", normalize, get_args(Normalization)),
        ):
            if word not in words:
                raise unknown_name(what, str(word), words)
        if type(reduction) is not int or reduction < 1 or channels < 1 or channels % reduction:
            raise UsageError(
                f"reduction divides the channels of a memory: got {channels} channels and "
                f"reduction {reduction!r}"
            )
        self.channels = channels
        self.interaction: Interaction = interaction
        self.infusion: Infusion = infusion
        self.normalize: Normalization = normalize
        self.size = channels // reduction
        self.options: dict[str, Any] = {
            "interaction": interaction,
            "infusion": infusion,
            "reduction": reduction,
            "normalize": normalize,
        }
        """What builds it again, beside the channels; plain JSON values."""
        self.value = nn.Linear(channels, self.size, bias=False)  # W_v, and W of average pooling
        if interaction == "associative":
            self.key = nn.Linear(channels, self.size, bias=False)
            self.query = nn.Linear(channels, self.size, bias=False)
        for projection in self.children():
            assert isinstance(projection, nn.Linear)
            nn.init.xavier_uniform_(projection.weight)
        self.output = nn.Linear(self.size, channels, bias=False)
        nn.init.zeros_(self.output.weight)

    @property
    def description(self) -> str:
        """What it is in a word or two."""
        return f"{self.interaction} memory, {self.infusion}"

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, N, C, T', H', W']`` to the same shape, each clip told of all."""
        return self.read(features, self.write(features))

    def write(self, features: Tensor, memory: Memory | None = None) -> Memory:
        """Add clips to a memory.

        Args:
            features: ``[B, n, C, T', H', W']``; maps of further clips may be of another size.
            memory: of the clips before, None for an empty one; it is not changed.

        Returns:
            The memory of all of them.

        Raises:
            UsageError: features of another shape, or of other videos than the memory's.
        """
        x = self._places(features)  # [B, n, P, C]
        with full_precision(x):
            value = self.value(x)  # [B, n, P, D]
            if self.interaction == "associative":
                key = self.key(x)
                if self.normalize == "clip":
                    key = key / x.shape[2]
                total = key.flatten(1, 2).transpose(1, 2) @ value.flatten(1, 2)  # [B, D, D]
            else:
                total = value.sum((1, 2))  # [B, D]
        n, P = x.shape[1:3]
        if memory is None:
            return Memory(total, n, n * P)
        if memory.total.shape != total.shape:
            raise UsageError(
                f"a memory of {memory.total.shape[0]} videos takes their clips, got features "
                f"{list(features.shape)}"
            )
        return Memory(memory.total + total, memory.num_clips + n, memory.num_places + n * P)

    def read(self, features: Tensor, memory: Memory) -> Tensor:
        """Infuse clips with what a memory holds for each of them.

        Args:
            features: ``[B, n, C, T', H', W']``, of any clips: crops that wrote nothing, too.
            memory: of the same videos.

        Returns:
            The same shape.

        Raises:
            UsageError: features of another shape, or of other videos than the memory's.
        """
        x = self._places(features)  # [B, n, P, C]
        if len(memory.total) != len(x):
            raise UsageError(
                f"a memory of {len(memory.total)} videos is read by their clips, got features "
                f"{list(features.shape)}"
            )
        own = features[:, :, : self.channels]
        with full_precision(x):
            total = memory.total
            if self.interaction == "average" or self.normalize == "video":
                total = total / memory.num_places
            if self.interaction == "associative":
                found = self.query(x) @ total[:, None]  # [B, n, P, D]
            else:
                found = total[:, None, None]  # [B, 1, 1, D], the same for all places
            if self.infusion == "gating":
                gate = torch.sigmoid(self.output(found.mean(2))) + 1  # [B, n, C]
                infused = own * gate[..., None, None, None].to(own.dtype)
            else:
                added = self.output(found).transpose(2, 3)  # [B, n, C, P]
                if self.interaction == "associative":
                    added = added.reshape(own.shape)
                else:
                    added = added[..., None, None]
                infused = own + added.to(own.dtype)
        if features.shape[2] == self.channels:
            return infused
        return torch.cat([infused, features[:, :, self.channels :]], dim=2)

    def _places(self, features: Tensor) -> Tensor:
        """Return the places ``[B, n, P, C]`` of maps.

        Raises:
            UsageError: no maps of this memory.
        """
        if features.ndim != 6 or features.shape[2] < self.channels or not features.numel():
            raise UsageError(
                f"a memory of {self.channels} channels takes features [B, N, {self.channels}, T, "
                f"H, W], got {list(features.shape)}"
            )
        places = features[:, :, : self.channels].flatten(3).transpose(2, 3)
        return places.to(self.output.weight.dtype)
