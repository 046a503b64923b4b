"""Everything a training of a saliency network depends on."""

from dataclasses import dataclass
from typing import Any, Literal

from vidskim.errors import UsageError
from vidskim.look.sources import KeyFrames, LogMels, MotionMaps, Residuals, Source, check_source
from vidskim.train.loop import Precision

INPUT_SIZES = {
    "motion": (14, 14),
    "residual": (112, 112),
    "keyframe": (112, 112),
    "audio": (40, 200),
}
"""(height, width) of a feature's inputs where a recipe gives none."""

RANKED = ("sal_cl", "sal_rank")
"""Objectives that a frozen clip classifier gives the labels of."""


@dataclass(frozen=True)
class SaliencyRecipe:
    """Everything a training of a saliency network depends on.

    Attributes:
        data: manifest of whole videos.
        out: folder of the run; an unfinished run of the same recipe there is resumed.
        task: must be "saliency".
        objective: "ac", action classification (SCSampler, section 3.2.1); "sal_cl", which clips a
            classifier finds most telling; "sal_rank", which of two clips it does (section 3.2.2).
        feature: "motion", "residual", "keyframe" or "audio".
        network: name of an image network, or of one on log-mel windows.
        width: channels of its first stage (64 is the published size).
        stem: "imagenet", or "small" for maps of a dozen cells; audio networks have their own.
        map_height: inputs are resized to this height; mel bands of a window. Default: 14, 112 or
            40, as the feature.
        map_width: and this width; spectra of a window. Default: 14, 112 or 200.
        residuals_per_clip: residual frames per clip that are read, in training and in use.
        window_clips: length of an audio window, in clips.
        num_frames: frames per clip of the grid; default: the classifier's, else 16.
        stride: distance between them; default: the classifier's, else 1.
        classifier: clip classifier whose answers are the labels of "sal_cl" and "sal_rank"; with
            "ac" it is only compared with.
        oracle_k: clips of a video that count as the oracle's choice in "sal_cl", at most half.
        balance: draw as many clips of the oracle's choice as others in "sal_cl".
        margin: of "sal_rank", in units of the score.
        clips_per_video: clips of one video that are drawn together in "sal_cl" and "sal_rank".
        inputs_per_clip: inputs of a clip that are drawn and averaged there.
        init: checkpoint whose network, less its head, is started from; None starts from scratch.
        body_rate: learning rate of what comes from ``init``, as a share of the head's.
        freeze: layer of an audio network ("conv4_2", "pool4" or "fc1"), on whose activations in
            ``init`` a single linear layer is trained; "" trains the whole network.
        flip: mirror half of the inputs; wrong wherever left and right tell classes apart.
        min_scale: smallest random crop of visual inputs, as a share of their sides.
        time_shift: audio windows are shifted by up to this share of their length.
        frequency_mask: up to this share of the mel bands is silenced.
        train_split: split to train on.
        test_split: split to measure on.
        moments: manifest of the moments that matter, to measure against; may be left out.
        test_k: clips chosen where the sampler is measured.
        label_smoothing: share of the target spread over all classes in "ac".
        batch_size: inputs per step in "ac", clips per step otherwise.
        steps: optimizer steps.
        warmup_steps: steps of linear warm-up.
        learning_rate: at its highest.
        schedule: "cosine" down to zero, or "step".
        drop_every: steps between two drops of the schedule "step".
        drop_factor: what the learning rate is multiplied by there.
        weight_decay: for weights, not for norms and biases.
        optimizer: "sgd" or "adamw".
        precision: "32-true"; beside a CUDA device also "bf16-mixed" or "16-mixed".
        seed: for initialization, order and augmentation.
        save_every: steps between saved states.
        cache: folder for inputs and answers.
    """

    data: str
    out: str
    task: Literal["saliency"] = "saliency"
    objective: Literal["ac", "sal_cl", "sal_rank"] = "ac"
    feature: Literal["motion", "residual", "keyframe", "audio"] = "motion"
    network: str = "resnet_18"
    width: int = 64
    stem: Literal["imagenet", "small"] = "imagenet"
    map_height: int | None = None
    map_width: int | None = None
    residuals_per_clip: int = 1
    window_clips: float = 2.0
    num_frames: int | None = None
    stride: int | None = None
    classifier: str | None = None
    oracle_k: int = 10
    balance: bool = True
    margin: float = 0.1
    clips_per_video: int = 8
    inputs_per_clip: int = 4
    init: str | None = None
    body_rate: float = 1.0
    freeze: Literal["", "conv4_2", "pool4", "fc1"] = ""
    flip: bool = False
    min_scale: float = 1.0
    time_shift: float = 0.0
    frequency_mask: float = 0.0
    train_split: str = "train"
    test_split: str = "test"
    moments: str | None = None
    test_k: int = 10
    label_smoothing: float = 0.0
    batch_size: int = 256
    steps: int = 2000
    warmup_steps: int = 50
    learning_rate: float = 0.05
    schedule: Literal["cosine", "step"] = "cosine"
    drop_every: int = 1000
    drop_factor: float = 0.1
    weight_decay: float = 1e-4
    optimizer: Literal["sgd", "adamw"] = "sgd"
    precision: Precision = "32-true"
    seed: int = 0
    save_every: int = 200
    cache: str = "runs/cache"


def input_size(recipe: SaliencyRecipe) -> tuple[int, int]:
    """Return (height, width) of the network's input."""
    height, width = INPUT_SIZES[recipe.feature]
    return (recipe.map_height or height, recipe.map_width or width)


def source_of(recipe: SaliencyRecipe) -> Source:
    """Return what the network of a recipe looks at."""
    size = input_size(recipe)
    if recipe.feature == "motion":
        return MotionMaps(size)
    if recipe.feature == "residual":
        return Residuals(size, recipe.residuals_per_clip)
    if recipe.feature == "keyframe":
        return KeyFrames(size)
    return LogMels(recipe.window_clips, *size)


def check_saliency(recipe: SaliencyRecipe) -> None:
    """Refuse a recipe whose values do not go together.

    Raises:
        UsageError: with what is missing.
    """
    check_source(source_of(recipe))
    if recipe.objective in RANKED:
        check_groups(recipe)
        check_ranked(recipe)
    if recipe.freeze and recipe.init is None:
        raise UsageError(
            f"freeze {recipe.freeze!r} trains a layer on a trained network: give its checkpoint as "
            "'init'"
        )
    if recipe.freeze and recipe.feature != "audio":
        raise UsageError(
            f"freeze {recipe.freeze!r} names a layer of an audio network, the feature is "
            f"{recipe.feature!r}: leave it out, or train feature 'audio'"
        )


def check_ranked(recipe: Any) -> None:
    """Refuse an objective without the classifier that it learns from.

    Args:
        recipe: with ``objective`` and ``classifier``.

    Raises:
        UsageError: no classifier.
    """
    if recipe.objective in RANKED and recipe.classifier is None:
        raise UsageError(
            f"objective {recipe.objective!r} learns from a clip classifier: give its checkpoint as "
            "'classifier', or use objective 'ac'"
        )


def check_groups(recipe: Any) -> None:
    """Refuse a batch that does not hold whole groups of clips of one video.

    Args:
        recipe: with ``batch_size`` and ``clips_per_video``.

    Raises:
        UsageError: fewer clips in a batch than in a group.
    """
    if recipe.batch_size < recipe.clips_per_video:
        raise UsageError(
            f"batch_size is {recipe.batch_size}, clips_per_video {recipe.clips_per_video}: a step "
            "holds whole groups, give a larger batch_size or fewer clips_per_video"
        )
