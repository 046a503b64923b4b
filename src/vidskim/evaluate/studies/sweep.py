"""Figures 4 and 5: how many clips are chosen, and how many of them by sight."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from vidskim.evaluate.studies.chart import Curve, draw_curves
from vidskim.evaluate.studies.combinations import audio_visual
from vidskim.evaluate.studies.entry import Entry, Result
from vidskim.evaluate.studies.setting import Classifier, Setting

NUMBERS = (1, 2, 3, 5, 8, 10, 12, 15, 20, 30, 50)
VARIED = ("scsampler", "uniform", "random", "oracle")


def numbers(setting: Setting, classifier: Classifier) -> list[int]:
    """Return the numbers of clips that are tried, K among them, below the longest grid."""
    longest = max(len(case) for case in classifier.cases)
    return sorted(n for n in {*NUMBERS, setting.k} if n < longest or n == setting.k)


def study_k(setting: Setting) -> Result:
    """Vary K for the sampler, uniform, random and the oracle."""
    entries: list[Entry] = []
    for classifier in setting.classifiers:
        mix = setting.main(classifier)
        for k in numbers(setting, classifier):
            outcomes = {
                "scsampler": setting.mixed(classifier, mix, k=k),
                **{m: setting.reference(classifier, m, k=k) for m in VARIED[1:]},
            }
            entries += [
                setting.entry(classifier, m, o, k=k, varied={"K": k}) for m, o in outcomes.items()
            ]
        entries += setting.references(classifier, ("dense",))
    return Result(
        name="k",
        title="Number of chosen clips",
        beside="Figure 4",
        entries=tuple(entries),
        draw=_draw(setting, entries, varied="K", title="Accuracy and the number of chosen clips"),
        notes=("differences and the gap are to uniform and the oracle at the same K",),
    )


def study_visual_k(setting: Setting) -> Result:
    """Vary K', the clips that the union takes by sight, from none to all.

    Raises:
        MissingError: no network that sees, or none that listens.
    """
    entries: list[Entry] = []
    for classifier in setting.classifiers:
        mix = replace(audio_visual(setting, classifier), rule="union_list")
        for visual_k in range(setting.k + 1):
            outcomes = setting.mixed(classifier, replace(mix, visual_k=visual_k))
            entries.append(
                setting.entry(classifier, "AV-union-list", outcomes, varied={"K'": visual_k})
            )
        entries += setting.references(classifier, ("uniform", "dense"))
    return Result(
        name="visual_k",
        title="Clips chosen by sight in the union",
        beside="Figure 5 (best in the paper: 8 of 10)",
        entries=tuple(entries),
        draw=_draw(setting, entries, varied="K'", title="Clips chosen by sight in the union"),
    )


def curves_of(entries: Sequence[Entry], *, varied: str) -> list[Curve]:
    """Return one curve per method over what is varied."""
    moving = [entry for entry in entries if varied in entry.varied]
    return [
        Curve(
            method,
            tuple(float(e.varied[varied]) for e in moving if e.method == method),
            tuple(e for e in moving if e.method == method),
        )
        for method in dict.fromkeys(e.method for e in moving)
    ]


def _draw(
    setting: Setting, entries: Sequence[Entry], *, varied: str, title: str
) -> "partial[None]":
    """Return what draws the curves of the first classifier; the table has the others too."""
    first = setting.classifiers[0].name
    mine = [entry for entry in entries if entry.classifier == first]
    return partial(
        draw_curves,
        curves_of(mine, varied=varied),
        title=f"{title}, {first}",
        x_label=varied,
        levels=[entry for entry in mine if varied not in entry.varied],
    )
