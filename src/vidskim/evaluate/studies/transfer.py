"""Table 3: a sampler trained with one classifier or data set, used with or on another."""

from vidskim.evaluate.studies.entry import MissingError, Result
from vidskim.evaluate.studies.lists import compare_mixes
from vidskim.evaluate.studies.mix import Mix
from vidskim.evaluate.studies.networks import Trained, best, told_of
from vidskim.evaluate.studies.setting import Setting

RANKED = ("sal_rank", "sal_cl")
KINDS = ("motion", "residual", "keyframe", "audio")


def study(setting: Setting) -> Result:
    """Use every sampler with every classifier.

    A sampler is made of the networks that one classifier labeled on one manifest, filled up with
    those that no classifier labeled (objective "ac"): these fit any.

    Raises:
        MissingError: all samplers were trained with the one classifier there is, on this manifest.
    """
    groups = _groups(setting)
    if len(groups) < 2 and len(setting.classifiers) < 2:
        raise MissingError(
            "one sampler and one classifier: give a second classifier by --model (recipe of task "
            "'clips'), or samplers trained with another (recipe of task 'saliency' with objective "
            "sal_rank and 'classifier'), or on another manifest"
        )
    notes = [f"{name}: {told_of(mix.networks)}" for name, mix in groups.items()]
    return compare_mixes(
        setting,
        {classifier.name: groups for classifier in setting.classifiers},
        name="transfer",
        title="Samplers used with other classifiers and data",
        beside="Table 3: 'Tr:' says with what a sampler was trained",
        notes=notes,
    )


def _groups(setting: Setting) -> dict[str, Mix]:
    """Return the samplers there are, by what they were trained with."""
    single = [t for t in setting.networks if not t.saliency.joint]
    here = setting.manifest.sha256
    manifests = {t.manifest_sha256 for t in single}
    groups: dict[str, Mix] = {}
    for sha in sorted(manifests, key=lambda sha: (sha != here, sha or "")):
        mine = [t for t in single if t.manifest_sha256 == sha]
        labeled = sorted({t.classifier_weights or "" for t in mine if t.objective in RANKED})
        free = [t for t in mine if t.objective == "ac"]
        data = _name_of(setting, sha)
        if free:
            groups[f"Tr: no classifier on {data}"] = _mix(setting, free, weights=None)
        for weights in labeled:
            taught = [t for t in mine if t.objective in RANKED and t.classifier_weights == weights]
            name = f"Tr: {_classifier_of(setting, taught)} on {data}"
            groups[name] = _mix(setting, [*taught, *free], weights=weights)
    return groups


def _mix(setting: Setting, networks: list[Trained], *, weights: str | None) -> Mix:
    found = {
        kind: best(
            networks,
            kind,
            weights=weights,
            manifest_sha256=networks[0].manifest_sha256,
            objectives=(*RANKED, "ac"),
        )
        for kind in KINDS
    }
    visual = tuple(t for kind in ("motion", "residual") if (t := found[kind]) is not None)
    if not visual and found["keyframe"] is not None:
        visual = (found["keyframe"],)
    rule = setting.options.rule or "union_list"
    return Mix(visual=visual, audio=found["audio"], rule=rule, visual_k=setting.options.visual_k)


def _classifier_of(setting: Setting, networks: list[Trained]) -> str:
    """Name the classifier that labeled networks, as the user calls it if it is among those here."""
    weights = networks[0].classifier_weights
    for classifier in setting.classifiers:
        if classifier.weights == weights:
            return classifier.name
    told = networks[0].classifier or "unknown"
    return f"{told} {weights[:6]}" if weights else told


def _name_of(setting: Setting, sha: str | None) -> str:
    if sha == setting.manifest.sha256:
        return "this data"
    return "unknown data" if sha is None else f"data {sha[:6]}"
