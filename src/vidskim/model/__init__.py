"""What is around the encoders: aggregators, memory, compression, and their files."""
