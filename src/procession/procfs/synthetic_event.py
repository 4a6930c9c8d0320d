"""Events of devices that somebody asks for, by writing to a device's `uevent`."""

from __future__ import annotations

import re

from procession.abi.errno import EINVAL

_ACTIONS = (b"add", b"remove", b"change", b"move", b"online", b"offline", b"bind", b"unbind")
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_PAIR = re.compile(rb"[0-9A-Za-z]+=[0-9A-Za-z]+\Z")


def synthetic_event(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """What is to be told of the device, and what is told besides: whose event it is, and some variables.

    Raises EINVAL. Linux: lib/kobject_uevent.c, kobject_synth_uevent, kobject_action_type,
    kobject_action_args.
    """
    text = data.removesuffix(b"\n").removesuffix(b"\0")
    action, separator, rest = text.partition(b" ")
    if action not in _ACTIONS:
        raise EINVAL("no action")
    if not separator:
        return action, (b"SYNTH_UUID=0",)
    uuid, _, arguments = rest.partition(b" ")
    pairs = arguments.split(b" ") if arguments else []
    if not _UUID.match(uuid) or not all(map(_PAIR.match, pairs)):
        raise EINVAL("no UUID, or no pairs of letters and digits behind it")
    return action, (b"SYNTH_UUID=" + uuid, *(b"SYNTH_ARG_" + pair for pair in pairs))
