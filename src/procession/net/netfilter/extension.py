"""iptables' extensions, its matches and targets, as expressions of rules (iptables-extensions(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL
from procession.net.netfilter.expression import Expression, be32, needed
from procession.net.netfilter.passing import IPV4, IPV6
from procession.net.netlink.attributes import attribute, text_in

if TYPE_CHECKING:
    from procession.net.netfilter.expression import Reading

BOTH_FAMILIES = (IPV4, IPV6)
_MOST_REVISION = 255


class Extension(Expression):
    """What iptables names, and keeps its own structure `info` in, of `info_bytes`.

    `kinds` are the attributes for its name, revision and `info`. Linux: net/netfilter/nft_compat.c.
    """

    __slots__ = ("info",)

    size = 256
    kinds: ClassVar[tuple[int, int, int]]
    title: ClassVar[bytes]
    revision: ClassVar[int] = 0
    info_bytes: ClassVar[int]
    families: ClassVar[tuple[int, ...]] = BOTH_FAMILIES

    def __init__(self, reading: Reading, info: bytes) -> None:
        """Raise EINVAL. Linux: net/netfilter/x_tables.c, xt_check_match, xt_check_target."""
        _, _, info_bytes = self.form
        if len(info) != info_bytes:
            raise EINVAL("another size than the extension's")
        self.info = info

    @property
    def form(self) -> tuple[bytes, int, int]:
        """Its name, its revision and how long its structure is."""
        return self.title, self.revision, self.info_bytes

    def attributes(self) -> bytes:
        kind_of_name, kind_of_revision, kind_of_info = self.kinds
        title, revision, _ = self.form
        told = attribute(kind_of_name, title + b"\0") + attribute(kind_of_revision, be32(revision))
        return told + attribute(kind_of_info, self.info)


def extension_in(found: dict[int, bytes], kinds: tuple[int, int, int]) -> tuple[bytes, int, bytes]:
    """The name, the revision and the structure that attributes give. Raises EINVAL, ERANGE."""
    name, revision, info = text_in(found, kinds[0]), needed(found, kinds[1]), found.get(kinds[2])
    if name is None or info is None or revision > _MOST_REVISION:
        raise EINVAL("a name, a revision and a structure are needed")
    return name, revision, info
