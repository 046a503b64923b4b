"""Picture types read from the first bits of a packet, without decoding it.

H.264, HEVC and MPEG-4 Part 2 say in the first bits of a picture whether it is coded on its own (I),
from one side (P) or from both (B). Sources: ITU-T H.264, 7.3.1 and 7.3.3; ITU-T H.265, 7.3.1.2 and
7.3.6.1 (of HEVC, slices are taken to have no extra header bits, as every common encoder writes
them); ISO/IEC 14496-2, 6.2.5; RFC 6386, 9.1 (VP8).
"""

from collections.abc import Callable

TypeReader = Callable[[memoryview], str]

_HEAD_BYTES = 512
"""Start codes are looked for this far into a packet before all of it is searched."""
_UNIT_BYTES = 12
"""A slice's type lies within this many bytes of its unit."""


def picture_type_reader(codec: str, extradata: bytes | None) -> TypeReader:
    """Return the function that tells the type of one packet of a codec.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: the stream's codec configuration record, if any.

    Returns:
        A function from a packet's bytes to ``"I"``, ``"P"``, ``"B"`` or ``"?"`` (not told); lower
        case where no other picture refers to this one, so that it may be left undecoded.
    """
    if codec == "h264":
        return _unit_reader(_h264_type, extradata or b"", length_at=4)
    if codec == "hevc":
        return _unit_reader(_hevc_type, extradata or b"", length_at=21)
    if codec == "mpeg4":
        return _mpeg4_type
    if codec == "vp8":
        return lambda view: "IP"[view[0] & 1]
    return lambda view: "?"


def _unit_reader(
    unit_type: Callable[[bytes], str | None], extradata: bytes, *, length_at: int
) -> TypeReader:
    """Return the reader for packets of units (NAL units), in either of their two wrappings.

    Args:
        unit_type: from a unit's first bytes to a type, or None if it is no slice.
        extradata: the configuration record (avcC, hvcC), which opens with 1; without one, units
            follow start codes.
        length_at: where the record tells how many bytes a unit's length takes.
    """
    if len(extradata) <= length_at or extradata[0] != 1:
        return lambda view: _after_start_codes(view, unit_type)
    num_bytes = (extradata[length_at] & 3) + 1
    return lambda view: _after_lengths(view, num_bytes, unit_type)


def _after_lengths(
    view: memoryview, num_bytes: int, unit_type: Callable[[bytes], str | None]
) -> str:
    """Find the first slice among units that are each preceded by their length."""
    position, end = 0, len(view)
    while position + num_bytes < end:
        head = bytes(view[position : position + num_bytes + _UNIT_BYTES])
        kind = unit_type(head[num_bytes:])
        if kind is not None:
            return kind
        position += num_bytes + int.from_bytes(head[:num_bytes], "big")
    return "?"


def _after_start_codes(view: memoryview, unit_type: Callable[[bytes], str | None]) -> str:
    """Find the first slice among units that are each preceded by 00 00 01."""
    for data in (bytes(view[:_HEAD_BYTES]), bytes(view)):
        end = len(data) - 3 if len(data) == len(view) else len(data) - 3 - _UNIT_BYTES
        position = data.find(b"\0\0\1")
        while 0 <= position < end:
            kind = unit_type(data[position + 3 : position + 3 + _UNIT_BYTES])
            if kind is not None:
                return kind
            position = data.find(b"\0\0\1", position + 3)
    return "?"


def _h264_type(unit: bytes) -> str | None:
    """Read slice_type, the second number of a slice; nal_ref_idc 0 says nothing refers to it."""
    if unit[0] & 31 not in (1, 5):
        return None
    slice_type = _exp_golomb(unit[1:], skip_bits=0, index=1)
    if slice_type > 9:
        return "?"
    kind = "PBIPI"[slice_type % 5]  # P, B, I, SP, SI
    return kind if unit[0] & 0x60 else kind.lower()


def _hevc_type(unit: bytes) -> str | None:
    """Read slice_type, which follows one or two flags and the number of the parameter set."""
    kind = unit[0] >> 1 & 63
    if kind > 21:
        return None
    slice_type = _exp_golomb(unit[2:], skip_bits=2 if kind > 15 else 1, index=1)
    return "BPI"[slice_type] if slice_type < 3 else "?"


def _mpeg4_type(view: memoryview) -> str:
    """Read the two bits that follow 00 00 01 B6: I, P, B (never referred to) or S (sprite)."""
    for data in (bytes(view[:_HEAD_BYTES]), bytes(view)):
        position = data.find(b"\0\0\1\xb6")
        if 0 <= position < len(data) - 4:
            return "IPbP"[data[position + 4] >> 6]
    return "?"


def _exp_golomb(data: bytes, *, skip_bits: int, index: int) -> int:
    """Return one of the Exp-Golomb coded numbers that follow some bits; a large one if cut off."""
    left = 8 * len(data) - skip_bits
    bits = int.from_bytes(data, "big") & ((1 << max(left, 0)) - 1)
    value = 1 << 32
    for _ in range(index + 1):
        left -= 2 * (left - bits.bit_length()) + 1
        if left < 0:
            return 1 << 32
        value, bits = (bits >> left) - 1, bits & ((1 << left) - 1)
    return value
