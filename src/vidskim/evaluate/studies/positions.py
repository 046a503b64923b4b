"""Figure 2: where in a video each method finds its clips."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from vidskim.data.cache.answers import place_histogram
from vidskim.evaluate.studies import choosing
from vidskim.evaluate.studies.chart import colors_of, legend, save, start, style
from vidskim.evaluate.studies.choosing import Chooser
from vidskim.evaluate.studies.entry import Result, Wide
from vidskim.evaluate.studies.setting import Classifier, Setting

BINS = 20


def study(setting: Setting) -> Result:
    """Compare the histograms of chosen positions, in relative time."""
    found = {c.name: _histograms(setting, c) for c in setting.classifiers}
    methods = tuple(dict.fromkeys(method for part in found.values() for method in part))
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for classifier, part in found.items():
        for n in range(BINS):
            shares = (f"{float(part[m][n]):.4f}" if m in part else "" for m in methods)
            rows.append((classifier, f"{n / BINS:.2f}", f"{(n + 1) / BINS:.2f}", *shares))
        apart = ", ".join(
            f"{m} {float((part[m] - part['oracle']).abs().sum()) / 2:.3f}"
            for m in methods
            if m != "oracle" and m in part
        )
        notes.append(f"{classifier}: share of clips that lie elsewhere than the oracle's: {apart}")
    return Result(
        name="positions",
        title="Where in a video the chosen clips lie",
        beside="Figure 2: share of the chosen clips in each twentieth of a video's length",
        entries=(),
        draw=partial(_draw, found),
        wide=Wide(("classifier", "from", "to", *methods), tuple(rows)),
        notes=tuple(notes),
    )


def _histograms(setting: Setting, classifier: Classifier) -> dict[str, Tensor]:
    """Return shares ``[BINS]`` of each method."""
    k = setting.k
    chance = {"draws": setting.draws, "seed": setting.seed}
    choosers: dict[str, Chooser] = {
        "oracle": choosing.oracle(k),
        "scsampler": setting.chooser(classifier, setting.main(classifier), k=k),
    }
    learned = setting.histogram(classifier, k=k)
    if learned is not None:
        choosers["empirical"] = choosing.empirical(k, histogram=learned, **chance)
    choosers["uniform"] = choosing.uniform(k)
    choosers["random"] = choosing.random(k, **chance)
    found: dict[str, Tensor] = {}
    for name, choose in choosers.items():
        drawn = [(chosen, len(case)) for case in classifier.cases for chosen in choose(case)]
        places, lengths = zip(*drawn)
        found[name] = place_histogram(places, lengths, bins=BINS)
    return found


def _draw(found: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    width = 1.2 + 5.2 * len(found)
    figure = start(width, 4.4, title="Where in a video the chosen clips lie")
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    figure.subplots_adjust(
        left=0.72 / width, right=1 - 0.2 / width, top=0.83, bottom=0.26, wspace=0.08
    )
    edges = [n / BINS for n in range(BINS + 1)]
    for axis, (classifier, part) in zip(panels, found.items()):
        style(axis, grid="y")
        axis.set_title(classifier, loc="left", fontsize=10.5, color="#6b6b6b", parse_math=False)
        for (name, shares), color in zip(part.items(), colors_of(list(part))):
            strong = name in ("oracle", "scsampler")
            axis.stairs(
                (100 * shares).tolist(),
                edges,
                color=color,
                label=name,
                linewidth=2.2 if strong else 1.3,
                fill=False,
                zorder=4 if strong else 3,
            )
        axis.set_xlim(0, 1)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("time, as a share of the video", fontsize=10.5)
    panels[0].set_ylabel("% of the chosen clips", fontsize=10.5)
    legend(figure, panels[0])
    save(figure, path)
