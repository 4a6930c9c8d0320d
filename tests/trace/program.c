// Makes system calls of many kinds, for a comparison of two traces of it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void take(int signal) { (void)signal; }

static void signals(void) {
    struct sigaction action = {.sa_handler = take, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, 0);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGUSR2, SIG_DFL);
    sigaction(SIGUSR1, 0, &action);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, 0);
    kill(getpid(), SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    kill(getpid(), SIGWINCH);
    int status;
    wait(&status);
}

static void children(void) {
    int status, ends[2];
    char byte;
    for (int kind = 0; kind < 2; kind++) {
        if (pipe(ends)) _exit(1);
        pid_t child = fork();
        if (!child) {
            // Nothing overlaps: the parent is in wait4 when the child goes on.
            close(ends[1]);
            read(ends[0], &byte, 1);
            if (kind) raise(SIGKILL);
            _exit(3);
        }
        close(ends[0]);
        close(ends[1]);
        wait4(child, &status, kind ? WUNTRACED : 0, 0);
    }
}

static void files(void) {
    int ends[2], number;
    char bytes[64];
    struct stat status;
    struct termios terminal;
    if (pipe2(ends, O_CLOEXEC)) _exit(1);
    write(ends[1], "hi\n\1\377", 5);
    ioctl(ends[0], FIONREAD, &number);
    read(ends[0], bytes, 10);
    ioctl(0, TCGETS, &terminal);
    struct iovec vectors[2] = {{"ab", 2}, {"cd", 2}};
    writev(ends[1], vectors, 2);
    readv(ends[0], vectors, 0);
    dup2(ends[0], 20);
    dup3(ends[0], 21, O_CLOEXEC);
    fcntl(ends[0], F_GETFL);
    fcntl(ends[0], F_GETFD);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    stat("/etc/passwd", &status);
    stat("/dev/null", &status);
    fstatat(AT_FDCWD, "/nonexistent", &status, AT_SYMLINK_NOFOLLOW);
    int file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    ftruncate(file, 100);
    lseek(file, 10, SEEK_SET);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
    fcntl(file, F_SETLK, &lock);
    char *memory = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    mprotect(memory, 4096, PROT_READ);
    munmap(memory, 4096);
    unlink("file");
    umask(022);
    mkdir("directory", 0700);
    rmdir("directory");
    access("/etc", R_OK | X_OK);
    readlink("/proc/self/exe", bytes, 4);
    chdir("/");
    getcwd(bytes, sizeof bytes);
}

static void sockets(void) {
    int one = 1, type, pair[2];
    char bytes[16];
    struct sockaddr_in address = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bind(listener, (void *)&address, sizeof address);
    listen(listener, 5);
    socklen_t length = sizeof type;
    getsockopt(listener, SOL_SOCKET, SO_TYPE, &type, &length);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    accept4(listener, 0, 0, SOCK_NONBLOCK);
    struct pollfd polled = {listener, POLLIN, 0};
    poll(&polled, 1, 5);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    send(pair[0], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    recv(pair[1], bytes, 10, MSG_PEEK);
    polled.fd = pair[1];
    poll(&polled, 1, 5);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pair[1], &set);
    struct timeval none = {0, 0};
    select(pair[1] + 1, &set, 0, 0, &none);
    struct iovec vectors[2] = {{"ab", 2}, {"cd", 2}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    sendmsg(pair[0], &message, 0);
    recv(pair[1], bytes, 10, 0);
    recvmsg(pair[1], &message, MSG_DONTWAIT);
    shutdown(pair[0], SHUT_WR);
}

static void time_and_the_rest(void) {
    struct timespec short_time = {0, 1000000};
    nanosleep(&short_time, 0);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &short_time, 0);
    struct itimerval later = {{0, 0}, {100, 0}};
    setitimer(ITIMER_REAL, &later, 0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec once = {{0, 0}, {1, 0}};
    timerfd_settime(timer, 0, &once, 0);
    int poller = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_NONBLOCK);
    struct epoll_event wanted = {EPOLLIN | EPOLLET, {.u64 = 7}};
    epoll_ctl(poller, EPOLL_CTL_ADD, event, &wanted);
    epoll_wait(poller, &wanted, 1, 0);
    struct rlimit limit;
    getrlimit(RLIMIT_CORE, &limit);
    prctl(PR_SET_NAME, "renamed");
    prctl(PR_GET_DUMPABLE);
    getpriority(PRIO_PROCESS, 0);
    setpriority(PRIO_PROCESS, 0, 1);
    sched_yield();
    abort();
}

int main(void) {
    signals();
    children();
    files();
    sockets();
    time_and_the_rest();
}
