"""What all families share: stages one after another, the mean over the map, a linear head."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, avg_pool3d

from vidskim.backbones.contract import ClipSpec, Maps, check_classes
from vidskim.clips.transform import Transform


class Network(nn.Module):
    """A classifier in stages; keeps the contract of `contract.Backbone`.

    A family's constructor calls this one, adds its stages as attributes, then `add_head`. A family
    whose head is more than one linear layer overrides `score` and, where needed,
    `reset_classifier`.

    Args:
        name: what the registry calls it.
        stages: name of each stage to the attribute that holds it, in order.
        clip: the clip it is made for, None for networks on images and maps.
        transform: from decoded frames to its input.
        options: what the builder was called with, for checkpoints; plain JSON values.
    """

    fc: nn.Linear
    image_size: tuple[int, int] = (224, 224)
    """(h, w) that a network without ``clip`` was made for."""
    slides_by_itself = False
    """Whether the published head averages windows of larger maps as it is: testing at another size
    then sets no `head_window`."""

    def __init__(
        self,
        name: str,
        *,
        stages: Mapping[str, str],
        clip: ClipSpec | None,
        transform: Transform | None,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.name = name
        self.options: Mapping[str, Any] = dict(options)
        self.stages: tuple[str, ...] = tuple(stages)
        self.clip = clip
        self.transform = transform
        self.classes: tuple[str, ...] | None = None
        self.num_features = 0
        self.num_classes = 0
        self.head_window: tuple[int, int] | None = None
        """(h, w) of the map that a clip of the training size gives: the head then slides over
        larger maps and averages class probabilities (PySlowFast, models/head_helper.py, in
        evaluation). None takes one mean over the whole map."""
        self._stage_attributes = tuple(stages.values())

    def add_head(self, num_features: int, num_classes: int, *, dropout: float = 0.0) -> None:
        """Add the linear head, after all stages, so that the numbers drawn for it come last.

        Raises:
            UsageError: fewer than one class.
        """
        check_classes(num_classes, None)
        self.num_features = num_features
        self.num_classes = num_classes
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(num_features, num_classes)
        _initialize_head(self.fc)

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """Return one module per stage."""
        return tuple(self.get_submodule(attribute) for attribute in self._stage_attributes)

    def features(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` (images: ``[N, C, H, W]``) to the last map."""
        maps: Maps = x
        for stage in self.stage_modules():
            maps = stage(maps)
        return cast(Tensor, maps)

    def classify(self, features: Tensor) -> Tensor:
        """Map ``[N, C, T', H', W']`` (images: ``[N, C, H', W']``) to logits ``[N, num_classes]``.

        Where `head_window` is smaller than the map, the logits are the log of the mean softmax
        over its places, so that softmax gives the mean probability.
        """
        window = self.head_window
        if window is None or features.shape[-2:] == window:
            return self.score(features.flatten(2).mean(2))
        pooled = pool_windows(features, window)  # [N, C, h' w']
        log_probability = torch.log_softmax(self.score(pooled.transpose(1, 2)), dim=2)
        places = torch.tensor(pooled.shape[2], device=pooled.device, dtype=log_probability.dtype)
        return torch.logsumexp(log_probability, dim=1) - places.log()

    def takes_mean(self) -> bool:
        """Say whether `classify` needs no more of a map than its mean over all places."""
        return self.head_window is None

    def score(self, pooled: Tensor) -> Tensor:
        """Map mean features ``[..., C]`` to logits ``[..., num_classes]``."""
        return cast(Tensor, self.fc(self.dropout(pooled)))

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``[N, 3, T, H, W]`` (images: ``[N, C, H, W]``) to logits ``[N, num_classes]``.

        Logits of any backbone are numbers before softmax or sigmoid.
        """
        return self.classify(self.features(x))

    def reset_classifier(self, num_classes: int, *, classes: tuple[str, ...] | None = None) -> None:
        """Replace the head by an untrained one for other classes.

        Raises:
            UsageError: fewer than one class, or names that do not fit the number.
        """
        check_classes(num_classes, classes)
        old = self.fc.weight
        self.fc = nn.Linear(old.shape[1], num_classes, device=old.device, dtype=old.dtype)
        _initialize_head(self.fc)
        self.num_classes = num_classes
        self.classes = classes


def pool_windows(features: Tensor, window: tuple[int, int]) -> Tensor:
    """Average a map over all time and each window of (h, w), one step apart.

    Args:
        features: ``[N, C, T, H, W]`` or ``[N, C, H, W]``.
        window: (h, w); a window larger than the map is cut to it.

    Returns:
        ``[N, C, (H - h + 1) * (W - w + 1)]``.
    """
    H, W = features.shape[-2:]
    size = (min(window[0], H), min(window[1], W))
    if features.ndim == 4:
        return avg_pool2d(features, size, stride=1).flatten(2)
    return avg_pool3d(features, (features.shape[2], *size), stride=1).flatten(2)


def initialize_convolutions(network: nn.Module) -> None:
    """He et al. 2015 (fan out) for convolutions."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _initialize_head(head: nn.Linear) -> None:
    nn.init.normal_(head.weight, 0, 0.01)
    nn.init.zeros_(head.bias)
