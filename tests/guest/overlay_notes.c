/* overlayfs: what an overlay notes with files of its layers, what it's mounted with, and where directories were. */
#include "own_mounts.h"

#include <sys/ioctl.h>
#include <sys/xattr.h>

#define LAYERS "lowerdir=l,upperdir=u,workdir=w"
#define FS_IOC_GETFSUUID_17 _IOR(0x15, 0, char[17])

/* What a note of a file of the layers says, or the errno. */
static const char *note_of(const char *path, const char *name)
{
	static char text[400];
	char whole[100];
	ssize_t length;

	snprintf(whole, sizeof whole, "trusted.overlay.%s", name);
	length = getxattr(path, whole, text, sizeof text - 1);
	if (length == -1)
		return check_errno_name(errno);
	text[length] = '\0';
	return text;
}

static void make_directories(void)
{
	static const char *const directories[] = {"l", "l/d", "l/d/sub", "l/d/sub/deep", "l/e", "l2", "l2/d", "u", "w", "m"};

	umask(022);
	for (size_t at = 0; at < LENGTH(directories); at++)
		MUST(mkdir(directories[at], 0755));
	write_file("l/d/x", "x", 0644);
	write_file("l/d/sub/deep/y", "y", 0644);
	write_file("l2/d/z", "z", 0644);
}

static void make_layers(void)
{
	enter_own_mounts("tmpfs", "mode=755");
	make_directories();
}

static int mount_overlay(const char *options)
{
	return mount("ovl", "m", "overlay", 0, options);
}

static int mount_with(const char *layers, const char *option)
{
	char options[200];

	snprintf(options, sizeof options, "%s%s", layers, option);
	return mount_overlay(options);
}

static void mount_again(const char *options)
{
	MUST(umount("m"));
	MUST(mount_overlay(options));
}

/* What mountinfo says behind the names of the layers. */
static const char *shown(void)
{
	static char line[1000];
	FILE *file = fopen("/proc/self/mountinfo", "r");
	char *found = "none";

	MUST(file == NULL ? -1 : 0);
	while (fgets(line, sizeof line, file) != NULL) {
		char *type = strstr(line, " - overlay ovl ");

		if (type == NULL)
			continue;
		found = strstr(type, "workdir=w");
		found = found != NULL ? found + strlen("workdir=w") : strstr(type, "lowerdir=l:l2") + strlen("lowerdir=l:l2");
		found[strcspn(found, "\n")] = '\0';
	}
	fclose(file);
	return found;
}

static const char *shown_with(const char *layers, const char *option)
{
	const char *text;

	if (mount_with(layers, option) == -1)
		return check_errno_name(errno);
	text = shown();
	MUST(umount("m"));
	return text;
}

TEST(what_is_shown_of_options)
{
	static const char *const table[][3] = {
		{"", ",uuid=on", ",redirect_dir=on"},
		{",redirect_dir=off", ",uuid=on", ",redirect_dir=on"},
		{",redirect_dir=follow", ",uuid=on", ",redirect_dir=on"},
		{",redirect_dir=on", ",redirect_dir=on,uuid=on", ",redirect_dir=on"},
		{",redirect_dir=nofollow", ",redirect_dir=nofollow,uuid=on", ",redirect_dir=nofollow"},
		{",userxattr", ",redirect_dir=nofollow,uuid=on,userxattr", ",redirect_dir=nofollow,userxattr"},
		{",userxattr,redirect_dir=off", "EINVAL", "EINVAL"},
		{",userxattr,redirect_dir=on", "EINVAL", "EINVAL"},
		{",userxattr,redirect_dir=nofollow", ",redirect_dir=nofollow,uuid=on,userxattr", ",redirect_dir=nofollow,userxattr"},
		{",userxattr,metacopy=on", "EINVAL", "EINVAL"},
		{",metacopy=on,redirect_dir=nofollow", "EINVAL", "EINVAL"},
		{",nfs_export=on,index=off", "EINVAL", ",redirect_dir=on"},
		{",uuid=off", ",uuid=off", ",redirect_dir=on,uuid=null"},
		{",uuid=null", ",uuid=null", ",redirect_dir=on,uuid=null"},
		{",uuid=on", ",uuid=on", ",redirect_dir=on,uuid=null"},
		{",uuid=auto", ",uuid=on", ",redirect_dir=on"},
		{",xino=on", ",uuid=on", ",redirect_dir=on"},
		{",xino=off", ",uuid=on", ",redirect_dir=on"},
		{",index=off", ",uuid=on", ",redirect_dir=on"},
		{",metacopy=off", ",uuid=on", ",redirect_dir=on"},
		{",default_permissions", ",default_permissions,uuid=on", ",default_permissions,redirect_dir=on"},
	};

	make_layers();
	for (size_t at = 0; at < LENGTH(table); at++) {
		/* A layer that has been in no overlay yet. */
		removexattr("u", "trusted.overlay.uuid");
		removexattr("u", "user.overlay.uuid");
		CHECK_STRING(shown_with(LAYERS, table[at][0]), table[at][1]);
		CHECK_STRING(shown_with("lowerdir=l:l2", table[at][0]), table[at][2]);
	}
}

