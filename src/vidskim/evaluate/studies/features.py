"""Table 4: which compressed features the visual sampler looks at, and by which network."""

from itertools import combinations

from vidskim.evaluate.studies.entry import MissingError, Result
from vidskim.evaluate.studies.lists import compare_mixes
from vidskim.evaluate.studies.mix import Mix
from vidskim.evaluate.studies.networks import VISUAL_KINDS, best
from vidskim.evaluate.studies.setting import Classifier, Setting

LETTERS = {"motion": "MD", "residual": "RGB-R", "keyframe": "IF"}
"""The paper's names of the features."""
PAPERS_ORDER = ("keyframe", "motion", "residual")


def study(setting: Setting) -> Result:
    """Compare every feature alone and every average, on each architecture.

    Raises:
        MissingError: fewer than two visual networks.
    """
    visual = [t for t in setting.networks if t.kind in VISUAL_KINDS and not t.saliency.joint]
    if len({(t.kind, t.architecture) for t in visual}) < 2:
        raise MissingError(
            "fewer than two visual networks: train others with a recipe of task 'saliency', "
            "feature motion, residual or keyframe, network resnet_18 or shufflenet_26"
        )
    mixes = {c.name: _mixes(setting, c) for c in setting.classifiers}
    return compare_mixes(
        setting,
        mixes,
        name="features",
        title="Visual features and architectures",
        beside="Table 4 (IF: key frames, MD: motion displacements, RGB-R: residuals)",
        notes=("each line averages the scores of its features, by sight alone",),
    )


def _mixes(setting: Setting, classifier: Classifier) -> dict[str, Mix]:
    """Return one line per architecture and set of features, the paper's objective preferred."""
    visual = [t for t in setting.networks if t.kind in VISUAL_KINDS]
    architectures = sorted({t.architecture for t in visual}, key=lambda a: ("resnet" not in a, a))
    mixes: dict[str, Mix] = {}
    for architecture in architectures:
        mine = [t for t in visual if t.architecture == architecture]
        found = {
            kind: best(
                mine,
                kind,
                weights=classifier.weights,
                manifest_sha256=setting.manifest.sha256,
            )
            for kind in PAPERS_ORDER
        }
        there = [kind for kind in PAPERS_ORDER if found[kind] is not None]
        for size in range(1, len(there) + 1):
            for kinds in combinations(there, size):
                name = " + ".join(LETTERS[kind] for kind in kinds)
                chosen = tuple(t for kind in kinds if (t := found[kind]) is not None)
                objectives = "/".join(sorted({t.objective for t in chosen}))
                told = "" if objectives == "ac" else f" {objectives}"
                mixes[f"{name} {architecture}{told}"] = Mix(visual=chosen)
    return mixes
