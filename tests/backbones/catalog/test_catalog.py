"""The catalog of published weights: what every record must be, whatever its publisher."""

import re
from collections import Counter
from urllib.parse import urlsplit

import pytest

from vidskim.account import count
from vidskim.backbones import list_networks
from vidskim.backbones.catalog import CATALOG, PUBLISHERS
from vidskim.backbones.catalog.record import OWN_NAMES, kinetics400_classes
from vidskim.backbones.layouts import LAYOUTS
from vidskim.backbones.registry import shapes_of
from vidskim.backbones.resolution import map_size

RECORDS = [weights for found in CATALOG.values() for weights in found]
NAMES = [weights.name for weights in RECORDS]

# From PySlowFast's kinetics_classnames.json: class to row of the head, every name that sorts oddly
# (parentheses, capitals, an apostrophe) and a sample of the others.
PYSLOWFAST_ROWS = {
    "abseiling": 0,
    "air drumming": 1,
    "arm wrestling": 6,
    "bandaging": 13,
    "bee keeping": 17,
    "belly dancing": 18,
    "blowing out candles": 27,
    "brush painting": 35,
    "capoeira": 43,
    "catching or throwing softball": 50,
    "changing wheel": 53,
    "clapping": 57,
    "clay pottery making": 58,
    "cleaning windows": 65,
    "counting money": 74,
    "cutting nails": 81,
    "deadlifting": 88,
    "decorating the christmas tree": 89,
    "dribbling basketball": 99,
    "dying hair": 108,
    "eating ice cream": 115,
    "egg hunting": 118,
    "exercising with an exercise ball": 120,
    "flying kite": 130,
    "garbage collecting": 136,
    "golf putting": 143,
    "headbanging": 149,
    "high jump": 151,
    "hopscotch": 156,
    "hurling (sport)": 161,
    "jogging": 168,
    "jumpstyle dancing": 173,
    "krumping": 179,
    "long jump": 182,
    "marching": 192,
    "massaging person's head": 196,
    "milking cow": 197,
    "news anchoring": 202,
    "parkour": 207,
    "passing American football (in game)": 208,
    "passing American football (not in game)": 209,
    "peeling apples": 210,
    "petting animal (not cat)": 212,
    "petting cat": 213,
    "playing accordion": 217,
    "playing cricket": 227,
    "playing kickball": 237,
    "playing squash or racquetball": 245,
    "playing xylophone": 252,
    "punching bag": 258,
    "punching person (boxing)": 259,
    "push up": 260,
    "riding or walking with horse": 273,
    "rock scissors paper": 279,
    "shaking head": 289,
    "sharpening knives": 290,
    "shooting basketball": 296,
    "shooting goal (soccer)": 297,
    "shot put": 298,
    "ski jumping": 307,
    "skiing (not slalom or crosscountry)": 308,
    "skiing crosscountry": 309,
    "skiing slalom": 310,
    "spray painting": 327,
    "spraying": 328,
    "springboard diving": 329,
    "swinging on something": 344,
    "tai chi": 346,
    "tap dancing": 349,
    "throwing discus": 358,
    "trapezing": 364,
    "tying bow tie": 368,
    "tying knot (not on a tie)": 369,
    "tying tie": 370,
    "using computer": 373,
    "using remote controller (not gaming)": 374,
    "using segway": 375,
    "vault": 376,
    "water sliding": 384,
    "weaving basket": 390,
    "wrestling": 395,
    "yoga": 398,
    "zumba": 399,
}


def test_names_are_unique_and_nothing_is_lost_between_publishers():
    assert len(RECORDS) == sum(len(publisher.WEIGHTS) for publisher in PUBLISHERS)
    assert [name for name, times in Counter(NAMES).items() if times > 1] == []
    files = Counter(weights.filename for weights in RECORDS)
    assert [name for name, times in files.items() if times > 1] == []
    urls = Counter(weights.url for weights in RECORDS)
    assert [url for url, times in urls.items() if times > 1] == []


