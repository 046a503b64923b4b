"""The arithmetic of the studies against loops, the product's own recognizer and samplers."""

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tinystudy import SOURCES, study_classifier, write_moments, write_network

from tinyset import write_tiny_set, write_tiny_video
from vidskim import presets
from vidskim.answer.recognizer import Recognizer
from vidskim.data.cache.answers import clip_answers
from vidskim.data.cache.scores import Grid, network_scores, video_grids
from vidskim.data.manifest import Row, read_manifest
from vidskim.evaluate.benchmark import moments_of
from vidskim.evaluate.bootstrap import Resamples
from vidskim.evaluate.metrics import bootstrap_interval, precision_at_k, recall
from vidskim.evaluate.studies import choosing
from vidskim.evaluate.studies.cases import Case, cases_of
from vidskim.evaluate.studies.judging import answer, judge
from vidskim.evaluate.studies.mix import Mix
from vidskim.evaluate.studies.networks import best, find_networks
from vidskim.look.cascade import Cascade, Strided
from vidskim.look.fusion import RULES
from vidskim.look.selection import top_k
from vidskim.video import Video


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    path = write_tiny_set(folder, train=2, test=3, num_frames=50)
    write_moments(path)
    return read_manifest(path)


@pytest.fixture(scope="module")
def cases(manifest, tmp_path_factory):
    encoder, folder = study_classifier(), tmp_path_factory.mktemp("cache")
    answers = clip_answers(manifest.rows, encoder, folder=folder)
    paths = [row.path for row in manifest.rows]
    grids = video_grids(paths, clip=encoder.clip, folder=folder)
    moments = moments_of(read_manifest(manifest.source.with_name("moments.csv")))
    return cases_of(answers, grids.found, moments=moments)


def case_of(answers, *, target=0, moments=None, tmp_path=Path(), name="a"):
    """A case whose clips are one second long."""
    file = tmp_path / f"{name}.npy"
    np.save(file, np.asarray(answers, np.float32))
    starts = torch.arange(len(answers), dtype=torch.float64)
    return Case(
        row=Row(Path(f"{name}.mp4"), ("x",)),
        targets=(target,),
        file=file,
        grid=Grid(torch.stack([starts, starts + 1], 1), starts.float(), name),
        moments=None if moments is None else torch.tensor(moments, dtype=torch.float64),
    )


def test_intervals_are_those_of_the_metrics():
    values = torch.tensor([1.0, 0, 1, 1, 0, 1, 0.5])
    draws = Resamples(7, seed=3, num_samples=500)
    expected = bootstrap_interval(
        values, num_samples=500, generator=torch.Generator().manual_seed(3)
    )
    for _ in range(2):  # the second call reads what the first has drawn
        found = draws.interval(values)
        assert [found.estimate, found.low, found.high] == pytest.approx(
            [expected.estimate, expected.low, expected.high]
        )
    found = draws.difference(values, 1 - values)
    assert found.estimate == pytest.approx((2 * values - 1).mean().item())


def test_one_video_per_source_is_no_group():
    values = torch.tensor([1.0, 0, 1, 1, 0, 1, 0.5])
    plain, grouped = (Resamples(7, groups=groups, num_samples=500) for groups in (None, "gfedcba"))
    assert plain.interval(values) == grouped.interval(values)


def test_videos_of_one_source_are_drawn_together():
    groups = ["a", "b", "a", "c", "a", "d", "b"]
    values = torch.tensor([1.0, 0, 1, 1, 0, 1, 0.5])
    draws = Resamples(7, groups=groups, seed=5, num_samples=200)
    found = draws.means(torch.stack([values, values**2], 1))
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randint(4, (200, 4), generator=generator).tolist()
    for n, names in enumerate([["abcd"[i] for i in row] for row in drawn]):
        chosen = [v for name in names for v, g in zip(values.tolist(), groups) if g == name]
        wanted = [sum(v**p for v in chosen) / len(chosen) for p in (1, 2)]
        assert found[n].tolist() == pytest.approx(wanted)
    interval = draws.interval(values)
    assert interval.estimate == pytest.approx(values.mean().item())
    alone = Resamples(7, seed=5, num_samples=200).interval(values)
    assert (interval.low, interval.high) != (alone.low, alone.high)


