"""reboot(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum


class RebootMagic(IntEnum):
    """The first argument."""

    LINUX_REBOOT_MAGIC1 = 0xFEE1DEAD


class RebootSecondMagic(IntEnum):
    """The second argument: any of these."""

    LINUX_REBOOT_MAGIC2 = 0x28121969
    LINUX_REBOOT_MAGIC2A = 0x5121996
    LINUX_REBOOT_MAGIC2B = 0x16041998
    LINUX_REBOOT_MAGIC2C = 0x20112000


class RebootCommand(IntEnum):
    """The third argument."""

    LINUX_REBOOT_CMD_CAD_OFF = 0
    LINUX_REBOOT_CMD_RESTART = 0x1234567
    LINUX_REBOOT_CMD_POWER_OFF = 0x4321FEDC
    LINUX_REBOOT_CMD_KEXEC = 0x45584543
    LINUX_REBOOT_CMD_CAD_ON = 0x89ABCDEF
    LINUX_REBOOT_CMD_RESTART2 = 0xA1B2C3D4
    LINUX_REBOOT_CMD_HALT = 0xCDEF0123
    LINUX_REBOOT_CMD_SW_SUSPEND = 0xD000FCE2
