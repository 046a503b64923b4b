"""Caffe2's names for Slow, SlowFast, I3D and non-local networks, as in PySlowFast's model zoo.

``res4_5_branch2b_bn_riv``: residual stage 4, block 5, second convolution, batch norm, running
variance. The fast pathway's names begin with ``t_``. They are turned into PySlowFast's names, whose
own rules follow.
"""

from collections.abc import Iterable
from dataclasses import replace

from vidskim.backbones.files.layout import Layout, Rule

NORM = (("s", "weight"), ("b", "bias"), ("rm", "running_mean"), ("riv", "running_var"))
"""Batch norm: scale, bias, running mean and (in spite of its name) running variance."""

CONVOLUTION = (("w", "weight"), ("b", "bias"))

TELLTALE = r"res_conv1_bn_rm"

TRAINING_ONLY: tuple[Rule, ...] = (
    (r".*_momentum", "momentum of the optimizer"),
    (r"lr|model_iter", "state of the training"),
)


def _convolution(theirs: str, ours: str) -> Iterable[Rule]:
    return ((f"{theirs}_{short}", f"{ours}.{name}") for short, name in CONVOLUTION)


def _norm(theirs: str, ours: str) -> Iterable[Rule]:
    return ((f"{theirs}_bn_{short}", f"{ours}.{name}") for short, name in NORM)


def _pathway(prefix: str, index: int) -> Iterable[Rule]:
    """Stem and residual blocks of one pathway."""
    block = rf"{prefix}res(\d+)_(\d+)_branch"
    ours = rf"s\1.pathway{index}_res\2.branch"
    yield from _convolution(f"{prefix}conv1", f"s1.pathway{index}_stem.conv")
    yield from _norm(f"{prefix}res_conv1", f"s1.pathway{index}_stem.bn")
    yield from _norm(f"{block}2([abc])", rf"{ours}2.\3_bn")
    yield from _convolution(f"{block}2([abc])", rf"{ours}2.\3")
    yield from _norm(f"{block}1", rf"{ours}1_bn")
    yield from _convolution(f"{block}1", rf"{ours}1")


RULES: tuple[Rule, ...] = (
    *_norm("t_pool1_subsample", "s1_fuse.bn"),
    *_convolution("t_pool1_subsample", "s1_fuse.conv_f2s"),
    *_norm(r"t_res(\d+)_\d+_branch2c_bn_subsample", r"s\1_fuse.bn"),
    *_convolution(r"t_res(\d+)_\d+_branch2c_bn_subsample", r"s\1_fuse.conv_f2s"),
    *_norm(r"nonlocal_conv(\d+)_(\d+)", r"s\1.pathway0_nonlocal\2.bn"),
    *_convolution(
        r"nonlocal_conv(\d+)_(\d+)_(theta|phi|g|out)", r"s\1.pathway0_nonlocal\2.conv_\3"
    ),
    *_pathway("", 0),
    *_pathway("t_", 1),
    *_convolution("pred", "head.projection"),
)


def from_caffe2(layout: Layout) -> Layout:
    """Return the layout of the same network's Caffe2 file, from PySlowFast's layout of it."""
    return replace(layout, publisher="Caffe2", telltale=TELLTALE, via=RULES, unused=TRAINING_ONLY)
