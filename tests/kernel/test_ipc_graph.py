"""Who waits for whom: what a machine says when all of its tasks sleep for ever, and their channels."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

from procession import Machine
from procession.ending import STATUS_DEADLOCK
from procession.kernel.waits.graph import EVERY_TASK_SLEEPS

HEAD = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static char byte;
"""


class Run(Protocol):
    """Compile the body of a main function and what is outside of it; run it until all sleep."""

    def __call__(self, body: str, outside: str = "") -> tuple[Machine, list[str]]:
        """The machine afterwards, and the lines of its reason after the first."""


def without_numbers(text: object) -> str:
    """`text` with N for the numbers of pipes and sockets, which depend on how many there were before."""
    return re.sub(r":\[\d+\]", ":[N]", str(text))


@pytest.fixture
def run(c_compiler: list[str], tmp_path: Path) -> Run:
    """What runs a program that sleeps for ever."""

    def compile_and_run(body: str, outside: str = "") -> tuple[Machine, list[str]]:
        source = tmp_path / "program.c"
        source.write_text(f"{HEAD}{outside}\nint main(void)\n{{\n{body}\n}}\n")
        program = tmp_path / "program"
        subprocess.run([*c_compiler, "-std=gnu17", "-o", str(program), str(source)], check=True)
        machine = Machine(seed=1)
        result = machine.run([str(program)])
        assert result.status == STATUS_DEADLOCK, result
        first, *lines = result.reason.splitlines()
        assert first == EVERY_TASK_SLEEPS
        return machine, list(map(without_numbers, lines))

    return compile_and_run


def test_a_reader_that_holds_the_write_end_itself(run: Run) -> None:
    machine, lines = run(
        "int ends[2]; pipe(ends); write(ends[1], &byte, 1); read(ends[0], &byte, 1);"
        "return read(ends[0], &byte, 1);"
    )
    assert lines == [
        "process 2 (program) in read(3) waits for bytes from pipe pipe:[N], "
        "written by 2 (program) by descriptor 4",
        "2 (program) waits for itself",
    ]
    graph = machine.ipc_graph()
    assert graph.deadlocked == (2,)
    assert graph.cycle == (2,)
    (pipe,) = [channel for channel in graph.channels if channel.kind == "pipe" and channel.pids == (2,)]
    assert pipe.queued == "0 bytes"
    assert (
        without_numbers(pipe)
        == "pipe pipe:[N]: 0 bytes; from 2 (program) by descriptor 4 to 2 (program) by descriptor 3"
    )


def test_parent_and_child_wait_for_each_other(run: Run) -> None:
    _, lines = run(
        "int ends[2]; pipe(ends); if (fork() == 0) { close(ends[1]); read(ends[0], &byte, 1); _exit(0); }"
        "wait(NULL); return 0;"
    )
    assert lines == [
        "process 2 (program) in wait4 waits for a child to end: 3 (program)",
        "process 3 (program) in read(3) waits for bytes from pipe pipe:[N], "
        "written by 2 (program) by descriptor 4",
        "2 (program) waits for 3 (program), which waits for 2 (program)",
    ]


def test_threads_lock_mutexes_in_another_order(run: Run) -> None:
    machine, lines = run(
        "pthread_t thread; pthread_mutex_lock(&one); pthread_create(&thread, NULL, other, NULL);"
        "sleep(1); pthread_mutex_lock(&two); return 0;",
        "static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER, two = PTHREAD_MUTEX_INITIALIZER;"
        "static void *other(void *unused)"
        "{ pthread_mutex_lock(&two); pthread_mutex_lock(&one); return unused; }",
    )
    first, second, circle = lines
    assert re.fullmatch(
        r"process 2 \(program\) in futex waits for the mutex at 0x[0-9a-f]+, "
        r"which is held by thread 3 \(program\)",
        first,
    )
    assert "process 2 (program, thread 3) in futex" in second
    assert second.endswith("held by thread 2 (program)")
    assert circle == "2 (program) waits for 3 (program), which waits for 2 (program)"
    assert machine.ipc_graph().cycle == (2, 3)


def test_a_joined_thread_waits_for_a_priority_inheriting_lock(run: Run) -> None:
    _, lines = run(
        "pthread_mutexattr_init(&kind); pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);"
        "pthread_mutex_init(&lock, &kind); pthread_mutex_lock(&lock);"
        "pthread_t thread; pthread_create(&thread, NULL, other, NULL); pthread_join(thread, NULL); return 0;",
        "static pthread_mutexattr_t kind; static pthread_mutex_t lock;"
        "static void *other(void *unused) { pthread_mutex_lock(&lock); return unused; }",
    )
    assert lines[0] == "process 2 (program) in futex waits for the end of thread 3 (program)"
    assert re.search(r"waits for the lock at 0x[0-9a-f]+, which is held by 2 \(program\)$", lines[1])
    assert lines[2] == "2 (program) waits for 3 (program), which waits for 2 (program)"


