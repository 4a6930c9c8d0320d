/* Random calls on non-blocking sockets of one process, of one family each time: sockets FIRST END
 *
 * Left out is what depends on how new the kernel is: shut-down senders of local sockets, SO_PASSCRED of
 * others. TCP doesn't delay short segments, which would be a matter of time.
 */
#define _GNU_SOURCE
#include "chance.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define STEPS 80
#define MOST_SOCKETS 14
#define PORTS 4
#define FIRST_PORT 21000
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

struct endpoint {
	int fd;
	int type;
	int is_shut;
};

static int family;
static int first_port;
static struct endpoint endpoints[MOST_SOCKETS];
static int count;
static char buffer[10000];

static void show(const char *what, int which, long result)
{
	printf("%s %d %ld\n", what, which, result < 0 ? -(long)errno : result);
}

/* What was sent over the loopback has arrived. */
static void settle(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
}

static unsigned int sum_of(long length)
{
	unsigned int sum = 0;

	for (long index = 0; index < length; index++)
		sum = sum * 31 + (unsigned char)buffer[index];
	return sum;
}

static int is_local_of(const struct endpoint *endpoint, int type)
{
	return family == AF_UNIX && endpoint->type == type;
}

static int any_type(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

	return types[chance(family == AF_UNIX ? 3 : 2)];
}

static socklen_t any_address(struct sockaddr_storage *address)
{
	int port = first_port + (int)chance(PORTS);

	memset(address, 0, sizeof(*address));
	address->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		struct sockaddr_in *internet = (struct sockaddr_in *)address;

		internet->sin_port = htons((uint16_t)port);
		internet->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*internet);
	}
	if (family == AF_INET6) {
		struct sockaddr_in6 *internet = (struct sockaddr_in6 *)address;

		internet->sin6_port = htons((uint16_t)port);
		internet->sin6_addr = in6addr_loopback;
		return sizeof(*internet);
	}
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)sprintf(((struct sockaddr_un *)address)->sun_path + 1, "random-%d-%d", getpid(), port));
}

static void add(int fd, int type)
{
	endpoints[count++] = (struct endpoint){.fd = fd, .type = type};
}

static void make(void)
{
	int type = any_type(), one = 1, fd;

	if (count >= MOST_SOCKETS - 2)
		return;
	fd = socket(family, type | SOCK_NONBLOCK, 0);
	if (family != AF_UNIX && type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	add(fd, type);
	show("socket", type, 0);
}

static void make_pair(void)
{
	int type = any_type(), ends[2];

	if (family != AF_UNIX || count >= MOST_SOCKETS - 3)
		return;
	show("pair", type, socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, ends));
	add(ends[0], type);
	add(ends[1], type);
}

static void name(int which)
{
	struct sockaddr_storage address;
	socklen_t length = any_address(&address);
	int one = 1;

	if (family != AF_UNIX && chance(3))
		setsockopt(endpoints[which].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	show("bind", which, bind(endpoints[which].fd, (struct sockaddr *)&address, length));
}

static void join(int which)
{
	struct sockaddr_storage address;
	socklen_t length = any_address(&address);

	if (chance(20) == 0)
		address.ss_family = AF_UNSPEC;
	show("connect", which, connect(endpoints[which].fd, (struct sockaddr *)&address, length));
	settle();
}

static void take_connection(int which)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int fd = accept4(endpoints[which].fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK);

	show("accept", which, fd < 0 ? -1 : 0);
	if (fd >= 0 && count < MOST_SOCKETS)
		add(fd, endpoints[which].type);
	else if (fd >= 0)
		close(fd);
}

static void give(int which, int has_address)
{
	struct endpoint *endpoint = &endpoints[which];
	size_t length = has_address ? chance(60) : chance(4) ? chance(40) : chance(5000);
	int flags = MSG_NOSIGNAL;
	struct sockaddr_storage address;
	socklen_t address_length = any_address(&address);

	for (size_t index = 0; index < length; index++)
		buffer[index] = (char)chance(256);
	if (!has_address && chance(6) == 0)
		flags |= MSG_EOR;
	if (!has_address && chance(6) == 0)
		flags |= MSG_OOB;
	if (!has_address && endpoint->is_shut && is_local_of(endpoint, SOCK_DGRAM))
		return;
	printf("flags %x length %zu ", (unsigned int)flags, length);
	if (has_address)
		show("sendto", which,
		     sendto(endpoint->fd, buffer, length, flags, (struct sockaddr *)&address, address_length));
	else
		show("send", which, send(endpoint->fd, buffer, length, flags));
	settle();
}

