"""What others call the tensors of SlowFast.

Options stand in a layout where a publisher's network differs from the builder's: the non-local
blocks of PySlowFast's configurations for Kinetics pool keys and values over space only, R101 comes
with three choices of temporal kernels in res4, and R50 with either fusion kernel; mmaction2's
network differs in more than names.
"""

from collections.abc import Iterator
from dataclasses import replace

from vidskim.backbones.files.layout import Layout
from vidskim.backbones.layouts import mmaction, pyslowfast, pytorchvideo
from vidskim.backbones.slowfast import BUILDERS, MMACTION2_VARIANTS, RES4_KERNELS

PYSLOWFAST = Layout(
    publisher="PySlowFast",
    telltale=r"s1\.pathway1_stem\.conv\.weight",
    rules=pyslowfast.SLOWFAST_RULES,
)

PYTORCHVIDEO = Layout(
    publisher="PyTorchVideo",
    telltale=r"blocks\.0\.multipathway_blocks\.1\.conv\.weight",
    rules=pytorchvideo.SLOWFAST_RULES,
)

NONLOCAL_POOL = "1x2x2"
"""Keys and values in PySlowFast's configurations for Kinetics: its default. Those for AVA pool time
too, by 2x2x2; no tensor tells."""

FUSION_KERNELS = (5, 7)


def _layouts(name: str) -> Iterator[Layout]:
    """Yield the layouts of one network: every publisher with every choice of tensors it has."""
    deep, nonlocal_blocks = "_r101_" in name, name.endswith("_nl")
    choices: list[dict[str, str | int]] = [{}]
    if deep:
        choices = [{"res4_kernels": kernels} for kernels in RES4_KERNELS]
    else:
        choices = [{"fusion_kernel": kernel} for kernel in FUSION_KERNELS]
    for options in choices:
        if nonlocal_blocks:
            yield replace(PYSLOWFAST, options={**options, "nonlocal_pool": NONLOCAL_POOL})
        else:
            yield from (replace(layout, options=options) for layout in (PYSLOWFAST, PYTORCHVIDEO))
    if name in MMACTION2_VARIANTS:
        yield replace(mmaction.SLOWFAST, options=MMACTION2_VARIANTS[name])


LAYOUTS = {name: tuple(_layouts(name)) for name in BUILDERS}
"""Backbone's name to the layouts its published checkpoints come in."""
