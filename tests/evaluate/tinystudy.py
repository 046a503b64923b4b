"""Classifiers, saliency networks and moments for the tiny set, as files that studies open."""

from dataclasses import replace
from pathlib import Path

import torch

from tinyset import CLASSES
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.checkpoint import save_backbone
from vidskim.backbones.files.fingerprint import weights_sha256
from vidskim.backbones.network import Network
from vidskim.backbones.registry import create_backbone
from vidskim.clips.transform import Transform
from vidskim.data.manifest import Row, read_manifest, write_manifest
from vidskim.look.sources import KeyFrames, LogMels, MotionMaps, Residuals, Source, to_json
from vidskim.video import Video

SOURCES: dict[str, Source] = {
    "motion": MotionMaps((6, 8)),
    "residual": Residuals((24, 32)),
    "keyframe": KeyFrames((24, 32)),
    "audio": LogMels(num_mels=8, num_steps=16),
}


def study_classifier(seed: int = 0, num_frames: int = 4) -> Network:
    """A classifier whose answers differ from clip to clip."""
    torch.manual_seed(seed)
    network = create_backbone("r3d_18", num_classes=2, width=4).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    network.fc.weight.data *= 0.5
    network.classes = CLASSES
    network.clip = ClipSpec(num_frames, 1, (24, 24))
    network.transform = Transform(short_side=24, crop=(24, 24))
    return network


def write_classifier(
    path: Path, manifest: Path, *, seed: int = 0, accuracy: float | None = 0.75
) -> Path:
    """Write one that is undecided about the clips of a set, with its accuracy on trimmed clips."""
    network = study_classifier(seed)
    logits = []
    for row in read_manifest(manifest, split="test").rows:
        video = Video(row.path)
        for _, frames in video.iter_frames(video.clips(num_frames=4)):
            logits.append(network(network.transform(frames)[None])[0].detach())
    found = torch.stack(logits)  # [clips, 2]
    scale = 2 / (found[:, 0] - found[:, 1]).std()
    network.fc.weight.data *= scale
    network.fc.bias.data = (network.fc.bias.data - found.mean(0)) * scale
    metrics = {} if accuracy is None else {"test_accuracy": accuracy, "protocol": "3 clips"}
    save_backbone(network, path, metadata={"metrics": metrics})
    return path


def write_network(
    path: Path,
    kind: str,
    *,
    network: str = "resnet_18",
    objective: str = "ac",
    joint: bool = False,
    weights: str | None = None,
    manifest: str | None = None,
    recipe: dict[str, object] | None = None,
    seed: int = 1,
) -> Path:
    """Write an untrained saliency network that says of itself what it is told to."""
    torch.manual_seed(seed)
    source = SOURCES[kind]
    options = {} if network in ("vggish", "l3_audio") else {"stem": "small"}
    made = create_backbone(
        network,
        num_classes=2 if objective == "ac" else 1,
        width=4,
        in_channels=source.channels,
        **options,
    ).eval()
    for parameter in made.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    told = {"model": "r3d_18", "weights_sha256": weights, "manifest_sha256": manifest}
    metadata = {
        "source": to_json(source),
        "objective": objective,
        "joint": joint,
        "trained_with": told,
        "recipe": recipe or {},
    }
    save_backbone(made, path, metadata=metadata)
    return path


def write_networks(folder: Path, *, manifest: str, weights: str) -> Path:
    """Write one checkpoint for each thing that a study tells apart."""
    folder.mkdir(parents=True, exist_ok=True)
    own = {"manifest": manifest}
    ranked = {"objective": "sal_rank", "weights": weights, **own}
    for n, kind in enumerate(("motion", "residual", "keyframe")):
        write_network(folder / f"{kind}_ac.safetensors", kind, seed=n, **own)
    write_network(
        folder / "motion_shuffle.safetensors", "motion", network="shufflenet_26", seed=7, **own
    )
    write_network(folder / "motion_rank.safetensors", "motion", seed=3, **ranked)
    write_network(folder / "audio_rank.safetensors", "audio", seed=4, **ranked)
    write_network(folder / "audio_ac.safetensors", "audio", seed=5, **own)
    write_network(
        folder / "audio_fc.safetensors",
        "audio",
        seed=6,
        recipe={"freeze": "fc1", "init": "audio.safetensors"},
        **ranked,
    )
    for kind in ("motion", "audio"):
        write_network(folder / f"joint_{kind}.safetensors", kind, joint=True, seed=8, **own)
    write_network(folder / "other_motion.safetensors", "motion", manifest="f" * 64, seed=9)
    return folder


def write_moments(manifest: Path) -> Path:
    """Write where the class shows: the second quarter of a second, and another half second."""
    rows = [
        replace(Row(row.path, row.labels, split=row.split), start_seconds=a, end_seconds=b)
        for row in read_manifest(manifest).rows
        for a, b in ((0.25, 0.5), (1.0, 1.5))
    ]
    path = manifest.with_name("moments.csv")
    write_manifest(rows, path)
    return path


def hash_of(classifier: Path) -> str:
    """Return the hash of a classifier's weights, as training writes it."""
    from vidskim.backbones.files.checkpoint import load_backbone

    return weights_sha256(load_backbone(checkpoint=classifier))
