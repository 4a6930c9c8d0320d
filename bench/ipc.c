/* COUNT messages between two processes over one mechanism: small ones there and back, or large ones one way. */
#include "bench.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SMALL 8L
#define LARGE 65536L
/* What a system allows for a message of either kind of queue unless it is told otherwise. */
#define QUEUE_LARGE 8192L
#define QUEUE_LENGTH 10L
#define SLOTS 4U

enum direction { THERE, BACK, DIRECTIONS };

/* A message in shared memory: the receiver may read it while `is_full`, else the sender may write it. */
struct slot {
	uint32_t is_full;
	long size;
	char bytes[LARGE];
};

/* One way from process to process; each mechanism uses its own part. */
struct channel {
	int read_end, write_end;
	mqd_t posix_queue;
	int sysv_queue;
	struct slot *slots;
	unsigned int next_sent, next_received;
};

struct mechanism {
	const char *name;
	/* Bytes of a large message; 0 if the mechanism only wakes. */
	long large;
	void (*open)(struct channel *channel);
	void (*send)(struct channel *channel, const char *bytes, long size);
	/* Returns how many bytes came, at most `size`. */
	long (*receive)(struct channel *channel, char *bytes, long size);
	void (*close)(struct channel *channel);
};

static void open_pipe(struct channel *channel)
{
	int ends[2];

	must(pipe(ends));
	channel->read_end = ends[0];
	channel->write_end = ends[1];
}

static void open_fifo(struct channel *channel)
{
	char directory[] = "/tmp/bench-XXXXXX", path[sizeof(directory) + 8];

	must(mkdtemp(directory) == NULL ? -1 : 0);
	snprintf(path, sizeof(path), "%s/fifo", directory);
	must(mkfifo(path, 0600));
	/* Without the flag this would wait for a writer. */
	channel->read_end = (int)must(open(path, O_RDONLY | O_NONBLOCK));
	channel->write_end = (int)must(open(path, O_WRONLY));
	must(fcntl(channel->read_end, F_SETFL, O_RDONLY));
	must(unlink(path));
	must(rmdir(directory));
}

static void open_unix_stream(struct channel *channel)
{
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	channel->read_end = ends[0];
	channel->write_end = ends[1];
}

static void open_unix_datagram(struct channel *channel)
{
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	channel->read_end = ends[0];
	channel->write_end = ends[1];
}

static void open_eventfd(struct channel *channel)
{
	channel->read_end = (int)must(eventfd(0, 0));
	channel->write_end = channel->read_end;
}

static void send_file(struct channel *channel, const char *bytes, long size)
{
	if (must(write(channel->write_end, bytes, (size_t)size)) != size)
		_exit(4);
}

static long receive_file(struct channel *channel, char *bytes, long size)
{
	return must(read(channel->read_end, bytes, (size_t)size));
}

static void close_file(struct channel *channel)
{
	must(close(channel->read_end));
	if (channel->write_end != channel->read_end)
		must(close(channel->write_end));
}

static void open_posix_queue(struct channel *channel)
{
	struct mq_attr attributes = {.mq_maxmsg = QUEUE_LENGTH, .mq_msgsize = QUEUE_LARGE};
	char name[32];

	snprintf(name, sizeof(name), "/bench-%ld", (long)getpid());
	channel->posix_queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	must(channel->posix_queue);
	must(mq_unlink(name));
}

static void send_posix_queue(struct channel *channel, const char *bytes, long size)
{
	must(mq_send(channel->posix_queue, bytes, (size_t)size, 0));
}

static long receive_posix_queue(struct channel *channel, char *bytes, long size)
{
	(void)size;
	return must(mq_receive(channel->posix_queue, bytes, QUEUE_LARGE, NULL));
}

static void close_posix_queue(struct channel *channel)
{
	must(mq_close(channel->posix_queue));
}

/* The type of a System V message stands before its bytes. */
static struct {
	long type;
	char bytes[QUEUE_LARGE];
} sysv_message = {.type = 1};

static void open_sysv_queue(struct channel *channel)
{
	channel->sysv_queue = (int)must(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
}

static void send_sysv_queue(struct channel *channel, const char *bytes, long size)
{
	memcpy(sysv_message.bytes, bytes, (size_t)size);
	must(msgsnd(channel->sysv_queue, &sysv_message, (size_t)size, 0));
}

static long receive_sysv_queue(struct channel *channel, char *bytes, long size)
{
	long received = must(msgrcv(channel->sysv_queue, &sysv_message, QUEUE_LARGE, 0, 0));

	(void)size;
	memcpy(bytes, sysv_message.bytes, (size_t)received);
	return received;
}

static void close_sysv_queue(struct channel *channel)
{
	must(msgctl(channel->sysv_queue, IPC_RMID, NULL));
}

static void open_shared_memory(struct channel *channel)
{
	void *memory = mmap(NULL, SLOTS * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(memory == MAP_FAILED ? -1 : 0);
	channel->slots = memory;
}

/* Waits until the other process has set the word to what it should be. */
static void wait_for(uint32_t *word, uint32_t wanted)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != wanted) {
		if (syscall(SYS_futex, word, FUTEX_WAIT, !wanted, NULL) == -1 && errno != EAGAIN && errno != EINTR)
			must(-1);
	}
}

static void set_and_wake(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	must(syscall(SYS_futex, word, FUTEX_WAKE, 1));
}

