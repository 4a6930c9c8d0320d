"""Whose a task is and what it may do: user and group ids, capabilities, and what is counted for its user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from procession.abi.errno import EINVAL, EPERM
from procession.fs.user_namespace import NO_ID
from procession.hardware.kernel_memory import SIGNAL, SIGNAL_BYTES
from procession.kernel.process_flags import PF_NPROC_EXCEEDED
from procession.kernel.rlimit import RLIMIT_NPROC, RLIMIT_SIGPENDING
from procession.kernel.security.capability import (
    CAP_CHECKPOINT_RESTORE,
    CAP_FS_SET,
    CAP_FULL_SET,
    CAP_SETGID,
    CAP_SETUID,
    CAP_SYS_ADMIN,
    SECURE_KEEP_CAPS,
    SECURE_NO_SETUID_FIXUP,
    SECURE_NOROOT,
)

if TYPE_CHECKING:
    from procession.fs.inode import Inode
    from procession.fs.landlock import Domain
    from procession.fs.mounts.id_map import MountIdMap
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.security.file_capability import FileCapabilities
    from procession.kernel.task import Task

UNCHANGED = 0xFFFFFFFF
"""(uid_t) -1: in setreuid(2) and its like, leave this id as it is; anywhere else no valid id."""


class ExecCredentials:
    """What execve(2) makes of a task's credentials.

    `is_secure` is AT_SECURE, and takes the parent death signal and a stack limit over 8 MiB away;
    `clears_personality` says whether personality flags that weaken a privileged program are dropped.
    """

    __slots__ = ("clears_personality", "credentials", "is_secure")

    def __init__(self, credentials: Credentials, is_secure: bool, clears_personality: bool) -> None:
        self.credentials = credentials
        self.is_secure = is_secure
        self.clears_personality = clears_personality


class Credentials:
    """The ids and rights of a task (in Linux, struct cred; credentials(7), capabilities(7)).

    The capabilities are over what `user_namespace` owns. Never changed once a task has it: make another with
    `replace` and give it with `commit_credentials`, so tasks and open files may share one. Capability sets
    are ints, bit n for capability n. `landlock` is the domain in which the task is.

    What is counted for a user and bounded by limits (RLIMIT_NPROC, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE,
    RLIMIT_MEMLOCK) is the real user's, in the user namespace: whoever has counted something keeps the
    credentials, to give it back to the same (in Linux, cred->ucounts).
    """

    id_map: ClassVar[MountIdMap | None] = None
    """Tasks see files as they are; mounts may let them see them otherwise."""

    __slots__ = (
        "cap_ambient",
        "cap_bounding",
        "cap_effective",
        "cap_inheritable",
        "cap_permitted",
        "egid",
        "euid",
        "fsgid",
        "fsuid",
        "gid",
        "groups",
        "landlock",
        "no_new_privs",
        "securebits",
        "sgid",
        "suid",
        "uid",
        "user_namespace",
    )

    def __init__(
        self,
        user_namespace: UserNamespace,
        uid: int,
        gid: int,
        groups: tuple[int, ...] = (),
    ) -> None:
        self.user_namespace = user_namespace
        self.uid = self.euid = self.suid = self.fsuid = uid
        self.gid = self.egid = self.sgid = self.fsgid = gid
        self.groups = groups
        self.cap_inheritable = 0
        self.cap_permitted = 0
        self.cap_effective = 0
        self.cap_bounding = CAP_FULL_SET
        self.cap_ambient = 0
        self.securebits = 0
        self.landlock: Domain = ()
        self.no_new_privs = False

    @classmethod
    def for_root(cls, user_namespace: UserNamespace) -> Credentials:
        """Those of a machine's first task: user 0 with every capability."""
        credentials = cls(user_namespace, 0, 0)
        credentials.cap_permitted = credentials.cap_effective = CAP_FULL_SET
        return credentials

    def for_user(self, uid: int, gid: int, groups: tuple[int, ...] = ()) -> Credentials:
        """Those of a login of `uid` on the same machine; every capability if that is 0, none otherwise."""
        credentials = Credentials(self.user_namespace, uid, gid, groups)
        if uid == 0:
            credentials.cap_permitted = credentials.cap_effective = CAP_FULL_SET
        return credentials

    @property
    def counted(self) -> Credentials:
        """These, for who keeps them only to give back what was counted: without the groups, as lists of them
        are charged no longer than somebody has them (`GroupLists`).
        """
        return self.replace(groups=()) if self.groups else self

    def count_of(self, resource: int) -> int:
        """How much of `resource` the user has. Linux: include/linux/user_namespace.h, get_rlimit_value."""
        return self.user_namespace.counts.get((self.uid, resource), 0)

    def count(self, resource: int, amount: int) -> None:
        """The user has so much more of `resource`, or less."""
        self.user_namespace.count(self.uid, resource, amount)

    def has_room(self, resource: int, amount: int, limit: int) -> bool:
        """Whether the user can have so much more of `resource` up to `limit`, and its namespace too."""
        return self.user_namespace.has_room(self.uid, resource, amount, limit)

    def can_hold_signal(self) -> bool:
        """Whether there is memory for one more queued signal (GFP_ATOMIC)."""
        memory = self.user_namespace.memory
        return memory is None or memory.can_charge(SIGNAL_BYTES)

    def add_signal(self) -> None:
        """Count one more, for which there is memory. Linux: kernel/signal.c, __sigqueue_alloc."""
        namespace = self.user_namespace
        namespace.count(self.uid, RLIMIT_SIGPENDING, 1)
        if namespace.memory is not None:
            namespace.memory.charge_always(SIGNAL, SIGNAL_BYTES)

    def remove_signal(self) -> None:
        """Count one less. Linux: kernel/signal.c, __sigqueue_free."""
        namespace = self.user_namespace
        namespace.count(self.uid, RLIMIT_SIGPENDING, -1)
        if namespace.memory is not None:
            namespace.memory.uncharge(SIGNAL, SIGNAL_BYTES)

    def capable(self, capability: int) -> bool:
        """Whether `capability` (CAP_KILL is 5) is effective over the whole machine; then it's used.

        This is for the running task's own credentials, like all that note the use of a capability: it's asked
        last, when nothing else allows what is wanted. Linux: kernel/capability.c, capable.
        """
        return self.has_capability(capability) and self._uses()

    def ns_capable(self, namespace: UserNamespace, capability: int) -> bool:
        """Whether `capability` is effective over what user namespace `namespace` owns; then it's used.

        Linux: kernel/capability.c, ns_capable, ns_capable_noaudit.
        """
        return self.has_ns_capability(namespace, capability) and self._uses()

    def capable_in_own(self, capability: int) -> bool:
        """Whether `capability` is effective over what the task's own user namespace owns; then it's used.

        Linux: kernel/capability.c, ns_capable_setid; include/linux/cred.h, current_user_ns.
        """
        return self.cap_raised(capability) and self._uses()

    def capable_wrt_inode_uidgid(self, inode: Inode, capability: int) -> bool:
        """Whether `capability` is effective over a file whose owner and group have ids for the task.

        It's used whether or not they have. Linux: kernel/capability.c, capable_wrt_inode_uidgid.
        """
        if not self.capable_in_own(capability):
            return False
        namespace = self.user_namespace
        return not namespace.level or (
            namespace.uid_map.up(inode.uid) != NO_ID and namespace.gid_map.up(inode.gid) != NO_ID
        )

    def _uses(self) -> bool:
        caller = self.user_namespace.caller
        if caller is not None:
            caller.note_privilege()
        return True

    def has_capability(self, capability: int) -> bool:
        """Whether `capability` is effective over the whole machine. It isn't used: these may be anybody's, as
        who opened a file. Linux: kernel/capability.c, has_capability, file_ns_capable.
        """
        return bool(self.cap_effective >> capability & 1) and not self.user_namespace.level

    def has_ns_capability(self, namespace: UserNamespace, capability: int) -> bool:
        """Whether `capability` is effective over what user namespace `namespace` owns. It isn't used.

        It's the capabilities of the task's own namespace that count, there and in all below; and who made a
        namespace has all of them in it, seen from around it.
        Linux: kernel/capability.c, has_ns_capability; security/commoncap.c, cap_capable.
        """
        mine = self.user_namespace
        while namespace is not mine:
            parent = namespace.parent
            if parent is None or namespace.level <= mine.level:
                return False
            if parent is mine and namespace.owner_uid == self.euid:
                return True
            namespace = parent
        return bool(self.cap_effective >> capability & 1)

    def cap_raised(self, capability: int) -> bool:
        """Whether `capability` is in the effective set, over whatever. It isn't used."""
        return bool(self.cap_effective >> capability & 1)

    def may_checkpoint(self, namespace: UserNamespace) -> bool:
        """Whether it may put back what was kept of a process, where `namespace` owns what that is in.

        Linux: include/linux/capability.h, checkpoint_restore_ns_capable.
        """
        return self.ns_capable(namespace, CAP_CHECKPOINT_RESTORE) or self.ns_capable(namespace, CAP_SYS_ADMIN)

    @property
    def uids(self) -> tuple[int, int, int, int]:
        """The real, effective, saved and file system user id."""
        return self.uid, self.euid, self.suid, self.fsuid

    @property
    def gids(self) -> tuple[int, int, int, int]:
        """The real, effective, saved and file system group id."""
        return self.gid, self.egid, self.sgid, self.fsgid

    def is_in_group(self, gid: int) -> bool:
        """Whether `gid` is the file system group or a supplementary one.

        Linux: kernel/groups.c, in_group_p.
        """
        return gid == self.fsgid or gid in self.groups

    def is_secure(self, bit: int) -> bool:
        """Whether securebit number `bit` is set (Linux: include/linux/securebits.h, issecure)."""
        return bool(self.securebits >> bit & 1)

    def replace(self, **changes: Any) -> Credentials:
        """Credentials that differ from these in the given attributes.

        Linux: kernel/cred.c, prepare_creds.
        """
        twin = Credentials(self.user_namespace, self.uid, self.gid, self.groups)
        twin.cap_ambient = self.cap_ambient
        twin.cap_bounding = self.cap_bounding
        twin.cap_effective = self.cap_effective
        twin.cap_inheritable = self.cap_inheritable
        twin.cap_permitted = self.cap_permitted
        twin.egid = self.egid
        twin.euid = self.euid
        twin.fsgid = self.fsgid
        twin.fsuid = self.fsuid
        twin.landlock = self.landlock
        twin.no_new_privs = self.no_new_privs
        twin.securebits = self.securebits
        twin.sgid = self.sgid
        twin.suid = self.suid
        for name, value in changes.items():
            setattr(twin, name, value)
        return twin

    def for_exec(
        self,
        *,
        set_uid: int | None = None,
        set_gid: int | None = None,
        file: FileCapabilities | None = None,
        is_unsafe: bool = False,
        is_traced: bool = False,
    ) -> ExecCredentials:
        """What these become in execve(2).

        `set_uid` and `set_gid` are the owners of a set-user-ID and set-group-ID file (the latter executable
        by its group), None for any other; `file` its capabilities; all None on a nosuid mount. `is_unsafe`:
        the `fs` is shared with a task outside of the thread group. `is_traced`: by a tracer without
        CAP_SYS_PTRACE. Raises EPERM when the file needs capabilities that it can't get.
        Linux: fs/exec.c, bprm_fill_uid; security/commoncap.c, cap_bprm_creds_from_file.
        """
        root = self.user_namespace.make_kuid(0)
        new = self.replace()
        clears_personality = False
        if not self.no_new_privs:
            if set_uid is not None:
                clears_personality = True
                new.euid = set_uid
            if set_gid is not None:
                clears_personality = True
                new.egid = set_gid
        new.cap_permitted = 0
        is_effective = False
        if file is not None:
            new.cap_permitted = self.cap_bounding & file.permitted | self.cap_inheritable & file.inheritable
            is_effective = file.is_effective
            if is_effective and file.permitted & ~new.cap_permitted:
                raise EPERM("the bounding set keeps the file from capabilities that it needs")
        # A set-user-ID program of the superuser that has capabilities gets these alone.
        if not self.is_secure(SECURE_NOROOT) and (file is None or new.uid == root or new.euid != root):
            if root in (new.euid, new.uid):
                new.cap_permitted = self.cap_bounding | self.cap_inheritable
            is_effective = is_effective or new.euid == root
        has_gained = bool(new.cap_permitted & ~self.cap_permitted)
        clears_personality = clears_personality or has_gained
        has_changed_id = new.euid != self.euid or not new.is_in_group(new.egid)
        if (has_changed_id or has_gained) and (is_unsafe or is_traced or self.no_new_privs):
            if not self.capable_in_own(CAP_SETUID) or self.no_new_privs:
                new.euid = new.uid
                new.egid = new.gid
            new.cap_permitted &= self.cap_permitted
        new.suid = new.fsuid = new.euid
        new.sgid = new.fsgid = new.egid
        if has_changed_id or file is not None:
            new.cap_ambient = 0
        new.cap_permitted |= new.cap_ambient
        new.cap_effective = new.cap_permitted if is_effective else new.cap_ambient
        new.securebits &= ~(1 << SECURE_KEEP_CAPS)
        has_grown = bool(new.cap_permitted & ~new.cap_ambient)
        is_secure = (
            has_changed_id
            or new.euid != self.uid
            or new.egid != self.gid
            or (new.uid != root and (is_effective or has_grown))
        )
        return ExecCredentials(new, is_secure, clears_personality)

    def __repr__(self) -> str:
        return f"<Credentials uid {self.uid}/{self.euid}/{self.suid} gid {self.gid}/{self.egid}/{self.sgid}>"


