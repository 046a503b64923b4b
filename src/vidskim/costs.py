"""What backbones cost, and the papers' cost figures beside ours."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from vidskim.backbones.hf import create_hf, is_hf
from vidskim.backbones.network import Network
from vidskim.backbones.registry import list_networks, shapes_of
from vidskim.cost import Count, count
from vidskim.errors import unknown_name


def cost_of(name: str) -> Count:
    """Count a backbone on the clip it was made for.

    Networks on images are counted on 3 x 224 x 224, those on sound on 1 x 40 x 200.

    Raises:
        UsageError: an unknown name.
        CheckpointError: ``hf:<id or folder>`` whose configuration cannot be read.
    """
    network: Network
    if is_hf(name):
        with torch.device("meta"):
            network = create_hf(name)
    elif name in list_networks():
        network = shapes_of(name)
    else:
        raise unknown_name("backbone", name, list_networks())
    if network.clip is None:
        return count(network, (1, network.options["in_channels"], *network.image_size))
    return count(network, network.clip.input_shape)


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One published cost figure and ours.

    ``verdict`` is "reproduced" within 2 %, "close" within 5 %, else "not reproducible".
    """

    paper: str
    table: str
    row: str
    published: float
    ours: float
    unit: str
    verdict: str
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return one object of ``vidskim cost --papers --json``."""
        return asdict(self)


def paper_rows() -> list[PaperRow]:
    """Return the cost figures of the papers whose networks are here, counted now.

    So far the classifiers of SCSampler's Tables 1 and 2, whose costs stand in the R(2+1)D paper's
    model zoo (VMZ), and the sampler figure of its section 2.
    """
    zoo = "VMZ, 16 x 112 x 112"
    r3d, mc3 = cost_of("r3d_18"), cost_of("mc3_18")
    vmz = count(shapes_of("r2plus1d_18", mid="vmz"), (1, 3, 16, 112, 112))
    deep = count(shapes_of("r2plus1d_34", mid="vmz"), (1, 3, 32, 112, 112))
    rows = [
        _row("SCSampler", zoo, "R3D-18 GFLOPs", 40.7, r3d.macs / 1e9, "GMACs"),
        _row("SCSampler", zoo, "R3D-18 parameters", 33.4, r3d.params / 1e6, "M"),
        _row("SCSampler", zoo, "MC3-18 GFLOPs", 43.3, mc3.macs / 1e9, "GMACs"),
        _row("SCSampler", zoo, "MC3-18 parameters", 11.7, mc3.params / 1e6, "M"),
        _row("SCSampler", zoo, "R(2+1)D-18 GFLOPs", 41.5, vmz.macs / 1e9, "GMACs"),
        _row("SCSampler", zoo, "R(2+1)D-18 parameters", 33.3, vmz.params / 1e6, "M"),
        _row(
            "SCSampler", "VMZ, 32 x 112 x 112", "R(2+1)D-34 GFLOPs", 152, deep.macs / 1e9, "GMACs"
        ),
        _row(
            "SCSampler",
            "VMZ, 32 x 112 x 112",
            "R(2+1)D-34 parameters",
            63.6,
            deep.params / 1e6,
            "M",
        ),
    ]
    per_minute = 60 * 30 // 16
    rows.append(
        _row(
            "SCSampler",
            "section 2",
            "MC3-18 on all clips of 60 s",
            1097,
            mc3.macs / 1e9 * per_minute,
            "GMACs",
            note=f"{per_minute} clips of 16 frames at 30 fps; the paper does not say how it counts",
        )
    )
    return rows


def _row(
    paper: str,
    table: str,
    row: str,
    published: float,
    ours: float,
    unit: str,
    *,
    note: str = "",
) -> PaperRow:
    error = abs(ours / published - 1)
    verdict = "reproduced" if error <= 0.02 else "close" if error <= 0.05 else "not reproducible"
    return PaperRow(paper, table, row, published, round(ours, 3), unit, verdict, note)
