"""vidskim."""
