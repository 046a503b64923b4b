"""What others call the tensors of TPN, and what TPN's authors call those of Slow-only.

The levels of the top-down flow are fused by what the authors' code calls ``level_fusion_op2`` and
mmaction2 ``level_fusion_1``, those of the bottom-up flow by ``level_fusion_op`` and
``level_fusion_2``: shapes are equal, so only the names tell them apart.
"""

from vidskim.backbones.files.layout import Layout, Rule
from vidskim.backbones.layouts import mmaction
from vidskim.backbones.layouts.mmaction import conv_module
from vidskim.backbones.mmaction2_r34 import MMACTION2_TRANSFORM
from vidskim.backbones.tpn import BUILDERS, TPN_TRANSFORM

AUXILIARY = "auxiliary head on res4, for training only"

COPIED_HEAD: Rule = (
    r"cls_head\.new_cls\..*",
    "the head as it was when it was first tested during training; the head itself is fc_cls",
)

# resnet_slow.py: as torchvision names a 2-D ResNet
_AUTHORS_TRUNK: tuple[Rule, ...] = (
    (r"backbone\.conv1\.(.*)", r"stem.0.\1"),
    (r"backbone\.bn1\.(.*)", r"stem.1.\1"),
    (r"backbone\.(layer\d\.\d+)\.conv(\d)\.(.*)", r"\1.conv\2.0.\3"),
    (r"backbone\.(layer\d\.\d+)\.bn(\d)\.(.*)", r"\1.conv\2.1.\3"),
    (r"backbone\.(layer\d\.\d+\.downsample\..*)", r"\1"),
)

_SPATIAL = r"spatial_modulation\.spatial_modulation\.0\.0"


def _authors_fusion(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        (rf"necks\.{theirs}\.ops\.(\d)\.conv\.(.*)", rf"neck.{ours}.levels.\1.0.\2"),
        (rf"necks\.{theirs}\.ops\.(\d)\.norm\.(.*)", rf"neck.{ours}.levels.\1.1.\2"),
        (rf"necks\.{theirs}\.fusion_conv\.(.*)", rf"neck.{ours}.fuse.\1"),
    )


def _mmaction_fusion(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        *conv_module(rf"neck\.{theirs}\.downsamples\.(\d)\.conv", rf"neck.{ours}.levels.\1"),
        *conv_module(rf"neck\.{theirs}\.fusion_conv", f"neck.{ours}.fuse"),
    )


AUTHORS = Layout(
    publisher="TPN",
    telltale=r"necks\.pyramid_fusion_op\.0\.weight",
    rules=(
        *_AUTHORS_TRUNK,
        *conv_module(rf"necks\.{_SPATIAL}", "neck.spatial"),
        (r"necks\.temporal_modulation_ops\.(\d)\.conv\.(.*)", r"neck.temporal.\1.\2"),
        (r"necks\.downsampling_ops\.0\.conv\.(.*)", r"neck.upward.\1"),
        *_authors_fusion("level_fusion_op2", "top_down"),
        *_authors_fusion("level_fusion_op", "bottom_up"),
        (r"necks\.pyramid_fusion_op\.(.*)", r"neck.fuse.\1"),
        *mmaction.HEAD_RULES,
    ),
    unused=((r"necks\.aux_head\..*", AUXILIARY), COPIED_HEAD),
    transform=TPN_TRANSFORM,
)

MMACTION2 = Layout(
    publisher=mmaction.PUBLISHER,
    telltale=r"neck\.pyramid_fusion\.conv\.weight",
    rules=(
        *mmaction.trunk_rules(r"backbone\."),
        *conv_module(rf"neck\.{_SPATIAL}", "neck.spatial"),
        (r"neck\.temporal_modulation_ops\.(\d)\.conv\.conv\.(.*)", r"neck.temporal.\1.\2"),
        (r"neck\.downsample_ops\.0\.conv\.conv\.(.*)", r"neck.upward.\1"),
        *_mmaction_fusion("level_fusion_1", "top_down"),
        *_mmaction_fusion("level_fusion_2", "bottom_up"),
        *conv_module(r"neck\.pyramid_fusion", "neck.fuse"),
        *mmaction.HEAD_RULES,
    ),
    unused=((r"neck\.aux_head\..*", AUXILIARY), COPIED_HEAD),
    transform=TPN_TRANSFORM,
)

AUTHORS_SLOW = Layout(
    publisher="TPN",
    telltale=r"backbone\.layer1\.0\.bn1\.weight",
    rules=(*_AUTHORS_TRUNK, *mmaction.HEAD_RULES),
    transform=MMACTION2_TRANSFORM,
)
"""Their baseline without the neck: Slow-only."""

LAYOUTS = dict.fromkeys(BUILDERS, (AUTHORS, MMACTION2))
"""Backbone's name to the layouts its published checkpoints come in."""
