/* Descriptors of all kinds, for programs that make system calls at random. */
#ifndef EVERY_DESCRIPTOR_H
#define EVERY_DESCRIPTOR_H

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void open_everything(void)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(here);
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t signals;
	int pair[2], listener;

	sigfillset(&signals);
	mkdir("/tmp/d", 0777);
	mkfifo("/tmp/fifo", 0666);
	if (pipe(pair) || pipe2(pair, O_DIRECT | O_NONBLOCK) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		return;
	listener = socket(AF_INET, SOCK_STREAM, 0);
	bind(listener, (struct sockaddr *)&here, sizeof(here));
	listen(listener, 3);
	getsockname(listener, (struct sockaddr *)&here, &length);
	connect(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&here, sizeof(here));
	connect(socket(AF_INET6, SOCK_DGRAM, 0), (struct sockaddr *)&here, sizeof(here));
	socket(AF_NETLINK, SOCK_RAW, 0);
	eventfd(3, EFD_SEMAPHORE);
	timerfd_create(CLOCK_MONOTONIC, 0);
	signalfd(-1, &signals, SFD_NONBLOCK);
	inotify_init1(IN_NONBLOCK);
	epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, listener, &event);
	memfd_create("memory", MFD_ALLOW_SEALING);
	open("/dev/ptmx", O_RDWR | O_NOCTTY);
	open("/tmp/a", O_RDWR | O_CREAT, 0644);
	open("/tmp", O_RDONLY | O_DIRECTORY);
	open("/proc/self/status", O_RDONLY);
	syscall(SYS_pidfd_open, getpid(), 0);
	syscall(SYS_mq_open, "queue", O_RDWR | O_CREAT | O_NONBLOCK, 0600, NULL);
}

#endif
