import json
from dataclasses import replace

import pytest
import torch

from tinynets import CLASSES, tiny_classifier
from vidskim import recognize
from vidskim.account import MacCounter, count, on_meta
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.backbones.registry import create_backbone
from vidskim.cli import main
from vidskim.clips.transform import Transform
from vidskim.cost.model import cost_of, read_shape
from vidskim.cost.papers import paper_rows
from vidskim.cost.whole import whole_cost, whole_input
from vidskim.errors import CheckpointError, UsageError
from vidskim.model.adapter import map_shape
from vidskim.model.aggregate import FastGru
from vidskim.model.compressed import Compressed, map_channels
from vidskim.model.compression import TemporalCompression
from vidskim.model.file import load_model, save_model
from vidskim.model.presets import compressed, faster, sfc
from vidskim.video import Video

# What torchvision publishes with its weights: 1e9 multiply-adds (to the digits given), parameters.
TORCHVISION = {
    "r3d_18": (40.697, 33_371_472),
    "mc3_18": (43.343, 11_695_440),
    "r2plus1d_18": (40.519, 31_505_325),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_cost_of_networks_that_torchvision_has(name):
    counted = cost_of(name)
    assert (round(counted.macs / 1e9, 3), counted.params) == TORCHVISION[name]
    assert counted.input_shape == (1, 3, 16, 112, 112)


def test_an_unknown_network_is_refused():
    with pytest.raises(UsageError, match="did you mean 'r3d_18'"):
        cost_of("r3d_81")


def test_a_checkpoint_costs_what_its_network_does(tmp_path):
    network = create_backbone("r3d_18", num_classes=5, width=4)
    save_backbone(network, tmp_path / "own.safetensors")
    assert cost_of(str(tmp_path / "own.safetensors")) == count(network, network.clip.input_shape)
    with pytest.raises(CheckpointError, match=r"missing\.safetensors: no such file"):
        cost_of(str(tmp_path / "missing.safetensors"))


@pytest.mark.parametrize(
    ("name", "text", "macs"),
    [
        ("slow_r50_8x8", "3x8x256x256", 54_518_382_592),
        ("resnet_18", "2x14x14", 15_454_336),
        ("l3_audio", "1X40X400", 2 * 1_626_624_000 + 512 * 400),
    ],
)
def test_another_input(name, text, macs):
    counted = cost_of(name, input_shape=read_shape(text))
    assert counted.macs == macs
    assert counted.input_shape == (1, *read_shape(text))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r3d_18", f"3x{10**20}x1x1", "written like"),
        ("r3d_18", f"3x{'9' * 5000}x1x1", "written like"),
        ("r3d_18", "3x112x112", "takes channels x frames x height x width, got 3x112x112"),
        ("resnet_18", "3x8x112x112", "takes channels x height x width, got 3x8x112x112"),
        ("r3d_18", "2x16x112x112", "does not take an input of shape"),
        ("r3d_18", "3x0x112x112", "written like 3x32x256x256, got '3x0x112x112'"),
        ("r3d_18", "3x", "written like"),
        ("r3d_18", "", "written like"),
        ("r3d_18", "-3x16x112x112", "written like"),
    ],
)
def test_an_impossible_input_is_refused(name, text, message):
    with pytest.raises(UsageError, match=message):
        cost_of(name, input_shape=read_shape(text))


