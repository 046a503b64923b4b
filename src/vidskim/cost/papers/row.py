"""One published cost figure beside ours."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Counter = Literal["MAC", "MAC+2BN", "parameters"]
"""What is counted. All four papers' "GFLOPs" are 1e9 multiply-adds (MAC). The figures of selective
feature compression fit to the last digit if two operations for each number that enters a batch norm
are added."""

REPRODUCED_WITHIN = 0.02
CLOSE_WITHIN = 0.05


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One published cost figure and ours.

    ``verdict`` is "reproduced" within 2 %, "close" within 5 %, else "not reproducible"; ``note``
    says why where there is something to say, misprints included.
    """

    paper: str
    table: str
    row: str
    published: float
    ours: float
    unit: str
    verdict: str
    note: str = ""
    counter: str = "MAC"

    def to_json(self) -> dict[str, Any]:
        """Return one object of ``vidskim cost --papers --json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Table:
    """Makes the rows of one table of one paper."""

    paper: str
    name: str

    def giga(
        self, row: str, published: float, ours: float, *, note: str = "", counter: Counter = "MAC"
    ) -> PaperRow:
        """Compare a cost; published in 1e9, ours in single operations."""
        return self._row(row, published, ours / 1e9, "GMACs", note=note, counter=counter)

    def mega(self, row: str, published: float, ours: float, *, note: str = "") -> PaperRow:
        """Compare the cost of a small network; published in 1e6, ours in multiply-adds."""
        return self._row(row, published, ours / 1e6, "MMACs", note=note, counter="MAC")

    def params(self, row: str, published: float, ours: int, *, note: str = "") -> PaperRow:
        """Compare parameters; published in 1e6, ours in ones."""
        name = f"{row}, parameters"
        return self._row(name, published, ours / 1e6, "M", note=note, counter="parameters")

    def _row(
        self, row: str, published: float, ours: float, unit: str, *, note: str, counter: Counter
    ) -> PaperRow:
        return PaperRow(
            paper=self.paper,
            table=self.name,
            row=row,
            published=published,
            ours=round(ours, 3),
            unit=unit,
            verdict=verdict_of(ours, published),
            note=note,
            counter=counter,
        )


def verdict_of(ours: float, published: float) -> str:
    """Return "reproduced", "close" or "not reproducible"."""
    error = abs(ours / published - 1)
    if error <= REPRODUCED_WITHIN:
        return "reproduced"
    return "close" if error <= CLOSE_WITHIN else "not reproducible"