def test_a_descriptor_closed_while_its_call_sleeps(run: Run) -> None:
    machine, lines = run(
        "pthread_t thread; pipe(ends); pthread_create(&thread, NULL, reader, NULL); sleep(1);"
        "close(ends[0]); pthread_join(thread, NULL); return 0;",
        "static int ends[2];static void *reader(void *unused) { read(ends[0], &byte, 1); return unused; }",
    )
    assert lines[1] == (
        "process 2 (program, thread 3) in read(3) waits for bytes from pipe pipe:[N], "
        "written by 2 (program) by descriptor 4"
    )
    (pipe,) = [channel for channel in machine.ipc_graph().channels if channel.writers[0].descriptor == 4]
    assert without_numbers(pipe) == "pipe pipe:[N]: 0 bytes; from 2 (program) by descriptor 4 to 2 (program)"


def test_semaphores_taken_in_another_order(run: Run) -> None:
    machine, lines = run(
        "int id = semget(IPC_PRIVATE, 2, 0600);"
        "struct sembuf take[2] = {{0, -1, SEM_UNDO}, {1, -1, SEM_UNDO}};"
        "semctl(id, 0, SETALL, (unsigned short[]){1, 1});"
        "if (fork() == 0) { semop(id, take + 1, 1); sleep(1); semop(id, take, 1); _exit(0); }"
        "semop(id, take, 1); sleep(1); semop(id, take + 1, 1); return 0;"
    )
    assert lines == [
        "process 2 (program) in semtimedop waits for semaphore 1 of set 0 to be at least 1; it's 0, "
        "and to be given back by 3 (program)",
        "process 3 (program) in semtimedop waits for semaphore 0 of set 0 to be at least 1; it's 0, "
        "and to be given back by 2 (program)",
        "2 (program) waits for 3 (program), which waits for 2 (program)",
    ]
    (channel,) = [channel for channel in machine.ipc_graph().channels if channel.kind == "semaphores"]
    assert str(channel) == "semaphores 0: values 0 0; between 2 (program), 3 (program)"


def test_messages_of_both_kinds(run: Run) -> None:
    machine, lines = run(
        "int id = msgget(0x77, IPC_CREAT | 0600); struct { long type; char text[8]; } message = {3, "
        '"text"}; msgsnd(id, &message, 5, 0); struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};'
        'mqd_t queue = mq_open("/q", O_CREAT | O_RDWR, 0600, &attributes); mq_send(queue, "x", 1, 0);'
        "if (fork() == 0) { mq_close(queue); msgrcv(id, &message, 8, 9, 0); _exit(0); }"
        'return mq_send(queue, "y", 1, 0);'
    )
    assert lines == [
        "process 2 (program) in mq_timedsend waits for room in the message queue /q, "
        "open to 2 (program) by descriptor 3",
        "process 3 (program) in msgrcv waits for a message in queue 0, which holds 1 of other types",
        "2 (program) waits for itself",
    ]
    shown = [str(channel) for channel in machine.ipc_graph().channels]
    assert (
        "message queue 0 (key 0x77): 1 messages, 5 of 16384 bytes; from 2 (program) to 3 (program)" in shown
    )
    assert any(line.startswith("POSIX message queue /q: 1 of 1 messages, 1 bytes;") for line in shown)


def test_locks_and_fifos(run: Run, tmp_path: Path) -> None:
    _, lines = run(
        'mkfifo("/tmp/fifo", 0600); int file = open("/tmp/file", O_RDWR | O_CREAT, 0600);'
        "struct flock lock = {.l_type = F_WRLCK, .l_start = 5, .l_len = 5}; fcntl(file, F_SETLK, &lock);"
        "if (fork() == 0) { fcntl(file, F_SETLKW, &lock); _exit(0); }"
        'if (fork() == 0) { flock(open("/tmp/file", O_RDONLY), LOCK_EX); pause(); _exit(0); }'
        'sleep(1); if (fork() == 0) { flock(open("/tmp/file", O_RDONLY), LOCK_SH); _exit(0); }'
        'return open("/tmp/fifo", O_RDONLY);'
    )
    assert lines == [
        "process 2 (program) in openat waits for a writer to open the FIFO /tmp/fifo",
        "process 3 (program) in fcntl waits for a lock on bytes 5 to 9 of /tmp/file, held by 2 (program)",
        "process 4 (program) in pause waits for a signal",
        "process 5 (program) in flock waits for the lock on /tmp/file, held by 2 (program), "
        "4 (program) by descriptor 4",
    ]


