"""The cost figures that the four papers print, beside what their networks cost here."""

from vidskim.cost.papers.compression import compression_rows
from vidskim.cost.papers.faster import faster_rows
from vidskim.cost.papers.memory import memory_rows
from vidskim.cost.papers.row import PaperRow
from vidskim.cost.papers.scsampler import scsampler_rows

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
