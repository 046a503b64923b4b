"""Backbone's name to the layouts its published checkpoints come in; one file per family."""

from vidskim.backbones.layout import Layout
from vidskim.backbones.layouts import csn, inception, r2plus1d, s3d, slow, slowfast, tpn, x3d
from vidskim.backbones.layouts.caffe2 import from_caffe2

PYSLOWFAST = "PySlowFast"
"""Whose names Caffe2's are turned into."""

PUBLISHED: dict[str, tuple[Layout, ...]] = {
    **r2plus1d.LAYOUTS,
    **csn.LAYOUTS,
    **slow.LAYOUTS,
    **tpn.LAYOUTS,
    **slowfast.LAYOUTS,
    **inception.LAYOUTS,
    **s3d.LAYOUTS,
    **x3d.LAYOUTS,
}

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    name: (*layouts, *(from_caffe2(layout) for layout in layouts if layout.publisher == PYSLOWFAST))
    for name, layouts in PUBLISHED.items()
}
"""Beside these every backbone is read in its own names, which for R3D, MC3, R(2+1)D and CSN are
those of torchvision and VMZ."""