def release_credentials(task: Task) -> None:
    """The task is gone: it counts no more, and leaves its user namespace.

    Linux: kernel/cred.c, exit_creds.
    """
    credentials = task.credentials
    credentials.count(RLIMIT_NPROC, -1)
    if credentials.user_namespace.level:
        credentials.user_namespace.put()


def has_no_more_capabilities(new: Credentials, old: Credentials) -> bool:
    """Whether `new` has no capability that `old` hasn't got, or can give itself in a namespace that it made.

    Linux: kernel/cred.c, cred_cap_issubset.
    """
    namespace = new.user_namespace
    if namespace is old.user_namespace:
        return not new.cap_permitted & ~old.cap_permitted
    while namespace.parent is not None:
        if namespace.parent is old.user_namespace and namespace.owner_uid == old.euid:
            return True
        namespace = namespace.parent
    return False


def commit_credentials(task: Task, new: Credentials) -> None:
    """Make `new` the credentials of `task`, which must not be changed afterwards.

    A process whose identity changes or whose capabilities grow can no longer be traced by its own user, nor
    dumped (but for fs.suid_dumpable), and forgets its parent death signal.
    Linux: kernel/cred.c, commit_creds.
    """
    old = task.credentials
    if new.uid != old.uid or new.user_namespace is not old.user_namespace:
        new.count(RLIMIT_NPROC, 1)
        old.count(RLIMIT_NPROC, -1)
    if new.user_namespace is not old.user_namespace:
        # The machine's first is there in any case: tasks don't hold it.
        if new.user_namespace.level:
            new.user_namespace.acquire()
        if old.user_namespace.level:
            old.user_namespace.put()
    if (
        new.euid != old.euid
        or new.egid != old.egid
        or new.fsuid != old.fsuid
        or new.fsgid != old.fsgid
        or not has_no_more_capabilities(new, old)
    ):
        task.mm.dumpable = task.kernel.core.suid_dumpable
        task.parent_death_signal = 0
    if task.keys is not None and new.fsuid != old.fsuid:
        task.keys.follow_user(new.fsuid)
    task.credentials = new
    connector = task.kernel.process_connector
    if connector is not None:
        connector.tell_of_identity(task, old)


