/* Keys and keyrings: keyrings(7), add_key(2), request_key(2), keyctl(2). */
#include "check.h"

#include <linux/keyctl.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/uio.h>
#include <sched.h>

#define KEY(...) syscall(SYS_keyctl, __VA_ARGS__)
#define SESSION KEY_SPEC_SESSION_KEYRING
#define UID 4321
#define MOVE 30
#define CAPABILITIES 31

static long add(const char *type, const char *description, const char *data, long keyring)
{
	return syscall(SYS_add_key, type, description, data, data ? strlen(data) : 0, keyring);
}

static long request(const char *type, const char *description, const char *callout, long keyring)
{
	return syscall(SYS_request_key, type, description, callout, keyring);
}

static long new_session(void)
{
	return MUST(KEY(KEYCTL_JOIN_SESSION_KEYRING, NULL));
}

static const char *described(long key)
{
	static char text[256];

	memset(text, 0, sizeof(text));
	MUST(KEY(KEYCTL_DESCRIBE, key, text, sizeof(text)));
	return text;
}

static const char *contents(long key)
{
	static char text[256];

	memset(text, 0, sizeof(text));
	MUST(KEY(KEYCTL_READ, key, text, sizeof(text)));
	return text;
}

/* Whether a keyring has a key, by its number. */
static int has(long keyring, long key)
{
	int32_t serials[64];
	long size = MUST(KEY(KEYCTL_READ, keyring, serials, sizeof(serials)));

	for (long at = 0; at < size / 4; at++)
		if (serials[at] == key)
			return 1;
	return 0;
}

TEST(keys_are_added_and_updated)
{
	static char big[40000];
	long session = new_session(), key, logon;

	CHECK_STRING(described(session), "keyring;0;0;3f030000;_ses");
	CHECK_EQ(KEY(KEYCTL_GET_KEYRING_ID, SESSION, 0), session);
	key = add("user", "foo", "secret", SESSION);
	CHECK(key > 2);
	CHECK_STRING(described(key), "user;0;0;3f010000;foo");
	CHECK_STRING(contents(key), "secret");
	CHECK(has(session, key));
	CHECK_EQ(add("user", "foo", "other", SESSION), key);
	CHECK_STRING(contents(key), "other");
	CHECK_EQ(KEY(KEYCTL_UPDATE, key, "new", 3), 0);
	CHECK_STRING(contents(key), "new");
	logon = add("logon", "a:b", "x", SESSION);
	CHECK_STRING(described(logon), "logon;0;0;3d010000;a:b");
	CHECK_ERRNO(KEY(KEYCTL_READ, logon, big, 100), EOPNOTSUPP);
	CHECK_EQ(KEY(KEYCTL_UPDATE, logon, "y", 1), 0);
	CHECK_ERRNO(add("logon", "ab", "x", SESSION), EINVAL);
	CHECK_ERRNO(add("logon", ":b", "x", SESSION), EINVAL);
	CHECK_ERRNO(add("user", "e", NULL, SESSION), EINVAL);
	CHECK_ERRNO(add("user", "", "x", SESSION), EINVAL);
	CHECK_ERRNO(add("user", NULL, "x", SESSION), EINVAL);
	CHECK_ERRNO(add("user", bad_address(), "x", SESSION), EFAULT);
	CHECK_ERRNO(add("", "d", "x", SESSION), EINVAL);
	CHECK_ERRNO(add(".user", "d", "x", SESSION), EPERM);
	CHECK_ERRNO(add(bad_address(), "d", "x", SESSION), EFAULT);
	CHECK_ERRNO(add("a name of a type that is too long", "d", "x", SESSION), EINVAL);
	CHECK_ERRNO(add("nonesuch", "d", "x", SESSION), ENODEV);
	CHECK_ERRNO(add("keyring", ".d", NULL, SESSION), EPERM);
	CHECK_ERRNO(add("keyring", "d", "x", SESSION), EINVAL);
	CHECK_ERRNO(add("user", "d", "x", 12345), ENOKEY);
	CHECK_ERRNO(add("user", "d", "x", key), ENOTDIR);
	CHECK_ERRNO(add("user", "d", "x", 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_add_key, "user", "d", bad_address(), 1, SESSION), EFAULT);
	CHECK_ERRNO(syscall(SYS_add_key, "user", "d", big, 1 << 20, SESSION), EINVAL);
	CHECK_ERRNO(syscall(SYS_add_key, "user", "d", big, 32768, SESSION), EINVAL);
	CHECK(syscall(SYS_add_key, "user", "d", big, 32767, SESSION) > 0);
	memset(big, 'd', 4999);
	CHECK_ERRNO(add("user", big, "x", SESSION), EINVAL);
	big[4095] = 0;
	CHECK(add("user", big, "x", SESSION) > 0);
}

