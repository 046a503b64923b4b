"""What others call the tensors of Slow-only and I3D R50."""

from dataclasses import replace

from vidskim.backbones.files.layout import Layout
from vidskim.backbones.layouts import mmaction, pyslowfast, pytorchvideo, tpn

PYSLOWFAST = Layout(
    publisher="PySlowFast",
    telltale=r"s1\.pathway0_stem\.conv\.weight",
    rules=pyslowfast.SLOW_RULES,
)

PYSLOWFAST_SLOW_NL = replace(PYSLOWFAST, options={"nonlocal_pool": "1x2x2"})
"""Its configurations for Kinetics leave the pooling of keys and values at its default."""

PYTORCHVIDEO_SLOW = Layout(
    publisher="PyTorchVideo",
    telltale=r"blocks\.2\.res_blocks\.0\.branch2\.conv_a\.weight",
    rules=pytorchvideo.SLOW_RULES,
)

PYTORCHVIDEO_I3D = Layout(
    publisher="PyTorchVideo",
    telltale=r"blocks\.5\.res_blocks\.0\.branch2\.conv_a\.weight",
    rules=pytorchvideo.I3D_RULES,
)

SLOW_ONLY = (PYSLOWFAST, PYTORCHVIDEO_SLOW, mmaction.SLOW, tpn.AUTHORS_SLOW)

LAYOUTS = {
    "slow_r50_4x16": SLOW_ONLY,
    "slow_r50_8x8": SLOW_ONLY,
    "slow_r50_16x4": SLOW_ONLY,
    "slow_r50_32x2": SLOW_ONLY,
    "slow_r50_4x16_nl": (PYSLOWFAST_SLOW_NL,),
    "slow_r50_8x8_nl": (PYSLOWFAST_SLOW_NL,),
    "i3d_r50_8x8": (PYSLOWFAST, PYTORCHVIDEO_I3D, mmaction.I3D),
    "i3d_r50_8x8_nl": (PYSLOWFAST,),
}
"""Backbone's name to the layouts its published checkpoints come in."""
