"""What an evaluation has found so far, on disk: an interrupted one goes on where it stopped.

One JSON object per line, method and video, appended as soon as it is known. Each carries the key of
what it depends on, so that an answer is taken up only by an evaluation that would repeat it: the
same manifest, weights, views, precision and machine. A finished evaluation removes its lines, so
that the next one measures anew.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from vidskim.evaluate.results import VideoResult
from vidskim.io.write.files import refusing, write_whole

NAMES = {field.name for field in fields(VideoResult)}
"""Of what each answer must hold."""


class Journal:
    """The answers of one evaluation.

    Args:
        path: the file; it need not exist.
        keys: what each method's answers depend on, see `key_of`.

    Raises:
        UsageError: the file cannot be written to.
    """

    def __init__(self, path: str | Path, *, keys: Mapping[str, str]) -> None:
        self.path = Path(path)
        self.keys = dict(keys)
        self._known: dict[tuple[str, int], VideoResult] = {}
        with refusing(self.path, what="cannot keep answers there"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            others = self._read()
            if self._known or others:
                # A kill may have torn the last line: what is appended must begin a new one.
                mine = [self._line(*place, result) for place, result in self._known.items()]
                self._write([*others, *mine])

    def __len__(self) -> int:
        return len(self._known)

    def find(self, method: str, row: int) -> VideoResult | None:
        """Return what is known of a method's answer to a row of the manifest."""
        return self._known.get((method, row))

    def add(self, method: str, row: int, result: VideoResult) -> None:
        """Keep an answer; that a file could not be read is not kept but tried again."""
        if result.predicted is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self._line(method, row, result) + "\n")

    def finish(self) -> None:
        """Remove this evaluation's answers; the file goes with the last of them."""
        self._write(self._read())

    def _line(self, method: str, row: int, result: VideoResult) -> str:
        return json.dumps({"key": self.keys[method], "row": row, "answer": asdict(result)})

    def _read(self) -> list[str]:
        """Take up the lines of this evaluation; return those of others, torn ones left out."""
        self._known.clear()
        methods = {key: method for method, key in self.keys.items()}
        others: list[str] = []
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                answer = {**entry["answer"], "warnings": tuple(entry["answer"]["warnings"])}
                key, row, result = entry["key"], entry["row"], VideoResult(**answer)
            except (ValueError, KeyError, TypeError):
                continue
            if answer.keys() != NAMES:  # of another version, which kept less
                continue
            if key in methods:
                self._known[methods[key], row] = result
            else:
                others.append(line)
        return others

    def _write(self, lines: Sequence[str]) -> None:
        if not lines:
            self.path.unlink(missing_ok=True)
            return
        write_whole(self.path, "".join(line + "\n" for line in lines))


def key_of(method: str, settings: Mapping[str, Any]) -> str:
    """Return a short name for all that a method's answers depend on (plain JSON values)."""
    text = json.dumps([method, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
