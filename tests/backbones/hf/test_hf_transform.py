"""Frames are prepared as the files of Hugging Face models say."""

import json

import pytest
import torch

from vidskim.backbones.hf.transform import transform_of
from vidskim.errors import CheckpointError


@pytest.mark.parametrize(
    ("processor", "family", "values"),
    [
        (
            "VideoMAEImageProcessor",
            "videomae",
            {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.3, 0.2, 0.1]},
        ),
        ("VideoMAEImageProcessor", "videomae", {"do_normalize": False, "do_resize": False}),
        (
            "VideoMAEImageProcessor",
            "timesformer",
            {"image_mean": [0.45] * 3, "size": {"height": 40, "width": 44}},
        ),
        ("VivitImageProcessor", "vivit", {"rescale_factor": 1 / 127.5}),
        ("VivitImageProcessor", "vivit", {"offset": False, "rescale_factor": 1 / 255}),
        ("VivitImageProcessor", "vivit", {"do_rescale": False, "offset": False}),
    ],
)
def test_frames_are_prepared_as_the_librarys_processors_do(processor, family, values):
    pytest.importorskip("PIL")
    values = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, **values}
    torch.manual_seed(0)
    frames = torch.nn.functional.interpolate(
        torch.randint(0, 256, (3, 3, 8, 10)).float(), size=(64, 80), mode="bilinear"
    ).to(torch.uint8)
    made = getattr(pytest.importorskip("transformers"), processor)(**values)
    expected = torch.as_tensor(
        made([f.permute(1, 2, 0).numpy() for f in frames], return_tensors="pt")["pixel_values"][0]
    )
    described = json.loads(made.to_json_string())
    transform = transform_of(described, family=family, size=(32, 32), source="here")
    ours = transform(frames).transpose(0, 1)
    # a gray level more or less where resizing rounds
    level = float(expected.max() - expected.min()) / 255 * 1.5
    assert (ours - expected).abs().max() <= (level if values.get("do_resize", True) else 1e-5)


def test_defaults_are_those_of_the_published_models():
    def of(family):
        return transform_of(None, family=family, size=(224, 224), source="here")

    assert str(of("videomae")).startswith("resize short side to 224 (antialiased), center crop 224")
    assert of("timesformer").mean == pytest.approx((0.45, 0.45, 0.45))
    assert of("vjepa2").short_side == 256
    x = of("vivit")(
        torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 224, 224)
    )
    assert x[:, 0].unique().tolist() == pytest.approx([-3])  # to [-1, 1], then 0.5 and 0.5
    assert x[:, 1].unique().tolist() == pytest.approx([1])


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        ({"crop_size": 112}, "it crops to 112, the network takes 224x224"),
        ({"image_std": [0, 1, 1]}, "std is above zero"),
        ({"image_mean": [1, 2]}, "three values"),
        ({"size": {"longest_edge": 3}}, "unusable preprocessor"),
        ({"size": "large"}, "unusable preprocessor"),
        ({"do_flip_channel_order": True}, "BGR"),
        ({"rescale_factor": 0}, "unusable preprocessor"),
    ],
)
def test_unusable_preprocessors_are_refused(processor, message):
    with pytest.raises(CheckpointError, match=message):
        transform_of(processor, family="videomae", size=(224, 224), source="here")