def _commit_users(task: Task, new: Credentials) -> None:
    """Commit a change of user ids, with its effects on capabilities and accounts.

    Linux: kernel/sys.c, set_user, flag_nproc_exceeded; security/commoncap.c, cap_emulate_setxuid.
    """
    old = task.credentials
    if not old.is_secure(SECURE_NO_SETUID_FIXUP):
        root = old.user_namespace.make_kuid(0)
        had_root = root in {old.uid, old.euid, old.suid}
        if had_root and root not in {new.uid, new.euid, new.suid}:
            if not old.is_secure(SECURE_KEEP_CAPS):
                new.cap_permitted = new.cap_effective = 0
            new.cap_ambient = 0
        if old.euid == root and new.euid != root:
            new.cap_effective = 0
        elif old.euid != root and new.euid == root:
            new.cap_effective = new.cap_permitted
    if new.uid != old.uid:
        soft = task.group.limits.soft[RLIMIT_NPROC]
        if new.uid != 0 and not new.has_room(RLIMIT_NPROC, 0, soft):
            task.flags |= PF_NPROC_EXCEEDED
        else:
            task.flags &= ~PF_NPROC_EXCEEDED
    commit_credentials(task, new)


def set_uid(task: Task, uid: int) -> None:
    """setuid(2). Raises EINVAL and EPERM. Linux: kernel/sys.c, __sys_setuid."""
    if uid == UNCHANGED:
        raise EINVAL("-1 isn't a user id")
    old = task.credentials
    new = old.replace(euid=uid, fsuid=uid)
    if old.capable_in_own(CAP_SETUID):
        new.uid = new.suid = uid
    elif uid not in {old.uid, old.suid}:
        raise EPERM(f"{uid} is neither the real nor the saved user id, and CAP_SETUID is missing")
    _commit_users(task, new)


