"""What others call the tensors of channel-separated networks; VMZ uses our own names."""

from vidskim.backbones.csn import BUILDERS
from vidskim.backbones.files.layout import Layout, Rule
from vidskim.backbones.layouts.r2plus1d import PYTORCHVIDEO_BLOCK_RULES, PYTORCHVIDEO_MIDDLE

_PREFIX = r"backbone\."

_CONV_MODULE = {"conv": 0, "bn": 1}

_BLOCK = _PREFIX + r"layer(\d+)\.(\d+)"


def _mmaction2_rules(middle: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Rules for mmaction2's names (mmaction/models/backbones/resnet3d_csn.py)."""
    return (
        *middle,
        *(
            rule
            for part, n in _CONV_MODULE.items()
            for rule in (
                (rf"{_PREFIX}conv1\.{part}\.(.*)", rf"stem.{n}.\1"),
                (rf"{_BLOCK}\.(conv[13]|downsample)\.{part}\.(.*)", rf"layer\1.\2.\3.{n}.\4"),
            )
        ),
        (r"cls_head\.fc_cls\.(.*)", r"fc.\1"),
    )


MMACTION2_IR = Layout(
    publisher="mmaction2",
    telltale=rf"{_BLOCK}\.conv2\.0\.conv\.weight",
    rules=_mmaction2_rules(
        (
            (rf"{_BLOCK}\.conv2\.0\.conv\.(.*)", r"layer\1.\2.conv2.0.\3"),
            (rf"{_BLOCK}\.conv2\.0\.bn\.(.*)", r"layer\1.\2.conv2.1.\3"),
        )
    ),
)

MMACTION2_IP = Layout(
    publisher="mmaction2",
    telltale=rf"{_BLOCK}\.conv2\.1\.conv\.weight",
    rules=_mmaction2_rules(
        (
            (rf"{_BLOCK}\.conv2\.0\.conv\.(.*)", r"layer\1.\2.conv2.0.0.\3"),
            (rf"{_BLOCK}\.conv2\.0\.bn\.(.*)", r"layer\1.\2.conv2.0.1.\3"),
            (rf"{_BLOCK}\.conv2\.1\.conv\.(.*)", r"layer\1.\2.conv2.0.2.\3"),
            (rf"{_BLOCK}\.conv2\.1\.bn\.(.*)", r"layer\1.\2.conv2.1.\3"),
        )
    ),
)

PYTORCHVIDEO = Layout(
    publisher="PyTorchVideo",
    telltale=rf"{PYTORCHVIDEO_MIDDLE}\.weight",
    rules=(
        (rf"{PYTORCHVIDEO_MIDDLE}\.(.*)", r"layer\1.\2.conv2.0.\3"),
        *PYTORCHVIDEO_BLOCK_RULES,
    ),
    options={"layout": "pytorchvideo"},
)

LAYOUTS = {
    **{name: (MMACTION2_IR,) for name in BUILDERS if name.startswith("ir")},
    "ir_csn_101": (MMACTION2_IR, PYTORCHVIDEO),
    "ip_csn_152": (MMACTION2_IP,),
}
