"""The methods by name, each a short function from a clip classifier to a `Recognizer`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidskim import select
from vidskim.backbones.contract import Backbone
from vidskim.errors import UsageError, unknown_name
from vidskim.recognizer import Recognizer
from vidskim.saliency.packets import PacketSaliency
from vidskim.saliency.visual import MotionEnergy
from vidskim.types import Clip, Saliency

if TYPE_CHECKING:
    from vidskim.video import Video


def dense(encoder: Backbone) -> Recognizer:
    """Every clip of the grid: the cost that the others are measured against."""
    return Recognizer(encoder, method="dense", select=select.by_place(None))


def uniform(encoder: Backbone, *, k: int = 10) -> Recognizer:
    """k clips spread evenly."""
    return Recognizer(encoder, method="uniform", select=select.by_place(k))


def random(encoder: Backbone, *, k: int = 10, seed: int = 0) -> Recognizer:
    """k clips drawn by chance."""
    return Recognizer(encoder, method="random", select=select.by_chance(k), seed=seed)


def packets(encoder: Backbone, *, k: int = 10) -> Recognizer:
    """The k clips that cost the encoder most bytes of change; nothing is decoded to find them."""
    return Recognizer(
        encoder, method="packets", select=select.by_score(k), saliency=PacketSaliency()
    )


def motion(encoder: Backbone, *, k: int = 10) -> Recognizer:
    """The k clips in which most moves against the camera, by the file's own motion vectors."""
    return Recognizer(encoder, method="motion", select=select.by_score(k), saliency=MotionEnergy())


def scsampler(encoder: Backbone, *, k: int = 10, saliency: Saliency) -> Recognizer:
    """SCSampler: the k clips that a trained saliency network scores highest."""
    return Recognizer(encoder, method="scsampler", select=select.by_score(k), saliency=saliency)


def oracle(encoder: Backbone, *, k: int = 10, label: str) -> Recognizer:
    """The k clips that the classifier itself scores highest for the true label.

    An upper bound that needs the answer (SCSampler, section 3.2: O(v, y; K)); for evaluation only.
    """
    saliency = OracleSaliency(encoder, label=label)
    return Recognizer(encoder, method="oracle", select=select.by_score(k), saliency=saliency)


METHODS: dict[str, Callable[..., Recognizer]] = {
    f.__name__: f for f in (dense, uniform, random, packets, motion, scsampler)
}
"""What ``--method`` takes."""


class OracleSaliency:
    """Scores a clip by the classifier's probability of the true class (costs a dense pass)."""

    def __init__(self, encoder: Backbone, *, label: str) -> None:
        if encoder.classes is None or label not in encoder.classes:
            raise UsageError(f"label {label!r} is not among the classes of {encoder.name}")
        self.encoder = encoder
        self.target = encoder.classes.index(label)

    @torch.inference_mode()
    def __call__(self, video: "Video", clips: Sequence[Clip]) -> Tensor:
        """Return scores ``[N]`` in [0, 1]; 0 for a clip that cannot be read."""
        scores = torch.zeros(len(clips))
        place = {clip.index: n for n, clip in enumerate(clips)}
        waiting: list[tuple[int, Tensor]] = []

        def flush() -> None:
            x = torch.stack([x for _, x in waiting])
            x = x.contiguous(memory_format=torch.channels_last_3d)
            logits = self.encoder.classify(self.encoder.features(x))  # [n, K]
            mine = torch.softmax(logits.float(), dim=1)[:, self.target]
            scores[torch.tensor([n for n, _ in waiting])] = mine.cpu()
            waiting.clear()

        for clip, frames in video.iter_frames(list(clips)):
            waiting.append((place[clip.index], self.encoder.transform(frames)))
            if len(waiting) == 4:
                flush()
        if waiting:
            flush()
        return scores


def recognizer(method: str, *, encoder: Backbone, k: int, **options: object) -> Recognizer:
    """Return the `Recognizer` a method's name stands for.

    Raises:
        UsageError: an unknown method, with the nearest valid name.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if method == "dense":
        return dense(encoder)
    return METHODS[method](encoder, k=k, **options)
