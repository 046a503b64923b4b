"""Clip classifiers under one contract: by name, with or without published weights."""

from vidskim.backbones.catalog.weights import (
    OFFICIAL_WEIGHTS,
    Weights,
    fetch,
    find_weights,
    list_weights,
)
from vidskim.backbones.contract import Backbone, ClipSpec, split_at
from vidskim.backbones.files.checkpoint import load_backbone, read_header, save_backbone
from vidskim.backbones.registry import create_backbone, list_backbones, list_networks
from vidskim.backbones.resolution import set_test_size

__all__ = [
    "OFFICIAL_WEIGHTS",
    "Backbone",
    "ClipSpec",
    "Weights",
    "create_backbone",
    "fetch",
    "find_weights",
    "list_backbones",
    "list_networks",
    "list_weights",
    "load_backbone",
    "read_header",
    "save_backbone",
    "set_test_size",
    "split_at",
]