def test_sockets_and_what_watches_them(run: Run) -> None:
    machine, lines = run(
        "int ends[2], epoll = epoll_create1(0), event = eventfd(0, 0);"
        'socketpair(AF_UNIX, SOCK_STREAM, 0, ends); write(ends[0], "abc", 3);'
        "struct epoll_event wanted = {.events = EPOLLIN};"
        "epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &wanted);"
        "if (fork() == 0) { close(ends[0]); close(epoll); read(event, &wanted, 8); _exit(0); }"
        "close(ends[1]); close(event); return epoll_wait(epoll, &wanted, 1, -1);"
    )
    assert lines == [
        "process 2 (program) in epoll_wait(3) waits for bytes from socket:[N], "
        "at whose other end is 3 (program) by descriptor 6",
        "process 3 (program) in read(4) waits for the eventfd's count to grow, "
        "held by 3 (program) by descriptor 4",
        "3 (program) waits for itself",
    ]
    (socket,) = [channel for channel in machine.ipc_graph().channels if channel.kind == "unix socket"]
    assert socket.queued == "0 and 3 bytes"
    assert socket.pids == (2, 3)


def test_signalfds(run: Run) -> None:
    _, lines = run(
        "sigset_t signals; sigfillset(&signals); sigprocmask(SIG_BLOCK, &signals, NULL);"
        "int file = signalfd(-1, &signals, 0), epoll = epoll_create1(0);"
        "struct epoll_event event = {EPOLLIN};"
        "epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event);"
        "if (fork() == 0) { close(file); sigdelset(&signals, SIGCHLD);"
        "struct signalfd_siginfo info; read(signalfd(-1, &signals, 0), &info, sizeof(info)); _exit(0); }"
        "return epoll_wait(epoll, &event, 1, -1);"
    )
    assert lines == [
        "process 2 (program) in epoll_wait(4) waits for a signal that anon_inode:[signalfd] takes",
        "process 3 (program) in read(3) waits for a signal that anon_inode:[signalfd] takes",
    ]


def test_stopped_vfork_and_polls(run: Run) -> None:
    _, lines = run(
        "int ends[2]; pipe(ends); struct pollfd poller = {ends[0], POLLIN, 0};"
        "if (vfork() == 0) { if (fork() == 0) { raise(SIGSTOP); _exit(0); } poll(&poller, 1, -1); _exit(0); }"
        "return 0;"
    )
    assert (
        lines[0]
        == "process 2 (program) in vfork waits for vfork's child to execute a program or to end: 3 (program)"
    )
    assert lines[1].startswith(
        "process 3 (program) in poll(3) waits for bytes from pipe pipe:[N], written by 2 (program)"
    )
    assert "4 (program) by descriptor 4" in lines[1]
    assert "process 4 (program) in user mode waits for SIGCONT: it's stopped" in lines


def test_shared_memory_and_a_futex_in_it(run: Run) -> None:
    machine, lines = run(
        "int id = shmget(0x55, 8192, IPC_CREAT | 0600); int *word = shmat(id, NULL, 0);"
        "if (fork() == 0) { pause(); _exit(0); }"
        "return syscall(SYS_futex, word + 2, FUTEX_WAIT, 0, NULL, NULL, 0);"
    )
    assert re.fullmatch(
        r"process 2 \(program\) in futex waits for the futex at 0x[0-9a-f]+8 in shared memory, "
        r"which can be woken by 3 \(program\)",
        lines[0],
    )
    shown = [str(channel) for channel in machine.ipc_graph().channels]
    assert "shared memory 0 (key 0x55): 8192 bytes; between 2 (program), 3 (program)" in shown


def test_some_wait_for_ever_while_others_run(c_compiler: list[str], tmp_path: Path) -> None:
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(
        f"{HEAD} int main(void) {{ int ends[2]; pipe(ends); pipe(ends + 0);"
        "if (fork() == 0) { int own[2]; pipe(own); read(own[0], &byte, 1); _exit(0); }"
        "for (;;) sleep(1); }"
    )
    subprocess.run([*c_compiler, "-std=gnu17", "-o", str(program), str(source)], check=True)
    machine = Machine(seed=1)
    machine.start([str(program)])
    assert machine.run_until(
        lambda machine: machine.kernel.clock.now_ns > 3 * 10**9 and machine.kernel.current is None
    )
    while machine.kernel.scheduler.has_waiting:
        machine.step()
    graph = machine.ipc_graph()
    assert graph.deadlocked == (3,)
    assert graph.cycle == (3,)
    assert [wait.has_deadline for wait in graph.waits if wait.tid == 2] == [True]
    before = machine.state_hash()
    machine.ipc_graph()
    assert machine.state_hash() == before


