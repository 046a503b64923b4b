"""PyTorchVideo's names (facebookresearch/pytorchvideo, its hub) of the same bottleneck networks.

``blocks.0`` is the stem, then come the stages and the head; where a network pools over time after
res2, that pooling is a block too and moves all that follow by one.
"""

from collections.abc import Sequence

from vidskim.backbones.files.layout import Rule


def pytorchvideo_slow_rules(stages: Sequence[int], *, head: int) -> tuple[Rule, ...]:
    """Return the rules of a network with one pathway.

    Args:
        stages: numbers of the blocks that are res2 to res5.
        head: number of the head's block.
    """
    rules = _stem_rules(r"blocks\.0\.", "stem.")
    for i, number in enumerate(stages, start=1):
        rules += _stage_rules(rf"blocks\.{number}\.", f"layer{i}.")
    return (*rules, (rf"blocks\.{head}\.proj\.(.*)", r"fc.\1"))


def _stem_rules(theirs: str, ours: str) -> list[Rule]:
    return [
        (rf"{theirs}conv\.(.*)", rf"{ours}0.\1"),
        (rf"{theirs}norm\.(.*)", rf"{ours}1.\1"),
    ]


def _stage_rules(theirs: str, ours: str) -> list[Rule]:
    block = rf"{theirs}res_blocks\.(\d+)\."
    rules = [
        (rf"{block}branch1_conv\.(.*)", rf"{ours}\1.downsample.0.\2"),
        (rf"{block}branch1_norm\.(.*)", rf"{ours}\1.downsample.1.\2"),
    ]
    for n, letter in enumerate("abc", start=1):
        rules += [
            (rf"{block}branch2\.conv_{letter}\.(.*)", rf"{ours}\1.conv{n}.0.\2"),
            (rf"{block}branch2\.norm_{letter}\.(.*)", rf"{ours}\1.conv{n}.1.\2"),
        ]
    return rules


def _slowfast_rules() -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for number, stage in enumerate(("stem", "layer1", "layer2", "layer3", "layer4")):
        for pathway, name in enumerate(("slow", "fast")):
            theirs, ours = (
                rf"blocks\.{number}\.multipathway_blocks\.{pathway}\.",
                f"{stage}.{name}.",
            )
            rules += (_stem_rules if number == 0 else _stage_rules)(theirs, ours)
        fusion = rf"blocks\.{number}\.multipathway_fusion\."
        rules += [
            (rf"{fusion}conv_fast_to_slow\.(.*)", rf"{stage}.fuse.0.\1"),
            (rf"{fusion}norm\.(.*)", rf"{stage}.fuse.1.\1"),
        ]
    return (*rules, (r"blocks\.6\.proj\.(.*)", r"fc.\1"))


SLOW_RULES = pytorchvideo_slow_rules((1, 2, 3, 4), head=5)
"""Slow-only R50: ``slow_r50``."""

I3D_RULES = pytorchvideo_slow_rules((1, 3, 4, 5), head=6)
"""I3D R50: ``i3d_r50``."""

SLOWFAST_RULES = _slowfast_rules()
"""SlowFast: ``slowfast_r50``, ``slowfast_r101``, ``slowfast_16x8_r101_50_50``."""