TEST(what_is_read_must_fit)
{
	long session = new_session(), key = add("user", "foo", "new", SESSION);
	char text[32] = "";

	CHECK_EQ(KEY(KEYCTL_READ, key, text, 1), 3);
	CHECK_STRING(text, "");
	CHECK_EQ(KEY(KEYCTL_READ, key, NULL, 0), 3);
	CHECK_ERRNO(KEY(KEYCTL_READ, key, bad_address(), 10), EFAULT);
	CHECK_ERRNO(KEY(KEYCTL_READ, 12345, text, 10), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_READ, session, text, 5), EINVAL);
	CHECK_EQ(KEY(KEYCTL_DESCRIBE, key, text, 5), 22);
	CHECK_STRING(text, "");
	CHECK_ERRNO(KEY(KEYCTL_UPDATE, key, NULL, 0), EINVAL);
	CHECK_ERRNO(KEY(KEYCTL_UPDATE, key, text, 5000), EINVAL);
	CHECK_ERRNO(KEY(KEYCTL_UPDATE, session, text, 1), EOPNOTSUPP);
	CHECK_EQ(KEY(KEYCTL_GET_SECURITY, key, text, 10), 1);
}

TEST(keyrings_hold_keys)
{
	long session = new_session(), key = add("user", "foo", "x", SESSION), first, ring, inner;

	first = add("keyring", "ring", NULL, SESSION);
	ring = add("keyring", "ring", NULL, SESSION);
	CHECK(first > 0 && ring > 0 && first != ring);
	CHECK(!has(session, first) && has(session, ring));
	CHECK_EQ(KEY(KEYCTL_SEARCH, SESSION, "user", "foo", 0), key);
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, SESSION, "user", "none", 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, SESSION, "nonesuch", "foo", 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, key, "user", "foo", 0), ENOTDIR);
	CHECK_EQ(KEY(KEYCTL_SEARCH, SESSION, "user", "foo", ring), key);
	CHECK(has(ring, key));
	CHECK_EQ(KEY(KEYCTL_UNLINK, key, SESSION), 0);
	CHECK_ERRNO(KEY(KEYCTL_UNLINK, key, SESSION), ENOENT);
	CHECK_ERRNO(KEY(KEYCTL_UNLINK, ring, key), ENOTDIR);
	CHECK_EQ(KEY(KEYCTL_SEARCH, SESSION, "user", "foo", 0), key);
	CHECK_EQ(KEY(KEYCTL_LINK, key, SESSION), 0);
	CHECK_EQ(KEY(KEYCTL_LINK, key, SESSION), 0);
	CHECK_ERRNO(KEY(KEYCTL_LINK, session, ring), EDEADLK);
	CHECK_ERRNO(KEY(KEYCTL_LINK, ring, ring), EDEADLK);
	CHECK_ERRNO(KEY(KEYCTL_LINK, ring, key), ENOTDIR);
	CHECK_ERRNO(KEY(KEYCTL_LINK, 12345, SESSION), ENOKEY);
	inner = add("keyring", "inner", NULL, ring);
	CHECK(add("user", "deep", "x", inner) == KEY(KEYCTL_SEARCH, session, "user", "deep", 0));
	CHECK_EQ(KEY(MOVE, key, SESSION, inner, 0), 0);
	CHECK(!has(session, key) && has(inner, key));
	CHECK_ERRNO(KEY(MOVE, key, SESSION, inner, 0), ENOENT);
	CHECK_EQ(KEY(MOVE, key, inner, inner, 0), 0);
	CHECK_ERRNO(KEY(MOVE, key, inner, SESSION, 8), EINVAL);
	CHECK_ERRNO(KEY(MOVE, key, inner, ring, 1), EEXIST);
	CHECK_EQ(KEY(MOVE, key, inner, SESSION, 1), 0);
	CHECK_EQ(KEY(KEYCTL_CLEAR, ring), 0);
	CHECK(!has(ring, inner));
	CHECK_ERRNO(KEY(KEYCTL_CLEAR, key), ENOTDIR);
	CHECK_EQ(KEY(29 /* KEYCTL_RESTRICT_KEYRING */, ring, NULL, NULL), 0);
	CHECK_ERRNO(add("user", "q", "x", ring), EPERM);
	/* That it takes no more is found before what a type's names are like, and not before that there's no name. */
	CHECK_ERRNO(add("logon", "q", "x", ring), EPERM);
	CHECK_ERRNO(add("user", "", "x", ring), EINVAL);
	CHECK_ERRNO(KEY(29, ring, NULL, NULL), EEXIST);
}

