"""What the studies of sampler variants have in common: a line per variant above the references."""

from collections.abc import Mapping, Sequence
from functools import partial

from vidskim.evaluate.studies.chart import draw_points
from vidskim.evaluate.studies.entry import Entry, Result, Wide
from vidskim.evaluate.studies.mix import Mix
from vidskim.evaluate.studies.setting import Setting

BELOW = ("random", "uniform", "dense", "oracle")


def compare_mixes(
    setting: Setting,
    mixes: Mapping[str, Mapping[str, Mix]],
    *,
    name: str,
    title: str,
    beside: str,
    wide: Wide | None = None,
    notes: Sequence[str] = (),
) -> Result:
    """Return a study with one line per combination of networks.

    Args:
        setting: what all studies share.
        mixes: by classifier and by name of the line.
        name: of the study.
        title: of the study.
        beside: what of the paper it is read beside.
        wide: the paper's form, where it is another.
        notes: what is to be known of it.
    """
    entries: list[Entry] = []
    for classifier in setting.classifiers:
        for method, mix in mixes[classifier.name].items():
            entries.append(
                setting.entry(
                    classifier,
                    method,
                    setting.mixed(classifier, mix),
                    timed=setting.time_mix(classifier, mix),
                    look_gmacs=setting.look_gmacs(classifier, mix),
                )
            )
        entries += setting.references(classifier, BELOW)
    return Result(
        name=name,
        title=title,
        beside=beside,
        entries=tuple(entries),
        draw=partial(draw_points, entries, title=title),
        wide=wide,
        notes=tuple(notes),
    )