@pytest.mark.parametrize("weights", RECORDS, ids=NAMES)
def test_a_record_says_all_that_is_needed(weights):
    assert weights.backbone in list_networks()
    assert re.fullmatch(r"[a-z0-9-]+", weights.id)
    assert re.fullmatch(r"[\w.-]+\.(pth|pyth|pkl|pt)", weights.filename)
    for address in (weights.url, weights.source):
        assert urlsplit(address).scheme == "https"
        assert " " not in address
    assert weights.is_manual == ("drive.google.com" in weights.url)
    if weights.sha256_prefix is not None:
        assert re.fullmatch(r"[0-9a-f]{8}", weights.sha256_prefix)
        assert weights.filename.endswith(f"-{weights.sha256_prefix}.pth")
    assert weights.top1 is None or 0.5 < weights.top1 < 0.9
    assert weights.protocol
    assert weights.license_name in {"BSD-3-Clause", "MIT", "Apache-2.0", "not stated"}
    says_views = not re.search(
        r"does not give|no accuracy|none is published|original", weights.protocol
    )
    assert (weights.views is not None) == says_views
    assert weights.transform.channel_order == "rgb"
    layouts = {layout.publisher for layout in LAYOUTS.get(weights.backbone, ())}
    assert weights.layout in {None, OWN_NAMES, *layouts}


@pytest.mark.parametrize("weights", RECORDS, ids=NAMES)
def test_only_classes_of_kinetics_have_names(weights):
    ends_on_kinetics = weights.dataset.endswith("Kinetics-400")
    if weights.classes is None:
        return
    assert ends_on_kinetics
    assert weights.num_classes == len(weights.classes) == 400


def _cases():
    """Return records that differ in network, clip or window, one for each such case."""
    found = {}
    for weights in RECORDS:
        key = (weights.backbone, str(weights.options), weights.clip, weights.head_window)
        found.setdefault(key, weights)
    return list(found.values())


@pytest.mark.parametrize("weights", _cases(), ids=lambda weights: weights.name)
def test_the_network_takes_the_clip_and_the_window_is_the_trained_map(weights):
    transform = weights.transform
    assert transform.crop == weights.clip.size
    assert min(transform.resize_to or (transform.short_side,)) >= transform.crop[0]
    backbone = shapes_of(weights.backbone, **weights.options)
    tested = map_size(backbone, weights.clip)
    if weights.head_window is not None:
        assert weights.head_window == map_size(backbone, backbone.clip)
        assert tested > weights.head_window


def _cost_at_test(name):
    """Count a CSN of VMZ on the clips it is tested on, all of its records being alike."""
    ((clip, window),) = {(w.clip, w.head_window) for w in CATALOG[name] if w.publisher == "VMZ"}
    network = shapes_of(name)
    network.head_window = window
    return count(network, clip.input_shape).macs


def test_csn_is_tested_at_the_size_whose_cost_vmz_prints():
    # tutorials/test.md: "FLOPs: 96.715669504" under the command that gives the published accuracy
    assert _cost_at_test("ir_csn_152") == 96_715_669_504
    assert round(_cost_at_test("ip_csn_152") / 1e9, 1) == 108.8  # c2/tutorials/model_zoo.md


def test_the_order_of_classes_is_that_of_pyslowfast():
    classes = kinetics400_classes()
    assert len(classes) == len(set(classes)) == 400
    assert list(classes) == sorted(classes)
    assert {name: classes.index(name) for name in PYSLOWFAST_ROWS} == PYSLOWFAST_ROWS


def test_the_order_of_classes_is_that_of_torchvision():
    torchvision = pytest.importorskip("torchvision", reason="the oracle: make oracle")
    video = torchvision.models.video
    for weights in (video.R3D_18_Weights, video.S3D_Weights):
        assert tuple(weights.KINETICS400_V1.meta["categories"]) == kinetics400_classes()


def test_s3d_is_recorded_as_torchvision_has_it():
    torchvision = pytest.importorskip("torchvision", reason="the oracle: make oracle")
    theirs = torchvision.models.video.S3D_Weights.KINETICS400_V1
    (ours,) = CATALOG["s3d"]
    assert ours.url == theirs.url
    assert ours.top1 == pytest.approx(theirs.meta["_metrics"]["Kinetics-400"]["acc@1"] / 100)
    assert ours.size_megabytes == pytest.approx(theirs.meta["_file_size"], abs=0.1)
    preset = theirs.transforms()
    assert list(ours.transform.crop) == preset.crop_size
    assert list(ours.transform.resize_to) == preset.resize_size
    assert list(ours.transform.mean) == preset.mean


def test_defaults_are_the_authors_own_where_a_program_can_fetch_them():
    defaults = {name: found[0] for name, found in CATALOG.items()}
    assert defaults["slowfast_r50_8x8"].publisher == "PySlowFast"
    assert defaults["r2plus1d_34"].id == "ig65m-k400"
    by_hand = {name for name, weights in defaults.items() if weights.is_manual}
    assert by_hand == {"slow_r50_16x4", "slow_r50_32x2", "tpn_r50_16x4", "tpn_r50_32x2"}
