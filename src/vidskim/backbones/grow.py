"""A network with non-local blocks out of one without them, the weights of the latter kept.

So the papers train them: "for the models augmented with NL, we initialize them with the
counterparts that are trained without NL" (Yang et al., "Beyond Short Clips", CVPR 2021, appendix
B.1, after Feichtenhofer et al. 2019). A file is not read this way: `checkpoint.load_backbone` stays
strict.
"""

from inspect import signature
from typing import Any

from vidskim.backbones.network import Network
from vidskim.backbones.registry import CLIP_BACKBONES, create_backbone
from vidskim.errors import UsageError, unknown_name

SUFFIX = "_nl"
"""What the name of a network with non-local blocks has behind that of its counterpart."""

NEW_BLOCK = ".nonlocal"
"""In the name of every tensor that the counterpart lacks; see `with_nonlocal_blocks`."""

GROWN = tuple(name.removesuffix(SUFFIX) for name in CLIP_BACKBONES if name.endswith(SUFFIX))
"""Networks that have a form with non-local blocks."""


def add_nonlocal(plain: Network, name: str) -> Network:
    """Build the non-local network of a name around the weights of its counterpart.

    The new blocks are untrained. Their norm's scale is zero (`nonlocal_block.NonlocalBlock`), so
    that the network answers as the one it is made of until it is trained.

    Args:
        plain: a network without non-local blocks; it is not changed and shares no tensor.
        name: that of the network to build: ``slow_r50_8x8_nl`` for a ``slow_r50_8x8``.

    Returns:
        The network with the options (``width``, ``layout``, ...), classes, clip, transform, head
        window, mode, device and type of ``plain``.

    Raises:
        UsageError: an unknown name, one of a network that ``plain`` is no counterpart of, or an
            option of ``plain`` that the non-local network cannot have.
    """
    if name not in CLIP_BACKBONES:
        raise unknown_name("backbone", name, CLIP_BACKBONES)
    if name != plain.name + SUFFIX:
        raise UsageError(_no_counterpart(plain, name))
    grown = create_backbone(name, num_classes=plain.num_classes, **_options(plain, name))
    grown.to(plain.fc.weight)  # its device and type, before the numbers come
    new, kept = grown.state_dict(), plain.state_dict()
    assert all(NEW_BLOCK in key for key in new.keys() - kept.keys())
    grown.load_state_dict({**new, **kept})
    grown.classes = plain.classes
    grown.clip = plain.clip
    grown.transform = plain.transform
    grown.head_window = plain.head_window
    return grown.train(plain.training)


def _options(plain: Network, name: str) -> dict[str, Any]:
    """Return the options of a network that its non-local form takes too."""
    taken = signature(CLIP_BACKBONES[name]).parameters
    defaults = signature(CLIP_BACKBONES[plain.name]).parameters
    for option, value in plain.options.items():
        if option not in taken and value != defaults[option].default:
            raise UsageError(
                f"{name} is made of {plain.name} with {option}={defaults[option].default!r}, "
                f"this one has {value!r}: give one with the former"
            )
    return {option: value for option, value in plain.options.items() if option in taken}


def _no_counterpart(plain: Network, name: str) -> str:
    own = plain.name + SUFFIX
    remedies = [f"name {own}"] if own in CLIP_BACKBONES else []
    if name.endswith(SUFFIX):
        remedies.append(f"give a {name.removesuffix(SUFFIX)}")
    remedy = " or ".join(remedies) or f"those that have such a form are {', '.join(GROWN)}"
    return f"{name} is not {plain.name} with non-local blocks: {remedy}"
