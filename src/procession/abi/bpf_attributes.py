"""bpf(2): the structures of the commands that there are; apart, as few programs need them."""

from __future__ import annotations

from typing import Annotated

from procession.abi.structure import I16, I32, U8, U32, U64, Pointer, Structure


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
