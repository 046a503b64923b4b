"""Video transformers of the transformers library as a `Network`: tokens become a feature map.

The modules are the library's own; only what stands between them is ours. A block takes and gives
the patch tokens as a map ``[N, D, T', H', W']``, and beside it, where the network has one, the
class token as a map ``[N, D, 1, 1, 1]``. Reordering tokens changes no number, so logits equal
those of the library, and whatever works on maps (memory, FAST-GRU, compression) wraps the blocks.

Sources: VideoMAE, Tong et al., NeurIPS 2022; TimeSformer, Bertasius et al., ICML 2021; ViViT, Arnab
et al., ICCV 2021; V-JEPA 2, Assran et al., 2025.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from vidskim.backbones.contract import ClipSpec, Maps, check_classes
from vidskim.backbones.network import Network
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """How a network lines up its tokens ``[N, L, D]``."""

    class_token: bool
    """The first token stands for the whole clip."""
    time_last: bool
    """Time runs fastest (TimeSformer); otherwise width does."""

    def to_tokens(self, maps: Maps) -> Tensor:
        """Line up a patch map, after a class map if there is one."""
        patches, *rest = maps if isinstance(maps, tuple) else (maps,)
        patches = patches.permute(0, 3, 4, 2, 1) if self.time_last else patches.movedim(1, 4)
        tokens = patches.flatten(1, 3)  # [N, T'H'W', D]
        if not rest:
            return tokens
        return torch.cat([rest[0].flatten(2).transpose(1, 2), tokens], 1)

    def to_maps(self, tokens: Tensor, size: tuple[int, int, int]) -> Maps:
        """Undo `to_tokens` for patch maps of size (T', H', W')."""
        first = int(self.class_token)
        N, (T, H, W) = tokens.shape[0], size
        if self.time_last:
            patches = tokens[:, first:].reshape(N, H, W, T, -1).permute(0, 4, 3, 1, 2)
        else:
            patches = tokens[:, first:].reshape(N, T, H, W, -1).movedim(4, 1)
        if not self.class_token:
            return patches
        return patches, tokens[:, :1].transpose(1, 2)[..., None, None]  # [N, D, 1, 1, 1]


class Embed(nn.Module):
    """The first stage: a clip ``[N, 3, T, H, W]`` to embedded patches with their positions.

    Args:
        embeddings: the library's module, from ``[N, T, 3, H, W]`` to tokens.
        name: of the network, for messages.
        order: of the tokens.
        patch: (frames, height, width) of one patch.
        clip: what position embeddings were learned for.
        any_length: clips may have any number of whole patches in time.
    """

    def __init__(
        self,
        embeddings: nn.Module,
        *,
        name: str,
        order: TokenOrder,
        patch: tuple[int, int, int],
        clip: ClipSpec,
        any_length: bool,
    ) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.name = name
        self.order = order
        self.patch = patch
        self.clip = clip
        self.any_length = any_length

    def forward(self, x: Tensor) -> Maps:
        """Map ``[N, 3, T, H, W]`` to ``[N, D, T', H', W']``, with the class token if there is one.

        Raises:
            UsageError: clips of another length or size than the positions were learned for.
        """
        self._check(tuple(x.shape))
        tokens = self._run(x.transpose(1, 2))
        T, H, W = (n // p for n, p in zip(x.shape[2:], self.patch, strict=True))
        return self.order.to_maps(tokens, (T, H, W))

    def _run(self, pixels: Tensor) -> Tensor:
        return cast(Tensor, self.embeddings(pixels))

    def _check(self, shape: tuple[int, ...]) -> None:
        clip, step = self.clip, self.patch[0]
        fits = len(shape) == 5 and shape[1] == 3 and shape[3:] == clip.size
        if fits and self.any_length and shape[2] >= step and shape[2] % step == 0:
            return
        if fits and shape[2] == clip.num_frames:
            return
        frames = f"a multiple of {step}" if self.any_length else str(clip.num_frames)
        raise UsageError(
            f"{self.name} takes clips [N, 3, {frames} frames, {clip.size[0]}, {clip.size[1]}]: its "
            f"position embeddings are made for these, got {list(shape)}"
        )


class MaskableEmbed(Embed):
    """VideoMAE's first stage, whose module asks which patches are masked: none."""

    def _run(self, pixels: Tensor) -> Tensor:
        return cast(Tensor, self.embeddings(pixels, None))


class Block(nn.Module):
    """One transformer layer between maps.

    Args:
        layer: the library's module, from tokens to tokens, alone or first in a tuple.
        order: of the tokens.
        reads_steps: the layer reads the number of steps off its configuration (TimeSformer), which
            becomes its own and is told of as many as come.
    """

    def __init__(self, layer: nn.Module, *, order: TokenOrder, reads_steps: bool = False) -> None:
        super().__init__()
        self.layer = layer
        self.order = order
        self.config: Any = None
        if reads_steps:
            self.config = copy.copy(layer.config)
            layer.config = self.config

    def forward(self, maps: Maps) -> Maps:
        """Map patches, and the class token if there is one, to the same."""
        T, H, W = (maps[0] if isinstance(maps, tuple) else maps).shape[2:]
        if self.config is not None:
            self.config.num_frames = T
        return self.order.to_maps(self._run(self.order.to_tokens(maps)), (T, H, W))

    def _run(self, tokens: Tensor) -> Tensor:
        out = self.layer(tokens)
        return cast(Tensor, out[0] if isinstance(out, tuple) else out)


class LastBlock(Block):
    """The last layer, the final norm, and one map for all that the head reads.

    Where the class token is what is classified, it is repeated at every place in a second half of
    the channels: ``[N, 2 D, T', H', W']``. Its mean over any part of the map is itself, so that
    what pools, mixes or compresses maps treats it as it treats the patches.
    """

    def __init__(
        self, layer: nn.Module, *, order: TokenOrder, norm: nn.Module, reads_steps: bool = False
    ) -> None:
        super().__init__(layer, order=order, reads_steps=reads_steps)
        self.norm = norm

    def forward(self, maps: Maps) -> Tensor:
        """Map patches, and the class token if there is one, to features."""
        out = super().forward(maps)
        if isinstance(out, Tensor):
            return out
        patches, token = out
        return torch.cat([patches, token.expand_as(patches)], 1)

    def _run(self, tokens: Tensor) -> Tensor:
        return cast(Tensor, self.norm(super()._run(tokens)))


class MeanPool(nn.Module):
    """The mean of all tokens, normalized (VideoMAE)."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, D, T', H', W']`` to ``[N, D]``."""
        return cast(Tensor, self.norm(features.flatten(2).mean(2)))


class FirstPool(nn.Module):
    """The first patch alone (VideoMAE with ``use_mean_pooling`` off)."""

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, D, T', H', W']`` to ``[N, D]``."""
        return features[:, :, 0, 0, 0]


class ClassPool(nn.Module):
    """The class token, from the second half of the channels (TimeSformer, ViViT)."""

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, 2 D, T', H', W']`` to ``[N, D]``."""
        return features.flatten(2).mean(2).chunk(2, dim=1)[1]


class AttentivePool(nn.Module):
    """A learned query that attends to all tokens, after layers of its own (V-JEPA 2)."""

    def __init__(self, pooler: nn.Module) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[N, D, T', H', W']`` to ``[N, D]``."""
        return cast(Tensor, self.pooler(features.flatten(2).transpose(1, 2)))


class HfNetwork(Network):
    """A video transformer in stages embed, block1, ..., blockL; the last includes the final norm.

    Args:
        name: what the registry calls it.
        embed: the first stage.
        blocks: one for each layer.
        pool: from features ``[N, num_features, T', H', W']`` to ``[N, D]``.
        fc: the classifier, from D to the classes.
        num_features: channels of the features.
        clip: the clip it is made for.
        transform: from decoded frames to its input.
        options: what builds it again.
    """

    def __init__(
        self,
        name: str,
        *,
        embed: nn.Module,
        blocks: nn.ModuleList,
        pool: nn.Module,
        fc: nn.Linear,
        num_features: int,
        clip: ClipSpec,
        transform: Transform,
        options: Mapping[str, Any],
    ) -> None:
        stages = {"embed": "embed"} | {f"block{i + 1}": f"blocks.{i}" for i in range(len(blocks))}
        super().__init__(name, stages=stages, clip=clip, transform=transform, options=options)
        check_classes(fc.out_features, None)
        self.embed = embed
        self.blocks = blocks
        self.pool = pool
        self.fc = fc
        self.num_features = num_features
        self.num_classes = fc.out_features

    def classify(self, features: Tensor) -> Tensor:
        """Map ``[N, C, T', H', W']`` to logits ``[N, num_classes]`` as the network itself does."""
        return self.score(self.pool(features))

    def takes_mean(self) -> bool:
        """Say whether the mean over all places tells the classifier all it needs."""
        return isinstance(self.pool, MeanPool | ClassPool)

    def score(self, pooled: Tensor) -> Tensor:
        """Map pooled features ``[..., D]`` to logits ``[..., num_classes]``."""
        return cast(Tensor, self.fc(pooled))
