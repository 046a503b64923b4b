"""What tasks on clips share: the network of a recipe, what its clips go through before it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vidskim.account import count
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import load_backbone
from vidskim.backbones.files.header import read_raw
from vidskim.backbones.grow import add_nonlocal
from vidskim.backbones.hf.create import is_hf
from vidskim.backbones.network import Network
from vidskim.backbones.registry import CLIP_BACKBONES, create_backbone
from vidskim.clips.transform import Transform
from vidskim.errors import CheckpointError, UsageError, unknown_name
from vidskim.train.augment import Augmentation, normalize
from vidskim.train.keys import ClipKeys, CropKeys

NONLOCAL = "_nl"
"""How the names of networks with non-local blocks end."""


def check_clips(recipe: ClipKeys) -> None:
    """Refuse a backbone that is unknown, and short sides that cannot be drawn or cropped.

    Raises:
        UsageError: an unknown backbone, a largest short side below the smallest, or a crop larger
            than the smallest.
    """
    if recipe.model not in CLIP_BACKBONES and not is_hf(recipe.model):
        raise unknown_name("backbone", recipe.model, CLIP_BACKBONES)
    if recipe.max_short_side is None:
        return
    if recipe.max_short_side < recipe.short_side:
        raise UsageError(
            f"max_short_side is {recipe.max_short_side}, short_side {recipe.short_side}; give the "
            "smaller one as short_side"
        )
    if max(recipe.crop_height, recipe.crop_width) > recipe.short_side:
        raise UsageError(
            f"a crop of {recipe.crop_height}x{recipe.crop_width} does not fit in frames whose "
            f"short side is {recipe.short_side}; give a smaller crop, or max_short_side null"
        )


def augmentation_of(recipe: CropKeys) -> Augmentation:
    """Return what a recipe varies between two looks at the same video."""
    sides = recipe.max_short_side
    return Augmentation(
        crop=(recipe.crop_height, recipe.crop_width),
        min_scale=recipe.min_scale,
        short_sides=None if sides is None else (recipe.short_side, sides),
        flip=recipe.flip,
        color=recipe.color,
    )


def prepared(clips: Tensor, transform: Transform) -> Tensor:
    """Bring RGB clips ``[N, 3, T, h, w]`` in [0, 255] to a network's channel order and scale."""
    if transform.channel_order == "bgr":
        clips = clips.flip(1)
    return normalize(clips, mean=transform.mean, std=transform.std)


def build_network(recipe: ClipKeys, classes: tuple[str, ...], *, init: str | None) -> Network:
    """Build the network of a recipe, made for its clips.

    Args:
        recipe: whose network.
        classes: what it shall tell apart.
        init: checkpoint to start from, its head replaced unless it has the same classes; for a
            network with non-local blocks also one of the same network without them. None starts
            from scratch, or from the weights of a model of Hugging Face.

    Raises:
        UsageError: a width that is not the checkpoint's, or clips that the network does not take.
        CheckpointError: an unusable checkpoint, or one of another network.
    """
    if init is not None:
        model = _load(recipe.model, init)
    elif is_hf(recipe.model):
        model = load_backbone(recipe.model)
    else:
        width = {} if recipe.width is None else {"width": recipe.width}
        model = create_backbone(recipe.model, num_classes=len(classes), **width)
    return fit_to(model, recipe, classes, init=init)


def _load(name: str, init: str) -> Network:
    """Load the network of a checkpoint, for `fit_to` to compare with the name.

    Networks with non-local blocks are trained from those without (collaborative memory, appendix
    B.1): where the name is of one and the checkpoint of its plain kind, the blocks are added.

    Raises:
        CheckpointError: an unusable checkpoint.
    """
    held = network_in(init)
    plain = name.removesuffix(NONLOCAL)
    if held is not None and held == plain != name:
        return add_nonlocal(load_backbone(checkpoint=init), name)
    if held is not None or is_hf(name):
        return load_backbone(checkpoint=init)
    try:
        return load_backbone(name, checkpoint=init)
    except CheckpointError as error:
        if plain == name:
            raise
        try:
            network = load_backbone(plain, checkpoint=init)
        except CheckpointError:
            raise error from None
        return add_nonlocal(network, name)


def network_in(path: str) -> str | None:
    """Return the name of the backbone in a file of ours, alone or with a compression inside.

    None for any other file, and for one that cannot be read, of which whoever opens it says why.
    """
    try:
        raw = read_raw(Path(path))
    except CheckpointError:
        return None
    if not isinstance(raw, dict):
        return None
    header: Any = raw.get("compressed", raw)
    name = header.get("name") if isinstance(header, dict) else None
    return name if isinstance(name, str) else None


def fit_to(
    model: Network, recipe: ClipKeys, classes: tuple[str, ...], *, init: str | None
) -> Network:
    """Make a network, in place, one of a recipe's clips and classes; see `build_network`.

    Raises:
        CheckpointError: a network that is not the recipe's.
        UsageError: a width that is not the checkpoint's, or clips that it does not take.
    """
    is_other = not is_hf(model.name) if is_hf(recipe.model) else model.name != recipe.model
    if is_other:
        raise CheckpointError(f"{init}: holds {model.name}, not {recipe.model}: {_remedy(model)}")
    if recipe.width not in (None, model.options.get("width")):
        own = model.options.get("width")
        raise UsageError(
            f"width is {recipe.width}, that of {init or recipe.model} is "
            + ("fixed; give null" if own is None else f"{own}; give that, or null")
        )
    if model.classes != classes and (init is not None or is_hf(recipe.model)):
        model.reset_classifier(len(classes), classes=classes)
    model.classes = classes
    model.clip = ClipSpec(recipe.num_frames, recipe.stride, (recipe.crop_height, recipe.crop_width))
    assert model.transform is not None
    model.transform = replace(
        model.transform,
        short_side=recipe.short_side,
        resize_to=None,
        crop=(recipe.crop_height, recipe.crop_width),
    )
    count(model, model.clip.input_shape)  # says what the network does not take, before any video
    return model


def _remedy(model: Network) -> str:
    """Say what to change of a recipe whose ``init`` holds another network than its ``model``."""
    if is_hf(model.name) or model.name in CLIP_BACKBONES:
        return f"give model: {model.name}, or another init"
    return "it takes no clips, give the checkpoint of a network that does as init"
