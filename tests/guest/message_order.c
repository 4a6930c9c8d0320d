/* What send(2) and vmsplice(2) look at before the bytes, which can't be read: where they go, and their number. */
#include "check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/un.h>

#define NOWHERE ((void *)0x1000)

static const struct sockaddr_in discard = {
	.sin_family = AF_INET, .sin_port = 0x0900, .sin_addr = {0x0100007f}};

TEST(udp)
{
	int file = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0)), later = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
	struct sockaddr_in other = discard;

	CHECK_ERRNO(sendto(file, NOWHERE, 8, 0, NULL, 0), EDESTADDRREQ);
	CHECK_ERRNO(write(file, NOWHERE, 8), EDESTADDRREQ);
	CHECK_ERRNO(sendto(later, NOWHERE, 8, 0, NULL, 0), EDESTADDRREQ);
	CHECK_ERRNO(sendto(file, NOWHERE, 8, 0, (void *)&other, sizeof(other)), EFAULT);
	CHECK_ERRNO(sendto(file, NOWHERE, 8, MSG_OOB, (void *)&other, sizeof(other)), EOPNOTSUPP);
	CHECK_ERRNO(sendto(file, NOWHERE, 8, 0, (void *)&other, 4), EINVAL);
	CHECK_ERRNO(sendto(file, NOWHERE, 65508, 0, (void *)&other, sizeof(other)), EMSGSIZE);
	CHECK_ERRNO(sendto(file, NOWHERE, 65535, 0, NULL, 0), EDESTADDRREQ);
	CHECK_ERRNO(sendto(file, NOWHERE, 65536, 0, NULL, 0), EMSGSIZE);
	other.sin_port = 0;
	CHECK_ERRNO(sendto(file, NOWHERE, 8, 0, (void *)&other, sizeof(other)), EINVAL);
	MUST(connect(file, (void *)&discard, sizeof(discard)));
	CHECK_ERRNO(write(file, NOWHERE, 8), EFAULT);
	MUST(close(file));
	MUST(close(later));
}

TEST(local_datagrams)
{
	int file = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), ends[2];
	struct sockaddr_un nobody = {.sun_family = AF_UNIX, .sun_path = "/nosuch"};

	CHECK_ERRNO(sendto(file, NOWHERE, 8, 0, (void *)&nobody, sizeof(nobody)), EFAULT);
	CHECK_ERRNO(sendto(file, NOWHERE, 8, MSG_OOB, NULL, 0), EOPNOTSUPP);
	CHECK_ERRNO(sendto(file, NOWHERE, 8, 0, (void *)&discard, sizeof(discard)), EINVAL);
	MUST(close(file));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	while (send(ends[0], "x", 1, MSG_DONTWAIT) == 1)
		;
	CHECK_ERRNO(write(ends[0], NOWHERE, 1 << 20), EMSGSIZE);
	MUST(shutdown(ends[0], SHUT_WR));
	CHECK_ERRNO(sendto(ends[0], NOWHERE, 8, MSG_NOSIGNAL, NULL, 0), EPIPE);
	MUST(close(ends[0]));
	MUST(close(ends[1]));
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
	CHECK_ERRNO(sendto(ends[0], NOWHERE, 8, MSG_NOSIGNAL, NULL, 0), EFAULT);
	MUST(close(ends[1]));
	CHECK_ERRNO(sendto(ends[0], NOWHERE, 8, MSG_NOSIGNAL, NULL, 0), EPIPE);
	MUST(close(ends[0]));
	file = (int)MUST(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	CHECK_ERRNO(write(file, NOWHERE, 8), ENOTCONN);
	MUST(close(file));
}

TEST(vmsplice_of_gigabytes)
{
	int ends[2];
	struct iovec vector = {NOWHERE, 3UL << 30};
	char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(page != MAP_FAILED);
	MUST(munmap(page + 4096, 4096));
	MUST(pipe(ends));
	CHECK_ERRNO(vmsplice(ends[1], &vector, 1, 0), EFAULT);
	vector.iov_len = 1UL << 40;
	CHECK_ERRNO(vmsplice(ends[1], &vector, 1, 0), EFAULT);
	vector = (struct iovec){page, 1 << 20};
	CHECK_EQ(vmsplice(ends[1], &vector, 1, SPLICE_F_NONBLOCK), 4096);
	vector = (struct iovec){NOWHERE, 3UL << 30};
	CHECK_ERRNO(vmsplice(ends[0], &vector, 1, SPLICE_F_NONBLOCK), EFAULT);
}
