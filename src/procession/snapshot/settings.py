"""The settings of a machine as files hold them, and whether what a file says is such."""

from __future__ import annotations

from typing import Any

LARGEST_MEMORY = 1 << 40
SETTINGS: dict[str, tuple[type, ...]] = {
    "seed": (int,),
    "rootfs": (str,),
    "memory": (int,),
    "environment": (dict,),
    "cwd": (str, type(None)),
    "engine": (str,),
    "epoch_ns": (int,),
    "cpus": (int,),
    "user": (str, type(None)),
    "hostname": (str,),
    "pids_max": (int, type(None)),
}
"""The settings that a file holds, and their types."""


class BadSettings(ValueError):
    """What a file says aren't a machine's settings."""


def checked_settings(settings: Any) -> dict[str, Any]:
    """`settings`, if they are a machine's. Raises BadSettings."""
    if not isinstance(settings, dict) or set(settings) != set(SETTINGS):
        raise BadSettings("its settings aren't those of a machine")
    for name, kinds in SETTINGS.items():
        if not isinstance(settings[name], kinds) or isinstance(settings[name], bool):
            raise BadSettings(f"its setting {name} isn't readable")
    if not all(isinstance(value, str) for value in settings["environment"].values()):
        raise BadSettings("its setting environment isn't readable")
    if not 0 < settings["memory"] <= LARGEST_MEMORY:
        raise BadSettings("its setting memory isn't readable")
    return settings
