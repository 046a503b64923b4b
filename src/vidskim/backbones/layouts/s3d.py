"""What torchvision calls the tensors of S3D: one sequence, where we have stages."""

from torch import Tensor

from vidskim.backbones.files.layout import Layout
from vidskim.backbones.s3d import BUILDERS

STAGE_STARTS = (("layer1", 1), ("layer2", 4), ("layer3", 7), ("layer4", 13))
"""The place in torchvision's sequence where each of our stages begins, with its pooling."""

LENGTH = 16


def _place(n: int) -> str:
    """Return our name of the module at one place of torchvision's sequence."""
    if n == 0:
        return "stem"
    stage, start = max((s for s in STAGE_STARTS if s[1] <= n), key=lambda s: s[1])
    return f"{stage}.{n - start}"


def _convert(key: str, tensor: Tensor) -> Tensor:
    """Take the head's 1x1x1 convolution as the matrix it is."""
    return tensor.flatten(1) if key == "fc.weight" else tensor


TORCHVISION = Layout(
    publisher="torchvision",
    telltale=r"features\.0\.0\.0\.weight",
    rules=(
        *((rf"features\.{n}\.(.*)", rf"{_place(n)}.\1") for n in range(LENGTH)),
        (r"classifier\.1\.(.*)", r"fc.\1"),
    ),
    convert=_convert,
)

LAYOUTS = dict.fromkeys(BUILDERS, (TORCHVISION,))
