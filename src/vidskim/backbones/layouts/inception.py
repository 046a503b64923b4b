"""What the two public PyTorch ports of I3D call its tensors."""

from torch import Tensor

from vidskim.backbones.files.layout import Layout, Rule
from vidskim.backbones.inception import BUILDERS

STAGES = {3: "bc", 4: "bcdef", 5: "bc"}
"""Inception's names of the blocks of each stage."""


def _convert(key: str, tensor: Tensor) -> Tensor:
    """Take the head's 1x1x1 convolution as the matrix it is."""
    return tensor.flatten(1) if key == "fc.weight" else tensor


def _rules(
    *, conv: str, mixed: str, norm: str, branches: dict[str, str], head: str
) -> tuple[Rule, ...]:
    """Spell out one port's names.

    Args:
        conv: its prefix of the convolutions before the blocks.
        mixed: its prefix of the blocks.
        norm: its name of a convolution's batch norm.
        branches: its names of the convolutions of a block to ours.
        head: its name of the last convolution.
    """
    units = {
        f"{conv}_1a_7x7": "stem",
        f"{conv}_2b_1x1": "layer1.1",
        f"{conv}_2c_3x3": "layer1.2",
        **{
            rf"{mixed}_{stage}{letter}\.{theirs}": f"layer{stage - 1}.{j}.{ours}"
            for stage, letters in STAGES.items()
            for j, letter in enumerate(letters, start=1)
            for theirs, ours in branches.items()
        },
    }
    return (
        *((rf"{theirs}\.conv3d\.(.*)", rf"{ours}.0.\1") for theirs, ours in units.items()),
        *((rf"{theirs}\.{norm}\.(.*)", rf"{ours}.1.\1") for theirs, ours in units.items()),
        (rf"{head}\.conv3d\.(.*)", r"fc.\1"),
    )


PIERGIAJ = Layout(
    publisher="pytorch-i3d (piergiaj)",
    telltale=r"Conv3d_1a_7x7\.conv3d\.weight",
    rules=_rules(
        conv="Conv3d",
        mixed="Mixed",
        norm="bn",
        branches={
            "b0": "branch0",
            "b1a": "branch1.0",
            "b1b": "branch1.1",
            "b2a": "branch2.0",
            "b2b": "branch2.1",
            "b3b": "branch3.1",
        },
        head="logits",
    ),
    options={"padding": "same"},
    convert=_convert,
)

HASSONY2 = Layout(
    publisher="kinetics_i3d_pytorch (hassony2)",
    telltale=r"conv3d_1a_7x7\.conv3d\.weight",
    rules=_rules(
        conv="conv3d",
        mixed="mixed",
        norm="batch3d",
        branches={
            "branch_0": "branch0",
            r"branch_1\.0": "branch1.0",
            r"branch_1\.1": "branch1.1",
            r"branch_2\.0": "branch2.0",
            r"branch_2\.1": "branch2.1",
            r"branch_3\.1": "branch3.1",
        },
        head="conv3d_0c_1x1",
    ),
    options={"padding": "fixed"},
    convert=_convert,
)

LAYOUTS = dict.fromkeys(BUILDERS, (PIERGIAJ, HASSONY2))