/* Six keyrings below the first one are searched. */
TEST(keyrings_are_searched_to_a_depth)
{
	long session = new_session(), last = session, rings[4] = {session}, below[4];
	char name[20];

	for (int depth = 1; depth <= 7; depth++) {
		sprintf(name, "chain %d", depth);
		last = MUST(add("keyring", name, NULL, last));
		sprintf(name, "key %d", depth);
		MUST(add("user", name, "x", last));
	}
	CHECK(KEY(KEYCTL_SEARCH, session, "user", "key 6", 0) > 0);
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, session, "user", "key 7", 0), ENOKEY);
	MUST(KEY(KEYCTL_CLEAR, session));
	/* Many ways lead to the keyrings of the last row. */
	for (int depth = 1; depth <= 6; depth++) {
		for (int at = 0; at < 4; at++) {
			sprintf(name, "ring %d of %d", at, depth);
			below[at] = MUST(add("keyring", name, NULL, rings[0]));
			for (int above = 1; depth > 1 && above < 4; above++)
				CHECK_OK(KEY(KEYCTL_LINK, below[at], rings[above]));
		}
		memcpy(rings, below, sizeof(rings));
	}
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, session, "user", "key", 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_LINK, session, rings[3]), EDEADLK);
	MUST(add("user", "key", "x", rings[3]));
	CHECK(KEY(KEYCTL_SEARCH, session, "user", "key", 0) > 0);
}

