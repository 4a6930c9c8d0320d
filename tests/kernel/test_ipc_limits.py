"""The limits of System V objects, message queues and inotify, as the machine's own root sets them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from procession import Machine

PROGRAM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *set(const char *name, const char *value)
{
	char path[200];
	int fd;
	ssize_t count;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	fd = open(path, O_WRONLY);
	count = write(fd, value, strlen(value));
	close(fd);
	return count == -1 ? strerrorname_np(errno) : "";
}

#define SHOW(call) \
	do { \
		long result = (long)(call); \
		printf("%s\n", result == -1 ? strerrorname_np(errno) : "ok"); \
	} while (0)

int main(void)
{
BODY
}
"""


def outcomes(c_compiler: list[str], tmp_path: Path, body: str) -> list[str]:
    """Run the statements of `body` in a machine of its own; the lines that they print."""
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM.replace("BODY", body))
    subprocess.run([*c_compiler, "-std=gnu17", "-o", str(program), str(source)], check=True)
    result = Machine(seed=1).run([str(program)])
    assert (result.status, result.stderr, result.reason) == (0, b"", "")
    return result.stdout.decode().splitlines()


def test_shared_memory(c_compiler: list[str], tmp_path: Path) -> None:
    body = """
        set("kernel/shmmni", "2");
        SHOW(shmget(1, 4096, IPC_CREAT | 0600)); SHOW(shmget(IPC_PRIVATE, 4096, 0600));
        SHOW(shmget(IPC_PRIVATE, 4096, 0600)); SHOW(shmget(1, 4096, IPC_CREAT));
        set("kernel/shmmni", "10"); set("kernel/shmmax", "8192");
        SHOW(shmget(IPC_PRIVATE, 8193, 0600)); set("kernel/shmall", "3");
        SHOW(shmget(IPC_PRIVATE, 8192, 0600)); SHOW(shmget(IPC_PRIVATE, 4096, 0600));
        puts(set("kernel/shmmni", "40000")); puts(set("kernel/shmmax", "-1"));
    """
    assert outcomes(c_compiler, tmp_path, body) == [
        *("ok", "ok", "ENOSPC", "ok"),
        *("EINVAL", "ENOSPC", "ok"),
        *("EINVAL", "EINVAL"),
    ]


def test_segments_that_go_with_their_maker(c_compiler: list[str], tmp_path: Path) -> None:
    body = """
        struct shmid_ds status; int attached, kept; char *memory;
        if (fork() == 0) { shmget(0x11, 4096, IPC_CREAT | 0600); _exit(0); }
        wait(NULL); SHOW(shmget(0x11, 0, 0));
        kept = shmget(0x22, 4096, IPC_CREAT | 0600);
        set("kernel/shm_rmid_forced", "1"); SHOW(shmget(0x11, 0, 0)); SHOW(shmctl(kept, IPC_STAT, &status));
        attached = shmget(0x33, 4096, IPC_CREAT | 0600);
        if (fork() == 0) { shmat(attached, NULL, 0); _exit(0); }
        wait(NULL); SHOW(shmctl(attached, IPC_STAT, &status));
        if (fork() == 0) { shmget(0x44, 4096, IPC_CREAT | 0600); _exit(0); }
        wait(NULL); SHOW(shmget(0x44, 0, 0));
        puts(set("kernel/shm_rmid_forced", "2"));
        memory = shmat(kept, NULL, 0); strcpy(memory, "kept"); puts(memory);
    """
    assert outcomes(c_compiler, tmp_path, body) == [
        "ok",
        "ENOENT",
        "ok",
        "EINVAL",
        "ENOENT",
        "EINVAL",
        "kept",
    ]


def test_semaphores(c_compiler: list[str], tmp_path: Path) -> None:
    body = """
        struct sembuf operations[3] = {{0, 1, 0}, {0, 1, 0}, {0, 1, 0}}; int id;
        puts(set("kernel/sem", "4 6 2 2"));
        SHOW(semget(IPC_PRIVATE, 5, 0600)); SHOW(id = semget(IPC_PRIVATE, 4, 0600));
        SHOW(semget(IPC_PRIVATE, 3, 0600)); SHOW(semget(IPC_PRIVATE, 2, 0600));
        SHOW(semctl(id, 0, IPC_RMID)); SHOW(semget(IPC_PRIVATE, 1, 0600)); SHOW(semget(IPC_PRIVATE, 1, 0600));
        id = semget(IPC_PRIVATE, 1, 0600); SHOW(id);
        puts(set("kernel/sem", "4 6 2 40000")); puts(set("kernel/sem", "x"));
        SHOW(semop(1, operations, 3)); SHOW(semop(1, operations, 2));
    """
    assert outcomes(c_compiler, tmp_path, body) == [
        *("", "EINVAL", "ok", "ENOSPC", "ok"),
        *("ok", "ok", "ENOSPC", "ENOSPC"),
        *("ERANGE", "EINVAL"),
        *("E2BIG", "ok"),
    ]


def test_the_host_is_not_exhausted(c_compiler: list[str], tmp_path: Path) -> None:
    body = """
        int sets = 0, queues = 0; static struct { long type; char text[8192]; } message = {.type = 1};
        while (semget(IPC_PRIVATE, 32000, 0600) != -1) sets++;
        SHOW(-1); printf("%d\\n", sets > 10 && sets < 10000);
        for (int id = 0; semctl(id, 0, IPC_RMID) == 0; id++) sets--;
        printf("%d\\n", sets);
        for (;;) {
            int id = msgget(IPC_PRIVATE, 0600);
            if (id == -1 || msgsnd(id, &message, 8192, 0) == -1 || msgsnd(id, &message, 8192, 0) == -1) break;
            queues++;
        }
        SHOW(-1); printf("%d\\n", queues > 10);
    """
    assert outcomes(c_compiler, tmp_path, body) == ["ENOMEM", "1", "0", "ENOMEM", "1"]


