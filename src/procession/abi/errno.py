"""Linux's error numbers, each an exception that a system call raises to answer it.

Longer than other files, as it's one table: a class, a number and a text for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

TOLD: Final = True
"""Behind an error's reason: it is the program's too."""


class Errno(Exception):
    """
    A failed system call. Raise a subclass, bare or with a reason that the trace shows.

    ``number`` is what the program finds negated in rax, ``text`` what strerror(3) says.
    """

    number: ClassVar[int]
    text: ClassVar[str]

    # The reason lives in BaseException.args: a constructor of our own would double the price of a raise.
    if TYPE_CHECKING:

        def __init__(self, reason: str = "", is_told: bool = False, /) -> None: ...

    @property
    def reason(self) -> str:
        """Why this call failed, in words; empty when there is no more to say than the error itself."""
        return self.args[0] if self.args else ""

    @property
    def is_told(self) -> bool:
        """Whether the reason is in Linux's words, for programs that want them (NLMSGERR_ATTR_MSG)."""
        return len(self.args) > 1

    @property
    def name(self) -> str:
        """The symbol as programs spell it: "ENOENT"."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.text}: {self.args[0]}" if self.args and self.args[0] else self.text


class EPERM(Errno):
    number = 1
    text = "Operation not permitted"


class ENOENT(Errno):
    number = 2
    text = "No such file or directory"


class ESRCH(Errno):
    number = 3
    text = "No such process"


class EINTR(Errno):
    number = 4
    text = "Interrupted system call"


class EIO(Errno):
    number = 5
    text = "Input/output error"


class ENXIO(Errno):
    number = 6
    text = "No such device or address"


class E2BIG(Errno):
    number = 7
    text = "Argument list too long"


class ENOEXEC(Errno):
    number = 8
    text = "Exec format error"


class EBADF(Errno):
    number = 9
    text = "Bad file descriptor"


class ECHILD(Errno):
    number = 10
    text = "No child processes"


class EAGAIN(Errno):
    number = 11
    text = "Resource temporarily unavailable"


class ENOMEM(Errno):
    number = 12
    text = "Cannot allocate memory"


class EACCES(Errno):
    number = 13
    text = "Permission denied"


class EFAULT(Errno):
    number = 14
    text = "Bad address"


class ENOTBLK(Errno):
    number = 15
    text = "Block device required"


class EBUSY(Errno):
    number = 16
    text = "Device or resource busy"


class EEXIST(Errno):
    number = 17
    text = "File exists"


class EXDEV(Errno):
    number = 18
    text = "Invalid cross-device link"


class ENODEV(Errno):
    number = 19
    text = "No such device"


class ENOTDIR(Errno):
    number = 20
    text = "Not a directory"


class EISDIR(Errno):
    number = 21
    text = "Is a directory"


class EINVAL(Errno):
    number = 22
    text = "Invalid argument"


class ENFILE(Errno):
    number = 23
    text = "Too many open files in system"


class EMFILE(Errno):
    number = 24
    text = "Too many open files"


class ENOTTY(Errno):
    number = 25
    text = "Inappropriate ioctl for device"


class ETXTBSY(Errno):
    number = 26
    text = "Text file busy"


class EFBIG(Errno):
    number = 27
    text = "File too large"


class ENOSPC(Errno):
    number = 28
    text = "No space left on device"


class ESPIPE(Errno):
    number = 29
    text = "Illegal seek"


class EROFS(Errno):
    number = 30
    text = "Read-only file system"


class EMLINK(Errno):
    number = 31
    text = "Too many links"


class EPIPE(Errno):
    number = 32
    text = "Broken pipe"


class EDOM(Errno):
    number = 33
    text = "Numerical argument out of domain"


class ERANGE(Errno):
    number = 34
    text = "Numerical result out of range"


class EDEADLK(Errno):
    number = 35
    text = "Resource deadlock avoided"


class ENAMETOOLONG(Errno):
    number = 36
    text = "File name too long"


class ENOLCK(Errno):
    number = 37
    text = "No locks available"


class ENOSYS(Errno):
    number = 38
    text = "Function not implemented"


class ENOTEMPTY(Errno):
    number = 39
    text = "Directory not empty"


class ELOOP(Errno):
    number = 40
    text = "Too many levels of symbolic links"


class ENOMSG(Errno):
    number = 42
    text = "No message of desired type"


class EIDRM(Errno):
    number = 43
    text = "Identifier removed"


class ECHRNG(Errno):
    number = 44
    text = "Channel number out of range"


class EL2NSYNC(Errno):
    number = 45
    text = "Level 2 not synchronized"


class EL3HLT(Errno):
    number = 46
    text = "Level 3 halted"


class EL3RST(Errno):
    number = 47
    text = "Level 3 reset"


class ELNRNG(Errno):
    number = 48
    text = "Link number out of range"


class EUNATCH(Errno):
    number = 49
    text = "Protocol driver not attached"


class ENOCSI(Errno):
    number = 50
    text = "No CSI structure available"


class EL2HLT(Errno):
    number = 51
    text = "Level 2 halted"


class EBADE(Errno):
    number = 52
    text = "Invalid exchange"


class EBADR(Errno):
    number = 53
    text = "Invalid request descriptor"


class EXFULL(Errno):
    number = 54
    text = "Exchange full"


class ENOANO(Errno):
    number = 55
    text = "No anode"


class EBADRQC(Errno):
    number = 56
    text = "Invalid request code"


class EBADSLT(Errno):
    number = 57
    text = "Invalid slot"


class EBFONT(Errno):
    number = 59
    text = "Bad font file format"


class ENOSTR(Errno):
    number = 60
    text = "Device not a stream"


class ENODATA(Errno):
    number = 61
    text = "No data available"


class ETIME(Errno):
    number = 62
    text = "Timer expired"


class ENOSR(Errno):
    number = 63
    text = "Out of streams resources"


class ENONET(Errno):
    number = 64
    text = "Machine is not on the network"


class ENOPKG(Errno):
    number = 65
    text = "Package not installed"


class EREMOTE(Errno):
    number = 66
    text = "Object is remote"


class ENOLINK(Errno):
    number = 67
    text = "Link has been severed"


class EADV(Errno):
    number = 68
    text = "Advertise error"


class ESRMNT(Errno):
    number = 69
    text = "Srmount error"


class ECOMM(Errno):
    number = 70
    text = "Communication error on send"


class EPROTO(Errno):
    number = 71
    text = "Protocol error"


class EMULTIHOP(Errno):
    number = 72
    text = "Multihop attempted"


class EDOTDOT(Errno):
    number = 73
    text = "RFS specific error"


class EBADMSG(Errno):
    number = 74
    text = "Bad message"


class EOVERFLOW(Errno):
    number = 75
    text = "Value too large for defined data type"


class ENOTUNIQ(Errno):
    number = 76
    text = "Name not unique on network"


class EBADFD(Errno):
    number = 77
    text = "File descriptor in bad state"


class EREMCHG(Errno):
    number = 78
    text = "Remote address changed"


class ELIBACC(Errno):
    number = 79
    text = "Can not access a needed shared library"


class ELIBBAD(Errno):
    number = 80
    text = "Accessing a corrupted shared library"


class ELIBSCN(Errno):
    number = 81
    text = ".lib section in a.out corrupted"


class ELIBMAX(Errno):
    number = 82
    text = "Attempting to link in too many shared libraries"


class ELIBEXEC(Errno):
    number = 83
    text = "Cannot exec a shared library directly"


class EILSEQ(Errno):
    number = 84
    text = "Invalid or incomplete multibyte or wide character"


class ERESTART(Errno):
    number = 85
    text = "Interrupted system call should be restarted"


class ESTRPIPE(Errno):
    number = 86
    text = "Streams pipe error"


class EUSERS(Errno):
    number = 87
    text = "Too many users"


class ENOTSOCK(Errno):
    number = 88
    text = "Socket operation on non-socket"


class EDESTADDRREQ(Errno):
    number = 89
    text = "Destination address required"


class EMSGSIZE(Errno):
    number = 90
    text = "Message too long"


class EPROTOTYPE(Errno):
    number = 91
    text = "Protocol wrong type for socket"


class ENOPROTOOPT(Errno):
    number = 92
    text = "Protocol not available"


class EPROTONOSUPPORT(Errno):
    number = 93
    text = "Protocol not supported"


class ESOCKTNOSUPPORT(Errno):
    number = 94
    text = "Socket type not supported"


class EOPNOTSUPP(Errno):
    number = 95
    text = "Operation not supported"


class EPFNOSUPPORT(Errno):
    number = 96
    text = "Protocol family not supported"


class EAFNOSUPPORT(Errno):
    number = 97
    text = "Address family not supported by protocol"


class EADDRINUSE(Errno):
    number = 98
    text = "Address already in use"


class EADDRNOTAVAIL(Errno):
    number = 99
    text = "Cannot assign requested address"


class ENETDOWN(Errno):
    number = 100
    text = "Network is down"


class ENETUNREACH(Errno):
    number = 101
    text = "Network is unreachable"


class ENETRESET(Errno):
    number = 102
    text = "Network dropped connection on reset"


class ECONNABORTED(Errno):
    number = 103
    text = "Software caused connection abort"


class ECONNRESET(Errno):
    number = 104
    text = "Connection reset by peer"


class ENOBUFS(Errno):
    number = 105
    text = "No buffer space available"


class EISCONN(Errno):
    number = 106
    text = "Transport endpoint is already connected"


class ENOTCONN(Errno):
    number = 107
    text = "Transport endpoint is not connected"


class ESHUTDOWN(Errno):
    number = 108
    text = "Cannot send after transport endpoint shutdown"


class ETOOMANYREFS(Errno):
    number = 109
    text = "Too many references: cannot splice"


class ETIMEDOUT(Errno):
    number = 110
    text = "Connection timed out"


class ECONNREFUSED(Errno):
    number = 111
    text = "Connection refused"


class EHOSTDOWN(Errno):
    number = 112
    text = "Host is down"


class EHOSTUNREACH(Errno):
    number = 113
    text = "No route to host"


class EALREADY(Errno):
    number = 114
    text = "Operation already in progress"


class EINPROGRESS(Errno):
    number = 115
    text = "Operation now in progress"


class ESTALE(Errno):
    number = 116
    text = "Stale file handle"


class EUCLEAN(Errno):
    number = 117
    text = "Structure needs cleaning"


class ENOTNAM(Errno):
    number = 118
    text = "Not a XENIX named type file"


class ENAVAIL(Errno):
    number = 119
    text = "No XENIX semaphores available"


class EISNAM(Errno):
    number = 120
    text = "Is a named type file"


class EREMOTEIO(Errno):
    number = 121
    text = "Remote I/O error"


class EDQUOT(Errno):
    number = 122
    text = "Disk quota exceeded"


class ENOMEDIUM(Errno):
    number = 123
    text = "No medium found"


class EMEDIUMTYPE(Errno):
    number = 124
    text = "Wrong medium type"


class ECANCELED(Errno):
    number = 125
    text = "Operation canceled"


class ENOKEY(Errno):
    number = 126
    text = "Required key not available"


class EKEYEXPIRED(Errno):
    number = 127
    text = "Key has expired"


class EKEYREVOKED(Errno):
    number = 128
    text = "Key has been revoked"


class EKEYREJECTED(Errno):
    number = 129
    text = "Key was rejected by service"


class EOWNERDEAD(Errno):
    number = 130
    text = "Owner died"


class ENOTRECOVERABLE(Errno):
    number = 131
    text = "State not recoverable"


class ERFKILL(Errno):
    number = 132
    text = "Operation not possible due to RF-kill"


class EHWPOISON(Errno):
    number = 133
    text = "Memory page has hardware error"


EWOULDBLOCK = EAGAIN
EDEADLOCK = EDEADLK
ENOTSUP = EOPNOTSUPP


# What follows never reaches a program: signal delivery turns it into EINTR or starts the call again.
# A tracer sees it in rax at a syscall-exit stop. Linux: include/linux/errno.h.


class ERESTARTSYS(Errno):
    number = 512
    text = "To be restarted if SA_RESTART is set"


class ERESTARTNOINTR(Errno):
    number = 513
    text = "To be restarted"


class ERESTARTNOHAND(Errno):
    number = 514
    text = "To be restarted if no handler"


class ERESTART_RESTARTBLOCK(Errno):
    number = 516
    text = "Interrupted by signal"


BY_NUMBER: dict[int, type[Errno]] = {kind.number: kind for kind in Errno.__subclasses__()}
