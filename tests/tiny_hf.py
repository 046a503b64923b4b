"""Video transformers of the transformers library, small enough to be made in a test."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

transformers = pytest.importorskip("transformers")

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
ViT = {**SMALL, "intermediate_size": 40}
NAMES = ("jump", "run", "sit", "stand", "walk")
FAMILIES = {
    "videomae": ("VideoMAE", {**ViT, "image_size": [32, 48], "num_frames": 4}),
    "videomae-first": (
        "VideoMAE",
        {**ViT, "image_size": [32, 48], "num_frames": 4, "use_mean_pooling": False},
    ),
    "timesformer": ("Timesformer", {**ViT, "image_size": 32, "num_frames": 3}),
    "timesformer-joint": (
        "Timesformer",
        {**ViT, "image_size": 32, "num_frames": 3, "attention_type": "joint_space_time"},
    ),
    "vivit": ("Vivit", {**ViT, "image_size": [32, 48], "num_frames": 4}),
    "vjepa2": (
        "VJEPA2",
        {
            **SMALL,
            "crop_size": 32,
            "frames_per_clip": 6,
            "pred_hidden_size": 24,
            "pred_num_attention_heads": 4,
            "pred_num_hidden_layers": 1,
            "num_pooler_layers": 1,
        },
    ),
}
"""Sizes that differ in as many directions as a family allows."""


def build(case: str):
    """Return the library's own model with large random weights, zeros nowhere."""
    prefix, sizes = FAMILIES[case]
    config = getattr(transformers, f"{prefix}Config")(
        **sizes, id2label=dict(enumerate(NAMES)), label2id={n: i for i, n in enumerate(NAMES)}
    )
    torch.manual_seed(3)
    model = getattr(transformers, f"{prefix}ForVideoClassification")(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def write(model, folder: Path):
    """Put a model's files into a folder, as ``save_pretrained`` does, without its progress bar."""
    tensors = {k: v.detach().clone() for k, v in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    values = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    (folder / "config.json").write_text(json.dumps(values))


def clips(network, *, batch: int = 2):
    torch.manual_seed(1)
    return torch.randn(batch, *network.clip.input_shape[1:])
