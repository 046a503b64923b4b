"""Checkpoints: our own files and those of other publishers."""
