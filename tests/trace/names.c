// Opens files with names that take escapes, for a comparison of two traces that show them.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const char *const names[] = {
    "line\nx", "\303\251t\351", "a<b>c", "<1>", "q\"b\\s", "tab\t\0011", "\x7f z", "really (deleted)",
};

static void make(const char *name) {
    int file = open(name, O_CREAT | O_RDWR, 0600);
    close(dup(file));
    unlink(name);
    close(file);
}

static void device(const char *name, mode_t mode, dev_t number) {
    struct stat status;
    mknod(name, mode, number);
    stat(name, &status);
    unlink(name);
}

int main(void) {
    for (int k = 0; k < sizeof names / sizeof *names; k++) make(names[k]);
    int file = open("first", O_CREAT | O_RDWR, 0600);
    link("first", "second");
    unlink("first");
    close(file);
    unlink("second");
    mkdir("below<>", 0700);
    chdir("below<>");
    rmdir("../below<>");
    close(open("/dev/null", O_RDONLY));
    openat(AT_FDCWD, "file", O_RDONLY);
    close(memfd_create("a<b>", 0));
    close(memfd_create("exactly as many as are shown....", 0));
    close(memfd_create("more than as many as are shown...", 0));
    memfd_create((void *)8, 0);
    chdir("/dev/shm");
    device("large", S_IFCHR | 0600, makedev(10, 300));
    device("fifo", S_IFIFO | 0600, 7);
    device("plain", 0600, 7);
    device("none", S_IFCHR | 0600, makedev(0, 0));
    device("largest", S_IFBLK | 0600, makedev(4000, 0xabcde));
}
