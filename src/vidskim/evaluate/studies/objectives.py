"""Section 4.2.1: learning objectives, for the visual sampler and the audio sampler apart."""

from vidskim.evaluate.studies.entry import MissingError, Result, Wide
from vidskim.evaluate.studies.lists import compare_mixes
from vidskim.evaluate.studies.mix import Mix
from vidskim.evaluate.studies.networks import best, told_of
from vidskim.evaluate.studies.setting import Classifier, Setting
from vidskim.evaluate.studies.text import percent

OBJECTIVES = {"ac": "AC", "sal_cl": "SAL-CL", "sal_rank": "SAL-RANK"}


def study(setting: Setting) -> Result:
    """Compare objectives within each modality.

    Raises:
        MissingError: no modality with two objectives.
    """
    mixes = {c.name: _mixes(setting, c) for c in setting.classifiers}
    for found in mixes.values():
        modalities = [name.split()[0] for name in found]
        if not any(modalities.count(modality) > 1 for modality in modalities):
            raise MissingError(
                "no modality has networks of two objectives: train them with a recipe of task "
                "'saliency' and objective ac, sal_cl or sal_rank"
            )
    notes = [
        f"{classifier}, {name}: {told_of(mix.networks)}"
        for classifier, found in mixes.items()
        for name, mix in found.items()
    ]
    return compare_mixes(
        setting,
        mixes,
        name="objectives",
        title="Learning objectives",
        beside="section 4.2.1 (visual: AC 73.1, SAL-RANK 64.8; audio: AC 66.4, SAL-RANK 67.8)",
        wide=_wide(setting, mixes),
        notes=notes,
    )


def _mixes(setting: Setting, classifier: Classifier) -> dict[str, Mix]:
    mixes: dict[str, Mix] = {}
    for modality, kinds in (("visual", ("motion", "residual")), ("audio", ("audio",))):
        for objective, name in OBJECTIVES.items():
            found = [
                best(
                    setting.networks,
                    kind,
                    weights=classifier.weights,
                    manifest_sha256=setting.manifest.sha256,
                    objectives=(objective,),
                )
                for kind in kinds
            ]
            there = tuple(t for t in found if t is not None)
            if there and modality == "visual":
                mixes[f"visual {name}"] = Mix(visual=there)
            elif there:
                mixes[f"audio {name}"] = Mix(visual=(), audio=there[0])
    return mixes


def _wide(setting: Setting, mixes: dict[str, dict[str, Mix]]) -> Wide:
    rows: list[tuple[str, ...]] = []
    for classifier in setting.classifiers:
        for modality in ("visual", "audio"):
            cells: list[str] = []
            for name in OBJECTIVES.values():
                mix = mixes[classifier.name].get(f"{modality} {name}")
                right = None if mix is None else setting.mixed(classifier, mix).correct
                cells.append("-" if right is None else percent(right.mean().item()))
            rows.append((classifier.name, modality, *cells))
    return Wide(("classifier", "modality", *(f"{o} %" for o in OBJECTIVES.values())), tuple(rows))
