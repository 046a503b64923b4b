"""Backbone's name to the layouts its published checkpoints come in; one file per family."""

from vidskim.backbones.layout import Layout
from vidskim.backbones.layouts import slow

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    **slow.LAYOUTS,
}
"""Beside these every backbone is read in its own names, which for R3D, MC3, R(2+1)D and CSN are
those of torchvision and VMZ."""
