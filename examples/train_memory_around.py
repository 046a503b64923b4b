"""A memory trained around a wrapped network, saved and loaded with it."""

import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import vidskim
from vidskim import ClipSpec, CollaborativeMemory, Model, Transform, Video


def main(path: str) -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv3d(3, 32, 3, stride=4), nn.ReLU())
    module = nn.ModuleDict({"body": body, "head": nn.Linear(32, 2)})
    encoder = vidskim.wrap(
        module,
        name="mine",
        clip=ClipSpec(8, 2, (64, 64)),
        transform=Transform(short_side=64, crop=(64, 64)),
        classes=("left", "right"),
        features="body",
        classify=lambda module, maps: module["head"](maps.mean((2, 3, 4))),
    )
    model = Model([encoder], context=CollaborativeMemory(32))
    video = Video(path)
    clips = torch.stack([encoder.transform(f) for _, f in video.iter_frames(video.clips(
        num_frames=8, stride=2)[:3])])  # fmt: skip
    maps = encoder.features(clips)[None].detach()  # [1, 3, C, T', H', W']: the network is frozen
    optimizer = torch.optim.Adam(model.context.parameters(), lr=0.01)
    for _ in range(20):
        shared = model.context.read(maps, model.context.write(maps))
        loss = cross_entropy(encoder.classify(shared[0]), torch.ones(3, dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "memory.safetensors"
        vidskim.save_model(model, file)
        again = vidskim.load_model(file, encoder=encoder)
    print(f"loss {loss.item():.3f}", vidskim.recognize(path, model=again, method="uniform").label)


if __name__ == "__main__":
    main(sys.argv[1])
