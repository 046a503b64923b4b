"""One file per task, and its recipe beside it."""
