"""Several clips of a video in one step, with or without a memory between them, for training.

Yang et al., "Beyond Short Clips", CVPR 2021, section 3: the memory acts on the last map of any
backbone, behind which its own classifier stays as it is.
"""

import torch
from torch import Tensor, nn

from vidskim.backbones.contract import clip_of
from vidskim.backbones.network import Network
from vidskim.errors import UsageError
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.model import Card, Model
from vidskim.model.presets import MEMORY_CLIPS, memory_channels, single
from vidskim.model.presets import memory as memory_model


class MultiClip(nn.Module):
    """Clips of one video through a backbone, a memory between them, its classifier on each.

    Args:
        backbone: any clip classifier.
        memory: between its last map and its classifier; None for clips that know nothing of each
            other.
        num_clips: N that it was trained with.
        is_multilabel: whether several classes may be true at once: scores are then sigmoids.

    Raises:
        UsageError: a network that takes no clips, a memory of other channels, or less than one
            clip.
    """

    def __init__(
        self,
        backbone: Network,
        memory: CollaborativeMemory | None,
        *,
        num_clips: int,
        is_multilabel: bool = False,
    ) -> None:
        super().__init__()
        self.clip = clip_of(backbone)
        if num_clips < 1:
            raise UsageError(f"a video has at least 1 clip, got num_clips {num_clips}")
        if memory is not None and memory.channels != memory_channels(backbone):
            raise UsageError(
                f"a memory of {backbone.name} acts on {memory_channels(backbone)} channels, got "
                f"{memory.channels}"
            )
        self.backbone = backbone
        self.memory = memory
        self.num_clips = num_clips
        self.is_multilabel = is_multilabel
        self.is_backbone_frozen = False

    def stage_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the backbone's stages: all but its classifier's."""
        stages = self.backbone.stage_modules()
        return [parameter for stage in stages for parameter in stage.parameters()]

    def freeze_backbone(self) -> None:
        """Let memory and classifier train alone: the stages keep weights and statistics."""
        self.is_backbone_frozen = True
        for parameter in self.stage_parameters():
            parameter.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "MultiClip":
        """Set the model to training or evaluation; frozen stages never train."""
        super().train(mode)
        if self.is_backbone_frozen:
            for stage in self.backbone.stage_modules():
                stage.eval()
        return self

    def forward(self, clips: Tensor) -> Tensor:
        """Map the clips of videos ``[B, N, 3, T, h, w]`` to logits of each ``[B, N, K]``."""
        features = self.encode(clips)
        if self.memory is not None:
            features = self.memory(features)
        return self.classify(features)

    def encode(self, clips: Tensor) -> Tensor:
        """Map ``[B, N, 3, T, h, w]`` to the last maps ``[B, N, C, T', H', W']``.

        Inside, clips are in N groups of one clip of every video, which batch norm can tell apart
        (see `vidskim.train.sub_batch`).
        """
        B, N = clips.shape[:2]
        grouped = clips.transpose(0, 1).flatten(0, 1)  # [N * B, 3, T, h, w]
        # in which 3D convolutions are a third faster on a CPU
        grouped = grouped.contiguous(memory_format=torch.channels_last_3d)
        features = self.backbone.features(grouped)
        return features.reshape(N, B, *features.shape[1:]).transpose(0, 1)

    def classify(self, features: Tensor) -> Tensor:
        """Map ``[B, N, C, T', H', W']`` to logits of each clip ``[B, N, K]``."""
        logits = self.backbone.classify(features.flatten(0, 1))
        return logits.reshape(*features.shape[:2], -1)

    def published(self) -> Model:
        """Return the model that files hold and recognizers take; weights are shared."""
        if self.memory is None and not self.is_multilabel:
            return single(self.backbone)
        if self.memory is None:
            card = Card("memory", num_clips=MEMORY_CLIPS, is_multilabel=True)
            return Model([self.backbone], card=card)
        return memory_model(self.backbone, self.memory, is_multilabel=self.is_multilabel)
