"""What others call the tensors of X3D."""

from torch import Tensor

from vidskim.backbones.files.layout import Layout, Rule
from vidskim.backbones.layouts import pyslowfast
from vidskim.backbones.x3d import BUILDERS


def _convert(key: str, tensor: Tensor) -> Tensor:
    """Take the hidden layer's 1x1x1 convolution as the matrix it is."""
    return tensor.flatten(1) if key == "lin5.weight" else tensor


PYSLOWFAST_RULES: tuple[Rule, ...] = (
    (r"s1\.pathway0_stem\.conv_xy\.(.*)", r"stem.0.\1"),
    (r"s1\.pathway0_stem\.conv\.(.*)", r"stem.1.\1"),
    (r"s1\.pathway0_stem\.bn\.(.*)", r"stem.2.\1"),
    *(
        (rf"s{s}\.pathway0_res(\d+)\.branch2\.se\.(.*)", rf"layer{s - 1}.\1.se.\2")
        for s in range(2, 6)
    ),
    (r"head\.conv_5\.(.*)", r"conv5.0.\1"),
    (r"head\.conv_5_bn\.(.*)", r"conv5.1.\1"),
    (r"head\.lin_5\.(.*)", r"lin5.\1"),
    *pyslowfast.SLOW_RULES,
)
"""The blocks are called as in every other network of theirs."""


def _pytorchvideo_rules() -> tuple[Rule, ...]:
    rules = [
        # the two names are exchanged there: conv_t holds the 1x3x3, conv_xy the 5x1x1
        (r"blocks\.0\.conv\.conv_t\.(.*)", r"stem.0.\1"),
        (r"blocks\.0\.conv\.conv_xy\.(.*)", r"stem.1.\1"),
        (r"blocks\.0\.norm\.(.*)", r"stem.2.\1"),
        (r"blocks\.5\.pool\.pre_conv\.(.*)", r"conv5.0.\1"),
        (r"blocks\.5\.pool\.pre_norm\.(.*)", r"conv5.1.\1"),
        (r"blocks\.5\.pool\.post_conv\.(.*)", r"lin5.\1"),
        (r"blocks\.5\.proj\.(.*)", r"fc.\1"),
    ]
    for s in range(1, 5):
        theirs, ours = rf"blocks\.{s}\.res_blocks\.(\d+)\.branch", rf"layer{s}.\1"
        rules += [
            (rf"{theirs}2\.norm_b\.0\.(.*)", rf"{ours}.conv2.1.\2"),
            (rf"{theirs}2\.norm_b\.1\.block\.0\.(.*)", rf"{ours}.se.fc1.\2"),
            (rf"{theirs}2\.norm_b\.1\.block\.2\.(.*)", rf"{ours}.se.fc2.\2"),
            (rf"{theirs}1_conv\.(.*)", rf"{ours}.downsample.0.\2"),
            (rf"{theirs}1_norm\.(.*)", rf"{ours}.downsample.1.\2"),
        ]
        for n, letter in enumerate("abc", start=1):
            rules += [
                (rf"{theirs}2\.conv_{letter}\.(.*)", rf"{ours}.conv{n}.0.\2"),
                (rf"{theirs}2\.norm_{letter}\.(.*)", rf"{ours}.conv{n}.1.\2"),
            ]
    return tuple(rules)


MMACTION2_RULES: tuple[Rule, ...] = (
    (r"backbone\.conv1_s\.conv\.(.*)", r"stem.0.\1"),
    (r"backbone\.conv1_t\.conv\.(.*)", r"stem.1.\1"),
    (r"backbone\.conv1_t\.bn\.(.*)", r"stem.2.\1"),
    (r"backbone\.(layer\d)\.(\d+)\.(conv\d|downsample)\.conv\.(.*)", r"\1.\2.\3.0.\4"),
    (r"backbone\.(layer\d)\.(\d+)\.(conv\d|downsample)\.bn\.(.*)", r"\1.\2.\3.1.\4"),
    (r"backbone\.(layer\d)\.(\d+)\.se_module\.(.*)", r"\1.\2.se.\3"),
    (r"backbone\.conv5\.conv\.(.*)", r"conv5.0.\1"),
    (r"backbone\.conv5\.bn\.(.*)", r"conv5.1.\1"),
    (r"cls_head\.fc1\.(.*)", r"lin5.\1"),
    (r"cls_head\.fc2\.(.*)", r"fc.\1"),
)

PYSLOWFAST = Layout(
    publisher="PySlowFast",
    telltale=r"s1\.pathway0_stem\.conv_xy\.weight",
    rules=PYSLOWFAST_RULES,
    convert=_convert,
)

PYTORCHVIDEO = Layout(
    publisher="PyTorchVideo",
    telltale=r"blocks\.5\.pool\.pre_conv\.weight",
    rules=_pytorchvideo_rules(),
    options={"shortcut_norm": False},
    convert=_convert,
)

MMACTION2 = Layout(
    publisher="mmaction2",
    telltale=r"backbone\.conv1_s\.conv\.weight",
    rules=MMACTION2_RULES,
)

LAYOUTS = dict.fromkeys(BUILDERS, (PYSLOWFAST, PYTORCHVIDEO, MMACTION2))