def set_real_and_effective_uid(task: Task, uid: int, euid: int) -> None:
    """setreuid(2). Raises EPERM. Linux: kernel/sys.c, __sys_setreuid."""
    old = task.credentials
    new = old.replace()
    if uid != UNCHANGED:
        new.uid = uid
        if uid not in {old.uid, old.euid} and not old.capable_in_own(CAP_SETUID):
            raise EPERM(f"{uid} is neither the real nor the effective user id, and CAP_SETUID is missing")
    if euid != UNCHANGED:
        new.euid = euid
        if euid not in {old.uid, old.euid, old.suid} and not old.capable_in_own(CAP_SETUID):
            raise EPERM(f"{euid} is none of the task's user ids, and CAP_SETUID is missing")
    if uid != UNCHANGED or euid not in {UNCHANGED, old.uid}:
        new.suid = new.euid
    new.fsuid = new.euid
    _commit_users(task, new)


def set_all_uids(task: Task, uid: int, euid: int, suid: int) -> None:
    """setresuid(2). Raises EPERM. Linux: kernel/sys.c, __sys_setresuid."""
    old = task.credentials
    ids = {old.uid, old.euid, old.suid, UNCHANGED}
    if not (uid in ids and euid in ids and suid in ids) and not old.capable_in_own(CAP_SETUID):
        raise EPERM("a user id that isn't one of the task's, and CAP_SETUID is missing")
    is_alike = uid in (UNCHANGED, old.uid) and suid in (UNCHANGED, old.suid)
    if is_alike and (euid == UNCHANGED or euid == old.euid == old.fsuid):
        # There is nothing to do: the id for files stays as well.
        return
    new = old.replace()
    if uid != UNCHANGED:
        new.uid = uid
    if euid != UNCHANGED:
        new.euid = euid
    if suid != UNCHANGED:
        new.suid = suid
    new.fsuid = new.euid
    _commit_users(task, new)


