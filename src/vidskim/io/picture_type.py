"""Picture types read from the first bits of a packet, without decoding it.

H.264 and MPEG-4 Part 2 say in the first bits of a picture whether it is coded on its own (I), from
the past (P) or from both sides (B). Sources: ITU-T H.264, 7.3.3 (slice header: first_mb_in_slice,
slice_type, both Exp-Golomb coded); ISO/IEC 14496-2, 6.2.5 (vop_coding_type, two bits).
"""

from collections.abc import Callable

_H264_SLICE_TYPES = "PBIPI"  # P, B, I, SP, SI; five to nine repeat them
_MPEG4_VOP_TYPES = "IPBP"  # I, P, B, S (sprite: predicted)
_HEAD_BYTES = 512
"""Start codes are looked for this far into a packet before all of it is searched."""


def picture_type_reader(codec: str, extradata: bytes | None) -> Callable[[memoryview], str]:
    """Return the function that tells the type of one packet of a codec.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: the stream's codec configuration record, if any.

    Returns:
        A function from a packet's bytes to ``"I"``, ``"P"``, ``"B"`` or ``"?"`` (not told).
    """
    if codec == "h264":
        if extradata and extradata[0] == 1 and len(extradata) > 4:  # avcC: lengths, no start codes
            length_bytes = (extradata[4] & 3) + 1
            return lambda view: _h264_with_lengths(view, length_bytes)
        return _h264_with_start_codes
    if codec == "mpeg4":
        return _mpeg4
    if codec == "vp8":
        return lambda view: "IP"[view[0] & 1]
    return lambda view: "?"


def _h264_with_lengths(view: memoryview, length_bytes: int) -> str:
    """Find the first slice among units that are each preceded by their length."""
    position, end = 0, len(view)
    while position + length_bytes + 1 < end:
        head = bytes(view[position : position + length_bytes + 9])
        unit_type = head[length_bytes] & 31
        if unit_type == 1 or unit_type == 5:
            return _h264_slice_type(head[length_bytes + 1 :])
        position += length_bytes + int.from_bytes(head[:length_bytes], "big")
    return "?"


def _h264_with_start_codes(view: memoryview) -> str:
    """Find the first slice among units that are each preceded by 00 00 01."""
    for data in (bytes(view[:_HEAD_BYTES]), bytes(view)):
        position = data.find(b"\0\0\1")
        while 0 <= position < len(data) - 12:
            if data[position + 3] & 31 in (1, 5):
                return _h264_slice_type(data[position + 4 : position + 12])
            position = data.find(b"\0\0\1", position + 3)
    return "?"


def _h264_slice_type(head: bytes) -> str:
    """Skip one Exp-Golomb number, first_mb_in_slice, and read the next, slice_type."""
    bits = int.from_bytes(head, "big")
    left = 8 * len(head)
    for _ in range(2):
        zeros = left - bits.bit_length()
        left -= 2 * zeros + 1
        if left < 0:
            return "?"
        value, bits = (bits >> left) - 1, bits & ((1 << left) - 1)
    return _H264_SLICE_TYPES[value % 5] if value < 10 else "?"


def _mpeg4(view: memoryview) -> str:
    """Find the video object plane, 00 00 01 B6; its type is the two bits that follow."""
    for data in (bytes(view[:_HEAD_BYTES]), bytes(view)):
        position = data.find(b"\0\0\1\xb6")
        if 0 <= position < len(data) - 4:
            return _MPEG4_VOP_TYPES[data[position + 4] >> 6]
    return "?"
