"""Packets of the GDB remote serial protocol, in a stream of bytes that anybody may have sent."""

from __future__ import annotations

from procession.abi.word import pack_u8

LONGEST_PACKET = 1 << 17
"""More than that in one packet is nobody's debugger."""
INTERRUPT = 0x03
_START, _END, _ESCAPE = 0x24, 0x23, 0x7D
_ESCAPE_BYTE = b"}"
_ESCAPED = frozenset(b"#$}*")
ACKNOWLEDGEMENT, REFUSAL = b"+", b"-"


def checksum(body: bytes) -> bytes:
    """The two digits that follow a packet."""
    return b"%02x" % (sum(body) & 0xFF)


def framed(body: bytes) -> bytes:
    """A packet with `body`, whose bytes are as they shall be sent."""
    return b"$" + body + b"#" + checksum(body)


def escaped(data: bytes) -> bytes:
    """Binary data as it may stand in a packet."""
    if not _ESCAPED & set(data):
        return data
    return b"".join(
        _ESCAPE_BYTE + pack_u8(byte ^ 0x20) if byte in _ESCAPED else pack_u8(byte) for byte in data
    )


def unescaped(body: bytes) -> bytes:
    """Binary data out of a packet."""
    if _ESCAPE not in body:
        return body
    parts = bytearray()
    position = 0
    while position < len(body):
        byte = body[position]
        if byte == _ESCAPE and position + 1 < len(body):
            position += 1
            byte = body[position] ^ 0x20
        parts.append(byte)
        position += 1
    return bytes(parts)


class PacketReader:
    """Takes packets out of what has arrived. `wants_acknowledgement` until the debugger does without.

    `was_interrupted` is whether a Ctrl-C has come that nobody has taken yet.
    """

    def __init__(self) -> None:
        self.pending = bytearray()
        self.wants_acknowledgement = True
        self.replies = bytearray()
        self.was_interrupted = False

    def feed(self, data: bytes) -> None:
        """`data` has arrived. Raises ValueError if it can't be a debugger's."""
        self.pending += data
        if len(self.pending) > LONGEST_PACKET:
            raise ValueError("a packet without an end")

    def take_interrupt(self) -> bool:
        """Whether there was a Ctrl-C in front of the next packet; it's told once."""
        while self.pending and self.pending[0] != _START:
            self._pass_by(self.pending[0])
        was_interrupted, self.was_interrupted = self.was_interrupted, False
        return was_interrupted

    def _pass_by(self, first: int) -> None:
        if first == INTERRUPT:
            self.was_interrupted = True
        del self.pending[0]

    def next_packet(self) -> bytes | None:
        """The body of the next whole packet, None if there is none yet; what isn't one is passed by."""
        pending = self.pending
        while pending:
            first = pending[0]
            if first != _START:
                self._pass_by(first)
                continue
            end = pending.find(b"#")
            if end < 0 or len(pending) < end + 3:
                return None
            body, given = bytes(pending[1:end]), bytes(pending[end + 1 : end + 3])
            del pending[: end + 3]
            if self.wants_acknowledgement:
                is_right = given.lower() == checksum(body)
                self.replies += ACKNOWLEDGEMENT if is_right else REFUSAL
                if not is_right:
                    continue
            return body
        return None
