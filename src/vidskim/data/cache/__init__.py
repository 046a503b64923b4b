"""What is read or answered once and kept on disk."""
