"""What an image says of its program: entrypoint, arguments, environment, user, directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from procession.abi.named_tuple import NamedTuple
from procession.exchange.image.descriptor import digest_of, items_of, members_of, text_of, texts_of
from procession.exchange.image.error import ImageError

ARCHITECTURE = "amd64"
LAYERS_LIMIT = 256


class ImageConfig(NamedTuple):
    """An image's configuration (OCI image specification, config.md).

    `diff_ids` are the digests of its layers' contents, the lowest first.
    """

    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: dict[str, str]
    user: str
    directory: str
    diff_ids: tuple[str, ...]

    def command_line(self, command: Sequence[str | bytes], entrypoint: str | None) -> list[str | bytes]:
        """What is executed when `command` is asked for, as docker has it.

        A command replaces the image's arguments; another entrypoint, "" for none, does away with them.
        Raises ValueError if nothing is left.
        """
        first: tuple[str, ...] = self.entrypoint
        rest: Sequence[str | bytes] = command or self.arguments
        if entrypoint is not None:
            first = (entrypoint,) if entrypoint else ()
            rest = command
        line = [*first, *rest]
        if not line:
            raise ValueError("the image names no program: give a command")
        return line


def parse_config(document: Any) -> ImageConfig:
    """The configuration from its JSON form. Raises ImageError."""
    members = members_of(document, "the configuration")
    system = text_of(members.get("os"), "os") or "linux"
    architecture = text_of(members.get("architecture"), "architecture") or ARCHITECTURE
    if (system, architecture) != ("linux", ARCHITECTURE):
        raise ImageError(f"the image is for {system}/{architecture}, not linux/{ARCHITECTURE}")
    rootfs = members_of(members.get("rootfs"), "rootfs")
    diff_ids = tuple(digest_of(item, "a diff_id") for item in items_of(rootfs.get("diff_ids"), "diff_ids"))
    if len(diff_ids) > LAYERS_LIMIT:
        raise ImageError(f"the image has more than {LAYERS_LIMIT} layers")
    settings = members_of(members.get("config") or {}, "config")
    environment: dict[str, str] = {}
    for assignment in texts_of(settings.get("Env"), "Env"):
        name, _, value = assignment.partition("=")
        if not name:
            raise ImageError("a variable of Env has no name")
        environment[name] = value
    return ImageConfig(
        texts_of(settings.get("Entrypoint"), "Entrypoint"),
        texts_of(settings.get("Cmd"), "Cmd"),
        environment,
        text_of(settings.get("User"), "User"),
        text_of(settings.get("WorkingDir"), "WorkingDir"),
        diff_ids,
    )
