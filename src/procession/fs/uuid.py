"""Random identifiers (RFC 4122, version 4), as the kernel gives them to boots and file systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.fs.superblock import Superblock
    from procession.fs.vfs import RandomSource

UUID_BYTES = 16


def random_uuid(source: RandomSource) -> bytes:
    """Another one each time. Linux: lib/uuid.c, uuid_gen."""
    data = bytearray(source.random_bytes(UUID_BYTES))
    data[6] = data[6] & 0x0F | 0x40
    data[8] = data[8] & 0x3F | 0x80
    return bytes(data)


def uuid_text(uuid: bytes) -> bytes:
    """It in hexadecimal, in five parts."""
    digits = uuid.hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join(parts).encode()


def uuid_of_file_system(superblock: Superblock) -> bytes:
    """The identifier of a file system, b"" if its kind has none; drawn when it's first asked for."""
    if superblock.has_uuid and not superblock.uuid:
        superblock.uuid = random_uuid(superblock.vfs.random)
    return superblock.uuid
