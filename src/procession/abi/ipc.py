"""System V messages, semaphores and shared memory."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I16, I32, I64, U16, U32, U64, Structure

# A key that names nothing: always a new object.
IPC_PRIVATE = 0


class IpcFlag(IntFlag):
    """The flags of the ...get() and ...op() calls, above the nine permission bits."""

    IPC_CREAT = 0o1000
    IPC_EXCL = 0o2000
    IPC_NOWAIT = 0o4000


# A flag in the command of older C libraries; x86-64 ignores it.
IPC_64 = 0x100


class SemCommand(IntEnum):
    """semctl(2)."""

    IPC_RMID = 0
    IPC_SET = 1
    IPC_STAT = 2
    IPC_INFO = 3
    GETPID = 11
    GETVAL = 12
    GETALL = 13
    GETNCNT = 14
    GETZCNT = 15
    SETVAL = 16
    SETALL = 17
    SEM_STAT = 18
    SEM_INFO = 19
    SEM_STAT_ANY = 20


class SemFlag(IntFlag):
    """sem_flg of struct sembuf."""

    IPC_NOWAIT = 0o4000
    SEM_UNDO = 0x1000


SEMMNI = 32000
SEMMSL = 32000
SEMMNS = 1024000000
SEMOPM = 500
SEMVMX = 32767
SEMAEM = 32767


class MsgCommand(IntEnum):
    """msgctl(2)."""

    IPC_RMID = 0
    IPC_SET = 1
    IPC_STAT = 2
    IPC_INFO = 3
    MSG_STAT = 11
    MSG_INFO = 12
    MSG_STAT_ANY = 13


class MsgFlag(IntFlag):
    """msgrcv(2) and msgsnd(2)."""

    IPC_NOWAIT = 0o4000
    MSG_NOERROR = 0o10000
    MSG_EXCEPT = 0o20000
    MSG_COPY = 0o40000


MSGMNI = 32000
MSGMAX = 8192
MSGMNB = 16384


class ShmCommand(IntEnum):
    """shmctl(2)."""

    IPC_RMID = 0
    IPC_SET = 1
    IPC_STAT = 2
    IPC_INFO = 3
    SHM_LOCK = 11
    SHM_UNLOCK = 12
    SHM_STAT = 13
    SHM_INFO = 14
    SHM_STAT_ANY = 15


class ShmgetFlag(IntFlag):
    """shmget(2), above the nine permission bits."""

    IPC_CREAT = 0o1000
    IPC_EXCL = 0o2000
    SHM_HUGETLB = 0o4000
    SHM_NORESERVE = 0o10000


class ShmatFlag(IntFlag):
    """shmat(2)."""

    SHM_RDONLY = 0o10000
    SHM_RND = 0o20000
    SHM_REMAP = 0o40000
    SHM_EXEC = 0o100000


SHMMIN = 1
SHMMNI = 4096

SHMMAX = 0xFFFFFFFFFEFFFFFF
SHMALL = 0xFFFFFFFFFEFFFFFF

# Set in the mode that shmctl(2) tells. Linux: include/linux/shm.h.
SHM_DEST = 0o1000
SHM_LOCKED = 0o2000


class Ipc64Perm(Structure, size=48, alignment=8):
    """struct ipc64_perm."""

    key: I32 = 0
    uid: U32 = 0
    gid: U32 = 0
    cuid: U32 = 0
    cgid: U32 = 0
    mode: U32 = 0
    seq: U16 = 0


class Semid64Ds(Structure, size=104):
    """struct semid64_ds; x86-64 pads each time to 16 bytes, as 32-bit x86 does."""

    sem_perm: Ipc64Perm = Ipc64Perm()
    sem_otime: I64 = 0
    unused1: U64 = 0
    sem_ctime: I64 = 0
    unused2: U64 = 0
    sem_nsems: U64 = 0


class Sembuf(Structure):
    """struct sembuf."""

    sem_num: U16 = 0
    sem_op: I16 = 0
    sem_flg: I16 = 0


class Seminfo(Structure):
    """struct seminfo, of IPC_INFO and SEM_INFO."""

    semmap: I32 = 0
    semmni: I32 = 0
    semmns: I32 = 0
    semmnu: I32 = 0
    semmsl: I32 = 0
    semopm: I32 = 0
    semume: I32 = 0
    semusz: I32 = 0
    semvmx: I32 = 0
    semaem: I32 = 0


class Msqid64Ds(Structure, size=120):
    """struct msqid64_ds."""

    msg_perm: Ipc64Perm = Ipc64Perm()
    msg_stime: I64 = 0
    msg_rtime: I64 = 0
    msg_ctime: I64 = 0
    msg_cbytes: U64 = 0
    msg_qnum: U64 = 0
    msg_qbytes: U64 = 0
    msg_lspid: I32 = 0
    msg_lrpid: I32 = 0


class Msginfo(Structure):
    """struct msginfo, of IPC_INFO and MSG_INFO."""

    msgpool: I32 = 0
    msgmap: I32 = 0
    msgmax: I32 = 0
    msgmnb: I32 = 0
    msgmni: I32 = 0
    msgssz: I32 = 0
    msgtql: I32 = 0
    msgseg: U16 = 0


class Shmid64Ds(Structure, size=112):
    """struct shmid64_ds."""

    shm_perm: Ipc64Perm = Ipc64Perm()
    shm_segsz: U64 = 0
    shm_atime: I64 = 0
    shm_dtime: I64 = 0
    shm_ctime: I64 = 0
    shm_cpid: I32 = 0
    shm_lpid: I32 = 0
    shm_nattch: U64 = 0


class Shminfo64(Structure, size=72):
    """struct shminfo64, of IPC_INFO."""

    shmmax: U64 = 0
    shmmin: U64 = 0
    shmmni: U64 = 0
    shmseg: U64 = 0
    shmall: U64 = 0


class ShmInfo(Structure):
    """struct shm_info, of SHM_INFO; sizes are in pages."""

    used_ids: I32 = 0
    shm_tot: U64 = 0
    shm_rss: U64 = 0
    shm_swp: U64 = 0
    swap_attempts: U64 = 0
    swap_successes: U64 = 0
