"""mmaction2's names (open-mmlab/mmaction2) of bottleneck networks.

It wraps a convolution and what follows it in a module with the parts ``conv`` and ``bn``; the
network lies under ``backbone``, its head under ``cls_head``.
"""

from collections.abc import Iterator

from vidskim.backbones.layout import Layout, Rule
from vidskim.transforms import Transform

PUBLISHER = "mmaction2"

TRANSFORM = Transform(
    short_side=256, crop=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
"""ImageNet's mean and deviation for every family (``data_preprocessor`` of its configurations),
given there on the scale of 0 to 255."""

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
    transform=TRANSFORM,
)
"""Slow-only (``ResNet3dSlowOnly``)."""
