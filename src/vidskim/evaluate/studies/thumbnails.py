"""Figure 3: what the clips look like that the sampler ranks highest and lowest."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vidskim.data.grid import grid_of
from vidskim.errors import VideoError, printable
from vidskim.evaluate.studies.cases import Case
from vidskim.evaluate.studies.chart import save, start
from vidskim.evaluate.studies.entry import MissingError, Result, Wide
from vidskim.evaluate.studies.setting import Classifier, Setting
from vidskim.look.selection import top_k
from vidskim.show.filmstrip import Slot, draw_thumbnail
from vidskim.show.storyboard import middle_frames
from vidskim.types import ChosenClip
from vidskim.video import Video

VIDEOS, EACH = 4, 4
"""Videos shown, and clips of each end of the ranking."""
MOMENT, OTHER = "#009E73", "#9a9a9a"
"""Frames of clips that meet a true moment, and of others."""
HEIGHT, GAP, ROW = 1.02, 0.10, 1.62
"""Inches: of a thumbnail, between thumbnails, of a video's row."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The clips of one video that are shown."""

    name: str
    images: tuple[np.ndarray, ...]
    """uint8 ``[h, w, 3]``, highest score first, then lowest first."""
    captions: tuple[str, ...]
    meets: tuple[bool, ...]


def study(setting: Setting) -> Result:
    """Show the highest and lowest ranked clips of some videos, by the first classifier's sampler.

    Raises:
        MissingError: not one video can be shown.
    """
    classifier = setting.classifiers[0]
    places = np.linspace(0, len(classifier.cases) - 1, min(VIDEOS, len(classifier.cases)))
    shown: list[Shown] = []
    rows: list[tuple[str, ...]] = []
    for place in dict.fromkeys(places.round().astype(int).tolist()):
        case = classifier.cases[place]
        name = setting.manifest.name_of(case.row)
        try:
            part, lines = _show(setting, classifier, case, name=name)
        except VideoError as error:
            setting.tell(f"no thumbnails: {error}")
            continue
        shown.append(part)
        rows += lines
    if not shown:
        raise MissingError("not one video can be shown")
    return Result(
        name="thumbnails",
        title="Highest and lowest ranked clips",
        beside="Figure 3",
        entries=(),
        draw=partial(_draw, shown, known=setting.moments is not None),
        wide=Wide(("video", "label", "rank", "seconds", "score", "in a moment"), tuple(rows)),
    )


def _show(
    setting: Setting, classifier: Classifier, case: Case, *, name: str
) -> tuple[Shown, list[tuple[str, ...]]]:
    """Fetch the middle frames of the clips at both ends of a video's ranking."""
    mix = setting.main(classifier).sight() if _sees(setting, classifier) else None
    mix = mix or setting.main(classifier)
    setting.look(classifier, mix.networks, [case])
    known = {t.kind: setting.known(classifier, t, case) for t in mix.networks}
    scores = mix.scores(known, case.grid.packets, k=setting.k)
    each = min(EACH, len(case) // 2) or 1
    order = torch.sort(scores.double(), descending=True, stable=True).indices.tolist()
    assert set(order[:each]) == set(top_k(scores, k=each))
    places = order[:each] + ([] if len(case) == 1 else order[::-1][:each])
    assert classifier.network.clip is not None
    clip = classifier.network.clip
    grid = grid_of(Video(case.row.path), num_frames=clip.num_frames, stride=clip.stride)
    chosen = [ChosenClip(grid[n], float(scores[n]), "") for n in places]
    frames = middle_frames(case.row.path, chosen)
    spans = case.grid.spans
    meets = tuple(bool(case.meets is not None and case.meets[n].any()) for n in places)
    label = printable(case.row.label)
    lines: list[tuple[str, ...]] = [
        (
            name,
            label,
            str(order.index(n) + 1),
            f"{float(spans[n, 0]):.2f}-{float(spans[n, 1]):.2f}",
            f"{float(scores[n]):.3f}",
            "" if case.meets is None else "yes" if met else "no",
        )
        for n, met in zip(places, meets)
    ]
    part = Shown(
        name=f"{label}: {printable(Path(name).name)}, {len(case)} clips",
        images=tuple(image.permute(1, 2, 0).numpy() for image in frames),
        captions=tuple(f"{float(spans[n, 0]):.1f} s: {float(scores[n]):.2f}" for n in places),
        meets=meets,
    )
    return part, lines


def _sees(setting: Setting, classifier: Classifier) -> bool:
    """Say whether there is a network that sees: its scores tell more than places in a list."""
    return bool(setting.main(classifier).visual)


def _draw(shown: Sequence[Shown], path: Path, *, known: bool) -> None:
    aspect = max(image.shape[1] / image.shape[0] for part in shown for image in part.images)
    width = HEIGHT * min(aspect, 2.0)
    count = max(len(part.images) for part in shown)
    middle = 0.35
    total = 0.3 + count * (width + GAP) + middle + 0.2
    height = 1.15 + ROW * len(shown)
    figure = start(total, height, title="Highest and lowest ranked clips")
    left_end = 0.3 + (count // 2) * (width + GAP)
    for x, text in ((0.3, "ranked highest"), (left_end + middle, "ranked lowest")):
        figure.text(x / total, 1 - 0.62 / height, text, fontsize=10.5, color="#222222")
    for row, part in enumerate(shown):
        bottom = height - 0.95 - ROW * row - HEIGHT - 0.22
        figure.text(
            0.3 / total,
            (bottom + HEIGHT + 0.09) / height,
            part.name,
            fontsize=9.5,
            color="#6b6b6b",
            parse_math=False,
        )
        half = (len(part.images) + 1) // 2
        for n, (image, caption, met) in enumerate(zip(part.images, part.captions, part.meets)):
            left = 0.3 + n * (width + GAP) if n < half else 0
            if n >= half:
                left = left_end + middle + (n - half) * (width + GAP)
            slot = Slot(left + width / 2, bottom, width, HEIGHT)
            draw_thumbnail(
                figure, image, slot=slot, caption=caption, color=MOMENT if met else OTHER
            )
    if known:
        figure.text(
            0.98,
            1 - 0.62 / height,
            "green: meets a true moment",
            ha="right",
            fontsize=9.5,
            color=MOMENT,
        )
    save(figure, path)