TEST(keys_end)
{
	long session = new_session(), key = add("user", "timed", "x", SESSION), again;
	char text[16];

	CHECK_EQ(KEY(KEYCTL_SET_TIMEOUT, key, 1), 0);
	CHECK_STRING(described(key), "user;0;0;3f010000;timed");
	sleep(2);
	CHECK_ERRNO(KEY(KEYCTL_DESCRIBE, key, NULL, 0), EKEYEXPIRED);
	CHECK_ERRNO(KEY(KEYCTL_READ, key, text, 16), EKEYEXPIRED);
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, SESSION, "user", "timed", 0), EKEYEXPIRED);
	CHECK_ERRNO(request("user", "timed", NULL, 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_SET_TIMEOUT, key, 0), EKEYEXPIRED);
	key = add("user", "revoked", "x", SESSION);
	CHECK_EQ(KEY(KEYCTL_REVOKE, key), 0);
	CHECK_ERRNO(KEY(KEYCTL_REVOKE, key), EKEYREVOKED);
	CHECK_ERRNO(KEY(KEYCTL_READ, key, text, 16), EKEYREVOKED);
	CHECK_ERRNO(KEY(KEYCTL_UPDATE, key, "x", 1), EKEYREVOKED);
	CHECK_ERRNO(KEY(KEYCTL_SETPERM, key, 0x3f000000), EKEYREVOKED);
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, SESSION, "user", "revoked", 0), EKEYREVOKED);
	CHECK_ERRNO(request("user", "revoked", NULL, 0), EKEYREVOKED);
	CHECK_EQ(KEY(KEYCTL_UNLINK, key, SESSION), 0);
	again = add("user", "revoked", "x", SESSION);
	CHECK(again > 0 && again != key);
	key = add("user", "invalid", "x", SESSION);
	CHECK_EQ(KEY(KEYCTL_INVALIDATE, key), 0);
	CHECK_ERRNO(KEY(KEYCTL_DESCRIBE, key, NULL, 0), ENOKEY);
	CHECK(session > 0);
}

TEST(links_are_found_by_type_and_description)
{
	long key, other, one, two;

	new_session();
	one = add("keyring", "one", NULL, SESSION);
	two = add("keyring", "two", NULL, SESSION);
	key = add("user", "same", "x", one);
	other = add("user", "same", "y", two);
	CHECK(key != other);
	CHECK_EQ(KEY(KEYCTL_UNLINK, other, one), 0);
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, one, "user", "same", 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_UNLINK, other, one), ENOENT);
	CHECK_EQ(KEY(KEYCTL_SEARCH, two, "user", "same", 0), other);
}

TEST(who_may_do_what)
{
	long key, session = new_session();
	pid_t holder;

	key = add("user", "foo", "x", SESSION);
	CHECK_ERRNO(KEY(KEYCTL_SETPERM, key, 0x40), EINVAL);
	CHECK_EQ(KEY(KEYCTL_CHOWN, key, -1, -1), 0);
	CHECK_EQ(KEY(KEYCTL_CHOWN, key, UID, -1), 0);
	CHECK_STRING(described(key), "user;4321;0;3f010000;foo");
	CHECK_EQ(KEY(KEYCTL_CHOWN, key, 0, UID), 0);
	CHECK_STRING(described(key), "user;0;4321;3f010000;foo");
	CHECK_EQ(KEY(KEYCTL_SETPERM, key, 0x1f000000), 0);
	CHECK_ERRNO(KEY(KEYCTL_SETPERM, key, 0x3f000000), EACCES);
	key = add("user", "bar", "x", SESSION);
	CHECK_EQ(KEY(KEYCTL_SETPERM, key, 0), 0);
	CHECK_ERRNO(KEY(KEYCTL_DESCRIBE, key, NULL, 0), EACCES);
	key = add("user", "mine", "x", SESSION);
	holder = (pid_t)MUST(fork());
	if (holder == 0) {
		pause();
		_exit(0);
	}
	MUST(setresgid(UID, UID, UID));
	MUST(setresuid(UID, UID, 0));
	/* The session is still this one's, so its keys are possessed. */
	CHECK_STRING(described(key), "user;0;0;3f010000;mine");
	CHECK(new_session() != session);
	CHECK_ERRNO(KEY(KEYCTL_DESCRIBE, key, NULL, 0), EACCES);
	CHECK_ERRNO(KEY(KEYCTL_READ, key, NULL, 0), EACCES);
	CHECK_STRING(described(SESSION), "keyring;4321;4321;3f030000;_ses");
	key = add("user", "own", "x", SESSION);
	CHECK_ERRNO(KEY(KEYCTL_CHOWN, key, 0, -1), EACCES);
	CHECK_ERRNO(KEY(KEYCTL_CHOWN, key, -1, 0), EACCES);
	CHECK_EQ(KEY(KEYCTL_CHOWN, key, UID, UID), 0);
	CHECK_STRING(described(KEY_SPEC_USER_KEYRING), "keyring;4321;65534;1f3f0000;_uid.4321");
	CHECK_STRING(described(KEY_SPEC_USER_SESSION_KEYRING), "keyring;4321;65534;1f3f0000;_uid_ses.4321");
	CHECK(has(KEY_SPEC_USER_SESSION_KEYRING, MUST(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0))));
	key = KEY(KEYCTL_GET_PERSISTENT, -1, SESSION);
	CHECK(has(SESSION, key));
	CHECK_ERRNO(KEY(KEYCTL_GET_PERSISTENT, 0, SESSION), EPERM);
	MUST(seteuid(0));
	kill(holder, SIGKILL);
	wait_for(holder);
}