@pytest.mark.parametrize(
    ("name", "num_clips", "per_clip"), [("faster16", 16, 14.4), ("faster32", 8, 68.8)]
)
def test_the_presets_cost_what_the_paper_prints(name, num_clips, per_clip, capsys):
    """FASTER, table 4: GFLOPs of a clip, rounded to one decimal, times their number."""
    assert main(["cost", name, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert round(record["macs"] / 1e9 / num_clips, 1) == per_clip
    assert record["input"] == [num_clips, 3, 256 // num_clips, 224, 224]
    assert [part["role"] for part in record["parts"]] == ["expensive", "cheap", "aggregator"]
    for key in ("macs", "params"):
        assert record[key] == sum(part[key] for part in record["parts"])
    clips = [part["num_clips"] for part in record["parts"]]
    assert clips[0] + clips[1] == clips[2] == num_clips
    alone = cost_of("r2plus1d_50", input_shape=(3, 256 // num_clips, 224, 224))
    assert record["expensive_macs"] == num_clips * alone.macs


@pytest.fixture(scope="module")
def faster_file(tmp_path_factory):
    """Two tiny encoders of different channels, 4 clips of 8 frames."""
    encoders = []
    for name, width in (("r3d_18", 4), ("r2d_26", 2)):
        network = create_backbone(name, num_classes=len(CLASSES), width=width)
        network.classes, network.clip = CLASSES, ClipSpec(8, 1, (32, 32))
        network.transform = Transform(resize_to=(32, 43), crop=(32, 32))
        encoders.append(network.eval())
    aggregator = FastGru(map_shape(encoders[0])[0], len(CLASSES))
    model = faster(encoders, aggregator, pattern="1:3", num_clips=4)
    path = tmp_path_factory.mktemp("faster") / "x.safetensors"
    save_model(model.eval(), path)
    return path


def test_a_file_s_price_is_what_an_answer_pays(faster_file, sample_video, capsys):
    assert main(["cost", str(faster_file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    answer = recognize(sample_video, model=str(faster_file))
    assert len(answer.clips) == 4
    assert answer.cost.macs == told["macs"]
    roles = {part["role"]: part for part in told["parts"]}
    assert roles["adapter"]["name"] == "adapter of r2d_26"
    assert roles["adapter"]["num_clips"] == roles["cheap"]["num_clips"] == 3
    assert roles["adapter"]["params"] == 32 * 64
    state = load_model(faster_file)
    assert told["params"] == sum(p.numel() for p in state.parameters())
    assert told["pattern"] == "1:3"


def test_the_price_as_text(faster_file, capsys):
    assert main(["cost", str(faster_file)]) == 0
    first, how, _, head, _, *cells, _, last = capsys.readouterr().out.splitlines()
    assert first.endswith("input 4x3x8x32x32")
    assert how == "4 clips, pattern 1:3"
    assert head.split() == ["part", "role", "clips", "MMACs", "M", "params"]
    assert [cell.split()[:3] for cell in (cells[0], cells[1], cells[3])] == [
        ["r3d_18", "expensive", "1"],
        ["r2d_26", "cheap", "3"],
        ["fast_gru", "aggregator", "4"],
    ]
    assert last.endswith("of r3d_18 on each of these clips")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["faster"], "give its path, or faster16, faster32"),
        (["fastr16"], "did you mean 'faster16'"),
        (["faster16", "--input", "3x8x112x112"], "a model of several parts: leave the input out"),
        (["faster32", "--sampler", "motion", "--input", "3x8x9x9"], "cannot go with --input"),
        (["r3d_18", "--size", "3x4"], "--size goes with --seconds"),
        (["r3d_18", "--seconds", "0"], "a length, a frame rate and a size above 0"),
        (["r3d_18", "--seconds", "1e9"], "at most 10000000 frames"),
        (["r3d_18", "--seconds", "9", "--size", "64"], "height x width, such as 256x340"),
        (["r3d_18", "--seconds", "9", "--frame-rate", "1e9"], "written like 25, 29.97"),
        (["r3d_18", "--seconds", "9", "--frame-rate", "0"], "a frame rate and a size above 0"),
        (["r3d_18", "--seconds", "9", "--method", "faster/motion"], "give method 'faster'"),
        (["--papers", "--seconds", "9"], "--seconds goes with the name of a backbone"),
        (["resnet_18", "--seconds", "9"], "no clip classifier"),
    ],
)
def test_what_has_no_price_of_a_video_is_refused(words, message, capsys):
    assert main(["cost", *words]) == 2
    assert message in capsys.readouterr().err


def test_any_composition_is_priced_for_any_video(sample_video, capsys):
    parts = [
        "--cheap",
        "r2d_26",
        "--pattern",
        "1:7",
        "--context",
        "memory",
        "--aggregator",
        "fast_gru",
        "--k",
        "9",
    ]
    assert main(["cost", "r3d_18", *parts, "--json"]) == 0
    clips = json.loads(capsys.readouterr().out)
    assert sum(part["num_clips"] for part in clips["parts"][:2]) == 9
    info = Video(sample_video).info
    video = ["--seconds", str(info.duration_seconds), "--size", f"{info.height}x{info.width}"]
    video += ["--frame-rate", str(info.frame_rate)]
    assert main(["cost", "r3d_18", *parts, *video, "--method", "uniform", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    options = {"pattern": "1:7", "context": "memory", "aggregator": "fast_gru", "k": 9}
    answer = recognize(
        sample_video, model="r3d_18", cheap="r2d_26", random_weights=True, method="uniform",
        **options,
    )  # fmt: skip
    assert told["macs"] == answer.cost.macs
    assert told["dense_macs"] == answer.cost.dense_macs
    assert told["frame_rate"] == f"{info.frame_rate.numerator}/{info.frame_rate.denominator}"
    assert main(["cost", "r3d_18", *parts, *video]) == 0
    text = capsys.readouterr().out.splitlines()
    assert "method faster: " in text[1]
    assert text[2].endswith("of looking at every clip")


def test_the_paper_s_methods_are_priced_for_any_video(capsys):
    """SFC of its own video: 288 frames of 256 x 312, see below; FASTER sees its clips alone."""
    assert main(["cost", "sfc", "--seconds", "9.6", "--size", "256x312", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["input"] == [1, 3, 36, 256, 312]
    classifier = told["parts"][1]["macs"]
    assert main(["cost", "sfc", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["macs"] == told["macs"]
    assert classifier == 2048 * 400
    assert main(["cost", "faster16", "--seconds", "60", "--sampler", "motion", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["look"]["dense_macs"] == told["dense_macs"]
    assert main(["cost", "faster16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["macs"] == told["macs"]


def test_the_paper_s_compression_by_name(capsys):
    """SFC, tables 2 and 5: 247 G and 35.9 M, 1643 G of 30 crops; the rest is told, too."""
    assert main(["cost", "sfc", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "sfc"
    assert told["input"] == [1, 3, 36, 256, 312]
    assert told["params"] == 35_934_672
    assert told["macs"] - told["attention_macs"] == 245_788_737_536
    assert told["macs_with_2bn"] - told["attention_macs"] == 246_997_876_736
    assert told["compression"] == {
        "at": "res3",
        "ratio": "2",
        "params": 3_480_576,
        "num_steps": 36,
        "num_kept": 18,
    }
    assert told["views"]["input"] == [30, 3, 8, 256, 256]
    assert round(told["views"]["macs_with_2bn"] / 1e9) == 1643
    assert round(told["uncompressed"]["macs_with_2bn"] / 1e9, 1) == 304.8


@pytest.fixture(scope="module")
def sfc_file(tmp_path_factory):
    """A tiny network of 8 frames at stride 4; three steps of its map become one."""
    network = tiny_classifier(stride=4)
    compression = TemporalCompression(map_channels(network, "res3"), ratio=3)
    path = tmp_path_factory.mktemp("sfc") / "x.safetensors"
    save_model(sfc(Compressed(network, at="res3", compression=compression)), path)
    return path


def test_a_compressed_file_s_price(sfc_file, capsys):
    assert main(["cost", str(sfc_file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    backbone = tiny_classifier()
    assert told["input"] == [1, 3, 288 // 4, 32, 43]
    parts = told["compression"]
    assert (parts["at"], parts["ratio"]) == ("res3", "3")
    assert (parts["num_steps"], parts["num_kept"]) == (36, 12)
    assert told["params"] == parts["params"] + sum(p.numel() for p in backbone.parameters())
    once, clip = count(backbone, told["input"]), count(backbone, (3, 8, 32, 32))
    assert told["uncompressed"]["macs"] == once.macs > told["macs"]
    assert told["uncompressed"]["macs_with_2bn"] == once.macs_with_2bn
    assert told["views"]["macs"] == 30 * clip.macs
    assert told["attention_macs"] == 36 * 12 * 8 * (4 * 6 + 8 * 11)
    assert told["macs_with_2bn"] > told["macs"]


def test_a_compressed_file_s_price_is_what_an_answer_pays(sfc_file, sample_video, capsys):
    answer = recognize(sample_video, model=str(sfc_file), method="sfc", k=3)
    num_frames = sum(chosen.clip.num_valid for chosen in answer.clips)
    assert num_frames == 24
    assert main(["cost", str(sfc_file), "--json", "--input", "3x24x32x43"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["input"] == [1, 3, 24, 32, 43]
    assert told["macs"] == answer.cost.macs
    assert told["compression"]["num_kept"] == 4


def test_a_compressed_file_s_price_as_text(sfc_file, capsys):
    assert main(["cost", str(sfc_file)]) == 0
    first, shape, how, _, head, _, *cells, _, share, attention, mac, _ = (
        capsys.readouterr().out.splitlines()
    )
    assert first.endswith("input 1x3x72x32x43")
    assert shape == "288 frames of 256x312 in one pass, as the model sees them"
    assert how.startswith("compressed 3 to 1 after res3: 36 steps to 12, 0.")
    assert head.split() == ["MMACs", "MAC+2BN"]
    names = ("one", "of it attention's", "without them", "one pass, nothing", "10 clips x 3 crops")
    assert len(cells) == len(names)
    for cell, name in zip(cells, names, strict=True):
        assert cell.strip().startswith(name), cell
    assert "10 clips x 3 crops, 3x8x32x32" in cells[-1]
    assert "of 10 clips x 3 crops" in share
    assert "of the pass that compresses nothing" in share
    assert attention.startswith("attention's own products are ")
    assert mac.startswith("MAC: ")
    assert main(["cost", str(sfc_file), "--input", "3x16x32x32"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("input 1x3x16x32x32")


@pytest.mark.parametrize(
    ("transform", "shape"),
    [
        (Transform(short_side=64), (72, 64, 78)),
        (Transform(resize_to=(48, 60)), (72, 48, 60)),
        (Transform(short_side=64, crop=(64, 64)), (72, 64, 64)),
        (Transform(), (72, 256, 312)),
    ],
)
def test_the_video_that_is_priced_is_the_paper_s_as_the_model_sees_it(transform, shape):
    model = compressed(tiny_classifier(stride=4))
    model.transform = transform
    assert whole_input(model) == (1, 3, *shape)


def test_a_video_is_as_long_as_a_model_needs():
    model = compressed(tiny_classifier(stride=100))
    assert whole_input(model)[2] == model.min_frames == 8
    slowfast = create_backbone("slowfast_r50_8x8", num_classes=4, width=8)
    slowfast.clip = replace(slowfast.clip, stride=7)
    assert whole_input(compressed(slowfast))[2] == 44  # 288 // 7 = 41, in fours


def test_networks_that_see_clips_of_one_length_only(tmp_path):
    pytest.importorskip("transformers")
    from tiny_hf import build, write
    from vidskim.backbones.files.checkpoint import load_backbone

    write(build("vivit"), tmp_path)
    network = load_backbone(f"hf:{tmp_path}")
    model = compressed(network)
    shape = whole_input(model)
    T = network.clip.num_frames
    assert shape[2] % T == 0
    assert 0 <= shape[2] - 288 // network.clip.stride < T
    cost = whole_cost(model, name="vivit", input_shape=(3, 3 * T, *shape[3:]))
    frames = torch.zeros(1, 3, 3 * T, *shape[3:], device="meta")
    with MacCounter() as counter, torch.no_grad():
        ghost = on_meta(model)
        features, _, num_steps = ghost.attend(iter([frames]))
        ghost.classify(features)
    assert cost.one_pass.counted.macs == counter.macs
    assert cost.one_pass.num_steps == num_steps


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input", "3x16x32"], "takes channels x frames x height x width, got 3x16x32"),
        (["--input", "4x16x32x32"], "does not take an input of shape"),
        (["--sampler", "motion", "--input", "3x16x32x32"], "cannot go with --input"),
    ],
)
def test_what_no_whole_video_is_or_takes_is_refused(sfc_file, words, message, capsys):
    assert main(["cost", str(sfc_file), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def rows():
    return paper_rows()


def test_the_papers_figures_beside_ours(rows):
    for row in rows:
        error = abs(row.ours - row.published) / row.published
        limits = {"reproduced": (0, 0.02), "close": (0.02, 0.05), "not reproducible": (0.05, 99)}
        low, high = limits[row.verdict]
        assert low - 1e-3 <= error <= high + 1e-3, row
        assert row.counter in ("MAC", "MAC+2BN", "parameters")
        assert (row.unit == "M") == (row.counter == "parameters")
    assert {row.counter for row in rows if row.paper != "SFC"} == {"MAC", "parameters"}
    assert {row.paper for row in rows} == {"SCSampler", "FASTER", "Collaborative memory", "SFC"}
    labels = [(row.paper, row.table, row.row) for row in rows]
    assert len(set(labels)) == len(labels)


def test_what_does_not_fit_is_known_and_explained(rows):
    found = {(r.paper, r.row): r.verdict for r in rows if r.verdict != "reproduced"}
    assert found == {
        ("SCSampler", "I3D-RGB"): "close",
        ("SCSampler", "MC3-18 on all clips"): "not reproducible",
        ("SCSampler", "sampler"): "not reproducible",
        ("FASTER", "R2D-26, 16 frames"): "not reproducible",
        ("FASTER", "I3D (cited)"): "close",
        ("SFC", "TPN-50 8x8, SFC"): "close",
        ("SFC", "res1234 / res5"): "close",
        ("SFC", "res12 / res345"): "close",
        ("SFC", "res1 / res2345"): "close",
    }
    assert all(row.note for row in rows if row.verdict != "reproduced")


def test_table_4_of_faster_is_met_in_every_digit_but_its_misprint(rows):
    cells = [row for row in rows if row.table.startswith("Table 4") and row.paper == "FASTER"]
    assert len(cells) == 15
    (misprint,) = [row for row in cells if row.ours != row.published]
    assert (misprint.published, misprint.ours) == (980.2, 980.8)
    assert "misprint of 980.8" in misprint.note


def test_collaborative_memory_is_met_in_the_printed_digit(rows):
    cells = [row for row in rows if row.paper == "Collaborative memory" and row.unit == "GMACs"]
    assert len(cells) == 18
    off = {row.row: row.ours for row in cells if round(row.ours) != row.published}
    assert off == {"SlowFast-101 8x8 (cited)": 106.514}  # printed: 106


def test_the_caveats_are_told(rows):
    notes = " ".join(row.note for row in rows)
    figures = "304.8 G", "19%", "219.6, 173.1, 149.9", "170.0 G", "4063 G", "305.2 G", "374.8 G"
    for figure in figures:
        assert figure in notes, figure