def set_file_system_uid(task: Task, uid: int) -> int:
    """setfsuid(2): the id before, whether or not it changed. Linux: kernel/sys.c, __sys_setfsuid."""
    old = task.credentials
    if uid in {UNCHANGED, old.fsuid}:
        return old.fsuid
    if uid in {old.uid, old.euid, old.suid} or old.capable_in_own(CAP_SETUID):
        new = old.replace(fsuid=uid)
        if not old.is_secure(SECURE_NO_SETUID_FIXUP):
            root = old.user_namespace.make_kuid(0)
            if old.fsuid == root:
                new.cap_effective &= ~CAP_FS_SET
            elif uid == root:
                new.cap_effective |= new.cap_permitted & CAP_FS_SET
        commit_credentials(task, new)
    return old.fsuid


def set_gid(task: Task, gid: int) -> None:
    """setgid(2). Raises EINVAL and EPERM. Linux: kernel/sys.c, __sys_setgid."""
    if gid == UNCHANGED:
        raise EINVAL("-1 isn't a group id")
    old = task.credentials
    new = old.replace(egid=gid, fsgid=gid)
    if old.capable_in_own(CAP_SETGID):
        new.gid = new.sgid = gid
    elif gid not in {old.gid, old.sgid}:
        raise EPERM(f"{gid} is neither the real nor the saved group id, and CAP_SETGID is missing")
    commit_credentials(task, new)


