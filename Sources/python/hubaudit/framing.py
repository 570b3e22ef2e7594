"""A frame is a varint length followed by that many bytes."""

from __future__ import annotations

from .errors import ProtocolError

# A length of five bytes is the longest that stands for less than 2^35; frames are far below it.
_MAX_LENGTH_BYTES = 5


def encode_varint(value: int) -> bytes:
    """`value` (not negative) as a base-128 varint, least significant group first."""
    if value < 0x80:
        return bytes((value,))
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def encode_frame(body: bytes) -> bytes:
    """`body` with its length before it."""
    return encode_varint(len(body)) + body


class FrameDecoder:
    """Cuts a stream of bytes into the bodies of frames. A frame above the limit is refused as soon as its length is known."""

    def __init__(self, max_frame_bytes: int) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Takes what arrived and returns the frames that are complete, in order.

        Raises `ProtocolError` for a length that is too long or above `max_frame_bytes`; the stream cannot be read on after that.
        """
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        position, available = 0, len(buffer)
        while position < available:
            length, shift, cursor = 0, 0, position
            while True:
                if cursor == available:
                    length = -1
                    break
                byte = buffer[cursor]
                cursor += 1
                length |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if cursor - position >= _MAX_LENGTH_BYTES:
                    raise ProtocolError("the server sent a frame whose length takes more than 5 bytes: this is not a hubaudit server")
            if length < 0:
                break
            if length > self.max_frame_bytes:
                raise ProtocolError(
                    f"the server sent a frame of {length} bytes, above the limit of {self.max_frame_bytes}: raise max_frame_bytes"
                )
            if available - cursor < length:
                break
            with memoryview(buffer) as view:
                frames.append(bytes(view[cursor : cursor + length]))
            position = cursor + length
        if position:
            del buffer[:position]
        return frames
