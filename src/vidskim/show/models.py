"""The table that ``vidskim models`` prints; it ships, so that nothing is built to print it.

``python -m vidskim.show.models`` writes it anew; a test holds it to what is counted.
"""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from vidskim.declare import looks_like_path
from vidskim.errors import unknown_name

FILE = "models.json"


def shipped_models() -> dict[str, Any]:
    """Return the ``text`` of the table, its ``records``, and the ``pages`` of each network."""
    text = (files("vidskim.show") / FILE).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def check_name(name: str, *, more: Sequence[str] = ()) -> None:
    """Raise for a name that can be of no network, before anything is imported to find it.

    Args:
        name: of a network, with or without ``@ID``, a file, or ``hf:<id or folder>``.
        more: other names that are known.

    Raises:
        UsageError: such a name, with the nearest.
    """
    if name.startswith("hf:") or looks_like_path(name):
        return
    known = [str(record["name"]) for record in shipped_models()["records"]]
    if name.partition("@")[0] not in (*known, *more):
        raise unknown_name("backbone", name, [*known, *more])


def counted_models() -> dict[str, Any]:
    """Return the same as counted anew, in about half a minute."""
    from vidskim.cost.zoo import list_models
    from vidskim.show import text

    found = list_models()
    return {
        "text": text.models(found),
        "records": [model.to_json() for model in found],
        "pages": {model.name: text.model(model) for model in found},
    }


if __name__ == "__main__":
    written = json.dumps(counted_models(), indent=1, ensure_ascii=False)
    Path(__file__).with_name(FILE).write_text(written + "\n", encoding="utf-8")
