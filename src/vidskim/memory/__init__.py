"""Collaborative memory: the clips of one video share what each of them saw.

``context`` is the memory itself, written by all clips and read by each; ``collaborative`` puts it
at the last map of a backbone; ``file`` is that model in one file.
"""

from vidskim.memory.collaborative import Collaborative, memory_channels
from vidskim.memory.context import CollaborativeMemory, Memory
from vidskim.memory.file import is_collaborative, load_collaborative, save_collaborative

__all__ = [
    "Collaborative",
    "CollaborativeMemory",
    "Memory",
    "is_collaborative",
    "load_collaborative",
    "memory_channels",
    "save_collaborative",
]
