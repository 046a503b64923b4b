"""Cheap scores for every clip: packet sizes, motion energy, and SCSampler's trained networks."""
