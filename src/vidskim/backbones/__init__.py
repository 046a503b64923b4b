"""Clip classifiers under one contract: by name, with or without published weights."""

from vidskim.backbones.contract import Backbone, ClipSpec, split_at
from vidskim.backbones.registry import create_backbone, list_backbones, list_networks

__all__ = ["Backbone", "ClipSpec", "create_backbone", "list_backbones", "list_networks", "split_at"]
