"""What binfmt_misc takes as a registration, and which files a format matches."""

from __future__ import annotations

import pytest

from procession.abi.errno import EINVAL
from procession.fs.binary_format import BinaryFormats, parse_registration
from procession.hardware.physical_memory import PhysicalMemory


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            b":name:M::MAGIC::/bin/run:",
            b"enabled\ninterpreter /bin/run\nflags: \noffset 0\nmagic 4d41474943\n",
        ),
        (
            b":name:M:2:\\x47\\x49\\x00:\\xff\\xdf\\x00:/bin/run:COC\n",
            b"enabled\ninterpreter /bin/run\nflags: OC\noffset 2\nmagic 474900\nmask ffdf00\n",
        ),
        (
            b",name,E,ignored,jar,ignored,/bin/java -jar,PF",
            b"enabled\ninterpreter /bin/java -jar\nflags: PF\nextension .jar\n",
        ),
        (b":n:M:+3:\\y\\x4:::", None),
        (b":n:M:253:abc::/i:", b"enabled\ninterpreter /i\nflags: \noffset 253\nmagic 616263\n"),
        (b":n:M:254:abc::/i:", None),
        (b":n:M:-1:abc::/i:", None),
        (b":n:M:x:abc::/i:", None),
        (b":n:M::abc:\\xff:/i:", None),
        (b":n:M::\\xg0:::/i:", None),
        (b":n:M::::/interpreter:", None),
        (b":n:M::abc::/interpreter", None),
        (b":n:M::abc:::", None),
        (b":n:M::abc::/i:Q", None),
        (b":n:M::abc::/i::", None),
        (b":n:M::abc::/i:\n\n", None),
        (b":n:X::abc::/i:", None),
        (b":n:E::a/b::/i:", None),
        (b":n:E::::/interpreter:", None),
        (b"::M::abc::/interpreter:", None),
        (b":..:M::abc::/interpreter:", None),
        (b":a/b:M::abc::/interpreter:", None),
        (b":n:M::a:/i", None),
        (b":n:M::" + b"a" * 1920 + b"::/i:", None),
        (b"", None),
    ],
)
def test_a_registration(line: bytes, shown: bytes | None) -> None:
    if shown is None:
        with pytest.raises(EINVAL):
            parse_registration(line)
    else:
        assert parse_registration(line).describe() == shown


def test_what_a_format_matches() -> None:
    by_magic = parse_registration(b":a:M:1:XY:\\xff\\xdf:/i:")
    assert by_magic.matches(b"any", b"-XY")
    assert by_magic.matches(b"any", b"-Xy...")
    assert not by_magic.matches(b"any", b"XY-")
    assert not by_magic.matches(b"any", b"-X")
    assert parse_registration(b":a:M:0:X\\x00::/i:").matches(b"any", b"X")
    by_name = parse_registration(b":b:E::foo::/i:")
    assert by_name.matches(b"/a.b/c.foo", b"")
    assert by_name.matches(b".foo", b"")
    assert not by_name.matches(b"/a.foo/c", b"")
    assert not by_name.matches(b"foo", b"")
    by_name.is_enabled = False
    assert not by_name.matches(b"c.foo", b"")


def test_the_newest_format_is_tried_first() -> None:
    formats = BinaryFormats(PhysicalMemory(1 << 20).account)
    for line in (b":a:E::foo::/first:", b":b:E::foo::/second:"):
        new = parse_registration(line)
        formats.formats[new.name] = new
    found = formats.find(b"x.foo", b"")
    assert found is not None
    assert found.interpreter == b"/second"
    formats.remove(b"b")
    found = formats.find(b"x.foo", b"")
    assert found is not None
    assert found.interpreter == b"/first"
    formats.is_enabled = False
    assert formats.find(b"x.foo", b"") is None
