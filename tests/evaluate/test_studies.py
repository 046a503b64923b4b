"""The studies from files to tables: every one on a tiny set, and what happens without."""

import csv
import json
import shutil

import pytest
from tinystudy import (
    hash_of,
    write_classifier,
    write_moments,
    write_network,
    write_networks,
)

from tinyset import write_tiny_set, write_tiny_video
from vidskim.cli import main
from vidskim.data.cache import scores as module
from vidskim.data.manifest import Row, read_manifest, write_manifest
from vidskim.errors import CheckpointError, ManifestError, UsageError
from vidskim.evaluate.studies.run import STUDIES, run_studies

WITHOUT_ENTRIES = ("positions", "thumbnails")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A set with sound, two classifiers and networks of every kind."""
    folder = tmp_path_factory.mktemp("study")
    manifest = write_tiny_set(folder, train=2, test=4, num_frames=60, sound=True)
    write_moments(manifest)
    write_classifier(folder / "first.safetensors", manifest)
    write_classifier(folder / "second.safetensors", manifest, seed=5, accuracy=None)
    write_networks(
        folder / "networks",
        manifest=read_manifest(manifest).sha256,
        weights=hash_of(folder / "first.safetensors"),
    )
    return folder


@pytest.fixture(scope="module")
def studied(place):
    """All studies, with the run time on one video."""
    return run_studies(
        place / "tiny.csv",
        studies=["all"],
        models=[str(place / "first.safetensors"), str(place / "second.safetensors")],
        samplers=str(place / "networks"),
        moments=place / "moments.csv",
        out=place / "out",
        cache=place / "cache",
        k=3,
        timed=1,
    )


def few(place, **options):
    """One study with the least there can be."""
    given = {
        "studies": ["classifiers"],
        "models": [str(place / "first.safetensors")],
        "samplers": str(place / "networks" / "motion_ac.safetensors"),
        "cache": place / "cache",
        "k": 3,
        "timed": 0,
    }
    return run_studies(options.pop("data", place / "tiny.csv"), **(given | options))


def by(result, **wanted):
    """Return the entries with these values."""
    return [e for e in result.entries if all(getattr(e, k) == v for k, v in wanted.items())]


def test_every_study_is_done(studied):
    assert [result.name for result in studied.results] == list(STUDIES)
    assert studied.missing == ()
    assert "4 test videos" in studied.to_text()


def test_every_study_writes_its_files(studied, place):
    for result in studied.results:
        for suffix in (".md", ".csv", ".json", ".png", ".svg"):
            assert (place / "out" / f"{result.name}{suffix}").stat().st_size > 100
        lines = (place / "out" / f"{result.name}.csv").read_text().splitlines()
        rows = list(csv.DictReader(lines))
        told = json.loads((place / "out" / f"{result.name}.json").read_text())
        if result.name in WITHOUT_ENTRIES:
            assert len(rows) == len(told["wide"]["rows"]) > 0
        else:
            assert len(rows) == len(told["entries"]) == len(result.entries) > 4
            for row, entry in zip(rows, result.entries):
                assert float(row["accuracy"]) == entry.accuracy.estimate
                assert (
                    0 <= entry.accuracy.low <= entry.accuracy.estimate <= entry.accuracy.high <= 1
                )
                assert entry.precision is not None
                assert entry.recall is not None
        text = (place / "out" / f"{result.name}.md").read_text()
        for line in ("K = 3 clips", "75.0 % on its test clips", "sha256", "seed 0", "mean of 1"):
            assert line in text
    json.dumps(studied.to_json(), allow_nan=False)


def test_the_lines_of_each_table(studied):
    found = {result.name: result for result in studied.results}

    def methods(name):
        return [e.method for e in by(found[name], classifier="first")]

    assert methods("classifiers") == [
        *("scsampler", "random", "uniform", "empirical", "packets", "dense"),
        *("true moments", "oracle"),
    ]
    assert methods("transfer")[:3] == [
        *("Tr: no classifier on this data", "Tr: first on this data"),
        "Tr: no classifier on data ffffff",
    ]
    below = ["random", "uniform", "dense", "oracle"]
    features = methods("features")
    assert features[:3] == ["IF resnet_18 x4", "MD resnet_18 x4", "RGB-R resnet_18 x4"]
    assert features[6:] == ["IF + MD + RGB-R resnet_18 x4", "MD shufflenet_26 x4", *below]
    assert methods("objectives") == [
        *("visual AC", "visual SAL-RANK", "audio AC", "audio SAL-RANK"),
        *below,
    ]
    combined = methods("combinations")
    assert [name.split(" ")[0] for name in combined[:2]] == ["AV-convex-list", "AV-convex-score"]
    assert combined[2:] == [
        *("AV-union-list (K' = 2)", "AV-intersect-list", "AV-joint-training"),
        *("visual only", "audio only"),
        *below,
    ]
    assert methods("audio")[:3] == [
        *("from scratch: resnet_18 x4 ac", "FC on fc1 of resnet_18 x4 sal_rank"),
        "from scratch: resnet_18 x4 sal_rank",
    ]
    assert [e.varied["K'"] for e in by(found["visual_k"], method="AV-union-list")] == [
        0,
        1,
        2,
        3,
    ] * 2
    assert [e.varied["stride"] for e in by(found["stride"], method="scsampler")][:10] == [
        *range(1, 11)
    ]


def test_the_same_number_wherever_it_stands(studied):
    found = {result.name: result for result in studied.results}

    def numbers(name, method, **varied):
        entries = by(found[name], classifier="first", method=method)
        (entry,) = [e for e in entries if varied.items() <= e.varied.items()]
        return entry.accuracy, entry.precision, entry.recall, entry.clips

    best = numbers("classifiers", "scsampler")
    assert numbers("k", "scsampler", K=3) == best
    assert numbers("runtime", "scsampler", K=3) == best
    assert numbers("stride", "scsampler", stride=1) == best
    assert numbers("cascade", "full look") == best
    assert numbers("combinations", "AV-union-list (K' = 2)") == best
    assert numbers("visual_k", "AV-union-list", **{"K'": 2}) == best
    assert numbers("visual_k", "AV-union-list", **{"K'": 0}) == numbers(
        "combinations", "audio only"
    )
    assert numbers("cascade", "cascade", ratio=1.0) == numbers("classifiers", "packets")
    others = [numbers("classifiers", m) for m in ("uniform", "random", "packets", "oracle")]
    assert len({best, *others}) == 5  # or the lines above show nothing
    assert len({e.accuracy for e in found["k"].entries}) > 4


def test_the_cascade_finds_more_with_more_candidates(studied):
    cascade = next(result for result in studied.results if result.name == "cascade")
    found = [e.varied["found"] for e in by(cascade, classifier="first", method="cascade")]
    assert found == sorted(found)
    assert found[0] < 1
    frames = [e.varied["frames"] for e in by(cascade, classifier="first", method="cascade")]
    assert frames == sorted(frames)


def test_run_time_is_told_where_it_is_measured(studied, place):
    timed = by(studied.results[0], method="scsampler")[0]
    assert timed.seconds > timed.look_seconds > 0
    assert timed.look_gmacs > 0
    untimed = few(place)
    assert untimed.results[0].entries[0].seconds is None
    with pytest.raises(UsageError, match="run time is not measured"):
        few(place, studies=["runtime"])


def test_what_is_missing_is_named_and_the_rest_goes_on(place):
    names = ["transfer", "features", "objectives", "combinations", "audio", "visual_k"]
    found = few(place, studies=[*names, "classifiers"])
    assert [result.name for result in found.results] == ["classifiers"]
    assert [line.partition(":")[0] for line in found.missing] == names
    assert all("recipe" in line for line in found.missing)
    assert "Left out: audio: 0 network(s) that listen" in found.to_text()
    with pytest.raises(UsageError, match="no network that listens"):
        few(place, studies=["visual_k"])


def test_scores_are_looked_at_once_and_a_kill_loses_one_video(place, tmp_path, monkeypatch):
    looked = []
    original = module.score_together

    def counted(video, clips, saliencies):
        if len(looked) == 2 and not (tmp_path / "again").exists():
            raise KeyboardInterrupt
        looked.append(video.path.name)
        return original(video, clips, saliencies)

    monkeypatch.setattr(module, "score_together", counted)
    with pytest.raises(KeyboardInterrupt):
        few(place, cache=tmp_path / "cache")
    (tmp_path / "again").touch()
    first = few(place, cache=tmp_path / "cache")
    assert looked == [f"test_{n}.mp4" for n in range(4)]
    for file in (tmp_path / "cache").glob("scores-*/*.json"):
        assert file.suffix == ".json"
    damaged = sorted((tmp_path / "cache").glob("scores-*/[0-9a-f]*.json"))[0]
    damaged.write_text("{")
    with pytest.warns(UserWarning, match=rf"{damaged}: damaged"):
        again = few(place, cache=tmp_path / "cache")
    assert len(looked) == 5
    assert again.results[0].entries == first.results[0].entries


def test_an_unreadable_video_is_left_out_and_named(place, tmp_path):
    rows = list(read_manifest(place / "tiny.csv", split="test").rows) * 1
    for n in range(8):
        path = tmp_path / f"more_{n}.mp4"
        shutil.copy(rows[n % 4].path, path)
        rows.append(Row(path, rows[n % 4].labels, split="test"))
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    rows.append(Row(bad, ("left",), split="test"))
    write_manifest(rows, tmp_path / "rows.csv")
    with pytest.warns(UserWarning, match=r"bad\.mp4"):
        found = few(place, data=tmp_path / "rows.csv")
    assert any("1 of 13 videos cannot be read" in line for line in found.remarks)
    assert "bad.mp4" in found.to_text()
    assert any("no training split" in line for line in found.remarks)
    assert "empirical" not in [e.method for e in found.results[0].entries]


def test_a_video_shorter_than_k_clips(place, tmp_path):
    for n, label in enumerate(("left", "right")):
        write_tiny_video(tmp_path / f"{n}.mp4", label=label, seed=n, num_frames=6 + 6 * n)
    rows = [Row(tmp_path / f"{n}.mp4", (label,)) for n, label in enumerate(("left", "right"))]
    write_manifest(rows, tmp_path / "short.csv")
    names = ["classifiers", "k", "stride", "cascade", "positions", "thumbnails", "visual_k"]
    found = few(
        place,
        data=tmp_path / "short.csv",
        studies=names,
        samplers=str(place / "networks"),
        k=10,
    )
    assert [result.name for result in found.results] == names
    assert any("2 of 2 videos have nothing that audio_rank" in line for line in found.remarks)
    for entry in found.results[0].entries:
        assert entry.clips == pytest.approx((2 + 3) / 2)  # every clip there is
        assert entry.accuracy == found.results[0].entries[0].accuracy
        assert entry.precision is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"studies": ["clasifiers"]}, "did you mean 'classifiers'"),
        ({"studies": []}, "at least one study"),
        ({"models": []}, "at least one classifier"),
        ({"cache": None}, "give --out, or --cache"),
        ({"k": 0}, "at least 1"),
        ({"timed": -1}, "0 videos or more"),
        ({"limit": 0}, "at least 1 video"),
    ],
)
def test_wrong_usage(place, options, message):
    with pytest.raises(UsageError, match=message):
        few(place, **options)


def test_labels_and_parts_of_files_are_checked(place, tmp_path):
    row = read_manifest(place / "tiny.csv").rows[0]
    write_manifest([Row(row.path, ("dive",))], tmp_path / "other.csv")
    with pytest.raises(ManifestError, match="first does not know 1"):
        few(place, data=tmp_path / "other.csv")
    with pytest.raises(ManifestError, match="but whole videos are"):
        few(place, data=place / "moments.csv")


def test_the_command(place, tmp_path, capsys):
    words = ["evaluate", "--data", str(place / "tiny.csv"), "--cache", str(place / "cache")]
    words += ["--study", "classifiers,audio", "--model", str(place / "first.safetensors")]
    words += ["--samplers", str(place / "networks" / "motion_ac.safetensors"), "--timed", "0"]
    assert main([*words, "--k", "3", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "Tables 1 and 2" in told
    assert "Left out: audio" in told
    assert (tmp_path / "out" / "classifiers.svg").exists()
    assert main([*words, "--k", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["studies"][0]["study"] == "classifiers"
    assert main([*words, "--crops", "3"]) == 2
    assert "--crops goes without --study" in capsys.readouterr().err
    assert main([*words[:5], "--model", "demo"]) == 2
    assert "--cache goes with --study" in capsys.readouterr().err


def test_a_folder_without_networks(place, tmp_path):
    shutil.copy(place / "first.safetensors", tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    with (
        pytest.raises(CheckpointError, match="no saliency network"),
        pytest.warns(UserWarning, match=r"passed over: .*b\.safetensors"),
    ):
        few(place, samplers=str(tmp_path))
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(CheckpointError):
        few(place, samplers=str(tmp_path / "a.safetensors"))
    write_network(tmp_path / "c.safetensors", "motion")
    assert few(place, samplers=str(tmp_path)).results
