"""The cost figures that the four papers print, beside what their networks cost here."""

from vidskim.paper_costs.compression import compression_rows
from vidskim.paper_costs.faster import faster_rows
from vidskim.paper_costs.memory import memory_rows
from vidskim.paper_costs.row import PaperRow
from vidskim.paper_costs.scsampler import scsampler_rows

__all__ = [
    "PaperRow",
    "compression_rows",
    "faster_rows",
    "memory_rows",
    "paper_rows",
    "scsampler_rows",
]


def paper_rows() -> list[PaperRow]:
    """Return every cost figure of the papers' tables, counted now."""
    return [*scsampler_rows(), *faster_rows(), *memory_rows(), *compression_rows()]
