"""Commands of quotactl(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum

MAXQUOTAS = 3
"""The kinds of quotas: of users, groups and projects."""
SUBCMDSHIFT, SUBCMDMASK = 8, 0xFF


class QuotaCommand(IntEnum):
    """What to do, without the kind of quota in the low byte (Linux: include/uapi/linux/quota.h)."""

    Q_SYNC = 0x800001
    Q_QUOTAON = 0x800002
    Q_QUOTAOFF = 0x800003
    Q_GETFMT = 0x800004
    Q_GETINFO = 0x800005
    Q_SETINFO = 0x800006
    Q_GETQUOTA = 0x800007
    Q_SETQUOTA = 0x800008
    Q_GETNEXTQUOTA = 0x800009
    Q_XGETQUOTA = 0x5803
    Q_XGETQSTAT = 0x5805
    Q_XQUOTASYNC = 0x5807
    Q_XGETQSTATV = 0x5808
    Q_XGETNEXTQUOTA = 0x5809
