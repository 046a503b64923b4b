"""The price of a look before there is a video, held to what a look at a real file counts."""

import numpy as np
import pytest

from tinynets import tiny_sampler
from vidskim import presets
from vidskim.account import Account, count
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.registry import create_backbone
from vidskim.cost.look import RESIDUALS, look_cost, networks_of, sampler_cost
from vidskim.cost.model import clip_of
from vidskim.errors import UsageError
from vidskim.io.write.video import write_video
from vidskim.look.network import NetworkSaliency
from vidskim.look.sampler import Sampler
from vidskim.look.sources import ALL_FRAMES, KeyFrames, MotionMaps, Residuals
from vidskim.video import Video

FRAMES, GOP, SIZE = 70, 12, (48, 64)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A ground that drifts by a pixel a frame, in groups of one I-frame and P-frames."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (12, 40, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    frames = [np.ascontiguousarray(ground[:, n : n + SIZE[1]]) for n in range(FRAMES)]
    path = tmp_path_factory.mktemp("moving") / "video.mp4"
    options = {"g": str(GOP), "bf": "0", "sc_threshold": "1000000000"}
    write_video(path, frames, codec="mpeg4", options=options)
    return path


@pytest.mark.parametrize("clip", [ClipSpec(8, 1, (32, 32)), ClipSpec(5, 3, (32, 32))])
@pytest.mark.parametrize("residuals", [1, 3, ALL_FRAMES])
def test_what_is_told_is_what_a_look_counts(moving, clip, residuals):
    networks = [
        NetworkSaliency(tiny_sampler(in_channels=2), MotionMaps()),
        NetworkSaliency(tiny_sampler(in_channels=3), Residuals((24, 32), residuals)),
        NetworkSaliency(tiny_sampler(in_channels=3), KeyFrames((24, 32))),
    ]
    sampler = Sampler(visual=tuple(networks))
    account = Account()
    look = presets.scsampler(sampler, k=2)
    look(Video(moving), num_frames=clip.num_frames, stride=clip.stride, account=account)
    told = look_cost(networks, clip=clip, num_frames=FRAMES, gop_frames=GOP, frame_size=SIZE)
    assert told.total == account.macs["look"]
    assert told.residuals == (None if residuals == ALL_FRAMES else residuals)


def test_a_minute_by_hand():
    networks = networks_of("motion,residual,audio")
    told = sampler_cost(networks, clip=clip_of("r3d_18"), clip_macs=40)
    assert told.num_clips == 113  # 1800 frames by 16, the half that is left over included
    assert told.dense_macs == 113 * 40
    assert [look.residuals for look in told.looks] == [*RESIDUALS[:-1], None]
    image = count(create_backbone("resnet_18"), (3, 112, 112)).macs
    assert [look.macs["residual"] // image for look in told.looks] == [113, 226, 452, 904, 1650]
    motion = count(create_backbone("resnet_18", in_channels=2), (2, 16, 22)).macs
    assert {look.macs["motion"] for look in told.looks} == {1650 * motion}
    assert {look.macs["audio"] for look in told.looks} == {
        113 * count(create_backbone("vggish"), (1, 40, 200)).macs
    }


def test_without_residuals_there_is_one_look():
    told = sampler_cost(networks_of("keyframe"), clip=clip_of("r3d_18"), clip_macs=1)
    (look,) = told.looks
    assert look.residuals is None
    assert told.to_json()["looks"][0]["look_macs"] == look.total == look.macs["keyframe"]


def test_an_image_network_has_no_dense():
    with pytest.raises(UsageError, match="no clip classifier"):
        clip_of("resnet_18")
