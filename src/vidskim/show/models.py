"""The table that ``vidskim models`` prints; it ships, so that nothing is built to print it.

``python -m vidskim.show.models`` writes it anew; a test holds it to what is counted.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

FILE = "models.json"


def shipped_models() -> dict[str, Any]:
    """Return the ``text`` of the table and its ``records``, one per network."""
    text = (files("vidskim.show") / FILE).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def counted_models() -> dict[str, Any]:
    """Return the same as counted anew, in about half a minute."""
    from vidskim.cost.zoo import list_models
    from vidskim.show import text

    found = list_models()
    return {"text": text.models(found), "records": [model.to_json() for model in found]}


if __name__ == "__main__":
    written = json.dumps(counted_models(), indent=1, ensure_ascii=False)
    Path(__file__).with_name(FILE).write_text(written + "\n", encoding="utf-8")
