/* System V objects that are gone when the program ends, whatever became of the cases that made them. */
#ifndef SYSV_H
#define SYSV_H

#include "check.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

enum sysv_kind { SEGMENT, SEMAPHORES, QUEUE };

struct sysv_objects {
	int count;
	struct {
		enum sysv_kind kind;
		int id;
	} list[250];
};

static struct sysv_objects *sysv_objects;
static pid_t sysv_main;

__attribute__((constructor)) static void sysv_start(void)
{
	sysv_main = getpid();
	sysv_objects = mmap(NULL, sizeof(*sysv_objects), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sysv_objects == MAP_FAILED)
		abort();
}

__attribute__((destructor)) static void sysv_end(void)
{
	if (getpid() != sysv_main)
		return;
	for (int at = 0; at < sysv_objects->count; at++) {
		int id = sysv_objects->list[at].id;

		if (sysv_objects->list[at].kind == SEGMENT)
			shmctl(id, IPC_RMID, NULL);
		else if (sysv_objects->list[at].kind == SEMAPHORES)
			semctl(id, 0, IPC_RMID);
		else
			msgctl(id, IPC_RMID, NULL);
	}
}

/* Remembers what has been made; the id. */
CHECK_API int remember(enum sysv_kind kind, long id)
{
	int at;

	MUST(id);
	at = __atomic_fetch_add(&sysv_objects->count, 1, __ATOMIC_SEQ_CST);
	if (at >= (int)LENGTH(sysv_objects->list))
		abort();
	sysv_objects->list[at].kind = kind;
	sysv_objects->list[at].id = (int)id;
	return (int)id;
}

/* A key that nobody else uses: of this process, and another one at each call. */
CHECK_API key_t new_key(void)
{
	static int calls;

	return (key_t)(0x50000000 | (getpid() & 0xffff) << 8 | (++calls & 0xff));
}

/* Runs the statements in a child that is an ordinary user's, and waits for it. */
#define AS_NOBODY(...) \
	do { \
		pid_t as_nobody = (pid_t)MUST(fork()); \
\
		if (as_nobody == 0) { \
			drop_root(); \
			__VA_ARGS__; \
			_exit(0); \
		} \
		CHECK_EQ(wait_for(as_nobody), EXITED(0)); \
	} while (0)

/* Lets other processes run until this condition holds; gives up after some seconds. */
#define AWAIT(condition) \
	do { \
		for (int await = 0; await < 2000 && !(condition); await++) \
			sleep_ms(2); \
		CHECK(condition); \
	} while (0)

#endif
