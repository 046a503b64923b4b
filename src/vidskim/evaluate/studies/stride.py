"""Figure 7: the sampler looks at every s-th clip only (appendix E)."""

from functools import partial

from vidskim.evaluate.studies.chart import draw_curves
from vidskim.evaluate.studies.entry import Entry, Result
from vidskim.evaluate.studies.setting import Setting
from vidskim.evaluate.studies.sweep import curves_of
from vidskim.look import methods
from vidskim.look.cascade import Strided

STRIDES = range(1, 11)


def study(setting: Setting) -> Result:
    """Vary the clip stride from 1, every clip, to 10."""
    entries: list[Entry] = []
    for classifier in setting.classifiers:
        mix = setting.main(classifier)
        for every in STRIDES:
            look = methods.scsampler(Strided(mix.sampler(setting.k), every), k=setting.k)
            timed = setting.time_look(classifier, look, key=(*mix.key, "stride", str(every)))
            outcomes = setting.mixed(classifier, mix, every=every)
            entries.append(
                setting.entry(
                    classifier, "scsampler", outcomes, timed=timed, varied={"stride": every}
                )
            )
        entries += setting.references(classifier, ("uniform", "dense"))
    first = setting.classifiers[0].name
    mine = [entry for entry in entries if entry.classifier == first]
    return Result(
        name="stride",
        title="Looking at every s-th clip only",
        beside="Figure 7",
        entries=tuple(entries),
        draw=partial(
            draw_curves,
            curves_of(mine, varied="stride"),
            title=f"Looking at every s-th clip only, {first}",
            x_label="clip stride s",
            levels=[entry for entry in mine if "stride" not in entry.varied],
        ),
        notes=("where fewer than K clips are looked at, the first of the others fill up",),
    )
