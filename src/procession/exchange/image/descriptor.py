"""Descriptors: an image's JSON documents, taken apart with care, and the digests that name contents."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from procession.abi.named_tuple import NamedTuple
from procession.exchange.image.error import ImageError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LARGEST_SIZE = 1 << 63


class Descriptor(NamedTuple):
    """What a document says of a blob (OCI image specification, descriptor.md)."""

    media_type: str
    digest: str
    size: int
    names: tuple[str, ...]
    platform: tuple[str, str] | None
    """The operating system and the architecture."""


def parse_json(text: bytes, what: str) -> Any:
    """The value that `text`, called `what`, is in JSON. Raises ImageError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ImageError(f"{what} isn't JSON") from None


def members_of(value: Any, what: str) -> dict[str, Any]:
    """`value`, which must be an object. Raises ImageError."""
    if not isinstance(value, dict):
        raise ImageError(f"{what} isn't an object")
    return value


def items_of(value: Any, what: str) -> list[Any]:
    """`value`, which must be a list; none is an empty one. Raises ImageError."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ImageError(f"{what} isn't a list")
    return value


def text_of(value: Any, what: str) -> str:
    """`value`, which must be a string without NUL, none is an empty one. Raises ImageError."""
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise ImageError(f"{what} isn't a text")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ImageError(f"{what} isn't a text") from None
    return value


def texts_of(value: Any, what: str) -> tuple[str, ...]:
    """`value`, which must be a list of strings. Raises ImageError."""
    return tuple(text_of(item, what) for item in items_of(value, what))


def digest_of(value: Any, what: str) -> str:
    """`value`, which must be a digest of a known algorithm. Raises ImageError."""
    text = text_of(value, what)
    if not _DIGEST.fullmatch(text):
        raise ImageError(f"{what} isn't a digest by sha256 or sha512: {text[:80]!r}")
    return text


def new_hash(digest: str) -> hashlib._Hash:
    """An empty hash of the algorithm that `digest` is of."""
    return hashlib.new(digest.partition(":")[0])


def check_digest(data: bytes, digest: str, what: str) -> None:
    """Raise ImageError unless `digest` is that of `data`."""
    found = new_hash(digest)
    found.update(data)
    if found.hexdigest() != digest.partition(":")[2]:
        raise ImageError(f"{what} doesn't have the digest {digest}")


def parse_descriptor(value: Any, what: str) -> Descriptor:
    """A descriptor from its JSON form. Raises ImageError."""
    members = members_of(value, what)
    size = members.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < _LARGEST_SIZE:
        raise ImageError(f"{what} has no size")
    annotations = members_of(members.get("annotations") or {}, f"{what}: annotations")
    names = tuple(
        text_of(annotations[key], key)
        for key in ("org.opencontainers.image.ref.name", "io.containerd.image.name")
        if key in annotations
    )
    platform = members.get("platform")
    if platform is not None:
        members_of(platform, f"{what}: platform")
        platform = (
            text_of(platform.get("os"), "the platform's os"),
            text_of(platform.get("architecture"), "the platform's architecture"),
        )
    digest = digest_of(members.get("digest"), f"{what}: the digest")
    return Descriptor(text_of(members.get("mediaType"), what), digest, size, names, platform)
