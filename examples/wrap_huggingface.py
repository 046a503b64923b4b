"""A Hugging Face model's own module as an encoder, its tokens as maps, so that FAST-GRU goes on."""

import sys

import torch
from torch import Tensor
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

import vidskim
from vidskim import ClipSpec, Transform

SIDE, FRAMES, PATCH, TUBELET = 64, 16, 16, 2


def maps(module: VideoMAEForVideoClassification, x: Tensor) -> Tensor:
    """Tokens of clips ``[N, 3, T, H, W]`` in their places, ``[N, C, T', H', W']``."""
    tokens = module.videomae(x.transpose(1, 2)).last_hidden_state
    return tokens.transpose(1, 2).unflatten(2, (FRAMES // TUBELET, SIDE // PATCH, SIDE // PATCH))


def logits(module: VideoMAEForVideoClassification, maps: Tensor) -> Tensor:
    mean = maps.flatten(2).mean(2)
    return module.classifier(mean if module.fc_norm is None else module.fc_norm(mean))


def main(path: str) -> None:
    torch.manual_seed(0)
    config = VideoMAEConfig(  # type: ignore[call-arg]  # or from_pretrained(...)
        image_size=SIDE, num_frames=FRAMES, hidden_size=48, num_hidden_layers=2, num_labels=3,
        num_attention_heads=4, intermediate_size=96,
    )  # fmt: skip
    encoder = vidskim.wrap(
        VideoMAEForVideoClassification(config),
        name="videomae",
        clip=ClipSpec(FRAMES, 2, (SIDE, SIDE)),
        transform=Transform(short_side=SIDE, crop=(SIDE, SIDE)),
        classes=3,
        features=maps,
        classify=logits,
    )
    model = vidskim.Model([encoder], context=vidskim.CollaborativeMemory(48))
    print(vidskim.recognize(path, model=model, method="uniform", k=4).to_json()["predictions"])


if __name__ == "__main__":
    main(sys.argv[1])
