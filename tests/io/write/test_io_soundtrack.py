"""Samples of stretches, cut out of chunks with gaps, against plain slices of an array."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidskim.io.samples import Chunk
from vidskim.io.write.soundtrack import _cut


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=8),
    st.lists(st.tuples(st.integers(0, 25), st.integers(1, 60)), min_size=1, max_size=5),
    st.sampled_from([1, 2]),
)
def test_every_sample_stands_in_its_place(pieces, spans, channels):
    track = np.zeros((1000, channels), np.float32)
    chunks, place = [], 0
    for gap, length in pieces:
        place += gap
        values = np.arange(place, place + length)[:, None] + np.arange(1, channels + 1) / 8
        track[place : place + length] = values
        samples = values.astype(np.float32)
        chunks.append(Chunk(place, samples[:, 0] if channels == 1 else samples))
        place += length
    ranges, place = [], 0
    for gap, length in spans:
        ranges.append(range(place + gap, place + gap + length))
        place += gap + length
    found = np.concatenate(list(_cut(iter(chunks), ranges, channels=channels)))
    expected = np.concatenate([track[wanted.start : wanted.stop] for wanted in ranges])
    assert np.array_equal(found, expected)
