"""Device numbers: the majors that user space knows, and how a major and a minor share 32 bits."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum


class Major(IntEnum):
    """Documentation/admin-guide/devices.txt."""

    UNNAMED_MAJOR = 0
    MEM_MAJOR = 1
    TTY_MAJOR = 4
    TTYAUX_MAJOR = 5
    LOOP_MAJOR = 7
    MISC_MAJOR = 10
    UNIX98_PTY_MASTER_MAJOR = 128
    UNIX98_PTY_SLAVE_MAJOR = 136


def encode_device(major: int, minor: int) -> int:
    """What stat(2) tells of a device. Linux: include/linux/kdev_t.h, new_encode_dev."""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def device_major(device: int) -> int:
    """Linux: include/linux/kdev_t.h, new_decode_dev."""
    return (device & 0xFFF00) >> 8


def device_minor(device: int) -> int:
    """Linux: include/linux/kdev_t.h, new_decode_dev."""
    return device & 0xFF | device >> 12 & 0xFFF00
