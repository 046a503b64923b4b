"""PySlowFast's names (facebookresearch/SlowFast) of bottleneck networks with one or two pathways.

A stage ``s2`` to ``s5`` holds the blocks of every pathway as ``pathway0_res3``; the three
convolutions of a block are ``branch2.a``, ``b`` and ``c``, its shortcut ``branch1``.
"""

from collections.abc import Mapping

from vidskim.backbones.files.layout import Rule

NONLOCAL_PARTS = {
    "conv_theta": "query",
    "conv_phi": "key",
    "conv_g": "value",
    "conv_out": "out",
    "bn": "norm",
}
"""Their names inside a non-local block, from Wang et al. 2018, to ours."""


def pyslowfast_rules(pathways: Mapping[int, str]) -> tuple[Rule, ...]:
    """Return the rules of a network with these pathways.

    Args:
        pathways: their number of a pathway to what our stages call it, with a dot behind; "" where
            a stage is the pathway itself.
    """
    rules: list[Rule] = []
    for number, name in pathways.items():
        path = f"pathway{number}"
        rules += [
            (rf"s1\.{path}_stem\.conv\.(.*)", rf"stem.{name}0.\1"),
            (rf"s1\.{path}_stem\.bn\.(.*)", rf"stem.{name}1.\1"),
        ]
        for s in range(2, 6):
            block, ours = rf"s{s}\.{path}_res(\d+)\.", rf"layer{s - 1}.{name}\1."
            for n, letter in enumerate("abc", start=1):
                rules += [
                    (rf"{block}branch2\.{letter}\.(.*)", rf"{ours}conv{n}.0.\2"),
                    (rf"{block}branch2\.{letter}_bn\.(.*)", rf"{ours}conv{n}.1.\2"),
                ]
            rules += [
                (rf"{block}branch1\.(.*)", rf"{ours}downsample.0.\2"),
                (rf"{block}branch1_bn\.(.*)", rf"{ours}downsample.1.\2"),
            ]
            rules += [
                (
                    rf"s{s}\.{path}_nonlocal(\d+)\.{theirs}\.(.*)",
                    rf"layer{s - 1}.{name}nonlocal\1.{part}.\2",
                )
                for theirs, part in NONLOCAL_PARTS.items()
            ]
    return (*rules, (r"head\.projection\.(.*)", r"fc.\1"))


def _fusion_rules() -> tuple[Rule, ...]:
    stages = {1: "stem", 2: "layer1", 3: "layer2", 4: "layer3"}
    return tuple(
        rule
        for s, stage in stages.items()
        for rule in (
            (rf"s{s}_fuse\.conv_f2s\.(.*)", rf"{stage}.fuse.0.\1"),
            (rf"s{s}_fuse\.bn\.(.*)", rf"{stage}.fuse.1.\1"),
        )
    )


SLOW_RULES = pyslowfast_rules({0: ""})
"""Slow-only and I3D, with and without non-local blocks."""

SLOWFAST_RULES = (*_fusion_rules(), *pyslowfast_rules({0: "slow.", 1: "fast."}))
"""SlowFast, with and without non-local blocks."""