static int uuid_of(const char *path, char *uuid)
{
	char told[17] = "";
	int fd = (int)MUST(open(path, O_RDONLY)), result = ioctl(fd, FS_IOC_GETFSUUID_17, told), error = errno;

	close(fd);
	memcpy(uuid, told + 1, 16);
	errno = error;
	return result;
}

TEST(an_overlay_is_known_again)
{
	char first[16], noted[20], again[16];

	make_layers();
	MUST(mount_overlay(LAYERS));
	CHECK_OK(uuid_of("m", first));
	CHECK_EQ(getxattr("u", "trusted.overlay.uuid", noted, sizeof noted), 16);
	CHECK(memcmp(first, noted, 16) == 0);
	/* The names are counted that it has itself. */
	CHECK_ERRNO(listxattr("m", noted, 1), ERANGE);
	mount_again(LAYERS);
	CHECK_OK(uuid_of("m", again));
	CHECK(memcmp(first, again, 16) == 0);
	CHECK_STRING(shown(), "");
	mount_again("lowerdir=l:l2");
	CHECK_ERRNO(uuid_of("m", again), ENOTTY);
	/* A layer that has been written to by those who note nothing gets none. */
	MUST(removexattr("u", "trusted.overlay.uuid"));
	MUST(setxattr("u", "trusted.overlay.impure", "y", 1, 0));
	mount_again(LAYERS);
	CHECK_STRING(shown(), ",uuid=null");
	CHECK_ERRNO(uuid_of("m", again), ENOTTY);
	CHECK_STRING(note_of("u", "uuid"), "ENODATA");
	mount_again(LAYERS ",uuid=on");
	CHECK_EQ(getxattr("u", "trusted.overlay.uuid", noted, sizeof noted), 16);
	MUST(setxattr("u", "trusted.overlay.uuid", "short", 5, 0));
	mount_again(LAYERS ",uuid=on");
	CHECK_STRING(shown(), ",uuid=null");
	/* It's noted though nothing may be written. */
	MUST(umount("m"));
	MUST(removexattr("u", "trusted.overlay.uuid"));
	MUST(removexattr("u", "trusted.overlay.impure"));
	MUST(mount("ovl", "m", "overlay", MS_RDONLY, LAYERS));
	CHECK_EQ(getxattr("u", "trusted.overlay.uuid", noted, sizeof noted), 16);
}

TEST(directories_that_hide_what_may_come)
{
	make_layers();
	MUST(mount_overlay(LAYERS ",redirect_dir=on"));
	MUST(mkdir("m/new", 0755));
	CHECK_STRING(note_of("u/new", "opaque"), "y");
	MUST(mkdir("m/new/in", 0755));
	CHECK_STRING(note_of("u/new/in", "opaque"), "ENODATA");
	MUST(rename("m/new/in", "m/in"));
	CHECK_STRING(note_of("u/in", "opaque"), "y");
	/* Unless the layers below may be others the next time. */
	mount_again(LAYERS ",xino=on");
	MUST(mkdir("m/one", 0755));
	CHECK_STRING(note_of("u/one", "opaque"), "y");
	mount_again(LAYERS);
	MUST(mkdir("m/newer", 0755));
	CHECK_STRING(note_of("u/newer", "opaque"), "ENODATA");
	MUST(rename("m/newer", "m/newest"));
	CHECK_STRING(note_of("u/newest", "opaque"), "y");
}

