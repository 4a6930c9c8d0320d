"""bpf(2): commands, kinds and flags, and the instructions of eBPF."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag

BPF_OBJ_NAME_LEN = 16
BPF_TAG_SIZE = 8


class BpfCommand(IntEnum):
    """The first argument of bpf(2)."""

    BPF_MAP_CREATE = 0
    BPF_MAP_LOOKUP_ELEM = 1
    BPF_MAP_UPDATE_ELEM = 2
    BPF_MAP_DELETE_ELEM = 3
    BPF_MAP_GET_NEXT_KEY = 4
    BPF_PROG_LOAD = 5
    BPF_OBJ_PIN = 6
    BPF_OBJ_GET = 7
    BPF_PROG_ATTACH = 8
    BPF_PROG_DETACH = 9
    BPF_PROG_TEST_RUN = 10
    BPF_PROG_GET_NEXT_ID = 11
    BPF_MAP_GET_NEXT_ID = 12
    BPF_PROG_GET_FD_BY_ID = 13
    BPF_MAP_GET_FD_BY_ID = 14
    BPF_OBJ_GET_INFO_BY_FD = 15
    BPF_PROG_QUERY = 16
    BPF_RAW_TRACEPOINT_OPEN = 17
    BPF_BTF_LOAD = 18
    BPF_BTF_GET_FD_BY_ID = 19
    BPF_TASK_FD_QUERY = 20
    BPF_MAP_LOOKUP_AND_DELETE_ELEM = 21
    BPF_MAP_FREEZE = 22
    BPF_BTF_GET_NEXT_ID = 23
    BPF_MAP_LOOKUP_BATCH = 24
    BPF_MAP_LOOKUP_AND_DELETE_BATCH = 25
    BPF_MAP_UPDATE_BATCH = 26
    BPF_MAP_DELETE_BATCH = 27
    BPF_LINK_CREATE = 28
    BPF_LINK_UPDATE = 29
    BPF_LINK_GET_FD_BY_ID = 30
    BPF_LINK_GET_NEXT_ID = 31
    BPF_ENABLE_STATS = 32
    BPF_ITER_CREATE = 33
    BPF_LINK_DETACH = 34
    BPF_PROG_BIND_MAP = 35
    BPF_TOKEN_CREATE = 36


class BpfProgType(IntEnum):
    """What a program is for: the kinds that there are."""

    BPF_PROG_TYPE_CGROUP_SKB = 8
    BPF_PROG_TYPE_CGROUP_DEVICE = 15


class BpfAttachType(IntEnum):
    """Where a program is attached: nothing is at the first two."""

    BPF_CGROUP_INET_INGRESS = 0
    BPF_CGROUP_INET_EGRESS = 1
    BPF_CGROUP_DEVICE = 6


class BpfLoadFlag(IntFlag):
    """BPF_PROG_LOAD."""

    BPF_F_STRICT_ALIGNMENT = 1
    BPF_F_ANY_ALIGNMENT = 2
    BPF_F_TEST_RND_HI32 = 4
    BPF_F_TEST_STATE_FREQ = 8
    BPF_F_SLEEPABLE = 0x10
    BPF_F_XDP_HAS_FRAGS = 0x20
    BPF_F_XDP_DEV_BOUND_ONLY = 0x40
    BPF_F_TEST_REG_INVARIANTS = 0x80


class BpfAttachFlag(IntFlag):
    """BPF_PROG_ATTACH."""

    BPF_F_ALLOW_OVERRIDE = 1
    BPF_F_ALLOW_MULTI = 2
    BPF_F_REPLACE = 4


BPF_F_QUERY_EFFECTIVE = 1


class BpfDeviceType(IntEnum):
    """The lower half of bpf_cgroup_dev_ctx.access_type."""

    BPF_DEVCG_DEV_BLOCK = 1
    BPF_DEVCG_DEV_CHAR = 2


class BpfDeviceAccess(IntFlag):
    """The upper half of bpf_cgroup_dev_ctx.access_type."""

    BPF_DEVCG_ACC_MKNOD = 1
    BPF_DEVCG_ACC_READ = 2
    BPF_DEVCG_ACC_WRITE = 4


class EbpfClass(IntEnum):
    """Bits 0 to 2 of an instruction's code that classic BPF hasn't, or has for something else."""

    BPF_JMP32 = 6
    BPF_ALU64 = 7


class EbpfSize(IntEnum):
    """Bits 3 and 4 of a load or store beside those of classic BPF."""

    BPF_DW = 0x18


class EbpfMode(IntEnum):
    """Bits 5 to 7 of a load or store beside those of classic BPF."""

    BPF_MEMSX = 0x80


class EbpfAlu(IntEnum):
    """Bits 4 to 7 of an arithmetic instruction beside those of classic BPF."""

    BPF_MOV = 0xB0
    BPF_ARSH = 0xC0
    BPF_END = 0xD0


class EbpfJump(IntEnum):
    """Bits 4 to 7 of a jump beside those of classic BPF."""

    BPF_JNE = 0x50
    BPF_JSGT = 0x60
    BPF_JSGE = 0x70
    BPF_CALL = 0x80
    BPF_EXIT = 0x90
    BPF_JLT = 0xA0
    BPF_JLE = 0xB0
    BPF_JSLT = 0xC0
    BPF_JSLE = 0xD0
