"""Figure 6: accuracy against run time, and what chance reaches in the time the sampler takes."""

from dataclasses import replace
from functools import partial

from vidskim.evaluate.studies.chart import Curve, draw_curves
from vidskim.evaluate.studies.entry import Entry, MissingError, Result
from vidskim.evaluate.studies.setting import Setting
from vidskim.evaluate.studies.sweep import numbers
from vidskim.evaluate.studies.timing import Timed

BASELINES = ("uniform", "random")


def study(setting: Setting) -> Result:
    """Vary K; run time is the measured look and the measured time of reading and encoding K clips.

    Raises:
        MissingError: run time is not measured.
    """
    entries: list[Entry] = []
    for classifier in setting.classifiers:
        mix = setting.main(classifier)
        sampled = setting.time_mix(classifier, mix)
        plain = setting.time_reference(classifier, "uniform")
        if sampled is None or plain is None:
            raise MissingError("run time is not measured: give --timed with some videos")
        overhead = max(0, round((sampled.look - plain.look) / plain.per_clip))
        for k in numbers(setting, classifier):
            outcomes = {
                "scsampler": (setting.mixed(classifier, mix, k=k), sampled.look, k),
                **{m: (setting.reference(classifier, m, k=k), plain.look, k) for m in BASELINES},
                "uniform, same time": (
                    setting.reference(classifier, "uniform", k=k + overhead),
                    plain.look,
                    k + overhead,
                ),
            }
            for method, (found, look, seen) in outcomes.items():
                time = Timed(look, look + plain.per_clip * seen, plain.frames, seen)
                entries.append(
                    setting.entry(classifier, method, found, timed=time, k=k, varied={"K": k})
                )
        entries += setting.references(classifier, ("dense",))
    return Result(
        name="runtime",
        title="Accuracy against run time",
        beside="Figure 6",
        entries=tuple(entries),
        draw=_draw(setting, entries),
        notes=(
            "s/video = s look + clips x seconds of reading and encoding one clip, both measured at "
            f"K = {setting.k}; 'uniform, same time' sees as many more clips as the look takes",
        ),
    )


def _draw(setting: Setting, entries: list[Entry]) -> "partial[None]":
    first = setting.classifiers[0].name
    mine = [e for e in entries if e.classifier == first and e.seconds is not None]
    curves = [_curve(mine, method) for method in ("scsampler", *BASELINES)]
    dense = [replace(_curve(mine, "dense"), name="dense")]
    return partial(
        draw_curves,
        curves,
        title=f"Accuracy against run time, {first}",
        x_label="seconds per video, decoding included",
        points=dense,
        whole=False,
        log=True,
    )


def _curve(entries: list[Entry], method: str) -> Curve:
    mine = [e for e in entries if e.method == method]
    return Curve(method, tuple(e.seconds or 0.0 for e in mine), tuple(mine))