def test_sources_that_agree_within_widen_the_interval():
    """Ten copies of each of eight videos tell no more than eight."""
    right = torch.tensor([1.0, 0, 0, 1, 1, 0, 1, 1])
    copied = right.repeat_interleave(10)
    groups = [n // 10 for n in range(80)]
    one = Resamples(8, num_samples=2000).interval(right)
    assert Resamples(80, groups=groups, num_samples=2000).interval(copied) == one
    narrow = Resamples(80, num_samples=2000).interval(copied)
    assert narrow.high - narrow.low < 0.5 * (one.high - one.low)


def test_the_share_of_the_gap_against_a_loop():
    rng = random.Random(0)
    n = 40
    high = [1.0] * 36 + [0.0] * 4
    low = [float(rng.random() < 0.5) * h for h in high]
    mine = [max(a, float(rng.random() < 0.5) * h) for a, h in zip(low, high)]
    draws = Resamples(n, seed=1, num_samples=300)
    found = draws.gap_closed(
        *(torch.tensor(v) for v in (mine,)), low=torch.tensor(low), high=torch.tensor(high)
    )
    assert found.estimate == pytest.approx((sum(mine) - sum(low)) / (sum(high) - sum(low)))
    generator = torch.Generator().manual_seed(1)
    shares = []
    for drawn in torch.randint(n, (300, n), generator=generator).tolist():
        a, b, c = (sum(v[i] for i in drawn) for v in (mine, low, high))
        shares.append((a - b) / (c - b))
    assert found.low == pytest.approx(float(np.quantile(shares, 0.025)))
    assert found.high == pytest.approx(float(np.quantile(shares, 0.975)))


def test_without_a_gap_there_is_no_share():
    draws = Resamples(4, num_samples=200)
    ones = torch.ones(4)
    assert draws.gap_closed(ones, low=ones, high=ones) is None
    few = draws.gap_closed(ones, low=torch.tensor([1.0, 1, 1, 0]), high=ones)
    assert (few.estimate, few.low, few.high) == (1.0, None, None)  # most draws lack the fourth


def test_a_verdict_by_hand(tmp_path):
    answers = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.45, 0.55]]
    case = case_of(answers, target=1, moments=[(1.0, 2.0), (3.2, 3.9)], tmp_path=tmp_path)
    found = judge([case], lambda case: [[0, 1], [0, 3], [1, 2, 3]])
    # means of class 1: 0.45, 0.325 and 0.65; clips 1 and 3 meet a moment each
    assert found.correct.tolist() == [pytest.approx(1 / 3)]
    assert found.precision.tolist() == [pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)]
    assert found.recall.tolist() == [pytest.approx((1 / 2 + 1 / 2 + 1) / 3)]
    assert found.clips.tolist() == [pytest.approx(7 / 3)]
    chosen = case.grid.spans[[1, 2, 3]]
    one = judge([case], lambda case: [[1, 2, 3]])
    assert one.precision.tolist() == [precision_at_k(chosen, case.moments)]
    assert one.recall.tolist() == [recall(chosen, case.moments)]
    several = judge([replace(case, targets=(1, 0))], lambda case: [[0]])
    assert several.correct.tolist() == [1.0]
    unknown = judge([replace(case, moments=None)], lambda case: [[0]])
    assert math.isnan(unknown.precision[0])


def test_clips_that_cannot_be_read_are_passed_over():
    nan = float("nan")
    answers = torch.tensor([[nan, nan], [0.2, 0.8], [0.6, 0.4]])
    assert answer(answers, [0, 2]).tolist() == pytest.approx([0.6, 0.4])
    assert answer(answers, [0]).tolist() == pytest.approx([0.6, 0.4])  # the middle of the others
    assert answer(answers, [0, 1, 2]).tolist() == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize("method", ["dense", "uniform", "scsampler"])
@pytest.mark.parametrize("k", [3, 30])
def test_an_answer_is_the_recognizer_s(cases, tmp_path, method, k):
    encoder = study_classifier()
    assert max(len(case) for case in cases) < 30  # k = 30 asks for more than there are
    write_network(tmp_path / "motion.safetensors", "motion")
    networks = find_networks(str(tmp_path))
    mix = Mix(visual=networks)
    kept = network_scores(
        [case.row.path for case in cases], networks[0].saliency, clip=encoder.clip, folder=tmp_path
    )
    choose = {
        "dense": choosing.dense,
        "uniform": choosing.uniform(k),
        "scsampler": choosing.by_scores(
            lambda case: mix.scores({"motion": kept[case.row.path].scores}, case.grid.packets, k=k),
            k,
        ),
    }[method]
    look = {
        "dense": presets.dense(),
        "uniform": presets.uniform(k=k),
        "scsampler": presets.scsampler(mix.sampler(k), k=k),
    }[method]
    recognizer = Recognizer(encoder, look=look)
    for case in cases:
        prediction = recognizer(case.row.path)
        (chosen,) = choose(case)
        assert [c.clip.index for c in prediction.clips] == list(chosen)
        told = {score.label: score.score for score in prediction.predictions}
        mine = answer(case.answers, chosen)
        assert mine.tolist() == pytest.approx([told[c] for c in encoder.classes], abs=1e-5)