TEST(a_user_has_a_quota)
{
	char name[32];
	int count = 0;

	MUST(setresuid(UID + 1, UID + 1, UID + 1));
	new_session();
	for (; count < 300; count++) {
		snprintf(name, sizeof(name), "key %d", count);
		if (add("user", name, "x", SESSION) < 0)
			break;
	}
	CHECK_EQ(errno, EDQUOT);
	CHECK(count > 150 && count < 200);
}

TEST(tasks_have_keyrings)
{
	long session = new_session(), thread, process;
	pid_t child;

	CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_GROUP_KEYRING, 1), EINVAL);
	CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_REQKEY_AUTH_KEY, 1), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_REQUESTOR_KEYRING, 1), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, -9, 1), EINVAL);
	CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, 0, 1), EINVAL);
	thread = KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1);
	process = KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1);
	CHECK_STRING(described(thread), "keyring;0;0;3f010000;_tid");
	CHECK_STRING(described(process), "keyring;0;0;3f010000;_pid");
	CHECK(add("user", "of thread", "x", KEY_SPEC_THREAD_KEYRING) == request("user", "of thread", NULL, 0));
	CHECK(add("user", "of process", "x", KEY_SPEC_PROCESS_KEYRING) == request("user", "of process", NULL, 0));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0), ENOKEY);
		CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0), ENOKEY);
		CHECK_EQ(KEY(KEYCTL_GET_KEYRING_ID, SESSION, 0), session);
		CHECK_ERRNO(request("user", "of thread", NULL, 0), ENOKEY);
		CHECK(new_session() != session);
		session = KEY(KEYCTL_GET_KEYRING_ID, SESSION, 0);
		CHECK(add("user", "of child", "x", SESSION) > 0);
		CHECK_EQ(KEY(KEYCTL_SESSION_TO_PARENT), 0);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK(request("user", "of child", NULL, 0) > 0);
}

/* A child that gives its session to its parent when it's told to; with a new one if it says a word for that. */
static pid_t giver(const int wait_for_word[2], const int done[2])
{
	pid_t child = (pid_t)MUST(fork());
	char word;

	if (child != 0)
		return child;
	MUST(read(wait_for_word[0], &word, 1));
	if (word != '-') {
		MUST(new_session());
		MUST(add("user", (char[]){word, 0}, "x", SESSION));
	}
	CHECK_EQ(KEY(KEYCTL_SESSION_TO_PARENT), 0);
	MUST(write(done[1], "", 1));
	_exit(0);
}

