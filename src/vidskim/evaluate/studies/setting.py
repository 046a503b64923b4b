"""What all studies share: classifiers and their answers, networks and their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from vidskim.backbones.network import Network
from vidskim.data.cache.answers import clip_answers
from vidskim.data.cache.scores import NetworkLook, network_scores, video_grids
from vidskim.data.manifest import Manifest, Row
from vidskim.errors import ManifestError
from vidskim.evaluate.bootstrap import Resamples
from vidskim.evaluate.studies import choosing
from vidskim.evaluate.studies.cases import Case, Moments, cases_of
from vidskim.evaluate.studies.choosing import Chooser
from vidskim.evaluate.studies.entry import Entry, MissingError
from vidskim.evaluate.studies.judging import Outcomes, judge
from vidskim.evaluate.studies.mix import Mix
from vidskim.evaluate.studies.networks import Trained, best
from vidskim.evaluate.studies.timing import Clock, Timed
from vidskim.look import methods as presets
from vidskim.look.look import Look
from vidskim.look.open import SamplerOptions

REFERENCES = ("dense", "uniform", "oracle")
"""Methods that others are held against."""


@dataclass(frozen=True)
class Classifier:
    """A clip classifier and the videos it has answered."""

    name: str
    network: Network
    weights: str
    cases: tuple[Case, ...]
    told: str
    """Its accuracy on trimmed clips as its checkpoint tells it, empty where it does not."""


@dataclass
class Setting:
    """Everything the studies read from; what is worked out once is remembered."""

    manifest: Manifest
    """Of the rows that are studied."""
    train_rows: tuple[Row, ...]
    moments: Moments | None
    classifiers: tuple[Classifier, ...]
    networks: tuple[Trained, ...]
    clock: Clock
    cache: Path
    options: SamplerOptions = field(default_factory=SamplerOptions)
    k: int = 10
    seed: int = 0
    draws: int = 20
    precision: str = "fp32"
    device: str = "cpu"
    problems: list[str] = field(default_factory=list)
    """What went wrong on the way and changes a number."""

    def __post_init__(self) -> None:
        self._outcomes: dict[tuple[object, ...], Outcomes] = {}
        self._scores: dict[tuple[object, ...], Mapping[Path, NetworkLook | None]] = {}
        self._histograms: dict[tuple[object, ...], Tensor | None] = {}
        self._training: dict[str, tuple[Case, ...]] = {}
        self.resamples = Resamples(len(self.classifiers[0].cases), seed=self.seed)

    def reference(self, classifier: Classifier, method: str, *, k: int | None = None) -> Outcomes:
        """Return a method that needs no sampler: dense, uniform, random, "true moments", oracle.

        Raises:
            MissingError: "empirical" without a training split, "true moments" without moments.
        """
        k = self.k if k is None else k
        choose: Chooser
        if method == "dense":
            choose = choosing.dense
        elif method == "uniform":
            choose = choosing.uniform(k)
        elif method == "oracle":
            choose = choosing.oracle(k)
        elif method == "true moments":
            if all(case.moments is None for case in classifier.cases):
                raise MissingError("no true moments are known: give their manifest as --moments")
            choose = choosing.moments(k)
        elif method == "random":
            choose = choosing.random(k, draws=self.draws, seed=self.seed)
        elif method == "packets":
            choose = choosing.by_scores(lambda case: case.grid.packets, k)
        else:
            histogram = self.histogram(classifier, k=k)
            if histogram is None:
                raise MissingError(
                    "no training split: the empirical baseline needs one; give a manifest with it"
                )
            choose = choosing.empirical(k, histogram=histogram, draws=self.draws, seed=self.seed)
        return self.outcomes(classifier, choose, key=(method, None if method == "dense" else k))

    def outcomes(
        self, classifier: Classifier, choose: Chooser, *, key: tuple[object, ...]
    ) -> Outcomes:
        """Judge a method on all cases, once per key."""
        key = (classifier.name, *key)
        if key not in self._outcomes:
            self._outcomes[key] = judge(classifier.cases, choose)
        return self._outcomes[key]

    def mixed(
        self,
        classifier: Classifier,
        mix: Mix,
        *,
        k: int | None = None,
        every: int = 1,
        candidates: int | None = None,
    ) -> Outcomes:
        """Judge saliency networks used together."""
        k = self.k if k is None else k
        choose = self.chooser(classifier, mix, k=k, every=every, candidates=candidates)
        return self.outcomes(classifier, choose, key=(*mix.key, k, every, candidates))

    def chooser(
        self,
        classifier: Classifier,
        mix: Mix,
        *,
        k: int,
        every: int = 1,
        candidates: int | None = None,
    ) -> Chooser:
        """Return the selection that saliency networks make together."""
        self.look(classifier, mix.networks, classifier.cases)

        def scores(case: Case) -> Tensor:
            known = {t.kind: self.known(classifier, t, case) for t in mix.networks}
            return mix.scores(known, case.grid.packets, k=k, every=every, candidates=candidates)

        return choosing.by_scores(scores, k)

    def known(self, classifier: Classifier, trained: Trained, case: Case) -> Tensor | None:
        """Return one network's scores ``[N]`` of a case, None where the file has none."""
        scored = self._scores[self._key(classifier, trained)].get(case.row.path)
        return None if scored is None else scored.scores

    def look(
        self, classifier: Classifier, networks: Sequence[Trained], cases: Sequence[Case]
    ) -> None:
        """Fetch or make the scores of networks on the grid of a classifier."""
        assert classifier.network.clip is not None
        paths = [case.row.path for case in cases]
        for trained in networks:
            key = self._key(classifier, trained)
            known = self._scores.get(key, {})
            if all(path in known for path in paths):
                continue
            kept = network_scores(
                paths, trained.saliency, clip=classifier.network.clip, folder=self.cache
            )
            for reason in kept.failures.values():
                self.tell(f"{trained.name} cannot look: {reason}")
            without = sum(kept[p].scores is None for p in kept.found)
            if without:
                self.tell(
                    f"{without} of {len(kept.found)} videos have nothing that {trained.name} "
                    f"({trained.kind}) looks at: the others decide there, or packet sizes"
                )
            self._scores[key] = {**known, **dict.fromkeys(kept.failures), **kept.found}

    def look_gmacs(self, classifier: Classifier, mix: Mix) -> float:
        """Return 1e9 multiply-adds of a full look, per video."""
        self.look(classifier, mix.networks, classifier.cases)
        looks = [self._scores[self._key(classifier, trained)] for trained in mix.networks]
        found = [look[case.row.path] for look in looks for case in classifier.cases]
        return sum(x.macs for x in found if x is not None) / len(classifier.cases) / 1e9

    def histogram(self, classifier: Classifier, *, k: int) -> Tensor | None:
        """Return where the oracle finds its clips in the training split, None without one."""
        key = (classifier.name, k)
        if key not in self._histograms:
            cases = self.training(classifier)
            self._histograms[key] = choosing.histogram(cases, k=k) if cases else None
        return self._histograms[key]

    def training(self, classifier: Classifier) -> tuple[Case, ...]:
        """Return the cases of the training split, whose answers are made where missing."""
        if classifier.name not in self._training:
            cases: tuple[Case, ...] = ()
            if self.train_rows:
                cases = make_cases(
                    classifier.network,
                    self.train_rows,
                    moments=None,
                    cache=self.cache,
                    precision=self.precision,
                    device=self.device,
                )
            self._training[classifier.name] = cases
        return self._training[classifier.name]

    def main(self, classifier: Classifier) -> Mix:
        """Return the paper's best configuration as far as its networks are at hand.

        Motion and residuals averaged, else key frames; sound by union-list.

        Raises:
            MissingError: no network that looks at anything.
        """
        found = {
            kind: best(
                self.networks,
                kind,
                weights=classifier.weights,
                manifest_sha256=self.manifest.sha256,
            )
            for kind in ("motion", "residual", "keyframe", "audio")
        }
        visual = tuple(t for kind in ("motion", "residual") if (t := found[kind]) is not None)
        if not visual and found["keyframe"] is not None:
            visual = (found["keyframe"],)
        mix = Mix(
            visual=visual,
            audio=found["audio"],
            rule=self.options.rule or "union_list",
            visual_k=self.options.visual_k,
            alpha=0.5 if self.options.alpha is None else self.options.alpha,
        )
        if not mix.networks:
            raise MissingError("all saliency networks were trained jointly: give single ones too")
        return mix

    def entry(
        self,
        classifier: Classifier,
        method: str,
        outcomes: Outcomes,
        *,
        timed: Timed | None = None,
        look_gmacs: float | None = None,
        k: int | None = None,
        varied: Mapping[str, float | int | str] | None = None,
    ) -> Entry:
        """Compare a method with dense, uniform and the oracle.

        Args:
            classifier: that answers.
            method: name of the line.
            outcomes: of the method.
            timed: its run time.
            look_gmacs: 1e9 multiply-adds of choosing.
            k: clips that uniform and the oracle choose.
            varied: what the study varies and what else it measures.
        """
        dense, uniform, oracle = (
            self.reference(classifier, name, k=k).correct for name in REFERENCES
        )
        draws, mine = self.resamples, outcomes.correct
        known = ~outcomes.precision.isnan()
        judged = Resamples(int(known.sum()), seed=self.seed) if known.any() else None
        return Entry(
            classifier=classifier.name,
            method=method,
            accuracy=draws.interval(mine),
            vs_dense=None if method == "dense" else draws.difference(mine, dense),
            vs_uniform=None if method == "uniform" else draws.difference(mine, uniform),
            gap_closed=None
            if method in ("uniform", "oracle")
            else draws.gap_closed(mine, low=uniform, high=oracle),
            precision=None if judged is None else judged.interval(outcomes.precision[known]),
            recall=None if judged is None else judged.interval(outcomes.recall[known]),
            clips=outcomes.clips.mean().item(),
            look_gmacs=look_gmacs,
            look_seconds=None if timed is None else timed.look,
            seconds=None if timed is None else timed.total,
            varied=dict(varied or {}),
        )

    def references(self, classifier: Classifier, methods: Sequence[str]) -> list[Entry]:
        """Return the lines of methods that need no sampler, without those that cannot be had."""
        entries: list[Entry] = []
        for method in methods:
            try:
                outcomes = self.reference(classifier, method)
            except MissingError as missing:
                self.tell(str(missing))
                continue
            timed = self.time_reference(classifier, method)
            entries.append(self.entry(classifier, method, outcomes, timed=timed))
        return entries

    def time_reference(self, classifier: Classifier, method: str) -> Timed | None:
        """Measure dense or uniform; what chooses as cheaply as uniform counts as uniform."""
        if method == "dense":
            look, name = presets.dense(), "dense"
        elif method in ("uniform", "random", "empirical"):
            look, name = presets.uniform(k=self.k), "uniform"
        else:
            return None
        return self.clock.answer(classifier.network, look, key=(classifier.name, name))

    def time_mix(self, classifier: Classifier, mix: Mix) -> Timed | None:
        """Measure a look; the chosen clips cost what uniform's do."""
        look = presets.scsampler(mix.sampler(self.k), k=self.k)
        return self.time_look(classifier, look, key=mix.key)

    def time_look(
        self, classifier: Classifier, look: Look, *, key: tuple[str, ...]
    ) -> Timed | None:
        """Measure a look by itself and add what reading and encoding uniform's clips takes."""
        base = self.time_reference(classifier, "uniform")
        clip = classifier.network.clip
        assert clip is not None
        grid = (str(clip.num_frames), str(clip.stride))  # all that a look depends on
        mine = self.clock.look(classifier.network, look, key=("look", *grid, *key))
        if base is None or mine is None:
            return None
        return Timed(mine.look, mine.look + base.per_clip * mine.clips, mine.frames, mine.clips)

    def tell(self, problem: str) -> None:
        """Remember a problem, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    @staticmethod
    def _key(classifier: Classifier, trained: Trained) -> tuple[object, ...]:
        clip = classifier.network.clip
        assert clip is not None
        return (clip.num_frames, clip.stride, trained.path)


def make_cases(
    network: Network,
    rows: Sequence[Row],
    *,
    moments: Moments | None,
    cache: Path,
    precision: str,
    device: str,
) -> tuple[Case, ...]:
    """Fetch or make the answers and grids of videos.

    Raises:
        ManifestError: too many videos cannot be read.
    """
    answers = clip_answers(rows, network, folder=cache, precision=precision, device=device)
    assert network.clip is not None
    paths = [row.path for row in answers.rows]
    grids = video_grids(paths, clip=network.clip, folder=cache)
    cases = tuple(cases_of(answers, grids.found, moments=moments))
    if not cases:
        reason = next(iter(grids.failures.values()), "no video")
        raise ManifestError(f"not one video can be studied: {reason}")
    return cases
