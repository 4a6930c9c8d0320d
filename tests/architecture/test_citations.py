"""Checks that what the code cites of Linux's source has the one form, and that it exists."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator
from pathlib import Path

from procession.trace.citation import CITATION, Citation, citations_in

PROJECT = Path(__file__).resolve().parents[2]
SYMBOLS = Path(__file__).with_name("linux_symbols.xz")
"""Made by scripts/linux-symbols from the source of Linux 6.12: a line for each file."""
LATER = {
    "fs/anon_inodes.c": "anon_inode_getattr anon_inode_setattr",
    "fs/eventpoll.c": "__ep_remove",
    "fs/file_attr.c": "SYSCALL_DEFINE5(file_getattr) SYSCALL_DEFINE5(file_setattr) fileattr_fill_flags "
    "fileattr_fill_xflags ioctl_fssetxattr ioctl_setflags",
    "fs/file.c": "SYSCALL_DEFINE3(close_range)",
    "fs/mnt_idmapping.c": "statmount_mnt_idmap",
    "fs/namei.c": "lookup_noperm_common",
    "fs/mount.h": "mount_is_ancestor",
    "fs/namespace.c": "__do_loopback check_anonymous_mnt may_copy_tree may_use_mount path_pivot_root "
    "topmost_overmount vfs_open_tree wants_mount_setattr SYSCALL_DEFINE5(open_tree_attr)",
    "fs/pipe.c": "anon_pipe_read anon_pipe_write",
    "fs/pnode.c": "bulk_make_private find_master gather_candidates need_secondary propagation_source "
    "transfer_propagation trim_ancestors trim_one reparent",
    "fs/nsfs.c": "nsfs_encode_fh nsfs_fh_to_dentry",
    "fs/pidfs.c": "pidfd_info pidfs_encode_fh pidfs_exit pidfs_export_open pidfs_export_permission "
    "pidfs_fh_to_dentry pidfs_xattr_get pidfs_xattr_set",
    "fs/stat.c": "fill_mg_cmtime",
    "fs/xattr.c": "SYSCALL_DEFINE6(getxattrat) SYSCALL_DEFINE6(setxattrat) filename_setxattr "
    "file_getxattr file_listxattr file_removexattr file_setxattr path_getxattrat "
    "path_listxattrat path_removexattrat path_setxattrat",
    "include/linux/mm_types.h": "mmf_init_flags",
    "include/linux/huge_mm.h": "vma_thp_disabled",
    "include/uapi/linux/nsfs.h": "init_ns_ino",
    "kernel/sched/fair.c": "__setparam_fair",
    "kernel/signal.c": "posixtimer_send_sigqueue posixtimer_sig_unignore",
    "kernel/sys.c": "prctl_get_thp_disable prctl_set_thp_disable",
    "kernel/time/ntp.c": "ntp_data",
    "kernel/time/posix-timers.c": "posix_timer_delete posixtimer_create_prctl posixtimer_deliver_signal",
    "mm/madvise.c": "is_valid_guard_vma madvise_guard_install madvise_guard_remove vector_madvise",
    "mm/mremap.c": "check_mremap_params check_prep_vma copy_vma_and_data do_mremap expand_vma_in_place "
    "remap_move vma_multi_allowed vma_remap_struct",
    "mm/secretmem.c": "secretmem_mmap_prepare",
    "mm/vma.c": "may_expand_vm mmap_region",
    "net/core/neighbour.c": "pneigh_create",
    "net/core/scm.c": "scm_pidfd_recv scm_recv_unix",
    "net/unix/af_unix.c": "unix_maybe_add_creds unix_setsockopt",
    "kernel/ptrace.c": "ptrace_get_syscall_info_op ptrace_set_syscall_info ptrace_set_syscall_info_entry",
    "net/core/fib_rules.c": "fib_nl2rule_rtnl",
    "net/ipv6/route.c": "fib6_config_validate",
}
"""Symbols that came or moved after the list's release, by file."""
KEYS = {
    "security/keys/gc.c": "key_garbage_collector key_gc_unused_keys",
    "security/keys/internal.h": "key_user",
    "security/keys/key.c": "key_alloc key_create_or_update key_payload_reserve key_reject_and_link "
    "key_type_lookup",
    "security/keys/keyctl.c": "SYSCALL_DEFINE4(request_key) SYSCALL_DEFINE5(add_key) SYSCALL_DEFINE5(keyctl) "
    "key_get_type_from_user keyctl_chown_key keyctl_instantiate_key_iov keyctl_read_key "
    "keyctl_restrict_keyring "
    "keyctl_session_to_parent",
    "security/keys/keyring.c": "__key_link find_keyring_by_name key_link key_move key_unlink keyring_alloc "
    "keyring_detect_cycle keyring_restrict keyring_search_iterator keyring_search_rcu search_nested_keyrings",
    "security/keys/permission.c": "key_task_permission key_validate",
    "security/keys/persistent.c": "key_get_persistent keyctl_get_persistent",
    "security/keys/proc.c": "proc_key_users_show proc_keys_show",
    "security/keys/process_keys.c": "install_process_keyring install_thread_keyring join_session_keyring "
    "key_change_session_keyring key_fsuid_changed look_up_user_keyrings lookup_user_key "
    "lookup_user_key_possessed search_cred_keyrings_rcu",
    "security/keys/request_key.c": "construct_get_dest_keyring",
    "security/keys/sysctl.c": "key_sysctls",
    "security/keys/user_defined.c": "logon_vet_description user_preparse user_update",
}
"""What is cited of the parts that the list leaves out."""
BEGINNING = re.compile(r"\bLinux: ")


def modules() -> Iterator[tuple[Path, str]]:
    for path in sorted((PROJECT / "src").rglob("*.py")):
        if path.name != "citation.py":
            yield path, path.read_text("utf-8")


def test_citations_have_one_form() -> None:
    odd = []
    for path, text in modules():
        flat = re.sub(r"\s*\n[ \t]*(?:#[ \t]*)?|[ \t]+", " ", text)
        odd += [
            f"{path.relative_to(PROJECT)}: {flat[match.start() : match.start() + 80]}"
            for match in BEGINNING.finditer(flat)
            if not CITATION.match(flat, match.start())
        ]
    assert odd == [], "a citation is `Linux: FILE, SYMBOL, SYMBOL; FILE, SYMBOL`; a remark is no citation"


def test_what_is_cited_exists() -> None:
    known: dict[str, set[str]] = {}
    for line in lzma.decompress(SYMBOLS.read_bytes()).decode().splitlines():
        file, _, names = line.partition(": ")
        known[file] = set(names.split(" "))
    for file, names in (*LATER.items(), *KEYS.items()):
        known.setdefault(file, set()).update(names.split())
    unknown = [
        f"{path.relative_to(PROJECT)}: {citation}"
        for path, text in modules()
        for citation in citations_in(text)
        if not _exists(citation, known)
    ]
    assert unknown == [], "no such file or symbol in Linux 6.12; what came later goes into LATER"


def _exists(citation: Citation, known: dict[str, set[str]]) -> bool:
    names = known.get(citation.file)
    return names is not None and all(symbol.split()[-1] in names for symbol in citation.symbols)