/* The parent sleeps meanwhile: it has another session when it's back in user mode. */
TEST(a_session_for_the_parent_is_its_own_when_it_goes_on)
{
	int words[3][2], done[3][2];
	pid_t children[4];
	char byte;

	MUST(new_session());
	for (int at = 0; at < 3; at++) {
		MUST(pipe(words[at]));
		MUST(pipe(done[at]));
		children[at] = giver(words[at], done[at]);
	}
	children[3] = (pid_t)MUST(fork());
	if (children[3] == 0) {
		sleep_ms(50);
		/* Each gives while the first process waits for the last of them. */
		MUST(write(words[0][1], "a", 1));
		MUST(read(done[0][0], &byte, 1));
		MUST(write(words[1][1], "b", 1));
		MUST(read(done[1][0], &byte, 1));
		/* This one has the session that its parent has still. */
		MUST(write(words[2][1], "-", 1));
		_exit(0);
	}
	MUST(read(done[2][0], &byte, 1));
	CHECK_ERRNO(request("user", "a", NULL, 0), ENOKEY);
	CHECK(request("user", "b", NULL, 0) > 0);
	for (int at = 0; at < 4; at++)
		CHECK_EQ(wait_for(children[at]), EXITED(0));
}

static long keyring_of_maker;

static void *look_for_own(void *has_one)
{
	if (has_one == NULL) {
		CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0), ENOKEY);
		CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0), ENOKEY);
	} else {
		long own = MUST(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0));

		CHECK(own != keyring_of_maker);
		CHECK_STRING(described(own), "keyring;0;0;3f010000;_tid");
		CHECK(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0) > 0);
		CHECK_ERRNO(request("user", "of the maker", NULL, 0), ENOKEY);
	}
	return NULL;
}

