"""Everything a training of a saliency network depends on."""

from typing import Annotated, Any, Literal

from vidskim.errors import UsageError
from vidskim.look.sources import KeyFrames, LogMels, MotionMaps, Residuals, Source, check_source
from vidskim.train.key import Key, recipe
from vidskim.train.keys import DataKeys, DropKeys, OptimKeys, RankKeys, SmoothingKeys, StepKeys

INPUT_SIZES = {
    "motion": (14, 14),
    "residual": (112, 112),
    "keyframe": (112, 112),
    "audio": (40, 200),
}
"""(height, width) of a feature's inputs where a recipe gives none."""

RANKED = ("sal_cl", "sal_rank")
"""Objectives that a frozen clip classifier gives the labels of."""


@recipe
class SaliencyRecipe(DataKeys, StepKeys, DropKeys, OptimKeys, SmoothingKeys, RankKeys):
    """Everything a training of a saliency network depends on."""

    task: Literal["saliency"] = "saliency"
    objective: Annotated[
        Literal["ac", "sal_cl", "sal_rank"],
        Key(
            '"ac", action classification (SCSampler, section 3.2.1); "sal_cl", which clips a '
            'classifier finds most telling; "sal_rank", which of two clips it does (section '
            "3.2.2)"
        ),
    ] = "ac"
    feature: Annotated[
        Literal["motion", "residual", "keyframe", "audio"],
        Key('"motion", "residual", "keyframe" or "audio"'),
    ] = "motion"
    network: Annotated[
        str,
        Key(
            "name of an image network, or of one on log-mel windows", wanted="the name of a network"
        ),
    ] = "resnet_18"
    width: Annotated[
        int, Key("channels of its first stage (64 is the published size)", low=1, high=2**12)
    ] = 64
    stem: Annotated[
        Literal["imagenet", "small"],
        Key('"imagenet", or "small" for maps of a dozen cells; audio networks have their own'),
    ] = "imagenet"
    map_height: Annotated[
        int | None,
        Key(
            "inputs are resized to this height; mel bands of a window. Default: 14, 112 or "
            "40, as the feature.",
            low=1,
            high=2**12,
        ),
    ] = None
    map_width: Annotated[
        int | None,
        Key("and this width; spectra of a window. Default: 14, 112 or 200.", low=1, high=2**12),
    ] = None
    residuals_per_clip: Annotated[
        int,
        Key("residual frames per clip that are read, in training and in use", low=1, high=10**6),
    ] = 1
    window_clips: Annotated[
        float, Key("length of an audio window, in clips", low=0.1, high=100)
    ] = 2.0
    init: Annotated[
        str | None,
        Key(
            "checkpoint whose network, less its head, is started from; null starts from scratch",
            wanted="a checkpoint to start from, or null to start from scratch",
            is_file=True,
        ),
    ] = None
    body_rate: Annotated[
        float,
        Key("learning rate of what comes from init, as a share of the head's", low=0, high=1000),
    ] = 1.0
    freeze: Annotated[
        Literal["", "conv4_2", "pool4", "fc1"],
        Key(
            'layer of an audio network ("conv4_2", "pool4" or "fc1"), on whose activations in'
            ' init a single linear layer is trained; "" trains the whole network'
        ),
    ] = ""
    batch_size: Annotated[
        int, Key('inputs per step in "ac", clips per step otherwise', low=1, high=2**20)
    ] = 256
    steps: int = 2000
    save_every: int = 200


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
