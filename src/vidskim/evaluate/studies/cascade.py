"""A cascade, which the paper has not: packet sizes keep a few candidates, the sampler sees these.

How much of the full look's choice is found again, for how much less decoding.
"""

from collections.abc import Sequence
from functools import partial

from vidskim.evaluate.studies.cases import Case
from vidskim.evaluate.studies.chart import draw_curves
from vidskim.evaluate.studies.choosing import Chooser
from vidskim.evaluate.studies.entry import Entry, Result
from vidskim.evaluate.studies.setting import Setting
from vidskim.evaluate.studies.sweep import curves_of
from vidskim.look import methods

RATIOS = (1.0, 1.5, 2.0, 3.0, 5.0)
"""Candidates per chosen clip; at 1 packet sizes choose alone."""


def study(setting: Setting) -> Result:
    """Vary the number of candidates up to all clips."""
    entries: list[Entry] = []
    k = setting.k
    for classifier in setting.classifiers:
        mix = setting.main(classifier)
        full = setting.chooser(classifier, mix, k=k)
        for ratio in RATIOS:
            candidates = max(k, round(ratio * k))
            choose = setting.chooser(classifier, mix, k=k, candidates=candidates)
            look = methods.cascade(mix.sampler(k), k=k, candidates=candidates)
            timed = setting.time_look(classifier, look, key=(*mix.key, "cascade", str(candidates)))
            more = {} if timed is None else {"frames": timed.frames}
            entries.append(
                setting.entry(
                    classifier,
                    "cascade",
                    setting.mixed(classifier, mix, candidates=candidates),
                    timed=timed,
                    varied={
                        "candidates": candidates,
                        "ratio": ratio,
                        "found": found_again(classifier.cases, choose, full),
                        **more,
                    },
                )
            )
        timed = setting.time_mix(classifier, mix)
        more = {} if timed is None else {"frames": timed.frames}
        entries.append(
            setting.entry(
                classifier,
                "full look",
                setting.mixed(classifier, mix),
                timed=timed,
                look_gmacs=setting.look_gmacs(classifier, mix),
                varied={"found": 1.0, **more},
            )
        )
        entries += setting.references(classifier, ("uniform", "dense"))
    first = setting.classifiers[0].name
    mine = [entry for entry in entries if entry.classifier == first]
    return Result(
        name="cascade",
        title="A cascade behind packet sizes",
        beside="Figure 7: another way to look at less, which the paper has not",
        entries=tuple(entries),
        draw=partial(
            draw_curves,
            curves_of(mine, varied="ratio"),
            title=f"A cascade behind packet sizes, {first}",
            x_label="candidates per chosen clip",
            levels=[entry for entry in mine if "ratio" not in entry.varied],
            whole=False,
        ),
        notes=(
            "found: share of the clips that the full look chooses which the cascade chooses too; "
            "frames: decoded to choose, per video of the run-time sample",
        ),
    )


def found_again(cases: Sequence[Case], choose: Chooser, full: Chooser) -> float:
    """Return which share of one selection's clips another has, mean over videos."""
    shares: list[float] = []
    for case in cases:
        wanted = set(full(case)[0])
        shares.append(len(wanted & set(choose(case)[0])) / len(wanted))
    return sum(shares) / len(shares)
