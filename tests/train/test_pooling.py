"""Average pooling beside an aggregator: means of probabilities, videos of any number of clips."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from tinynets import tiny_classifier
from vidskim.account import count
from vidskim.cost.video import video_count
from vidskim.data.cache.maps import Maps, VideoMaps
from vidskim.data.manifest import Row
from vidskim.model.aggregate import create_aggregator
from vidskim.model.presets import faster
from vidskim.model.schedule import parse_pattern
from vidskim.train.batches.maps import Turns, gather, placed
from vidskim.train.pooling import compare, write_answers

NUM_CLIPS = 4
PATTERN = parse_pattern("1:1")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    aggregator = create_aggregator("fast_gru", channels=32, num_classes=4)
    aggregator.head.weight.data *= 100
    encoders = [tiny_classifier(seed=seed) for seed in (0, 1)]
    return faster(encoders, aggregator, pattern=str(PATTERN), num_clips=NUM_CLIPS)


def maps_of(logits, *, seed):
    """Random maps with the logits given for each row, ``[M, K]``."""
    generator = torch.Generator().manual_seed(seed)
    videos = []
    for mine in logits:
        M = len(mine)
        maps = torch.randn(M, 32, 1, 2, 2, generator=generator).half()
        kept = {"maps": maps, "logits": torch.as_tensor(mine).float()}
        videos.append(VideoMaps(Path("x"), tuple(range(M)), M, kept))
    rows = tuple(Row(Path(f"{n}.mp4"), ("jump",)) for n in range(len(logits)))
    return Maps(rows, tuple(videos), frozenset({(32, 1, 2, 2)}))


def compared(model, expensive, cheap, truth):
    maps = (maps_of(expensive, seed=0), maps_of(cheap, seed=1))
    found = compare(model, maps, np.array(truth), turns=Turns(PATTERN), batch_size=2)
    return {method.name: method for method in found}, maps


def test_average_pooling_is_the_mean_of_probabilities_not_of_logits(model):
    loud, quiet = [9.0, 0, 0, 0], [0.0, 3, 0, 0]
    found, _ = compared(model, [[loud, quiet, quiet, quiet]], [[loud] * 4], [1])
    assert found["average_expensive"].guesses.tolist() == [1]  # the mean logit is largest for 0
    assert found["average_cheap"].guesses.tolist() == [0]
    assert found["average_expensive"].accuracy == 1
    assert found["average_cheap"].accuracy == 0


def test_average_pooling_takes_each_clip_s_own_encoder(model):
    say = torch.eye(4) * 5
    # 1:1 of four clips: the expensive encoder's first and third, the cheap one's second and fourth
    expensive, cheap = say[[2, 0, 2, 0]], say[[0, 2, 0, 3]]
    found, _ = compared(model, [expensive], [cheap], [2])
    assert found["average"].guesses.tolist() == [2]


def test_videos_of_any_number_of_clips(model):
    lengths = (1, 9, 4, 2, 4, 1)
    logits = [torch.randn(M, 4) for M in lengths]
    found, maps = compared(model, logits, logits, [0] * 6)
    seen = [placed(M, NUM_CLIPS) for M in lengths]
    assert [len(places) for places in seen] == [1, 4, 4, 2, 4, 1]
    with torch.inference_mode():
        alone = [
            int(model(gather(maps, [n], [places], turns=Turns(PATTERN))).argmax())
            for n, places in enumerate(seen)
        ]
    assert found["fast_gru"].guesses.tolist() == alone
    assert len(set(alone)) > 1
    whole = [count(network, (1, 3, 8, 32, 32)).macs for network in model.networks]
    assert found["average_expensive"].macs == whole[0] * 16 / 6
    assert found["fast_gru"].macs == pytest.approx(
        np.mean([video_count(model, num_clips=len(places)).macs for places in seen])
    )


def test_every_answer_is_written(model, tmp_path):
    logits = [torch.eye(4)[[n] * 4] for n in (1, 2)]
    found, maps = compared(model, logits, logits, [1, 1])
    write_answers(
        list(found.values()),
        maps[0],
        classes=("fall", "jump, high", "roll", "wave"),
        truth=np.array([1, 1]),
        folder=tmp_path,
    )
    with (tmp_path / "answers.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["path"], first["label"], first["start_seconds"]) == ("0.mp4", "jump, high", "")
    assert (first["average"], first["average_guess"]) == ("1", "jump, high")
    assert (second["average_cheap"], second["average_cheap_guess"]) == ("0", "roll")
    assert [p.name for p in tmp_path.iterdir()] == ["answers.csv"]
