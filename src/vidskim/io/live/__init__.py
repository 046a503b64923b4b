"""A file that is still written or sent."""