def test_messages(c_compiler: list[str], tmp_path: Path) -> None:
    body = """
        struct { long type; char text[100]; } message = {1, ""}; struct msqid_ds status; int id;
        set("kernel/msgmni", "1"); set("kernel/msgmax", "10"); set("kernel/msgmnb", "15");
        SHOW(id = msgget(IPC_PRIVATE, 0600)); SHOW(msgget(IPC_PRIVATE, 0600));
        SHOW(msgsnd(id, &message, 11, 0)); SHOW(msgsnd(id, &message, 10, 0));
        SHOW(msgsnd(id, &message, 6, IPC_NOWAIT)); SHOW(msgsnd(id, &message, 5, IPC_NOWAIT));
        msgctl(id, IPC_STAT, &status); status.msg_qbytes = 1000; SHOW(msgctl(id, IPC_SET, &status));
        SHOW(msgsnd(id, &message, 6, IPC_NOWAIT));
    """
    assert outcomes(c_compiler, tmp_path, body) == [
        *("ok", "ENOSPC"),
        *("EINVAL", "ok", "EAGAIN", "ok"),
        *("ok", "ok"),
    ]


def test_posix_queues(c_compiler: list[str], tmp_path: Path) -> None:
    body = """
        struct mq_attr wanted = {.mq_maxmsg = 20, .mq_msgsize = 10};
        set("fs/mqueue/queues_max", "2");
        /* Root may have more, and longer ones, but pays for them all the same. */
        SHOW(mq_open("/a", O_CREAT | O_RDWR, 0600, &wanted));
        SHOW(mq_open("/b", O_CREAT | O_RDWR, 0600, &wanted));
        SHOW(mq_open("/c", O_CREAT | O_RDWR, 0600, &wanted));
        wanted.mq_maxmsg = 65537; SHOW(mq_open("/d", O_CREAT | O_RDWR, 0600, &wanted));
        wanted.mq_maxmsg = 65536; SHOW(mq_open("/d", O_CREAT | O_RDWR, 0600, &wanted));
        wanted.mq_maxmsg = 20; setresuid(1000, 1000, 1000);
        SHOW(mq_open("/e", O_CREAT | O_RDWR, 0600, &wanted));
    """
    assert outcomes(c_compiler, tmp_path, body) == ["ok", "ok", "ok", "EINVAL", "EMFILE", "ENOSPC"]
    body = """
        struct mq_attr found; int queue;
        set("fs/mqueue/msg_default", "3"); set("fs/mqueue/msgsize_default", "200");
        queue = mq_open("/a", O_CREAT | O_RDWR, 0600, NULL); mq_getattr(queue, &found);
        printf("%ld %ld\\n", found.mq_maxmsg, found.mq_msgsize);
        puts(set("fs/mqueue/msg_max", "0")); puts(set("fs/mqueue/msgsize_max", "127"));
        set("fs/mqueue/msg_max", "2");
        queue = mq_open("/b", O_CREAT | O_RDWR, 0600, NULL); mq_getattr(queue, &found);
        printf("%ld\\n", found.mq_maxmsg);
    """
    assert outcomes(c_compiler, tmp_path, body) == ["3 200", "EINVAL", "EINVAL", "2"]


def test_inotify(c_compiler: list[str], tmp_path: Path) -> None:
    body = """
        int instance, first = 0, last = 0; char buffer[4096]; ssize_t length;
        set("fs/inotify/max_user_instances", "1"); set("fs/inotify/max_user_watches", "1");
        set("fs/inotify/max_queued_events", "3");
        SHOW(instance = inotify_init1(IN_NONBLOCK)); SHOW(inotify_init());
        SHOW(inotify_add_watch(instance, "/tmp", IN_CREATE));
        SHOW(inotify_add_watch(instance, "/", IN_CREATE));
        SHOW(inotify_add_watch(instance, "/tmp", IN_ALL_EVENTS));
        for (int at = 0; at < 9; at++)
            close(open(at % 2 ? "/tmp/one" : "/tmp/two", O_CREAT | O_RDWR, 0600));
        length = read(instance, buffer, sizeof(buffer));
        first = ((struct inotify_event *)buffer)->mask;
        last = ((struct inotify_event *)(buffer + length - sizeof(struct inotify_event)))->mask;
        printf("%ld %d %d\\n", (long)length, first == IN_CREATE, last == IN_Q_OVERFLOW);
        SHOW(close(instance)); SHOW(inotify_init());
    """
    assert outcomes(c_compiler, tmp_path, body) == [
        *("ok", "EMFILE", "ok", "ENOSPC", "ok"),
        "112 1 1",
        *("ok", "ok"),
    ]


@pytest.mark.parametrize("kind", ["shm", "sem", "msg"])
def test_the_next_id_can_be_asked_for(c_compiler: list[str], tmp_path: Path, kind: str) -> None:
    get = {
        "shm": "shmget(IPC_PRIVATE, 100, 0600)",
        "sem": "semget(IPC_PRIVATE, 1, 0600)",
        "msg": "msgget(IPC_PRIVATE, 0600)",
    }
    body = f"""
        printf("%d ", {get[kind]}); set("kernel/{kind}_next_id", "98309");
        printf("%d ", {get[kind]}); printf("%d\\n", {get[kind]});
    """
    assert outcomes(c_compiler, tmp_path, body) == ["0 98309 1"]