def set_real_and_effective_gid(task: Task, gid: int, egid: int) -> None:
    """setregid(2). Raises EPERM. Linux: kernel/sys.c, __sys_setregid."""
    old = task.credentials
    new = old.replace()
    if gid != UNCHANGED:
        new.gid = gid
        if gid not in {old.gid, old.egid} and not old.capable_in_own(CAP_SETGID):
            raise EPERM(f"{gid} is neither the real nor the effective group id, and CAP_SETGID is missing")
    if egid != UNCHANGED:
        new.egid = egid
        if egid not in {old.gid, old.egid, old.sgid} and not old.capable_in_own(CAP_SETGID):
            raise EPERM(f"{egid} is none of the task's group ids, and CAP_SETGID is missing")
    if gid != UNCHANGED or egid not in {UNCHANGED, old.gid}:
        new.sgid = new.egid
    new.fsgid = new.egid
    commit_credentials(task, new)


def set_all_gids(task: Task, gid: int, egid: int, sgid: int) -> None:
    """setresgid(2). Raises EPERM. Linux: kernel/sys.c, __sys_setresgid."""
    old = task.credentials
    ids = {old.gid, old.egid, old.sgid, UNCHANGED}
    if not (gid in ids and egid in ids and sgid in ids) and not old.capable_in_own(CAP_SETGID):
        raise EPERM("a group id that isn't one of the task's, and CAP_SETGID is missing")
    is_alike = gid in (UNCHANGED, old.gid) and sgid in (UNCHANGED, old.sgid)
    if is_alike and (egid == UNCHANGED or egid == old.egid == old.fsgid):
        return
    new = old.replace()
    if gid != UNCHANGED:
        new.gid = gid
    if egid != UNCHANGED:
        new.egid = egid
    if sgid != UNCHANGED:
        new.sgid = sgid
    new.fsgid = new.egid
    commit_credentials(task, new)


def set_file_system_gid(task: Task, gid: int) -> int:
    """setfsgid(2): the id before, whether or not it changed. Linux: kernel/sys.c, __sys_setfsgid."""
    old = task.credentials
    if gid in {UNCHANGED, old.fsgid}:
        return old.fsgid
    if gid in {old.gid, old.egid, old.sgid} or old.capable_in_own(CAP_SETGID):
        commit_credentials(task, old.replace(fsgid=gid))
    return old.fsgid


def set_groups(task: Task, groups: tuple[int, ...]) -> None:
    """setgroups(2) once its list is read. Raises EINVAL for an invalid id, OutOfFrames.

    Linux: kernel/groups.c, set_current_groups.
    """
    if UNCHANGED in groups:
        raise EINVAL("-1 isn't a group id")
    shared = task.kernel.group_lists.share(task.kernel, tuple(sorted(groups)))
    commit_credentials(task, task.credentials.replace(groups=shared))
