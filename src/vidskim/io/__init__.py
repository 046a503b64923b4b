"""Bytes to tensors: the only folder that imports ``av``."""
