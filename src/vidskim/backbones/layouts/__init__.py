"""Backbone's name to the layouts its published checkpoints come in; one file per family."""

from vidskim.backbones.files.layout import Layout
from vidskim.backbones.layouts import csn, inception, r2plus1d, s3d, slow, slowfast, tpn, x3d
from vidskim.backbones.layouts.caffe2 import from_caffe2

PYSLOWFAST = "PySlowFast"
"""Whose names Caffe2's are turned into."""


def _and_caffe2(layouts: dict[str, tuple[Layout, ...]]) -> dict[str, tuple[Layout, ...]]:
    """Add, for every network, the Caffe2 form of PySlowFast's layouts."""
    return {
        name: (*known, *(from_caffe2(layout) for layout in known if layout.publisher == PYSLOWFAST))
        for name, known in layouts.items()
    }


LAYOUTS: dict[str, tuple[Layout, ...]] = {
    **r2plus1d.LAYOUTS,
    **csn.LAYOUTS,
    **_and_caffe2(slow.LAYOUTS),
    **_and_caffe2(slowfast.LAYOUTS),
    **tpn.LAYOUTS,
    **inception.LAYOUTS,
    **s3d.LAYOUTS,
    **x3d.LAYOUTS,
}
"""Beside these every backbone is read in its own names, which for R3D, MC3, R(2+1)D and CSN are
those of torchvision and VMZ."""
