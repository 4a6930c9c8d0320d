"""bpf(2): instructions of eBPF, commands, and the structures of those that there are."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I16, I32, U8, U32, U64, Pointer, Structure

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


class BpfInsn(Structure):
    """struct bpf_insn; the lower half of `registers` is dst_reg, the upper src_reg."""

    code: U8 = 0
    registers: U8 = 0
    off: I16 = 0
    imm: I32 = 0


class BpfCgroupDevCtx(Structure):
    """struct bpf_cgroup_dev_ctx: what a program for devices is asked about."""

    access_type: U32 = 0
    major: U32 = 0
    minor: U32 = 0


class BpfProgLoad(Structure):
    """The part of union bpf_attr for BPF_PROG_LOAD."""

    prog_type: U32 = 0
    insn_cnt: U32 = 0
    insns: Pointer = 0
    license: Pointer = 0
    log_level: U32 = 0
    log_size: U32 = 0
    log_buf: Pointer = 0
    kern_version: U32 = 0
    prog_flags: U32 = 0
    prog_name: Annotated[bytes, 16] = b""
    prog_ifindex: U32 = 0
    expected_attach_type: U32 = 0
    prog_btf_fd: U32 = 0
    func_info_rec_size: U32 = 0
    func_info: Pointer = 0
    func_info_cnt: U32 = 0
    line_info_rec_size: U32 = 0
    line_info: Pointer = 0
    line_info_cnt: U32 = 0
    attach_btf_id: U32 = 0
    attach_prog_fd: U32 = 0
    core_relo_cnt: U32 = 0
    fd_array: Pointer = 0
    core_relos: Pointer = 0
    core_relo_rec_size: U32 = 0
    log_true_size: U32 = 0
    prog_token_fd: I32 = 0


class BpfProgAttach(Structure):
    """The part of union bpf_attr for BPF_PROG_ATTACH and BPF_PROG_DETACH."""

    target_fd: I32 = 0
    attach_bpf_fd: I32 = 0
    attach_type: U32 = 0
    attach_flags: U32 = 0
    replace_bpf_fd: I32 = 0
    relative_fd: I32 = 0
    expected_revision: U64 = 0


class BpfGetId(Structure):
    """The part of union bpf_attr for BPF_PROG_GET_NEXT_ID and BPF_PROG_GET_FD_BY_ID."""

    start_id: U32 = 0
    next_id: U32 = 0
    open_flags: U32 = 0


class BpfGetInfo(Structure):
    """union bpf_attr.info, for BPF_OBJ_GET_INFO_BY_FD."""

    bpf_fd: I32 = 0
    info_len: U32 = 0
    info: Pointer = 0


class BpfProgQuery(Structure):
    """union bpf_attr.query, for BPF_PROG_QUERY."""

    target_fd: I32 = 0
    attach_type: U32 = 0
    query_flags: U32 = 0
    attach_flags: U32 = 0
    prog_ids: Pointer = 0
    prog_cnt: U32 = 0
    prog_attach_flags: Pointer = 0
    link_ids: Pointer = 0
    link_attach_flags: Pointer = 0
    revision: U64 = 0


class BpfProgInfo(Structure):
    """struct bpf_prog_info."""

    type: U32 = 0
    id: U32 = 0
    tag: Annotated[bytes, 8] = b""
    jited_prog_len: U32 = 0
    xlated_prog_len: U32 = 0
    jited_prog_insns: Pointer = 0
    xlated_prog_insns: Pointer = 0
    load_time: U64 = 0
    created_by_uid: U32 = 0
    nr_map_ids: U32 = 0
    map_ids: Pointer = 0
    name: Annotated[bytes, 16] = b""
    ifindex: U32 = 0
    gpl_compatible: U32 = 0
    netns_dev: U64 = 0
    netns_ino: U64 = 0
    nr_jited_ksyms: U32 = 0
    nr_jited_func_lens: U32 = 0
    jited_ksyms: Pointer = 0
    jited_func_lens: Pointer = 0
    btf_id: U32 = 0
    func_info_rec_size: U32 = 0
    func_info: Pointer = 0
    nr_func_info: U32 = 0
    nr_line_info: U32 = 0
    line_info: Pointer = 0
    jited_line_info: Pointer = 0
    nr_jited_line_info: U32 = 0
    line_info_rec_size: U32 = 0
    jited_line_info_rec_size: U32 = 0
    nr_prog_tags: U32 = 0
    prog_tags: Pointer = 0
    run_time_ns: U64 = 0
    run_cnt: U64 = 0
    recursion_misses: U64 = 0
    verified_insns: U32 = 0
    attach_btf_obj_id: U32 = 0
    attach_btf_id: U32 = 0
