"""Table 5: how what is seen and what is heard are combined."""

from collections.abc import Sequence
from dataclasses import replace

from vidskim.evaluate.studies.cases import Case
from vidskim.evaluate.studies.entry import MissingError, Result
from vidskim.evaluate.studies.judging import judge
from vidskim.evaluate.studies.lists import compare_mixes
from vidskim.evaluate.studies.mix import Mix
from vidskim.evaluate.studies.networks import best
from vidskim.evaluate.studies.setting import Classifier, Setting

ALPHAS = tuple(n / 10 for n in range(1, 10))
MIDDLE = 0.5


def study(setting: Setting) -> Result:
    """Compare the rules of combination with each modality alone.

    Raises:
        MissingError: no network that sees, or none that listens.
    """
    notes: list[str] = []
    mixes = {c.name: _mixes(setting, c, notes) for c in setting.classifiers}
    return compare_mixes(
        setting,
        mixes,
        name="combinations",
        title="Combining sight and sound",
        beside="Table 5 (alpha is the weight of sound)",
        notes=notes,
    )


def audio_visual(setting: Setting, classifier: Classifier) -> Mix:
    """Return the best configuration that both sees and hears.

    Raises:
        MissingError: no network that sees, or none that listens.
    """
    mix = setting.main(classifier)
    if mix.audio is None:
        raise MissingError(
            "no network that listens: train one with a recipe of task 'saliency', feature audio"
        )
    if not mix.visual:
        raise MissingError(
            "no network that sees: train one with a recipe of task 'saliency', feature motion"
        )
    return mix


def _mixes(setting: Setting, classifier: Classifier, notes: list[str]) -> dict[str, Mix]:
    mix = audio_visual(setting, classifier)
    assert mix.audio is not None
    k = setting.k
    found: dict[str, Mix] = {}
    for rule in ("convex_list", "convex_score"):
        alpha, how = _alpha(setting, classifier, replace(mix, rule=rule))
        found[f"AV-{rule.replace('_', '-')} (alpha {alpha:g})"] = replace(
            mix, rule=rule, alpha=alpha
        )
        notes.append(f"{classifier.name}: alpha of {rule} {how}")
    union = replace(mix, rule="union_list")
    visual_k = union.visual_k if union.visual_k is not None else round(0.8 * k)
    found[f"AV-union-list (K' = {min(visual_k, k)})"] = union
    found["AV-intersect-list"] = replace(mix, rule="intersect_list")
    joint = _joint(setting, classifier)
    if joint is not None:
        found["AV-joint-training"] = joint
    else:
        notes.append(
            "no AV-joint-training: no networks were trained jointly; a recipe of task "
            "'saliency_joint' does"
        )
    found["visual only"] = mix.sight()
    found["audio only"] = Mix(visual=(), audio=mix.audio)
    return found


def _joint(setting: Setting, classifier: Classifier) -> Mix | None:
    """Return the networks that were trained together, None where they do not see and hear."""
    found = {
        kind: best(
            setting.networks,
            kind,
            weights=classifier.weights,
            manifest_sha256=setting.manifest.sha256,
            joint=True,
        )
        for kind in ("motion", "residual", "keyframe", "audio")
    }
    audio = found.pop("audio")
    visual = tuple(t for t in found.values() if t is not None)
    return Mix(visual=visual, audio=audio, rule="joint") if visual and audio else None


def _alpha(setting: Setting, classifier: Classifier, mix: Mix) -> tuple[float, str]:
    """Return the weight of sound that is best on the training split, the middle one of equals."""
    cases = setting.training(classifier)
    if not cases:
        return MIDDLE, "is not tuned: there is no training split"
    setting.look(classifier, mix.networks, cases)
    found = {a: _accuracy(setting, classifier, replace(mix, alpha=a), cases) for a in ALPHAS}
    alpha = min(ALPHAS, key=lambda a: (-found[a], abs(a - MIDDLE), a))
    return alpha, f"is the best of {ALPHAS[0]:g} to {ALPHAS[-1]:g} on the training split"


def _accuracy(setting: Setting, classifier: Classifier, mix: Mix, cases: Sequence[Case]) -> float:
    choose = setting.chooser(classifier, mix, k=setting.k)
    return judge(cases, choose).correct.mean().item()
