"""What the official annotation files of Kinetics, Charades and Something-Something say.

Each reader takes one file and yields one `AnnotatedVideo` per video; no video is looked for here.
The files as their makers publish them::

    Kinetics        label,youtube_id,time_start,time_end,split[,is_cc]     CSV with a header
    Charades        id,subject,...,actions,length                          CSV with a header
                    actions: c092 11.90 21.20;c147 0.00 12.60              class, start, end
                    c000 Holding some clothes                              Charades_v1_classes.txt
    Something V1    100218;Something falling like a feather or paper       no header
    Something V2    [{"id": "78687", "template": "Holding [something]", ...}, ...]

Kinetics: Kay et al., "The Kinetics Human Action Video Dataset", 2017. Charades: Sigurdsson et al.,
"Hollywood in Homes", ECCV 2016. Something-Something: Goyal et al., ICCV 2017.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidskim.data.folder import SPLIT_FOLDERS
from vidskim.data.official.text import (
    NO_LABELS,
    checked_id,
    checked_label,
    csv_rows,
    read_table,
    read_text,
    shown,
)
from vidskim.errors import ManifestError

SPLIT_WORDS = {**SPLIT_FOLDERS, "validate": "val"}
"""Names of a split, in a column or in a file's name."""

NUM_CHARADES_CLASSES = 157


@dataclass(frozen=True, slots=True)
class AnnotatedVideo:
    """One video that an annotation file names."""

    stem: str
    """The name of its file, without suffix."""
    labels: tuple[str, ...]
    """Distinct; none where the file lists no action."""
    split: str
    where: str
    """File and line, for messages."""
    group: str | None = None


def read_kinetics(path: Path, *, split: str | None = None) -> Iterator[AnnotatedVideo]:
    """Yield the clips of a Kinetics CSV (400, 600, 700 or 700-2020).

    Args:
        path: the file.
        split: instead of the one in each row.

    Raises:
        ManifestError: it is malformed, or the test set's file without labels.
    """
    columns = ("label", "youtube_id", "time_start", "time_end")
    for values, where in read_table(path, columns=columns if split else (*columns, "split")):
        name = checked_id(values["youtube_id"], where=where, column="youtube_id")
        start = _whole_second(values["time_start"], column="time_start", where=where)
        end = _whole_second(values["time_end"], column="time_end", where=where)
        if end <= start:
            raise ManifestError(
                f"{where}: time_end {end} is not after time_start {start}; correct them"
            )
        label = checked_label(values["label"], where=where)
        told = split or SPLIT_WORDS.get(values["split"].lower())
        if told is None:
            raise ManifestError(
                f"{where}: split is {shown(values['split'])}; give train, validate or test"
            )
        yield AnnotatedVideo(f"{name}_{start:06d}_{end:06d}", (label,), told, where, group=name)


def read_charades(
    path: Path, *, split: str | None = None, classes: Mapping[str, str] | None = None
) -> Iterator[AnnotatedVideo]:
    """Yield the videos of a Charades CSV, each with the distinct classes of its actions.

    Args:
        path: the file.
        split: instead of the one in the file's name.
        classes: class code to label, from `read_charades_classes`; by default codes are labels.

    Raises:
        ManifestError: it is malformed, or its name tells no split.
    """
    split = split or split_of(path)
    if classes is None:
        classes = {code: code for code in (f"c{n:03d}" for n in range(NUM_CHARADES_CLASSES))}
    for values, where in read_table(path, columns=("id", "actions")):
        name = checked_id(values["id"], where=where, column="id")
        labels: list[str] = []
        for action in filter(None, map(str.strip, values["actions"].split(";"))):
            code, *times = action.split()
            if len(times) != 2 or not all(map(_is_number, times)):
                raise ManifestError(
                    f"{where}: action {shown(action)} is no class with two times in seconds, as "
                    "in 'c092 11.90 21.20'; correct it"
                )
            if code not in classes:
                raise ManifestError(
                    f"{where}: unknown class code {shown(code)}; the {len(classes)} known ones "
                    f"are {min(classes)} to {max(classes)}"
                )
            labels.append(classes[code])
        yield AnnotatedVideo(name, tuple(dict.fromkeys(labels)), split, where)