static int is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

TEST(renamed_directories_note_where_they_were)
{
	char *long_name = malloc(256);

	make_layers();
	MUST(mount_overlay(LAYERS ",redirect_dir=on"));
	CHECK_OK(rename("m/d", "m/f"));
	CHECK_STRING(note_of("u/f", "redirect"), "d");
	CHECK(is_there("m/f/x"));
	CHECK(!is_there("m/d"));
	/* It's still what it was. */
	CHECK_OK(rename("m/f", "m/g"));
	CHECK_STRING(note_of("u/g", "redirect"), "d");
	CHECK_OK(rename("m/g/sub", "m/e/sub"));
	CHECK_STRING(note_of("u/e/sub", "redirect"), "/d/sub");
	CHECK_STRING(note_of("u/e/sub", "opaque"), "ENODATA");
	CHECK(is_there("m/e/sub/deep/y"));
	CHECK_OK(rename("m/e/sub/deep", "m/deep"));
	CHECK_STRING(note_of("u/deep", "redirect"), "/d/sub/deep");
	/* Back where it was it says so still. */
	CHECK_OK(rename("m/g", "m/d"));
	CHECK_STRING(note_of("u/d", "redirect"), "d");
	CHECK(is_there("m/d/x"));
	mount_again(LAYERS);
	CHECK(is_there("m/d/x"));
	CHECK(!is_there("m/d/sub"));
	CHECK(is_there("m/e/sub"));
	CHECK(is_there("m/deep/y"));
	CHECK(!is_there("m/e/sub/deep"));
	/* Notes are followed, but no new ones made. */
	CHECK_ERRNO(rename("m/deep", "m/deeper"), EXDEV);
	mount_again(LAYERS ",redirect_dir=nofollow");
	CHECK_ERRNO(access("m/deep", F_OK), EPERM);
	CHECK_ERRNO(access("m/e/sub/deep", F_OK), EPERM);
	CHECK_OK(access("m/e", F_OK));
	mount_again(LAYERS ",redirect_dir=on");
	CHECK_OK(renameat2(AT_FDCWD, "m/deep", AT_FDCWD, "m/e", RENAME_EXCHANGE));
	CHECK_STRING(note_of("u/e", "redirect"), "/d/sub/deep");
	CHECK_STRING(note_of("u/deep", "redirect"), "e");
	CHECK(is_there("m/e/y"));
	CHECK(is_there("m/deep/sub"));
	/* A path has to fit. */
	memset(long_name, 'n', 252);
	memcpy(long_name, "m/", 2);
	long_name[250] = '\0';
	MUST(umount("m"));
	MUST(mkdirat((int)MUST(open("l", O_RDONLY)), long_name + 2, 0755));
	MUST(mkdirat((int)MUST(open(".", O_RDONLY)), "l2/long", 0755));
	MUST(mount_overlay(LAYERS ",redirect_dir=on"));
	CHECK_OK(rename(long_name, "m/d/long"));
	CHECK_EQ(strlen(note_of("u/d/long", "redirect")), 249);
}