static struct slot *wait_to_send(struct channel *channel)
{
	struct slot *slot = &channel->slots[channel->next_sent++ % SLOTS];

	wait_for(&slot->is_full, 0);
	return slot;
}

static struct slot *wait_to_receive(struct channel *channel, long size)
{
	struct slot *slot = &channel->slots[channel->next_received++ % SLOTS];

	wait_for(&slot->is_full, 1);
	if (slot->size > size)
		_exit(4);
	return slot;
}

/* What shared memory is for: the message is made and read where it lies. A part of it stands for the whole, as the other
 * mechanisms send the same bytes again and again. */
static void send_in_place(struct channel *channel, const char *bytes, long size)
{
	struct slot *slot = wait_to_send(channel);

	memcpy(slot->bytes, bytes, SMALL);
	memcpy(slot->bytes + size - SMALL, bytes + size - SMALL, SMALL);
	slot->size = size;
	set_and_wake(&slot->is_full, 1);
}

static long receive_in_place(struct channel *channel, char *bytes, long size)
{
	struct slot *slot = wait_to_receive(channel, size);

	size = slot->size;
	memcpy(bytes, slot->bytes, SMALL);
	memcpy(bytes + size - SMALL, slot->bytes + size - SMALL, SMALL);
	set_and_wake(&slot->is_full, 0);
	return size;
}

/* The program copies each message into shared memory and out of it. */
static void send_copy(struct channel *channel, const char *bytes, long size)
{
	struct slot *slot = wait_to_send(channel);

	memcpy(slot->bytes, bytes, (size_t)size);
	slot->size = size;
	set_and_wake(&slot->is_full, 1);
}

static long receive_copy(struct channel *channel, char *bytes, long size)
{
	struct slot *slot = wait_to_receive(channel, size);

	size = slot->size;
	memcpy(bytes, slot->bytes, (size_t)size);
	set_and_wake(&slot->is_full, 0);
	return size;
}

static void close_shared_memory(struct channel *channel)
{
	must(munmap(channel->slots, SLOTS * sizeof(struct slot)));
}

static const struct mechanism mechanisms[] = {
	{"pipe", LARGE, open_pipe, send_file, receive_file, close_file},
	{"fifo", LARGE, open_fifo, send_file, receive_file, close_file},
	{"unix-stream", LARGE, open_unix_stream, send_file, receive_file, close_file},
	{"unix-datagram", LARGE, open_unix_datagram, send_file, receive_file, close_file},
	{"posix-queue", QUEUE_LARGE, open_posix_queue, send_posix_queue, receive_posix_queue, close_posix_queue},
	{"sysv-queue", QUEUE_LARGE, open_sysv_queue, send_sysv_queue, receive_sysv_queue, close_sysv_queue},
	{"shared-memory", LARGE, open_shared_memory, send_in_place, receive_in_place, close_shared_memory},
	{"shared-memory-copied", LARGE, open_shared_memory, send_copy, receive_copy, close_shared_memory},
	{"eventfd", 0, open_eventfd, send_file, receive_file, close_file},
};

static struct channel channels[DIRECTIONS];
static char message[LARGE];

static void receive_all(const struct mechanism *mechanism, struct channel *channel, long size)
{
	while (size > 0) {
		long wanted = size < LARGE ? size : LARGE;
		long received = mechanism->receive(channel, message, wanted);

		if (received <= 0 || message[received - 1] != 1)
			_exit(4);
		size -= received;
	}
}

/* Small messages, each of which is answered before the next one. */
static void exchange(const struct mechanism *mechanism, long count, int is_child)
{
	for (long left = count; left > 0; left--) {
		if (!is_child)
			mechanism->send(&channels[THERE], message, SMALL);
		receive_all(mechanism, &channels[is_child ? THERE : BACK], SMALL);
		if (is_child)
			mechanism->send(&channels[BACK], message, SMALL);
	}
}

/* Large messages, which only the parent sends, as fast as the mechanism lets it. */
static void stream(const struct mechanism *mechanism, long count, int is_child)
{
	if (is_child) {
		receive_all(mechanism, &channels[THERE], count * mechanism->large);
		return;
	}
	for (long left = count; left > 0; left--)
		mechanism->send(&channels[THERE], message, mechanism->large);
}

int main(int argc, char **argv)
{
	const struct mechanism *mechanism = NULL;
	int is_stream = argc > 2 && strcmp(argv[2], "throughput") == 0;
	pid_t child;

	for (size_t index = 0; argc == 4 && index < sizeof(mechanisms) / sizeof(*mechanisms); index++) {
		if (strcmp(argv[1], mechanisms[index].name) == 0)
			mechanism = &mechanisms[index];
	}
	if (mechanism == NULL || (!is_stream && strcmp(argv[2], "latency") != 0) || (is_stream && mechanism->large == 0)) {
		fprintf(stderr, "usage: %s MECHANISM latency|throughput COUNT\n", program_invocation_short_name);
		return 2;
	}
	use_one_cpu();
	memset(message, 1, sizeof(message));
	for (int direction = 0; direction < DIRECTIONS; direction++)
		mechanism->open(&channels[direction]);
	child = (pid_t)must(fork());
	(is_stream ? stream : exchange)(mechanism, count_of(argc - 2, argv + 2), child == 0);
	if (child == 0)
		_exit(0);
	reap(child);
	for (int direction = 0; direction < DIRECTIONS; direction++)
		mechanism->close(&channels[direction]);
	return 0;
}
