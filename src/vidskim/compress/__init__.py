"""Selective feature compression: one pass over a whole video, compressed inside the network.

``attention`` is the compression itself; ``compressed`` puts it between two parts of a frozen
backbone; ``windows`` runs the early part over long videos piece by piece, with the answer of one
pass; ``file`` is that model in one file.
"""

from vidskim.compress.attention import Attention, TemporalCompression, attention_macs
from vidskim.compress.compressed import (
    Answer,
    Compressed,
    map_channels,
    map_shape,
    own_size,
    whole_frame,
)
from vidskim.compress.file import (
    is_compressed,
    load_compressed,
    read_compressed_metadata,
    save_compressed,
)

__all__ = [
    "Answer",
    "Attention",
    "Compressed",
    "TemporalCompression",
    "attention_macs",
    "is_compressed",
    "load_compressed",
    "map_channels",
    "map_shape",
    "own_size",
    "read_compressed_metadata",
    "save_compressed",
    "whole_frame",
]
