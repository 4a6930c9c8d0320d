"""The kernel's log: what writes to /dev/kmsg become."""

from __future__ import annotations

import pytest

from procession.fs.file import O_WRONLY
from procession.fs.kernel_log import KernelLog, LogFile
from tests.fs.file_tree import TestClock, new_tmpfs_tree


@pytest.mark.parametrize(
    ("written", "priority", "text"),
    [
        (b"text\n", 12, b"text"),
        (b"<5>text", 13, b"text"),
        (b"<31>text", 31, b"text"),
        # A facility has eight bits: 257 is 1.
        (b"<2063>text", 15, b"text"),
        (b"<2055>text", 15, b"text"),
        (b"<x>text", 12, b"<x>text"),
    ],
)
def test_a_message_may_say_its_level_and_facility(written: bytes, priority: int, text: bytes) -> None:
    tree = new_tmpfs_tree()
    log = KernelLog(TestClock())
    file = LogFile(tree.path("/"), O_WRONLY, tree.user, log)
    assert file.write(written) == len(written)
    assert [(record.priority, record.text) for record in log.records] == [(priority, text)]
