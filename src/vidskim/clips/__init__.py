"""The time line and the frames on it: where candidate clips lie, transforms, crops."""