TEST(notes_of_places_are_checked)
{
	make_layers();
	MUST(mkdir("u/a", 0755));
	MUST(mkdir("u/b", 0755));
	MUST(mkdir("u/c", 0755));
	MUST(mkdir("u/f", 0755));
	MUST(setxattr("u/a", "trusted.overlay.redirect", "d/sub", 5, 0));
	MUST(setxattr("u/b", "trusted.overlay.redirect", "/d/sub/", 7, 0));
	MUST(setxattr("u/c", "trusted.overlay.redirect", "/d/x", 4, 0));
	MUST(setxattr("u/f", "trusted.overlay.redirect", "/d/sub/deep", 11, 0));
	MUST(mount_overlay(LAYERS));
	CHECK_ERRNO(access("m/a", F_OK), EINVAL);
	CHECK_ERRNO(access("m/b", F_OK), EINVAL);
	/* What is no directory isn't merged. */
	CHECK_OK(access("m/c", F_OK));
	CHECK(is_there("m/f/y"));
	/* A layer below may have notes, too: those of d lead on in the lowest. */
	MUST(umount("m"));
	MUST(mkdir("l2/other", 0755));
	write_file("l2/other/w", "w", 0644);
	MUST(setxattr("l/d", "trusted.overlay.redirect", "other", 5, 0));
	MUST(mount_overlay("lowerdir=l:l2,upperdir=u,workdir=w"));
	CHECK(is_there("m/d/w"));
	CHECK(is_there("m/d/x"));
	CHECK(!is_there("m/d/z"));
	MUST(umount("m"));
	MUST(setxattr("l/d", "trusted.overlay.redirect", "/other", 6, 0));
	MUST(setxattr("l/d/sub", "trusted.overlay.redirect", "/d", 2, 0));
	MUST(mount_overlay("lowerdir=l:l2"));
	CHECK(is_there("m/d/w"));
	CHECK(is_there("m/d/sub/z"));
	MUST(umount("m"));
	MUST(setxattr("l/d", "trusted.overlay.opaque", "y", 1, 0));
	MUST(mount_overlay("lowerdir=l:l2"));
	CHECK(!is_there("m/d/w"));
	/* A path leads past what hides the layers below. */
	CHECK(is_there("m/d/sub/z"));
}

struct told_handle {
	struct file_handle handle;
	unsigned char bytes[128];
};

static int get_handle(const char *path, struct told_handle *told, int flags)
{
	int mount_id;

	memset(told, 0, sizeof *told);
	told->handle.handle_bytes = sizeof told->bytes;
	return name_to_handle_at(AT_FDCWD, path, &told->handle, &mount_id, flags);
}

/* AT_HANDLE_FID: they tell files apart, copies aren't others. */
TEST(handles_that_only_tell_apart)
{
	struct told_handle first, other;
	int fd;

	make_layers();
	MUST(mount_overlay(LAYERS));
	CHECK_ERRNO(get_handle("m/d/x", &first, 0), EOPNOTSUPP);
	CHECK_OK(get_handle("m/d/x", &first, 0x200));
	CHECK_EQ(first.handle.handle_type, 0xf8);
	CHECK_EQ(first.handle.handle_bytes, 36);
	CHECK_EQ(first.bytes[3 + 1], 0xfb);
	CHECK_EQ(first.bytes[3 + 2], 33);
	CHECK_EQ(first.bytes[3 + 3], 0);
	MUST(chmod("m/d/x", 0600));
	MUST(rename("m/d/x", "m/x"));
	CHECK_OK(get_handle("m/x", &other, 0x200));
	CHECK(memcmp(&first, &other, sizeof first) == 0);
	mount_again(LAYERS);
	CHECK_OK(get_handle("m/x", &other, 0x200));
	CHECK(memcmp(&first, &other, sizeof first) == 0);
	write_file("m/new", "new", 0644);
	CHECK_OK(get_handle("m/new", &other, 0x200));
	CHECK_EQ(other.bytes[3 + 3], 4);
	CHECK_OK(get_handle("m/d", &first, 0x200));
	CHECK_EQ(first.bytes[3 + 3], 0);
	CHECK_OK(get_handle("m", &first, 0x200));
	CHECK_EQ(first.bytes[3 + 3], 4);
	other.handle.handle_bytes = 35;
	CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "m/new", &other.handle, (int[1]){0}, 0x200), EOVERFLOW);
	CHECK_EQ(other.handle.handle_bytes, 36);
	fd = (int)MUST(open("m", O_RDONLY));
	CHECK_ERRNO(open_by_handle_at(fd, &other.handle, O_RDONLY), ESTALE);
	MUST(close(fd));
	/* One without an upper layer has those below. */
	mount_again("lowerdir=l:l2");
	CHECK_OK(get_handle("m", &first, 0x200));
	CHECK_EQ(first.bytes[3 + 3], 0);
}