static void get(int which)
{
	struct endpoint *endpoint = &endpoints[which];
	size_t length = chance(4) ? chance(60) : chance(9000);
	int flags = (chance(4) ? 0 : MSG_PEEK) | (chance(6) ? 0 : MSG_TRUNC) | (chance(8) ? 0 : MSG_WAITALL);
	struct sockaddr_storage address;
	struct iovec part = {buffer, length};
	char control[200];
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control),
				 .msg_name = &address,
				 .msg_namelen = sizeof(address)};
	long result;

	if (chance(6) == 0)
		flags |= MSG_OOB;
	result = recvmsg(endpoint->fd, &message, flags);
	printf("flags %x length %zu ", (unsigned int)flags, length);
	show("receive", which, result);
	if (result < 0)
		return;
	if (family == AF_UNIX)
		message.msg_namelen = message.msg_namelen > sizeof(sa_family_t);
	printf("sum %x flags %x control %zu name %u\n", sum_of(result < (long)length ? result : (long)length),
	       (unsigned int)message.msg_flags, message.msg_controllen, message.msg_namelen);
}

static void end(int which)
{
	int how = (int)chance(4);

	show("shutdown", which, shutdown(endpoints[which].fd, how));
	endpoints[which].is_shut |= how == SHUT_WR || how == SHUT_RDWR;
	settle();
}

static void look(void)
{
	struct pollfd fds[MOST_SOCKETS];

	for (int index = 0; index < count; index++)
		fds[index] = (struct pollfd){.fd = endpoints[index].fd, .events = 0x3fff};
	poll(fds, (nfds_t)count, 0);
	printf("poll");
	for (int index = 0; index < count; index++)
		printf(" %x", (unsigned int)fds[index].revents);
	puts("");
}

static void ask(int which)
{
	int value = -1;

	show("unread", which, ioctl(endpoints[which].fd, FIONREAD, &value));
	printf("%d ", value);
	show("mark", which, ioctl(endpoints[which].fd, SIOCATMARK, &value));
	printf("%d\n", value);
}

static void get_option(int which)
{
	static const int options[] = {SO_ERROR,     SO_TYPE,      SO_ACCEPTCONN, SO_DOMAIN,   SO_PROTOCOL,
				      SO_REUSEADDR, SO_KEEPALIVE, SO_OOBINLINE,  SO_PEEK_OFF, SO_PASSCRED};
	int option = options[chance(COUNT(options) - (family != AF_UNIX))], value = -1;
	socklen_t length = sizeof(value);
	long result = getsockopt(endpoints[which].fd, SOL_SOCKET, option, &value, &length);

	printf("option %d is %d ", option, value);
	show("of", which, result);
}

static void set_option(int which)
{
	static const int options[] = {SO_OOBINLINE, SO_LINGER, SO_KEEPALIVE, SO_PEEK_OFF, SO_PASSCRED};
	int is_choosy = family != AF_UNIX || endpoints[which].type == SOCK_DGRAM;
	int option = options[chance(COUNT(options) - (unsigned int)is_choosy)], value = (int)chance(2);
	struct linger linger = {.l_onoff = value};
	int is_linger = option == SO_LINGER;

	printf("option %d to %d ", option, value);
	show("of", which,
	     setsockopt(endpoints[which].fd, SOL_SOCKET, option, is_linger ? (void *)&linger : &value,
			is_linger ? sizeof(linger) : sizeof(value)));
}

static void ask_name(int which)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int is_peer = (int)chance(2), port = 0;
	long result = (is_peer ? getpeername : getsockname)(endpoints[which].fd, (struct sockaddr *)&address, &length);

	if (result == 0 && family == AF_UNIX)
		port = length > sizeof(sa_family_t);
	else if (result == 0)
		port = ntohs(((struct sockaddr_in *)&address)->sin_port) - first_port;
	printf("name %d ", port >= 0 && port < PORTS ? port : -1);
	show(is_peer ? "of the peer" : "of", which, result);
}

static void leave(int which)
{
	close(endpoints[which].fd);
	endpoints[which] = endpoints[--count];
	printf("close %d\n", which);
	settle();
}

static void live(void)
{
	static const int families[] = {AF_UNIX, AF_UNIX, AF_INET, AF_INET6};

	family = families[chance(COUNT(families))];
	for (int step = 0; step < STEPS; step++) {
		unsigned int what = count ? chance(20) : 0;
		int which = count ? (int)chance((uint64_t)count) : 0;

		if (what < 1)
			make();
		else if (what < 2)
			make_pair();
		else if (what < 3)
			name(which);
		else if (what < 4)
			show("listen", which, listen(endpoints[which].fd, (int)chance(4)));
		else if (what < 6)
			join(which);
		else if (what < 7)
			take_connection(which);
		else if (what < 11)
			give(which, what < 8);
		else if (what < 14)
			get(which);
		else if (what < 15)
			end(which);
		else if (what < 16)
			look();
		else if (what < 17)
			ask(which);
		else if (what < 18)
			get_option(which);
		else if (what < 19)
			ask_name(which);
		else if (chance(3) == 0)
			leave(which);
		else
			set_option(which);
	}
	while (count)
		close(endpoints[--count].fd);
}

/* Where it's allowed nobody else's ports are in the way. */
static void have_own_network(void)
{
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		ioctl(fd, SIOCSIFFLAGS, &loopback);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	have_own_network();
	for (int seed = atoi(argv[1]); argc > 2 && seed < atoi(argv[2]); seed++) {
		printf("seed %d\n", seed);
		first_port = FIRST_PORT + seed * PORTS;
		start_with(seed);
		live();
	}
	return 0;
}
