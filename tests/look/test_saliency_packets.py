import numpy as np
import pytest

from vidskim import Video
from vidskim.look.packets import PacketSaliency, packet_scores


def test_a_hand_made_stream():
    """Two groups of pictures, I P B P; in the second one the P's are four times larger."""
    types = np.array(list("IPBPIPBP"))
    sizes = np.array([900, 100, 10, 100, 900, 400, 10, 400])
    # medians: I 900, P 250, B 10; octaves of P: log2(100 / 250), log2(400 / 250)
    scores = packet_scores(sizes, types, spans=[(0, 4), (4, 8), (2, 6)])
    low, high = np.log2(100 / 250), np.log2(400 / 250)
    raw = np.array([2 * low / 3, 2 * high / 3, (0 + low + high) / 3])
    assert scores == pytest.approx((raw - raw.min()) / (raw.max() - raw.min()))


def test_types_are_not_compared():
    """A stretch of B-pictures is not dull because B-pictures are small."""
    types = np.array(list("PPBB"))
    sizes = np.array([1000, 1000, 10, 40])
    scores = packet_scores(sizes, types, spans=[(0, 2), (2, 3), (3, 4)])
    assert scores == pytest.approx([0.5, 0.0, 1.0])


@pytest.mark.parametrize("first_key", [50, 5000])
def test_key_pictures_count_only_where_there_is_nothing_else(first_key):
    types = np.array(list("IPIIPP"))
    sizes = np.array([first_key, 10, 400, 400, 40, 10])
    # medians: P 10, I 400; octaves: P 0 | keys 0, 0 | P 2, 0
    scores = packet_scores(sizes, types, spans=[(0, 2), (2, 4), (4, 6)])
    assert scores.tolist() == [0, 0, 1]
    keys_only = packet_scores(sizes, types, spans=[(0, 1), (2, 4), (1, 2)])
    assert keys_only.argmax() == (0 if first_key > 400 else 1)


@pytest.mark.parametrize("spans", [[], [(0, 4)], [(0, 2), (2, 4)]])
def test_stretches_that_nothing_tells_apart_score_a_half(spans):
    scores = packet_scores(np.full(4, 7), np.array(list("PPPP")), spans=spans)
    assert scores.tolist() == [0.5] * len(spans)


def test_empty_packets_do_not_break_the_logarithm():
    scores = packet_scores(np.array([0, 8]), np.array(["?", "?"]), spans=[(0, 1), (1, 2)])
    assert scores.tolist() == [0.0, 1.0]


def test_a_video_is_scored_without_decoding_it(sample_video):
    video = Video(sample_video)
    clips = video.clips(num_frames=16, stride=2)
    scores = PacketSaliency()(video, clips)
    index = video.packets
    spans = [(clip.start_frame, min(clip.start_frame + 32, 300)) for clip in clips]
    expected = packet_scores(index.sizes, index.picture_types, spans=spans)
    assert scores.numpy() == pytest.approx(expected, abs=1e-6)
    assert video.stats.frames_decoded == 0
