"""The command line: verbs, their arguments, and how they meet the terminal."""

from vidskim.cli.main import main

__all__ = ["main"]
