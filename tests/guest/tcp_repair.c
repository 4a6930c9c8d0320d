/* Connections taken apart and made anew: TCP_REPAIR, its queues, numbers, options and window (tcp(7)). */
#include "nftables.h"


#include <linux/sockios.h>
#include <netinet/tcp.h>

#define PORT 5000

struct ends {
	int server, client, listener;
	struct sockaddr_in own;
};

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static struct ends connected(void)
{
	struct sockaddr_in address = loopback(PORT);
	struct ends ends;
	socklen_t length = sizeof(ends.own);
	int one = 1;

	ends.listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(setsockopt(ends.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	MUST(bind(ends.listener, (void *)&address, sizeof(address)));
	MUST(listen(ends.listener, 4));
	ends.client = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(ends.client, (void *)&address, sizeof(address)));
	ends.server = MUST(accept(ends.listener, NULL, NULL));
	MUST(getsockname(ends.client, (void *)&ends.own, &length));
	return ends;
}

static int set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_TCP, option, &value, sizeof(value));
}

/* The option's value; `*error` is 0 or an errno. */
static int get(int fd, int option, int *error)
{
	socklen_t length = sizeof(int);
	int value = 0;

	*error = getsockopt(fd, SOL_TCP, option, &value, &length) == -1 ? errno : 0;
	return value;
}

static unsigned int number_of(int fd, int queue)
{
	int error;
	unsigned int number;

	MUST(set(fd, TCP_REPAIR_QUEUE, queue));
	number = (unsigned int)get(fd, TCP_QUEUE_SEQ, &error);
	CHECK_EQ(error, 0);
	return number;
}

static int state_of(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof(info);

	MUST(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &length));
	return info.tcpi_state;
}

static int events_of(int fd, int wait_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN | POLLRDHUP};

	MUST(poll(&poller, 1, wait_ms));
	return poller.revents;
}

static int error_of(int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);

	MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
	return error;
}