static void map_root(void)
{
	char text[40];
	uid_t uid = getuid();
	gid_t gid = getgid();

	MUST(unshare(CLONE_NEWUSER | CLONE_NEWNS));
	MUST(write_text("/proc/self/setgroups", "deny"));
	snprintf(text, sizeof text, "0 %u 1", uid);
	MUST(write_text("/proc/self/uid_map", text));
	snprintf(text, sizeof text, "0 %u 1", gid);
	MUST(write_text("/proc/self/gid_map", text));
}

/* Who is root of a user namespace makes no trusted attributes. */
TEST(an_overlay_that_notes_nothing)
{
	enter_scratch();
	map_root();
	MUST(mount("scratch", check_shared->scratch, "tmpfs", 0, "mode=755"));
	MUST(chdir(check_shared->scratch));
	make_directories();
	MUST(mount_overlay(LAYERS));
	CHECK_STRING(shown(), ",redirect_dir=nofollow,uuid=null");
	CHECK_OK(rmdir("m/e"));
	/* A new directory couldn't hide the old one. */
	CHECK_ERRNO(mkdir("m/e", 0755), EIO);
	CHECK(!is_there("m/e"));
	CHECK_OK(mkdir("m/new", 0755));
	CHECK_ERRNO(rename("m/new", "m/newer"), EXDEV);
	CHECK_OK(unlink("m/d/x"));
	CHECK_ERRNO(rename("m/d", "m/f"), EXDEV);
	CHECK_OK(unlink("m/d/sub/deep/y"));
	CHECK_ERRNO(rmdir("m/d/sub/deep"), EIO);
	MUST(umount("m"));
	CHECK_STRING(shown_with(LAYERS, ",redirect_dir=on"), "EPERM");
	CHECK_STRING(shown_with(LAYERS, ",redirect_dir=off"), "EPERM");
	CHECK_STRING(shown_with(LAYERS, ",metacopy=on"), "EPERM");
	CHECK_STRING(shown_with(LAYERS, ",index=on"), ",redirect_dir=nofollow,uuid=null");
	CHECK_STRING(shown_with(LAYERS, ",nfs_export=on"), ",redirect_dir=nofollow,uuid=null");
	CHECK_STRING(shown_with(LAYERS, ",uuid=on"), ",redirect_dir=nofollow,uuid=null");
	CHECK_STRING(shown_with(LAYERS, ",uuid=off"), ",redirect_dir=nofollow,uuid=off");
	CHECK_STRING(shown_with("lowerdir=l:l2", ""), ",redirect_dir=on");
	CHECK_STRING(shown_with(LAYERS, ",userxattr,index=on"), ",redirect_dir=nofollow,uuid=on,userxattr");
	MUST(mount_overlay(LAYERS ",userxattr"));
	CHECK_OK(mkdir("m/e", 0755));
	CHECK_OK(rename("m/e", "m/g"));
	CHECK_EQ(getxattr("u/g", "user.overlay.opaque", (char[4]){0}, 4), 1);
}

/* Who changes the layers themselves is told so, or finds what there is. */
TEST(layers_that_change_beneath)
{
	enter_own_mounts("tmpfs", NULL);
	make_directories();
	MUST(mkdir("other", 0755));
	MUST(mount_overlay(LAYERS));
	CHECK(is_there("m/d"));
	MUST(rename("l/d", "other/d"));
	MUST(setxattr("other/d/sub", "trusted.overlay.redirect", "/nowhere", 8, 0));
	CHECK(is_there("m/d/sub"));
	MUST(close((int)MUST(open("m/new", O_WRONLY | O_CREAT, 0644))));
	MUST(close((int)MUST(open("m/newer", O_WRONLY | O_CREAT, 0644))));
	MUST(unlink("u/new"));
	CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "m/newer", AT_FDCWD, "m/new", 2), ESTALE);
}