/* A thread has one of its own where its maker has. */
TEST(threads_have_keyrings)
{
	pthread_t thread;

	new_session();
	CHECK_EQ(pthread_create(&thread, NULL, look_for_own, NULL), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	keyring_of_maker = MUST(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1));
	MUST(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
	MUST(add("user", "of the maker", "x", KEY_SPEC_THREAD_KEYRING));
	CHECK_EQ(pthread_create(&thread, NULL, look_for_own, &keyring_of_maker), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* The keyring of a thread is whose that thread's files are; a group of files makes no difference. */
TEST(the_keyring_of_a_thread_changes_hands)
{
	static const struct iovec parts[2] = {{(void *)1, 1}, {NULL, (size_t)-1}};
	long thread, key;

	new_session();
	thread = MUST(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1));
	setfsuid(UID);
	CHECK_STRING(described(thread), "keyring;4321;0;3f010000;_tid");
	setfsuid(0);
	CHECK_STRING(described(thread), "keyring;0;0;3f010000;_tid");
	/* What can't be found can't be read; nobody sees what he may not; bytes are looked at before rights. */
	CHECK_ERRNO(KEY(KEYCTL_READ, 0, NULL, 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_READ, -99, NULL, 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_READ, thread, parts, 3), EINVAL);
	CHECK_EQ(KEY(KEYCTL_READ, SESSION, NULL, 8191), 0);
	key = MUST(add("user", "unseen", "x", SESSION));
	MUST(KEY(KEYCTL_SETPERM, key, 0));
	CHECK_ERRNO(KEY(KEYCTL_GET_SECURITY, key, NULL, 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_INSTANTIATE, key, (void *)-4096L, 5, 0), EFAULT);
	CHECK_ERRNO(KEY(KEYCTL_INSTANTIATE_IOV, key, bad_address(), 1, 0), EFAULT);
	CHECK_ERRNO(KEY(KEYCTL_INSTANTIATE_IOV, key, parts, 2, 0), EINVAL);
	CHECK_ERRNO(KEY(KEYCTL_INSTANTIATE_IOV, key, NULL, 2, 0), EPERM);
}

TEST(sessions_have_names)
{
	char name[64];
	long named;

	snprintf(name, sizeof(name), "named by %d", getpid());
	new_session();
	named = MUST(KEY(KEYCTL_JOIN_SESSION_KEYRING, name));
	CHECK(strstr(described(SESSION), ";3f130000;named by ") != NULL);
	CHECK_EQ(KEY(KEYCTL_GET_KEYRING_ID, SESSION, 0), named);
	/* Who doesn't possess it may not search it, so another one is made. */
	CHECK(KEY(KEYCTL_JOIN_SESSION_KEYRING, name) != named);
	CHECK(strstr(described(SESSION), ";3f130000;named by ") != NULL);
	CHECK_ERRNO(KEY(KEYCTL_JOIN_SESSION_KEYRING, ".x"), EPERM);
	CHECK_ERRNO(KEY(KEYCTL_JOIN_SESSION_KEYRING, ""), EINVAL);
}

TEST(keys_are_requested)
{
	long session = new_session(), key = add("user", "there", "x", SESSION), ring = add("keyring", "ring", NULL, SESSION);

	CHECK_EQ(request("user", "there", NULL, 0), key);
	CHECK_EQ(request("user", "there", NULL, ring), key);
	CHECK(has(ring, key));
	CHECK_ERRNO(request("user", "none", NULL, 0), ENOKEY);
	CHECK_ERRNO(request("nonesuch", "none", NULL, 0), ENOKEY);
	CHECK_ERRNO(request("user", bad_address(), NULL, 0), EFAULT);
	CHECK_ERRNO(request("user", "", "", 0), EINVAL);
	CHECK_ERRNO(request("user", "none", NULL, 12345), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_INSTANTIATE, key, "x", 1, 0), EPERM);
	CHECK_ERRNO(KEY(KEYCTL_NEGATE, key, 1, 0), EPERM);
	CHECK_ERRNO(KEY(KEYCTL_REJECT, key, 1, ENOKEY, 0), EPERM);
	CHECK_ERRNO(KEY(KEYCTL_REJECT, key, 1, 0, 0), EINVAL);
	CHECK_ERRNO(KEY(KEYCTL_ASSUME_AUTHORITY, key), ENOKEY);
	CHECK_EQ(KEY(KEYCTL_ASSUME_AUTHORITY, 0), 0);
	CHECK_ERRNO(KEY(KEYCTL_ASSUME_AUTHORITY, -1), EINVAL);
	CHECK_EQ(KEY(KEYCTL_SET_REQKEY_KEYRING, -1), 0);
	CHECK_EQ(KEY(KEYCTL_SET_REQKEY_KEYRING, 1), 0);
	CHECK_EQ(KEY(KEYCTL_SET_REQKEY_KEYRING, -1), 1);
	CHECK_ERRNO(KEY(KEYCTL_SET_REQKEY_KEYRING, 6), EINVAL);
	CHECK_ERRNO(KEY(KEYCTL_SET_REQKEY_KEYRING, 99), EINVAL);
	CHECK_EQ(KEY(KEYCTL_SET_REQKEY_KEYRING, 0), 1);
	/* That the thread's has expired doesn't matter. */
	CHECK_EQ(KEY(KEYCTL_SET_TIMEOUT, KEY_SPEC_THREAD_KEYRING, 1), 0);
	sleep_ms(1200);
	CHECK_EQ(KEY(KEYCTL_SET_REQKEY_KEYRING, 1), 0);
	CHECK_EQ(KEY(KEYCTL_SET_REQKEY_KEYRING, 0), 1);
	CHECK_ERRNO(request("keyring", "none", "info", 0), EPERM);
	CHECK(session > 0);
}

TEST(what_the_kernel_can_do_with_keys)
{
	unsigned char told[4] = {0};

	CHECK_EQ(KEY(CAPABILITIES, told, 4), 2);
	CHECK((told[0] & 0xe3) == 0xe3 && (told[1] & 3) == 3 && told[2] == 0);
	CHECK_EQ(KEY(CAPABILITIES, NULL, 0), 2);
	CHECK_ERRNO(KEY(99, 0), EOPNOTSUPP);
}

TEST(proc_tells_of_keys)
{
	char line[512], wanted[64];
	long key, session = new_session();
	FILE *keys;
	int found = 0;

	key = add("user", "shown", "secret", SESSION);
	snprintf(wanted, sizeof(wanted), "%08lx I--Q--- ", key);
	keys = fopen("/proc/keys", "r");
	while (fgets(line, sizeof(line), keys)) {
		if (strncmp(line, wanted, strlen(wanted)) == 0)
			found += strstr(line, " perm 3f010000     0     0 user      shown: 6\n") != NULL;
		else if (strtol(line, NULL, 16) == session)
			found += strstr(line, " 3f030000     0     0 keyring   _ses: 1\n") != NULL;
	}
	fclose(keys);
	CHECK_EQ(found, 2);
}

TEST(what_cannot_be_looked_up)
{
	long session = new_session(), key = add("user", "a", "x", SESSION), ring = add("keyring", "ring", NULL, SESSION);
	long other = add("keyring", "other", NULL, SESSION);
	char text[16];

	/* What can't be read isn't found, whatever is wrong with the number. */
	CHECK_ERRNO(KEY(KEYCTL_READ, 0, text, sizeof(text)), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_READ, KEY_SPEC_GROUP_KEYRING, text, sizeof(text)), ENOKEY);
	CHECK_EQ(KEY(KEYCTL_READ, ring, NULL, 3), 0);
	CHECK_ERRNO(KEY(KEYCTL_READ, ring, text, 3), EINVAL);
	/* The type is looked for before the keyring turns out to be none. */
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, key, "nonesuch", "a", 0), ENOKEY);
	CHECK_ERRNO(KEY(KEYCTL_SEARCH, key, "user", "a", 0), ENOTDIR);
	CHECK_ERRNO(KEY(29, ring, "user", NULL), EINVAL);
	CHECK_ERRNO(KEY(29, ring, "nonesuch", "x"), ENOKEY);
	CHECK_ERRNO(KEY(29, ring, "user", "x"), ENOENT);
	CHECK_ERRNO(KEY(29, key, "user", "x"), ENOTDIR);
	/* One that may not be searched doesn't matter where another can. */
	CHECK_EQ(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1) > 0, 1);
	CHECK_EQ(KEY(KEYCTL_SETPERM, SESSION, 0x3f1b0000 & ~0x08080000), 0);
	CHECK_ERRNO(request("user", "a", NULL, 0), ENOKEY);
	CHECK(session > 0 && other > 0);
}

