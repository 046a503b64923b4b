"""The oracle: clips scored by the classifier itself, which needs the true label."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vidskim.backbones.contract import Backbone
from vidskim.errors import UsageError
from vidskim.types import Clip

if TYPE_CHECKING:
    from vidskim.video import Video


class OracleSaliency:
    """Scores a clip by the classifier's probability of the true class (costs a dense pass)."""

    name = "oracle"

    def __init__(self, encoder: Backbone, *, label: str, batch_size: int = 4) -> None:
        if encoder.classes is None or label not in encoder.classes:
            raise UsageError(f"label {label!r} is not among the classes of {encoder.name}")
        self.encoder = encoder
        self.target = encoder.classes.index(label)
        self.batch_size = batch_size

    @torch.inference_mode()
    def __call__(self, video: "Video", clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1]; 0 for a clip that cannot be read."""
        assert self.encoder.transform is not None
        scores = torch.zeros(len(clips))
        place = {clip.index: n for n, clip in enumerate(clips)}
        batch: list[tuple[int, Tensor]] = []
        for clip, frames in video.iter_frames(list(clips)):
            batch.append((place[clip.index], self.encoder.transform(frames)))
            if len(batch) == self.batch_size:
                self._score(batch, scores)
                batch = []
        if batch:
            self._score(batch, scores)
        return scores

    def _score(self, batch: Sequence[tuple[int, Tensor]], scores: Tensor) -> None:
        assert isinstance(self.encoder, nn.Module)
        device = next(self.encoder.parameters()).device
        x = torch.stack([x for _, x in batch]).to(device)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        logits = self.encoder.classify(self.encoder.features(x))  # [n, K]
        mine = torch.softmax(logits.float(), dim=1)[:, self.target]
        scores[torch.tensor([n for n, _ in batch])] = mine.cpu()
