"""Device numbers against the C library's."""

from __future__ import annotations

import os

from procession.abi.device_numbers import Major, device_major, device_minor, encode_device


def test_numbers_are_those_of_makedev() -> None:
    for major, minor in ((1, 3), (5, 0), (136, 7), (8, 0x12345), (0xFFF, 0xFFFFF), (0, 0)):
        device = encode_device(major, minor)
        assert device == os.makedev(major, minor)
        assert (device_major(device), device_minor(device)) == (major, minor)


def test_the_devices_of_this_machine_have_these_majors() -> None:
    assert os.major(os.stat("/dev/null").st_rdev) == Major.MEM_MAJOR
    assert os.major(os.stat("/dev/tty").st_rdev) == Major.TTYAUX_MAJOR