def test_mixed_scores_are_the_sampler_s(tmp_path):
    clip, path, k = study_classifier().clip, tmp_path / "a.mp4", 4
    write_tiny_video(path, label="left", num_frames=60, sound=True)
    for n, kind in enumerate(SOURCES):
        write_network(tmp_path / f"{kind}.safetensors", kind, seed=n)
    networks = {t.kind: t for t in find_networks(str(tmp_path))}
    video = Video(path)
    grid = video.clips(num_frames=clip.num_frames, stride=clip.stride)
    known = {
        t.kind: network_scores([path], t.saliency, clip=clip, folder=tmp_path / "c")[path].scores
        for t in networks.values()
    }
    assert all(scores is not None for scores in known.values())
    packets = video_grids([path], clip=clip, folder=tmp_path / "c")[path].packets
    audio = networks.pop("audio")
    visual = tuple(networks.values())
    mixes = [Mix(visual, audio, rule=rule, alpha=0.3) for rule in RULES]
    mixes += [Mix(visual, audio, visual_k=1), Mix(visual), Mix((), audio)]
    for mix in mixes:
        sampler = mix.sampler(k)
        for scores, saliency in (
            (mix.scores(known, packets, k=k), sampler),
            (mix.scores(known, packets, k=k, every=3), Strided(sampler, 3)),
            (mix.scores(known, packets, k=k, candidates=9), Cascade(sampler, candidates=9, k=k)),
        ):
            expected = saliency(video, grid)
            torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
            assert top_k(scores, k=k) == top_k(expected, k=k)
    silent = {**known, "audio": None}
    assert torch.equal(
        mixes[0].scores(silent, packets, k=k), Mix(visual).scores(known, packets, k=k)
    )


def test_chance_depends_on_content_alone(tmp_path):
    case = case_of(np.full((20, 2), 0.5), tmp_path=tmp_path)
    choose = choosing.random(3, draws=4, seed=0)
    renamed = replace(case, row=Row(Path("b.mp4"), ("x",)))
    assert choose(case) == choose(renamed)
    assert len({tuple(chosen) for chosen in choose(case)}) == 4
    other = replace(case, grid=replace(case.grid, content="b"))
    assert choose(case) != choose(other)


def test_the_empirical_histogram_is_the_oracle_s(tmp_path):
    late = np.full((10, 2), 0.2)
    late[8:, 1] = 0.9
    cases = [case_of(late, target=1, tmp_path=tmp_path, name=str(n)) for n in range(3)]
    histogram = choosing.histogram(cases, k=2, bins=10)
    assert histogram.tolist() == pytest.approx([0] * 8 + [0.5, 0.5])
    choose = choosing.empirical(2, histogram=histogram, draws=3, seed=0)
    assert choose(cases[0]) == [[8, 9]] * 3


def test_which_network_is_taken(tmp_path):
    own, other = "a" * 64, "b" * 64
    files = {
        "other_data": {"manifest": other},
        "ranked_elsewhere": {"objective": "sal_rank", "weights": "z", "manifest": own},
        "ranked_here": {"objective": "sal_rank", "weights": "w", "manifest": own},
        "joint": {"joint": True, "manifest": own},
    }
    for name, told in files.items():
        write_network(tmp_path / f"{name}.safetensors", "motion", **told)
    networks = find_networks(str(tmp_path))

    def taken(**options):
        return best(networks, "motion", weights="w", manifest_sha256=own, **options)

    assert taken().name == "ranked_here"
    assert taken(joint=True).name == "joint"
    assert taken(objectives=("ac",)).name == "other_data"
    assert taken(objectives=("sal_cl",)) is None
    assert best(networks, "audio", weights="w", manifest_sha256=own) is None
    write_network(tmp_path / "plain.safetensors", "motion", manifest=own)
    networks = find_networks(str(tmp_path))
    assert taken().name == "plain"


def test_true_moments_are_chosen_evenly_whatever_the_classifier_says(tmp_path):
    answers = [[0.5, 0.5]] * 8
    case = case_of(answers, moments=[(1.0, 4.0), (6.0, 7.0)], tmp_path=tmp_path)  # 1, 2, 3, 6
    assert choosing.moments(2)(case) == [[2, 6]]
    assert choosing.moments(10)(case) == [[1, 2, 3, 6]]
    assert judge([case], choosing.moments(3)).precision.tolist() == [1.0]
    unknown = replace(case, moments=None)
    assert choosing.moments(3)(unknown) == choosing.uniform(3)(unknown)
