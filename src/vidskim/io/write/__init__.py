"""Tensors and packets to files."""