TEST(keyrings_of_users_that_cannot_be_used)
{
	if (fork() == 0) {
		MUST(unshare(CLONE_NEWUSER));
		new_session();
		CHECK(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0) > 0);
		CHECK_EQ(KEY(KEYCTL_REVOKE, KEY_SPEC_USER_KEYRING), 0);
		CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0), ENOKEY);
		CHECK_ERRNO(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_SESSION_KEYRING, 0), ENOKEY);
		CHECK_ERRNO(add("user", "a", "x", KEY_SPEC_USER_KEYRING), ENOKEY);
		_exit(0);
	}
	wait(NULL);
}

TEST(keyrings_of_users_go_by_their_number)
{
	if (fork() == 0) {
		char map[32];
		long keyring;
		int fd;

		snprintf(map, sizeof(map), "7 %d 1", geteuid());
		MUST(unshare(CLONE_NEWUSER));
		new_session();
		keyring = MUST(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1));
		CHECK(strstr(described(keyring), ";_uid.4294967295") != NULL);
		CHECK(strstr(described(KEY_SPEC_USER_SESSION_KEYRING), ";_uid_ses.4294967295") != NULL);
		CHECK(strstr(described(MUST(KEY(KEYCTL_GET_PERSISTENT, -1, SESSION))), ";_persistent.4294967295") != NULL);
		fd = (int)MUST(open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC));
		write_all(fd, map, strlen(map));
		CHECK(MUST(KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1)) != keyring);
		CHECK(strstr(described(KEY_SPEC_USER_KEYRING), ";_uid.7") != NULL);
		CHECK(strstr(described(MUST(KEY(KEYCTL_GET_PERSISTENT, -1, SESSION))), ";_persistent.7") != NULL);
		_exit(0);
	}
	wait(NULL);
}
