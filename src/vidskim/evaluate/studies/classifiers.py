"""Tables 1 and 2: several classifiers, each with the sampler, chance, all clips and the oracle."""

from functools import partial

from vidskim.evaluate.studies.chart import draw_points
from vidskim.evaluate.studies.entry import Entry, Result, Wide, find
from vidskim.evaluate.studies.networks import told_of
from vidskim.evaluate.studies.setting import Setting
from vidskim.evaluate.studies.text import percent
from vidskim.look import methods
from vidskim.show.tables import short

BASELINES = ("random", "uniform", "empirical")
REFERENCES = (*BASELINES, "packets", "dense", "true moments", "oracle")


def study(setting: Setting) -> Result:
    """Compare the best sampler with every baseline, for each classifier."""
    entries: list[Entry] = []
    notes: list[str] = []
    for classifier in setting.classifiers:
        mix = setting.main(classifier)
        outcomes = setting.mixed(classifier, mix)
        timed = setting.clock.answer(
            classifier.network,
            methods.scsampler(mix.sampler(setting.k), k=setting.k),
            key=(classifier.name, "whole", *mix.key),
        )
        gmacs = setting.look_gmacs(classifier, mix)
        entries.append(
            setting.entry(classifier, "scsampler", outcomes, timed=timed, look_gmacs=gmacs)
        )
        entries += setting.references(classifier, REFERENCES)
        notes.append(f"{classifier.name}: scsampler is {told_of(mix.networks)}, {mix.rule}")
    return Result(
        name="classifiers",
        title="Classifiers with the sampler and without",
        beside="Tables 1 and 2",
        entries=tuple(entries),
        draw=partial(draw_points, entries, title="Classifiers with the sampler and without"),
        wide=_wide(setting, entries),
        notes=tuple(notes),
    )


def _wide(setting: Setting, entries: list[Entry]) -> Wide:
    """Return the paper's columns: accuracy and run time of four ways to choose."""
    k = setting.k
    heads = (
        "classifier",
        f"SCSampler ({k}) %",
        "s/video",
        f"Random / Uniform / Empirical ({k}) %",
        "s/video",
        "Dense %",
        "s/video",
        f"Oracle ({k}) %",
    )
    rows: list[tuple[str, ...]] = []
    for classifier in setting.classifiers:
        found = {
            method: find(entries, classifier=classifier.name, method=method)
            for method in ("scsampler", *BASELINES, "dense", "oracle")
        }
        told = {m: "-" if e is None else percent(e.accuracy.estimate) for m, e in found.items()}
        seconds = {m: "-" if e is None else short(e.seconds) or "-" for m, e in found.items()}
        rows.append(
            (
                classifier.name,
                told["scsampler"],
                seconds["scsampler"],
                " / ".join(told[m] for m in BASELINES),
                seconds["uniform"],
                told["dense"],
                seconds["dense"],
                told["oracle"],
            )
        )
    return Wide(heads, tuple(rows))
