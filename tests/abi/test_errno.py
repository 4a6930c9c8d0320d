"""Error numbers as exceptions."""

from __future__ import annotations

import os
import pickle
import platform

import pytest

from procession.abi import errno
from procession.abi.errno import EAGAIN, ENOENT, ERESTARTSYS, EWOULDBLOCK, Errno


def test_an_error_may_have_a_reason() -> None:
    with pytest.raises(ENOENT) as caught:
        raise ENOENT("no component 'x' in /tmp")
    assert caught.value.reason == "no component 'x' in /tmp"
    assert str(caught.value) == "No such file or directory: no component 'x' in /tmp"
    assert (caught.value.number, caught.value.name) == (2, "ENOENT")


def test_an_error_needs_no_reason() -> None:
    with pytest.raises(Errno) as caught:
        raise ENOENT
    assert caught.value.reason == ""
    assert str(caught.value) == "No such file or directory"


def test_errors_survive_copies() -> None:
    assert pickle.loads(pickle.dumps(ENOENT("why"))).reason == "why"


def test_aliases_are_one_class() -> None:
    assert EWOULDBLOCK is EAGAIN


def test_numbers_lead_to_classes() -> None:
    assert errno.BY_NUMBER[2] is ENOENT
    assert errno.BY_NUMBER[512] is ERESTARTSYS
    assert [number for number in range(1, 134) if number not in errno.BY_NUMBER] == [41, 58]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other texts")
def test_texts_are_those_of_strerror() -> None:
    for number, kind in errno.BY_NUMBER.items():
        if number < 512:
            assert kind.text == os.strerror(number)
