"""uname(2)."""

from __future__ import annotations

from typing import Annotated

from procession.abi.structure import Structure


class Utsname(Structure):
    """struct new_utsname: names of at most 64 bytes and a NUL."""

    sysname: Annotated[bytes, 65] = b""
    nodename: Annotated[bytes, 65] = b""
    release: Annotated[bytes, 65] = b""
    version: Annotated[bytes, 65] = b""
    machine: Annotated[bytes, 65] = b""
    domainname: Annotated[bytes, 65] = b""
