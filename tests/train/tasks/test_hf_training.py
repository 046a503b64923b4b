"""A transformer of Hugging Face as the start of a training."""

import pytest
import torch

from tiny_hf import build, write
from vidskim.backbones import load_backbone
from vidskim.errors import UsageError
from vidskim.train.tasks.clips import train_clips


def test_a_transformer_is_tuned_and_read_without_its_folder(clip_recipe, tmp_path):
    model = build("videomae")
    (tmp_path / "hub").mkdir()
    write(model, tmp_path / "hub")
    config = model.config
    recipe = clip_recipe(
        tmp_path / "run",
        model=f"hf:{tmp_path / 'hub'}",
        width=None,
        num_frames=config.num_frames,
        short_side=48,
        crop_height=config.image_size[0],
        crop_width=config.image_size[1],
        steps=3,
    )
    with pytest.raises(UsageError, match=r"width is 8, that of hf:.* is fixed"):
        train_clips(clip_recipe(tmp_path / "wide", model=recipe.model, width=8))
    train_clips(recipe)
    before = load_backbone(recipe.model)
    for path in (tmp_path / "hub").iterdir():
        path.unlink()
    tuned = load_backbone(checkpoint=tmp_path / "run" / "model.safetensors")
    assert tuned.classes is not None
    assert tuned.classes != before.classes
    assert tuned.transform.mean == before.transform.mean
    changed = [
        key
        for key, value in tuned.state_dict().items()
        if before.state_dict()[key].shape == value.shape
        and not torch.equal(before.state_dict()[key], value)
    ]
    assert len(changed) > 10
