"""What tests of pictures share."""

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch):
    """Every figure that is saved while a test runs, still alive for measuring."""
    figures = []
    save = Figure.savefig

    def keep(self, *args, **options):
        figures.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures
