/* Requests to rtnetlink(7), and what is answered in words. */
#ifndef ROUTE_REQUEST_H
#define ROUTE_REQUEST_H

#include "own_network.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#define MISSING_ATTRIBUTE 5 /* NLMSGERR_ATTR_MISS_TYPE */

static struct {
	struct nlmsghdr header;
	char data[1024];
} request;
static char answers[32768];
static int asker;

CHECK_API void begin(int type, int flags, const void *body, size_t length)
{
	memset(&request, 0, sizeof(request));
	request.header.nlmsg_type = (unsigned short)type;
	request.header.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
	memcpy(request.data, body, length);
	request.header.nlmsg_len = (unsigned)NLMSG_LENGTH(length);
}

CHECK_API struct rtattr *add(int type, const void *data, size_t length)
{
	struct rtattr *attribute = (void *)((char *)&request + NLMSG_ALIGN(request.header.nlmsg_len));

	attribute->rta_type = (unsigned short)type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(length);
	if (length)
		memcpy(RTA_DATA(attribute), data, length);
	request.header.nlmsg_len = (unsigned)(NLMSG_ALIGN(request.header.nlmsg_len) + RTA_ALIGN(RTA_LENGTH(length)));
	return attribute;
}

CHECK_API void add_number(int type, unsigned value)
{
	add(type, &value, sizeof(value));
}

CHECK_API void add_address(int type, const char *text)
{
	unsigned char address[16];
	int family = strchr(text, ':') == NULL ? AF_INET : AF_INET6;

	MUST(inet_pton(family, text, address) == 1 ? 0 : -1);
	add(type, address, family == AF_INET ? 4 : 16);
}

CHECK_API void open_asker(int is_strict)
{
	int one = 1;

	if (asker != 0)
		close(asker);
	asker = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	MUST(setsockopt(asker, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)));
	MUST(setsockopt(asker, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &is_strict, sizeof(is_strict)));
}

CHECK_API const char *explained(const struct nlmsghdr *header, int code, size_t offset)
{
	static char text[512];
	int length = snprintf(text, sizeof(text), "%d", -code);
	struct rtattr *told = (void *)((const char *)header + offset);
	int rest = (int)header->nlmsg_len - (int)offset;

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return text;
	for (; RTA_OK(told, rest); told = RTA_NEXT(told, rest)) {
		const unsigned *number = RTA_DATA(told);
		char *end = text + length;
		size_t room = sizeof(text) - (size_t)length;

		switch (told->rta_type & NLA_TYPE_MASK) {
		case NLMSGERR_ATTR_MSG:
			length += snprintf(end, room, " %s", (const char *)number);
			break;
		case NLMSGERR_ATTR_OFFS:
			length += snprintf(end, room, " at %u", *number);
			break;
		case MISSING_ATTRIBUTE:
			length += snprintf(end, room, " without %u", *number);
			break;
		default:
			length += snprintf(end, room, " policy of %d", told->rta_len);
		}
	}
	return text;
}

/* Ask, and tell the error of the acknowledgement or of a list's end, with what explains it. */
CHECK_API const char *asked(void)
{
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	for (;;) {
		int length = (int)MUST(recv(asker, answers, sizeof(answers), 0));

		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			if (header->nlmsg_type == NLMSG_ERROR) {
				struct nlmsgerr *error = NLMSG_DATA(header);
				size_t copied = header->nlmsg_flags & NLM_F_CAPPED ? sizeof(struct nlmsghdr) : error->msg.nlmsg_len;

				return explained(header, error->error, NLMSG_ALIGN(NLMSG_LENGTH(4 + copied)));
			}
			if (header->nlmsg_type == NLMSG_DONE)
				return explained(header, *(int *)NLMSG_DATA(header), NLMSG_LENGTH(4));
		}
	}
}

CHECK_API const char *list_of(int type, const void *body, size_t size, int attribute, const char *wanted)
{
	static char text[2048];
	int used = 0;

	begin(type, NLM_F_DUMP, body, size);
	MUST(send(asker, &request, request.header.nlmsg_len, 0));
	text[0] = '\0';
	for (;;) {
		int length = (int)MUST(recv(asker, answers, sizeof(answers), 0));

		for (struct nlmsghdr *header = (void *)answers; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			struct rtattr *told = (void *)((char *)NLMSG_DATA(header) + NLMSG_ALIGN(size));
			int rest = (int)header->nlmsg_len - (int)NLMSG_LENGTH(NLMSG_ALIGN(size)), is_wanted = wanted == NULL;
			unsigned char address[16];

			if (header->nlmsg_type == NLMSG_DONE)
				return text;
			for (struct rtattr *each = told; RTA_OK(each, rest); each = RTA_NEXT(each, rest))
				if (wanted != NULL && each->rta_type == 1 && inet_pton(each->rta_len == 8 ? AF_INET : AF_INET6, wanted, address) == 1)
					is_wanted |= memcmp(RTA_DATA(each), address, each->rta_len - 4U) == 0;
			rest = (int)header->nlmsg_len - (int)NLMSG_LENGTH(NLMSG_ALIGN(size));
			for (; is_wanted && RTA_OK(told, rest); told = RTA_NEXT(told, rest))
				if ((told->rta_type & NLA_TYPE_MASK) == attribute)
					for (int at = 4; at < told->rta_len && used < (int)sizeof(text) - 4; at++)
						used += snprintf(text + used, sizeof(text) - (size_t)used, "%02x", ((unsigned char *)told)[at]);
		}
	}
}

/* What is told of the route to a net: one attribute, in hexadecimal. */
CHECK_API const char *of_route(int family, const char *net, int attribute)
{
	struct rtmsg body = {.rtm_family = (unsigned char)family};

	return list_of(RTM_GETROUTE, &body, sizeof(body), attribute, net);
}

CHECK_API const char *of_address(int family, const char *address, int attribute)
{
	struct ifaddrmsg body = {.ifa_family = (unsigned char)family};

	return list_of(RTM_GETADDR, &body, sizeof(body), attribute, address);
}

CHECK_API void begin_route(int type, int flags, const char *net, int length, int kind, int scope)
{
	struct rtmsg body = {.rtm_family = strchr(net, ':') == NULL ? AF_INET : AF_INET6, .rtm_dst_len = (unsigned char)length,
			     .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_scope = (unsigned char)scope,
			     .rtm_type = (unsigned char)kind};

	begin(type, NLM_F_ACK | flags, &body, sizeof(body));
	if (length)
		add_address(RTA_DST, net);
}

CHECK_API void begin_address(int type, int flags, const char *address, int length)
{
	struct ifaddrmsg body = {.ifa_family = strchr(address, ':') == NULL ? AF_INET : AF_INET6, .ifa_prefixlen = (unsigned char)length,
				 .ifa_index = 1};

	begin(type, NLM_F_ACK | flags, &body, sizeof(body));
	add_address(IFA_LOCAL, address);
}

#endif