/* A connection from `own` to PORT, as one under repair has it: with these numbers before what is in its queues. */
static int restored(struct sockaddr_in own, unsigned int sent, unsigned int received)
{
	struct sockaddr_in address = loopback(PORT);
	int fd = MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(set(fd, TCP_REPAIR, 1));
	MUST(bind(fd, (void *)&own, sizeof(own)));
	MUST(set(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
	MUST(set(fd, TCP_QUEUE_SEQ, (int)sent));
	MUST(set(fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE));
	MUST(set(fd, TCP_QUEUE_SEQ, (int)received));
	MUST(connect(fd, (void *)&address, sizeof(address)));
	return fd;
}

static int window_of(int fd, struct tcp_repair_window *window)
{
	socklen_t length = sizeof(*window);

	return getsockopt(fd, SOL_TCP, TCP_REPAIR_WINDOW, window, &length);
}

static int set_window(int fd, struct tcp_repair_window window)
{
	return setsockopt(fd, SOL_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window));
}

static void says(int from, int to, const char *text)
{
	char buffer[64] = "";

	CHECK_EQ(send(from, text, strlen(text), 0), (ssize_t)strlen(text));
	CHECK_EQ(recv(to, buffer, sizeof(buffer) - 1, 0), (ssize_t)strlen(text));
	CHECK(strcmp(buffer, text) == 0);
}

TEST(who_may_and_when)
{
	struct ends ends;
	int error, fd;

	enter_with_table();
	ends = connected();
	CHECK_ERRNO(set(ends.listener, TCP_REPAIR, 1), EPERM);
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_EQ(get(fd, TCP_REPAIR, &error), 0);
	CHECK_ERRNO(set(fd, TCP_REPAIR, 2), EINVAL);
	CHECK_ERRNO(set(fd, TCP_REPAIR, -2), EINVAL);
	CHECK_OK(set(fd, TCP_REPAIR, 0));
	CHECK_OK(set(fd, TCP_REPAIR, -1));
	CHECK_EQ(get(fd, TCP_REPAIR, &error), 0);
	CHECK_OK(set(fd, TCP_REPAIR, 1));
	CHECK_EQ(get(fd, TCP_REPAIR, &error), 1);
	CHECK_OK(set(fd, TCP_REPAIR, 1));
	CHECK_OK(set(ends.client, TCP_REPAIR, 1));
	CHECK_EQ(get(ends.client, TCP_REPAIR, &error), 1);
	CHECK_EQ(get(ends.server, TCP_REPAIR, &error), 0);
	CHECK_OK(set(ends.client, TCP_REPAIR, -1));
	says(ends.client, ends.server, "as before");
	/* Without the capability over the network. */
	if (MUST(fork()) == 0) {
		MUST(setresuid(NOBODY, NOBODY, NOBODY));
		CHECK_ERRNO(set(fd, TCP_REPAIR, 1), EPERM);
		CHECK_ERRNO(set(fd, TCP_REPAIR, 0), EPERM);
		/* The rest is for whoever has a socket under repair. */
		CHECK_OK(set(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
		_exit(0);
	}
	CHECK_EQ(wait_for(-1), EXITED(0));
	CHECK_EQ(get(fd, TCP_REPAIR_QUEUE, &error), TCP_SEND_QUEUE);
}

TEST(queues)
{
	int error, fd;

	enter_with_table();
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(set(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE), EPERM);
	get(fd, TCP_REPAIR_QUEUE, &error);
	CHECK_EQ(error, EINVAL);
	get(fd, TCP_QUEUE_SEQ, &error);
	CHECK_EQ(error, EINVAL);
	MUST(set(fd, TCP_REPAIR, 1));
	CHECK_EQ(get(fd, TCP_REPAIR_QUEUE, &error), TCP_NO_QUEUE);
	CHECK_EQ(error, 0);
	CHECK_ERRNO(set(fd, TCP_REPAIR_QUEUE, TCP_QUEUES_NR), EINVAL);
	CHECK_ERRNO(set(fd, TCP_REPAIR_QUEUE, -1), EINVAL);
	/* No queue, no number. */
	CHECK_ERRNO(set(fd, TCP_QUEUE_SEQ, 1000), EINVAL);
	get(fd, TCP_QUEUE_SEQ, &error);
	CHECK_EQ(error, EINVAL);
	CHECK_OK(set(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
	CHECK_OK(set(fd, TCP_QUEUE_SEQ, 1000));
	CHECK_EQ(get(fd, TCP_QUEUE_SEQ, &error), 1000);
	CHECK_OK(set(fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE));
	CHECK_EQ(get(fd, TCP_QUEUE_SEQ, &error), 0);
	CHECK_OK(set(fd, TCP_QUEUE_SEQ, (int)0xfffffff0));
	CHECK_EQ((unsigned int)get(fd, TCP_QUEUE_SEQ, &error), 0xfffffff0);
	CHECK_OK(set(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
	CHECK_EQ(get(fd, TCP_QUEUE_SEQ, &error), 1000);
	/* The queue is still chosen when nobody repairs any more, and its number can be asked for and set. */
	CHECK_OK(set(fd, TCP_REPAIR, -1));
	get(fd, TCP_REPAIR_QUEUE, &error);
	CHECK_EQ(error, EINVAL);
	CHECK_EQ(get(fd, TCP_QUEUE_SEQ, &error), 1000);
	CHECK_OK(set(fd, TCP_QUEUE_SEQ, 1001));
	/* Repairing begins with none. */
	CHECK_OK(set(fd, TCP_REPAIR, 1));
	CHECK_EQ(get(fd, TCP_REPAIR_QUEUE, &error), TCP_NO_QUEUE);
}

TEST(numbers_of_a_connection)
{
	struct ends ends;
	unsigned int sent, received;

	enter_with_table();
	ends = connected();
	MUST(set(ends.client, TCP_REPAIR, 1));
	MUST(set(ends.server, TCP_REPAIR, 1));
	sent = number_of(ends.client, TCP_SEND_QUEUE);
	received = number_of(ends.client, TCP_RECV_QUEUE);
	CHECK_EQ(number_of(ends.server, TCP_RECV_QUEUE), sent);
	CHECK_EQ(number_of(ends.server, TCP_SEND_QUEUE), received);
	CHECK_ERRNO(set(ends.server, TCP_QUEUE_SEQ, 1), EPERM);
	MUST(set(ends.client, TCP_REPAIR, -1));
	MUST(send(ends.client, "0123456789", 10, 0));
	MUST(set(ends.client, TCP_REPAIR, 1));
	CHECK_EQ(number_of(ends.client, TCP_SEND_QUEUE), sent + 10);
	/* What arrives under repair arrives. */
	CHECK_EQ(number_of(ends.server, TCP_RECV_QUEUE), sent + 10);
}

TEST(what_waits_is_looked_at)
{
	struct ends ends;
	char buffer[64];
	int waiting;

	enter_with_table();
	ends = connected();
	MUST(send(ends.client, "0123456789", 10, 0));
	MUST(set(ends.server, TCP_REPAIR, 1));
	CHECK_ERRNO(recv(ends.server, buffer, 64, MSG_DONTWAIT), EPERM);
	CHECK_ERRNO(recv(ends.server, buffer, 64, MSG_DONTWAIT | MSG_PEEK), EINVAL);
	MUST(set(ends.server, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE));
	CHECK_ERRNO(recv(ends.server, buffer, 64, MSG_DONTWAIT), EPERM);
	CHECK_EQ(recv(ends.server, buffer, 64, MSG_DONTWAIT | MSG_PEEK), 10);
	CHECK(memcmp(buffer, "0123456789", 10) == 0);
	CHECK_EQ(recv(ends.server, buffer, 4, MSG_DONTWAIT | MSG_PEEK), 4);
	MUST(set(ends.server, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
	CHECK_EQ(recv(ends.server, buffer, 64, MSG_DONTWAIT | MSG_PEEK), 0);
	CHECK_EQ(ioctl(ends.server, SIOCOUTQ, &waiting), 0);
	CHECK_EQ(waiting, 0);
	MUST(set(ends.server, TCP_REPAIR, -1));
	CHECK_EQ(recv(ends.server, buffer, 64, 0), 10);
}

TEST(queues_are_filled)
{
	struct ends ends;
	char buffer[64];
	int waiting;
	unsigned int sent, received;

	enter_with_table();
	ends = connected();
	MUST(set(ends.client, TCP_REPAIR, 1));
	sent = number_of(ends.client, TCP_SEND_QUEUE);
	received = number_of(ends.client, TCP_RECV_QUEUE);
	MUST(set(ends.client, TCP_REPAIR_QUEUE, TCP_NO_QUEUE));
	CHECK_ERRNO(send(ends.client, "x", 1, 0), EINVAL);
	/* Nobody has sent these. */
	MUST(set(ends.client, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE));
	CHECK_EQ(send(ends.client, "never sent", 10, 0), 10);
	CHECK_EQ(number_of(ends.client, TCP_RECV_QUEUE), received + 10);
	CHECK_EQ(number_of(ends.client, TCP_SEND_QUEUE), sent);
	CHECK_EQ(ioctl(ends.client, SIOCINQ, &waiting), 0);
	CHECK_EQ(waiting, 10);
	CHECK(events_of(ends.client, 0) & POLLIN);
	MUST(set(ends.client, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE));
	CHECK_EQ(recv(ends.client, buffer, 64, MSG_DONTWAIT | MSG_PEEK), 10);
	CHECK(memcmp(buffer, "never sent", 10) == 0);
	MUST(set(ends.client, TCP_REPAIR, -1));
	CHECK_EQ(recv(ends.client, buffer, 64, 0), 10);
}

TEST(what_is_sent_waits_for_the_end_of_the_repair)
{
	struct ends ends;
	char buffer[64];
	int waiting;
	unsigned int sent, received;

	enter_with_table();
	ends = connected();
	MUST(set(ends.client, TCP_REPAIR, 1));
	sent = number_of(ends.client, TCP_SEND_QUEUE);
	received = number_of(ends.client, TCP_RECV_QUEUE);
	close(ends.client);
	ends.client = restored(ends.own, sent, received);
	MUST(set(ends.client, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
	CHECK_EQ(send(ends.client, "kept", 4, 0), 4);
	CHECK_EQ(send(ends.client, " back", 5, 0), 5);
	CHECK_EQ(events_of(ends.server, 50), 0);
	CHECK_EQ(ioctl(ends.client, SIOCOUTQ, &waiting), 0);
	CHECK_EQ(waiting, 9);
	CHECK_EQ(recv(ends.client, buffer, 64, MSG_DONTWAIT | MSG_PEEK), 9);
	CHECK(memcmp(buffer, "kept back", 9) == 0);
	CHECK_EQ(number_of(ends.client, TCP_SEND_QUEUE), sent + 9);
	MUST(set(ends.client, TCP_REPAIR, 0));
	CHECK(events_of(ends.server, 5000) & POLLIN);
	CHECK_EQ(recv(ends.server, buffer, 9, MSG_WAITALL), 9);
	CHECK(memcmp(buffer, "kept back", 9) == 0);
	CHECK_EQ(ioctl(ends.client, SIOCOUTQ, &waiting), 0);
	CHECK_EQ(waiting, 0);
	says(ends.client, ends.server, "and on");
}

TEST(a_silent_end)
{
	struct ends ends;

	enter_with_table();
	ends = connected();
	MUST(set(ends.client, TCP_REPAIR, 1));
	close(ends.client);
	CHECK_EQ(events_of(ends.server, 50), 0);
	CHECK_EQ(state_of(ends.server), TCP_ESTABLISHED);
	/* Who says something finds nobody. */
	CHECK_EQ(send(ends.server, "x", 1, 0), 1);
	CHECK_EQ(events_of(ends.server, 1000), POLLIN | POLLERR | POLLHUP | POLLRDHUP);
	CHECK_EQ(error_of(ends.server), ECONNRESET);
	CHECK_EQ(state_of(ends.server), TCP_CLOSE);
}

TEST(a_silent_end_that_is_closed)
{
	struct ends ends;
	char byte;

	enter_with_table();
	ends = connected();
	MUST(set(ends.client, TCP_REPAIR, 1));
	close(ends.client);
	CHECK_OK(shutdown(ends.server, SHUT_WR));
	CHECK_EQ(events_of(ends.server, 1000), POLLIN | POLLERR | POLLHUP | POLLRDHUP);
	CHECK_ERRNO(recv(ends.server, &byte, 1, 0), ECONNRESET);
	ends.client = MUST(socket(AF_INET, SOCK_STREAM, 0));
	/* The address is free at once. */
	CHECK_OK(bind(ends.client, (void *)&ends.own, sizeof(ends.own)));
}

TEST(a_socket_is_taken_off)
{
	struct sockaddr nothing = {.sa_family = AF_UNSPEC};
	struct ends ends;

	enter_with_table();
	ends = connected();
	MUST(set(ends.client, TCP_REPAIR, 1));
	CHECK_OK(connect(ends.client, &nothing, sizeof(nothing)));
	CHECK_EQ(state_of(ends.client), TCP_CLOSE);
	CHECK_EQ(error_of(ends.client), ECONNABORTED);
	CHECK_EQ(events_of(ends.server, 50), 0);
	CHECK_EQ(state_of(ends.server), TCP_ESTABLISHED);
}

TEST(an_end_comes_back)
{
	struct ends ends;
	unsigned int sent, received;
	char buffer[64];
	int error;

	enter_with_table();
	ends = connected();
	says(ends.client, ends.server, "hello");
	says(ends.server, ends.client, "you");
	MUST(send(ends.server, "unread", 6, 0));
	MUST(set(ends.client, TCP_REPAIR, 1));
	sent = number_of(ends.client, TCP_SEND_QUEUE);
	received = number_of(ends.client, TCP_RECV_QUEUE);
	close(ends.client);
	ends.client = restored(ends.own, sent, received - 6);
	CHECK_EQ(state_of(ends.client), TCP_ESTABLISHED);
	MUST(set(ends.client, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE));
	CHECK_EQ(get(ends.client, TCP_QUEUE_SEQ, &error), (int)received - 6);
	CHECK_EQ(send(ends.client, "unread", 6, 0), 6);
	CHECK_EQ(number_of(ends.client, TCP_RECV_QUEUE), received);
	CHECK_OK(set(ends.client, TCP_REPAIR, 0));
	CHECK_EQ(recv(ends.client, buffer, 64, 0), 6);
	CHECK(memcmp(buffer, "unread", 6) == 0);
	says(ends.client, ends.server, "there again");
	says(ends.server, ends.client, "so you are");
	close(ends.client);
	CHECK(events_of(ends.server, 1000) & POLLRDHUP);
	CHECK_EQ(recv(ends.server, buffer, 64, 0), 0);
}

TEST(an_end_comes_back_without_a_probe)
{
	struct tcp_repair_window window;
	struct ends ends;
	unsigned int sent, received;

	enter_with_table();
	ends = connected();
	MUST(set(ends.client, TCP_REPAIR, 1));
	sent = number_of(ends.client, TCP_SEND_QUEUE);
	received = number_of(ends.client, TCP_RECV_QUEUE);
	CHECK_OK(window_of(ends.client, &window));
	close(ends.client);
	ends.client = restored(ends.own, sent, received);
	CHECK_OK(set_window(ends.client, window));
	CHECK_OK(set(ends.client, TCP_REPAIR, -1));
	/* The other end speaks first. */
	says(ends.server, ends.client, "and who are you?");
	says(ends.client, ends.server, "the same");
}

TEST(what_has_arrived_already)
{
	struct ends ends;
	unsigned int sent, received;
	char buffer[64];

	enter_with_table();
	ends = connected();
	MUST(send(ends.client, "arrived ", 8, 0));
	MUST(set(ends.client, TCP_REPAIR, 1));
	sent = number_of(ends.client, TCP_SEND_QUEUE);
	received = number_of(ends.client, TCP_RECV_QUEUE);
	close(ends.client);
	ends.client = restored(ends.own, sent - 8, received);
	MUST(set(ends.client, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
	CHECK_EQ(send(ends.client, "arrived and new", 15, 0), 15);
	CHECK_OK(set(ends.client, TCP_REPAIR, 0));
	CHECK_EQ(recv(ends.server, buffer, 15, MSG_WAITALL), 15);
	CHECK(memcmp(buffer, "arrived and new", 15) == 0);
	says(ends.server, ends.client, "all of it");
}

TEST(both_ends_come_back)
{
	struct ends ends;
	unsigned int sent, received;
	struct sockaddr_in address = loopback(PORT);
	int one = 1;

	enter_with_table();
	ends = connected();
	says(ends.client, ends.server, "hello");
	MUST(set(ends.client, TCP_REPAIR, 1));
	MUST(set(ends.server, TCP_REPAIR, 1));
	sent = number_of(ends.client, TCP_SEND_QUEUE);
	received = number_of(ends.client, TCP_RECV_QUEUE);
	close(ends.client);
	close(ends.server);
	ends.client = restored(ends.own, sent, received);
	ends.server = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(setsockopt(ends.server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	MUST(set(ends.server, TCP_REPAIR, 1));
	/* Somebody listens there. */
	CHECK_OK(bind(ends.server, (void *)&address, sizeof(address)));
	MUST(set(ends.server, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE));
	MUST(set(ends.server, TCP_QUEUE_SEQ, (int)received));
	MUST(set(ends.server, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE));
	MUST(set(ends.server, TCP_QUEUE_SEQ, (int)sent));
	CHECK_OK(connect(ends.server, (void *)&ends.own, sizeof(ends.own)));
	CHECK_OK(set(ends.client, TCP_REPAIR, 0));
	CHECK_OK(set(ends.server, TCP_REPAIR, 0));
	says(ends.client, ends.server, "again");
	says(ends.server, ends.client, "yes, again");
}

TEST(addresses_are_shared)
{
	struct sockaddr_in address = loopback(PORT);
	int value = 1, holder, fd;
	socklen_t length = sizeof(value);

	enter_with_table();
	holder = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(holder, (void *)&address, sizeof(address)));
	MUST(listen(holder, 1));
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(bind(fd, (void *)&address, sizeof(address)), EADDRINUSE);
	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)));
	MUST(set(fd, TCP_REPAIR, 1));
	MUST(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &length));
	CHECK_EQ(value, 2);
	CHECK_OK(bind(fd, (void *)&address, sizeof(address)));
	MUST(set(fd, TCP_REPAIR, 0));
	MUST(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &length));
	CHECK_EQ(value, 0);
}

TEST(an_end_that_nobody_knows)
{
	struct sockaddr_in own = loopback(6000);
	int fd;

	enter_with_table();
	fd = restored(own, 1, 1);
	CHECK_EQ(state_of(fd), TCP_ESTABLISHED);
	CHECK_EQ(events_of(fd, 0), 0);
	/* The probe of its window is answered by a RST. */
	CHECK_OK(set(fd, TCP_REPAIR, 0));
	CHECK_EQ(events_of(fd, 1000), POLLIN | POLLERR | POLLHUP | POLLRDHUP);
	CHECK_EQ(error_of(fd), ECONNRESET);
	close(fd);
	fd = restored(own, 1, 1);
	CHECK_OK(set(fd, TCP_REPAIR, -1));
	CHECK_EQ(events_of(fd, 50), 0);
	CHECK_EQ(send(fd, "x", 1, 0), 1);
	CHECK_EQ(events_of(fd, 5000), POLLIN | POLLERR | POLLHUP | POLLRDHUP);
}

TEST(the_connection_is_there_already)
{
	struct sockaddr_in address = loopback(PORT);
	struct ends ends;
	int fd;

	enter_with_table();
	ends = connected();
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(set(fd, TCP_REPAIR, 1));
	CHECK_OK(bind(fd, (void *)&ends.own, sizeof(ends.own)));
	CHECK_ERRNO(connect(fd, (void *)&address, sizeof(address)), EADDRNOTAVAIL);
}

/* Packets arrive, or don't. */
static void let_in(int policy)
{
	struct batch batch = new_batch();

	change_table(&batch, NFT(NEWTABLE), NLM_F_CREATE, "t");
	change_chain(&batch, NFT(NEWCHAIN), NLM_F_CREATE, "c", NF_INET_LOCAL_IN, policy);
	CHECK_EQ(commit(&batch), 0);
}

TEST(nobody_notices_while_packets_are_kept_out)
{
	struct tcp_repair_window window;
	struct ends ends;
	unsigned int sent, received;
	char buffer[16];
	int waiting;

	enter_with_table();
	ends = connected();
	let_in(NF_DROP);
	MUST(set(ends.client, TCP_REPAIR, 1));
	sent = number_of(ends.client, TCP_SEND_QUEUE);
	received = number_of(ends.client, TCP_RECV_QUEUE);
	CHECK_OK(window_of(ends.client, &window));
	close(ends.client);
	CHECK_EQ(send(ends.server, "waits ", 6, 0), 6);
	CHECK_EQ(send(ends.server, "for you", 7, 0), 7);
	CHECK_OK(shutdown(ends.server, SHUT_WR));
	CHECK_EQ(events_of(ends.server, 300), 0);
	CHECK_EQ(state_of(ends.server), TCP_FIN_WAIT1);
	CHECK_EQ(ioctl(ends.server, SIOCOUTQ, &waiting), 0);
	CHECK(waiting >= 13);
	ends.client = restored(ends.own, sent, received);
	CHECK_OK(set_window(ends.client, window));
	let_in(NF_ACCEPT);
	CHECK_OK(set(ends.client, TCP_REPAIR, 0));
	CHECK_EQ(recv(ends.client, buffer, 13, MSG_WAITALL), 13);
	CHECK(memcmp(buffer, "waits for you", 13) == 0);
	CHECK_EQ(recv(ends.client, buffer, 13, 0), 0);
	says(ends.client, ends.server, "I see");
}

TEST(other_numbers)
{
	struct ends ends;
	unsigned int sent, received;

	enter_with_table();
	ends = connected();
	MUST(set(ends.client, TCP_REPAIR, 1));
	sent = number_of(ends.client, TCP_SEND_QUEUE);
	received = number_of(ends.client, TCP_RECV_QUEUE);
	close(ends.client);
	ends.client = restored(ends.own, sent + 1000, received);
	CHECK_OK(set(ends.client, TCP_REPAIR, 0));
	CHECK_EQ(state_of(ends.client), TCP_ESTABLISHED);
	CHECK_EQ(send(ends.client, "lost", 4, 0), 4);
	CHECK_EQ(events_of(ends.server, 100), 0);
	CHECK_EQ(state_of(ends.client), TCP_ESTABLISHED);
}

static int set_options(int fd, struct tcp_repair_opt *options, size_t count)
{
	return setsockopt(fd, SOL_TCP, TCP_REPAIR_OPTIONS, options, (socklen_t)(count * sizeof(*options)));
}

TEST(options)
{
	struct sockaddr_in own = loopback(6000);
	struct tcp_repair_opt sizes[] = {{TCPOPT_MAXSEG, 1200}, {TCPOPT_WINDOW, 7 | 5 << 16}};
	struct tcp_repair_opt rest[] = {{TCPOPT_SACK_PERMITTED, 0}, {TCPOPT_TIMESTAMP, 0}, {77, 5}};
	struct tcp_repair_opt wrong = {TCPOPT_WINDOW, 15};
	struct tcp_info info;
	socklen_t length = sizeof(info);
	int error, fd;

	enter_with_table();
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(set_options(fd, sizes, 2), EINVAL);
	MUST(set(fd, TCP_REPAIR, 1));
	CHECK_ERRNO(set_options(fd, sizes, 2), EPERM);
	close(fd);
	fd = restored(own, 1, 1);
	MUST(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &length));
	CHECK_EQ(info.tcpi_options, 0);
	CHECK_EQ(get(fd, TCP_MAXSEG, &error), 536);
	CHECK_ERRNO(set_options(fd, &wrong, 1), EFBIG);
	wrong.opt_val = 15 << 16;
	CHECK_ERRNO(set_options(fd, &wrong, 1), EFBIG);
	wrong = (struct tcp_repair_opt){TCPOPT_SACK_PERMITTED, 1};
	CHECK_ERRNO(set_options(fd, &wrong, 1), EINVAL);
	wrong = (struct tcp_repair_opt){TCPOPT_TIMESTAMP, 1};
	CHECK_ERRNO(set_options(fd, &wrong, 1), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_TCP, TCP_REPAIR_OPTIONS, bad_address(), 8), EFAULT);
	CHECK_ERRNO(setsockopt(fd, SOL_TCP, TCP_REPAIR_OPTIONS, sizes, 3), EINVAL);
	CHECK_OK(setsockopt(fd, SOL_TCP, TCP_REPAIR_OPTIONS, sizes, 7));
	CHECK_EQ(get(fd, TCP_MAXSEG, &error), 536);
	CHECK_OK(set_options(fd, sizes, 2));
	CHECK_EQ(get(fd, TCP_MAXSEG, &error), 1200);
	MUST(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &length));
	CHECK_EQ(info.tcpi_options, TCPI_OPT_WSCALE);
	CHECK_EQ(info.tcpi_snd_wscale, 7);
	CHECK_EQ(info.tcpi_rcv_wscale, 5);
	CHECK_OK(set_options(fd, rest, 3));
	MUST(getsockopt(fd, SOL_TCP, TCP_INFO, &info, &length));
	CHECK_EQ(info.tcpi_options, TCPI_OPT_WSCALE | TCPI_OPT_SACK | TCPI_OPT_TIMESTAMPS);
	MUST(set(fd, TCP_REPAIR, -1));
	CHECK_ERRNO(set_options(fd, sizes, 2), EINVAL);
}

TEST(windows)
{
	struct sockaddr_in own = loopback(6000);
	struct tcp_repair_window window, wrong;
	struct ends ends;
	socklen_t length = 4;
	unsigned int received;
	int fd;

	enter_with_table();
	ends = connected();
	says(ends.client, ends.server, "hello");
	CHECK_ERRNO(window_of(ends.client, &window), EPERM);
	MUST(set(ends.client, TCP_REPAIR, 1));
	CHECK_ERRNO(getsockopt(ends.client, SOL_TCP, TCP_REPAIR_WINDOW, &window, &length), EINVAL);
	CHECK_OK(window_of(ends.client, &window));
	received = number_of(ends.client, TCP_RECV_QUEUE);
	CHECK_EQ(window.rcv_wup, received);
	CHECK(window.snd_wnd > 0 && window.snd_wnd <= window.max_window);
	CHECK(window.rcv_wnd > 0);
	CHECK(received - window.snd_wl1 < 1000);
	CHECK_OK(set_window(ends.client, window));
	fd = restored(own, 100, 200);
	window = (struct tcp_repair_window){.snd_wl1 = 200, .snd_wnd = 500, .max_window = 600, .rcv_wnd = 700, .rcv_wup = 200};
	CHECK_OK(set_window(fd, window));
	CHECK_ERRNO(setsockopt(fd, SOL_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window) - 1), EINVAL);
	wrong = window;
	wrong.max_window = 499;
	CHECK_ERRNO(set_window(fd, wrong), EINVAL);
	wrong = window;
	wrong.snd_wl1 = 901;
	CHECK_ERRNO(set_window(fd, wrong), EINVAL);
	wrong = window;
	wrong.rcv_wup = 201;
	CHECK_ERRNO(set_window(fd, wrong), EINVAL);
	CHECK_OK(window_of(fd, &wrong));
	CHECK(memcmp(&window, &wrong, sizeof(window)) == 0);
	MUST(set(fd, TCP_REPAIR, -1));
	CHECK_ERRNO(set_window(fd, window), EPERM);
}

TEST(clocks)
{
	int error, fd, now;

	enter_with_table();
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	CHECK_ERRNO(set(fd, TCP_TIMESTAMP, 1000000), EPERM);
	MUST(set(fd, TCP_REPAIR, 1));
	CHECK_OK(set(fd, TCP_TIMESTAMP, 1000000));
	now = get(fd, TCP_TIMESTAMP, &error);
	CHECK(now >= 1000000 && now < 1010000);
	CHECK_EQ(now & 1, 0);
	/* The lowest bit chooses microseconds. */
	CHECK_OK(set(fd, TCP_TIMESTAMP, 1000001));
	now = get(fd, TCP_TIMESTAMP, &error);
	CHECK(now >= 1000001 && now < 11000000);
	CHECK_EQ(now & 1, 1);
}

TEST(who_is_shut_down)
{
	struct ends ends;
	char byte;

	enter_with_table();
	ends = connected();
	CHECK_OK(shutdown(ends.client, SHUT_WR));
	CHECK_EQ(recv(ends.server, &byte, 1, 0), 0);
	CHECK_OK(set(ends.client, TCP_REPAIR, 1));
	CHECK_ERRNO(send(ends.client, "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_OK(set(ends.client, TCP_REPAIR, -1));
	says(ends.server, ends.client, "still heard");
}
