// Makes system calls deep in other functions, for a comparison of two traces with stacks.
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile int kept;

static int compare(const void *left, const void *right) {
    kept += getppid() != 0;
    return *(const int *)left - *(const int *)right;
}

static void handle(int signal) {
    kept += signal + (getuid() == 0);
}

__attribute__((noinline)) static int deep(int depth) {
    char room[64];
    room[depth] = (char)depth;
    kept += room[depth];
    int result = depth ? deep(depth - 1) : getpid();
    return result + kept;
}

// A function without a frame pointer, whose stack moves.
__attribute__((noinline, optimize("omit-frame-pointer"))) static void shifting(int count) {
    char *room = alloca(count * 16);
    for (int k = 0; k < count; k++) room[k] = (char)k;
    kept += room[count - 1];
    kill(getpid(), SIGUSR1);
}


int main(void) {
    int numbers[] = {3, 1, 2};
    signal(SIGUSR1, handle);
    qsort(numbers, 3, sizeof *numbers, compare);
    deep(5);
    shifting(7);
    raise(SIGUSR1);
    kill(getpid(), SIGWINCH);
    close(-1);
    write(1, "", 0);
    exit(0);
}
