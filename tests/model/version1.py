"""Files as version 1 wrote them: FASTER, a backbone with a memory, one with a compression."""

from pathlib import Path
from typing import Any

from vidskim.backbones.files.header import describe_network, write_tensors
from vidskim.model.model import Model


def write_faster(model: Model, path: Path, *, metadata: dict[str, Any] | None = None) -> None:
    aggregator: Any = model.aggregator
    header = {
        "encoders": [describe_network(encoder) for encoder in model.networks],
        "adapters": [{"places": adapter.places} for adapter in model.adapters],
        "aggregator": {
            "name": aggregator.name,
            "channels": aggregator.channels,
            "num_classes": aggregator.num_classes,
            "options": aggregator.options,
        },
        "pattern": str(model.pattern),
        "num_clips": model.card.num_clips,
        "metadata": metadata or {},
    }
    write_tensors(model.state_dict(), path, header=header)


def write_memory(model: Any, path: Path, *, metadata: dict[str, Any] | None = None) -> None:
    """Of a `vidskim.train.multi_clip.MultiClip`."""
    header = {
        "backbone": describe_network(model.backbone),
        "memory": None if model.memory is None else model.memory.options,
        "num_clips": model.num_clips,
        "is_multilabel": model.is_multilabel,
        "metadata": metadata or {},
    }
    write_tensors(model.state_dict(), path, header=header)


def write_compressed(model: Any, path: Path, *, metadata: dict[str, Any] | None = None) -> None:
    header = {
        "compressed": describe_network(model.backbone),
        "at": model.at,
        "compression": model.compression.options,
        "whole": model.transform.to_dict(),
        "segments": model.segments,
        "stride": model.stride,
        "metadata": metadata or {},
    }
    write_tensors(model.state_dict(), path, header=header)