def test_a_circle_through_others_is_told_before_one_that_a_task_is_alone_in(run: Run) -> None:
    machine, lines = run(
        "int one[2], two[2]; pipe(one); pipe(two);"
        "if (fork() == 0) { read(one[0], &byte, 1); write(two[1], &byte, 1); _exit(0); }"
        "read(two[0], &byte, 1); return write(one[1], &byte, 1);"
    )
    assert lines[-1] == "2 (program) waits for 3 (program), which waits for 2 (program)"
    assert machine.ipc_graph().cycle == (2, 3)


def test_a_place_in_the_queue_of_a_socket(run: Run) -> None:
    _, lines = run(
        "struct sockaddr_un name = {AF_UNIX, {0, 'x'}}; socklen_t length = 4;"
        "int listener = socket(AF_UNIX, SOCK_STREAM, 0), receiver = socket(AF_UNIX, SOCK_DGRAM, 0);"
        "bind(listener, (void *)&name, length); bind(receiver, (void *)&name, length); listen(listener, 0);"
        "if (fork() == 0) { for (;;) connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&name, length); }"
        "int sender = socket(AF_UNIX, SOCK_DGRAM, 0); close(listener);"
        "for (;;) sendto(sender, &byte, 1, 0, (void *)&name, length);",
        "#include <sys/un.h>",
    )
    holders = "2 (program) by descriptor 4, 3 (program) by descriptor 4"
    assert lines[:2] == [
        f"process 2 (program) in sendto waits for a place in the queue of socket:[N], held by {holders}",
        "process 3 (program) in connect waits for a place in the backlog of socket:[N], "
        "held by 3 (program) by descriptor 3",
    ]


def test_both_ends_of_a_terminal(run: Run) -> None:
    machine, lines = run(
        "int master = posix_openpt(O_RDWR | O_NOCTTY); unlockpt(master);"
        "int slave = open(ptsname(master), O_RDWR | O_NOCTTY);"
        "if (fork() == 0) { close(slave); read(master, &byte, 1); _exit(0); }"
        "close(master); return read(slave, &byte, 1);"
    )
    assert lines == [
        "process 2 (program) in read(4) waits for the terminal /dev/pts/0, "
        "at whose other end is 3 (program) by descriptor 3",
        "process 3 (program) in read(3) waits for the terminal /dev/ptmx, "
        "at whose other end is 2 (program) by descriptor 4",
        "2 (program) waits for 3 (program), which waits for 2 (program)",
    ]
    (terminal,) = [channel for channel in machine.ipc_graph().channels if channel.kind == "terminal"]
    assert terminal.pids == (2, 3)


def test_a_descriptor_on_its_way_and_a_pidfd(run: Run) -> None:
    machine, lines = run(
        "int ends[2], sockets[2]; pipe(ends); socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);"
        "char control[CMSG_SPACE(sizeof(int))] = {0}; struct iovec part = {&byte, 1};"
        "struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,"
        ".msg_controllen = sizeof(control)}; struct cmsghdr *record = CMSG_FIRSTHDR(&message);"
        "*record = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};"
        "memcpy(CMSG_DATA(record), &ends[1], sizeof(int)); sendmsg(sockets[0], &message, 0);"
        "close(ends[1]); syscall(SYS_pidfd_open, getpid(), 0); return read(ends[0], &byte, 1);"
    )
    assert lines[0] == (
        "process 2 (program) in read(3) waits for bytes from pipe pipe:[N], "
        "written by 2 (program) once it has received it"
    )
    (pidfd,) = [channel for channel in machine.ipc_graph().channels if channel.kind == "pidfd"]
    assert str(pidfd) == "pidfd of 2: 0 signals pending; from 2 (program) by descriptor 4 to 2 (program)"


def test_sleep_on_a_clock_that_stands_still(run: Run) -> None:
    _, lines = run(
        "struct timespec second = {1, 0};return clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &second, NULL);",
        "#include <time.h>",
    )
    assert lines == ["process 2 (program) in clock_nanosleep waits for a process to use processor time"]
