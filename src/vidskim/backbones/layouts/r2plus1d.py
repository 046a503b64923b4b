"""What others call the tensors of R(2+1)D.

VMZ, torchvision and ig65m-pytorch use our own names; a checkpoint's shapes tell whose it is.
"""

from vidskim.backbones.files.layout import Layout, Rule

_PREFIX = r"(?:model\.)?"
"""What PySlowFast puts before the names of the PyTorchVideo networks that it trains."""

_BLOCK = _PREFIX + r"blocks\.(\d+)\.res_blocks\.(\d+)"

PYTORCHVIDEO_BLOCK_RULES: tuple[Rule, ...] = (
    (rf"{_PREFIX}blocks\.0\.conv\.(.*)", r"stem.0.\1"),
    (rf"{_PREFIX}blocks\.0\.norm\.(.*)", r"stem.1.\1"),
    *(
        rule
        for n, letter in ((1, "a"), (3, "c"))
        for rule in (
            (rf"{_BLOCK}\.branch2\.conv_{letter}\.(.*)", rf"layer\1.\2.conv{n}.0.\3"),
            (rf"{_BLOCK}\.branch2\.norm_{letter}\.(.*)", rf"layer\1.\2.conv{n}.1.\3"),
        )
    ),
    (rf"{_BLOCK}\.branch2\.norm_b\.(.*)", r"layer\1.\2.conv2.1.\3"),
    (rf"{_BLOCK}\.branch1_conv\.(.*)", r"layer\1.\2.downsample.0.\3"),
    (rf"{_BLOCK}\.branch1_norm\.(.*)", r"layer\1.\2.downsample.1.\3"),
    (rf"{_PREFIX}blocks\.5\.proj\.(.*)", r"fc.\1"),
)
"""PyTorchVideo's names of a bottleneck network, the middle convolution aside."""

PYTORCHVIDEO_MIDDLE = rf"{_BLOCK}\.branch2\.conv_b"

PYTORCHVIDEO = Layout(
    publisher="PyTorchVideo",
    telltale=rf"{PYTORCHVIDEO_MIDDLE}\.conv_t\.weight",
    rules=(
        (rf"{PYTORCHVIDEO_MIDDLE}\.conv_t\.(.*)", r"layer\1.\2.conv2.0.0.\3"),
        (rf"{PYTORCHVIDEO_MIDDLE}\.norm\.(.*)", r"layer\1.\2.conv2.0.1.\3"),
        (rf"{PYTORCHVIDEO_MIDDLE}\.conv_xy\.(.*)", r"layer\1.\2.conv2.0.3.\3"),
        *PYTORCHVIDEO_BLOCK_RULES,
    ),
)

PYTORCHVIDEO_R50 = Layout(
    publisher=PYTORCHVIDEO.publisher,
    telltale=PYTORCHVIDEO.telltale,
    rules=PYTORCHVIDEO.rules,
    options={"layout": "pytorchvideo"},
)

_FACTORS = {"conv_s": 0, "bn_s": 1, "conv_t": 3}
"""Parts of mmaction2's (2+1)-D convolution and their places in a sequence, ReLU between."""

MMACTION2 = Layout(
    publisher="mmaction2",
    telltale=r"backbone\.conv1\.conv\.conv_s\.weight",
    rules=(
        *(
            rule
            for part, n in _FACTORS.items()
            for rule in (
                (rf"backbone\.conv1\.conv\.{part}\.(.*)", rf"stem.{n}.\1"),
                (
                    rf"backbone\.(layer\d+\.\d+\.conv[12])\.conv\.{part}\.(.*)",
                    rf"\1.0.{n}.\2",
                ),
                (
                    rf"backbone\.(layer\d+\.\d+\.downsample)\.conv\.{part}\.(.*)",
                    rf"\1.{n}.\2",
                ),
            )
        ),
        (r"backbone\.conv1\.bn\.(.*)", r"stem.4.\1"),
        (r"backbone\.(layer\d+\.\d+\.conv[12])\.bn\.(.*)", r"\1.1.\2"),
        (r"backbone\.(layer\d+\.\d+\.downsample)\.bn\.(.*)", r"\1.4.\2"),
        (r"cls_head\.fc_cls\.(.*)", r"fc.\1"),
    ),
    options={"mid": "mmaction2"},
)

LAYOUTS = {
    "r2plus1d_34": (MMACTION2,),
    "r2plus1d_50": (PYTORCHVIDEO_R50,),
    "r2plus1d_101": (PYTORCHVIDEO,),
}