def read_charades_classes(path: Path) -> dict[str, str]:
    """Return class code to label of Charades_v1_classes.txt; a label keeps its code in front.

    So the sorted labels are in the official order.

    Raises:
        ManifestError: it is malformed.
    """
    classes: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        code = line.split()[0]
        if not re.fullmatch(r"c\d{3}", code, re.ASCII) or code in classes:
            what = "stands twice" if code in classes else "is no class code such as 'c000'"
            raise ManifestError(f"{where}: {shown(code)} {what}; give Charades_v1_classes.txt")
        classes[code] = checked_label(line, where=where)
    return classes


def read_something(path: Path, *, split: str | None = None) -> Iterator[AnnotatedVideo]:
    """Yield the videos of a Something-Something file: CSV of version 1 or JSON of version 2.

    The class of version 2 is the template without its brackets.

    Args:
        path: the file.
        split: instead of the one in the file's name.

    Raises:
        ManifestError: it is malformed, the test set's file without labels, or its name tells no
            split.
    """
    text = read_text(path)
    is_json = text.lstrip()[:1] in ("[", "{")
    split = split or split_of(path)
    for name, label, where in (_something_v2 if is_json else _something_v1)(text, path):
        name = checked_id(name, where=where, column="id")
        yield AnnotatedVideo(name, (checked_label(label, where=where),), split, where)


def split_of(path: Path) -> str:
    """Return the split that a file's name tells.

    >>> split_of(Path("something-something-v1-validation.csv"))
    'val'

    Raises:
        ManifestError: it tells none, or two.
    """
    found = splits_in(path.stem)
    if len(found) != 1:
        raise ManifestError(
            f"{path}: its name tells {'no split' if not found else 'two splits'}; give --split "
            "with train, val or test"
        )
    return found.pop()


def splits_in(name: str) -> set[str]:
    """Return the splits among the words of a name."""
    words = re.split(r"[^a-z]+", name.lower())
    return {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}


def _something_v1(text: str, path: Path) -> Iterator[tuple[str, str, str]]:
    for cells, where in csv_rows(text, path=path, delimiter=";"):
        if len(cells) == 1:
            raise ManifestError(f"{where}: {shown(cells[0])} has no label after a ';'; {NO_LABELS}")
        if len(cells) != 2:
            raise ManifestError(f"{where}: {len(cells)} values; give 'id;label'")
        yield cells[0].strip(), cells[1], where


def _something_v2(text: str, path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        found: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"{path}, line {error.lineno}: not valid JSON ({error.msg}); download it again"
        ) from None
    except (RecursionError, ValueError) as error:
        raise ManifestError(f"{path}: not usable JSON ({error}); download it again") from None
    if not isinstance(found, list):
        raise ManifestError(
            f"{path}: holds no list of videos; give something-something-v2-train.json or "
            "-validation.json (not -labels.json)"
        )
    for number, item in enumerate(found, 1):
        where = f"{path}, video {number}"
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            raise ManifestError(f"{where}: {shown(str(item))} has no 'id' in quotes; correct it")
        template = item.get("template")
        if "template" not in item and "label" not in item:
            raise ManifestError(f"{where}: id {shown(item['id'])} has no label; {NO_LABELS}")
        if not isinstance(template, str):
            raise ManifestError(f"{where}: 'template' is {shown(str(template))}; give a text")
        yield item["id"].strip(), template.replace("[", "").replace("]", ""), where


def _whole_second(text: str, *, column: str, where: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e6 or value != int(value):  # NaN is not within
        raise ManifestError(f"{where}: {column} is {shown(text)}; give whole seconds")
    return int(value)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
