"""mmaction2's names (open-mmlab/mmaction2) of bottleneck networks.

It wraps a convolution and what follows it in a module with the parts ``conv`` and ``bn``; the
network lies under ``backbone``, its head under ``cls_head``.
"""

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from vidskim.backbones.files.layout import Layout, Rule
from vidskim.backbones.mmaction2_r34 import MMACTION2_TRANSFORM

PUBLISHER = "mmaction2"

PARTS = {"conv": 0, "bn": 1}
"""Their name of a part of a convolution module to its place in our sequence."""

HEAD_RULES: tuple[Rule, ...] = ((r"cls_head\.fc_cls\.(.*)", r"fc.\1"),)


def conv_module(theirs: str, ours: str) -> Iterator[Rule]:
    """Yield the rules of a convolution module: its convolution and its batch norm.

    Args:
        theirs: pattern of its name.
        ours: replacement; it may refer to the pattern's groups.
    """
    for part, place in PARTS.items():
        yield rf"{theirs}\.{part}\.(?P<rest>.*)", rf"{ours}.{place}.\g<rest>"


def trunk_rules(prefix: str, *, pathway: str = "") -> tuple[Rule, ...]:
    """Return the rules of a stem and its residual stages.

    Args:
        prefix: pattern of what stands before their names, with its dot.
        pathway: what our stages call the pathway, with a dot before it; "" for a single one.
    """
    return (
        *conv_module(rf"{prefix}conv1", f"stem{pathway}"),
        *conv_module(
            rf"{prefix}layer(\d)\.(\d+)\.(conv[123]|downsample)", rf"layer\1{pathway}.\2.\3"
        ),
    )


SLOW_RULES = (*trunk_rules(r"backbone\."), *HEAD_RULES)

SLOW = Layout(
    publisher=PUBLISHER,
    telltale=r"backbone\.layer1\.0\.conv1\.conv\.weight",
    rules=SLOW_RULES,
    transform=MMACTION2_TRANSFORM,
)
"""Slow-only (``ResNet3dSlowOnly``)."""

I3D = replace(SLOW, options={"layout": "mmaction2"})
"""I3D R50 (``ResNet3d``), told from Slow-only by the temporal kernels of its stem and res2."""


def _slowfast_rules() -> Iterator[Rule]:
    for pathway in ("slow", "fast"):
        yield from trunk_rules(rf"backbone\.{pathway}_path\.", pathway=f".{pathway}")
    yield r"backbone\.slow_path\.conv1_lateral\.conv\.(.*)", r"stem.fuse.0.\1"
    yield r"backbone\.slow_path\.(layer\d)_lateral\.conv\.(.*)", r"\1.fuse.0.\2"
    yield from HEAD_RULES


def _slow_channels_first(key: str, tensor: Tensor) -> Tensor:
    """Put the head's columns in our order: theirs has the fast pathway's ninth first."""
    if key != "fc.weight" or tensor.ndim != 2:
        return tensor
    return tensor.roll(-(tensor.shape[1] // 9), dims=1)


SLOWFAST = Layout(
    publisher=PUBLISHER,
    telltale=r"backbone\.fast_path\.conv1\.conv\.weight",
    rules=tuple(_slowfast_rules()),
    convert=_slow_channels_first,
    transform=MMACTION2_TRANSFORM,
)
"""SlowFast (``ResNet3dSlowFast``); the options differ by network."""
