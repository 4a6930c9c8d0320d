/* Clocks, sleeping and timers: clock_gettime(2), nanosleep(2), setitimer(2), timer_create(2), timerfd_create(2). */
#include "check.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <sys/times.h>

#define MS 1000000LL

static volatile int ticks;
static siginfo_t seen;

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

static void keep_info(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	seen = *info;
	ticks++;
}

static struct itimerval every_ms(long first, long next)
{
	return (struct itimerval){{next / 1000, next % 1000 * 1000}, {first / 1000, first % 1000 * 1000}};
}

static struct itimerspec timer_ms(long first, long next)
{
	return (struct itimerspec){{next / 1000, next % 1000 * MS}, {first / 1000, first % 1000 * MS}};
}

/* Uses the CPU until the counter of ticks reaches `wanted`. */
static void spin_until(int wanted)
{
	volatile unsigned long work = 0;

	while (ticks < wanted)
		work++;
}

/* Programs take it that the machine has been up for a while: 0 stands for "never" with them. */
TEST(the_machine_has_booted_before)
{
	char text[1024], *rest;
	struct timespec monotonic, boottime, wall;
	struct sysinfo info;
	double uptime, idle;
	long long start, btime;
	FILE *file;

	MUST(clock_gettime(CLOCK_MONOTONIC, &monotonic));
	MUST(clock_gettime(CLOCK_BOOTTIME, &boottime));
	MUST(clock_gettime(CLOCK_REALTIME, &wall));
	CHECK(monotonic.tv_sec >= 3 && boottime.tv_sec >= monotonic.tv_sec);
	MUST(sysinfo(&info));
	CHECK(info.uptime - boottime.tv_sec >= 0 && info.uptime - boottime.tv_sec <= 2);
	file = fopen("/proc/uptime", "r");
	CHECK(file && fscanf(file, "%lf %lf", &uptime, &idle) == 2);
	CHECK(uptime >= boottime.tv_sec && uptime <= boottime.tv_sec + 2);
	file = fopen("/proc/1/stat", "r");
	rest = file && fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	CHECK_EQ(rest == NULL ? 0 : sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld",
			&start), 1);
	CHECK(start > 0 && start / 100 <= boottime.tv_sec);
	file = fopen("/proc/stat", "r");
	btime = 0;
	while (file && fgets(text, sizeof(text), file))
		sscanf(text, "btime %lld", &btime);
	CHECK(btime > 0 && llabs(wall.tv_sec - boottime.tv_sec - btime) <= 1);
}

TEST(clocks)
{
	struct timespec time;

	CHECK_EQ(clock_gettime(CLOCK_REALTIME, &time), 0);
	CHECK(time.tv_sec > 0 && time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
	CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &time), 0);
	CHECK(time.tv_sec >= 0 && time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
	CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
	CHECK_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
	CHECK_EQ(clock_gettime(CLOCK_MONOTONIC_RAW, &time), 0);
	CHECK_EQ(clock_gettime(CLOCK_REALTIME_COARSE, &time), 0);
	CHECK_EQ(clock_gettime(CLOCK_MONOTONIC_COARSE, &time), 0);
	CHECK_EQ(clock_gettime(CLOCK_BOOTTIME, &time), 0);
	CHECK_EQ(clock_gettime(CLOCK_TAI, &time), 0);
	CHECK_ERRNO(clock_gettime(99, &time), EINVAL);
	CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, bad_address()), EFAULT);
	CHECK_EQ(clock_getres(CLOCK_MONOTONIC, &time), 0);
	CHECK(time.tv_sec == 0 && time.tv_nsec > 0);
	CHECK_EQ(clock_getres(CLOCK_REALTIME, NULL), 0);
	CHECK_ERRNO(clock_getres(99, &time), EINVAL);
	CHECK_ERRNO(clock_settime(CLOCK_MONOTONIC, &time), EINVAL);
	CHECK_ERRNO(syscall(SYS_settimeofday, &(struct timeval){-1, 0}, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_settimeofday, &(struct timeval){0, -1}, bad_address()), EINVAL);
	CHECK_ERRNO(syscall(SYS_settimeofday, &(struct timeval){0, 1000000}, bad_address()), EINVAL);
	CHECK_ERRNO(syscall(SYS_settimeofday, &(struct timeval){0, 999999}, bad_address()), EFAULT);
	CHECK_ERRNO(syscall(SYS_settimeofday, &(struct timeval){-1, 0}, NULL), EINVAL);
}

TEST(time_does_not_run_backwards)
{
	int backwards = 0;
	int64_t last = 0, last_cpu = 0, last_day = 0;

	for (int step = 0; step < 300; step++) {
		int64_t now = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
		struct timespec raw;
		struct timeval day;

		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &raw);
		gettimeofday(&day, NULL);
		backwards += now < last || cpu < last_cpu || raw.tv_sec * 1000000000LL + raw.tv_nsec < now;
		backwards += day.tv_sec * 1000000LL + day.tv_usec < last_day;
		last = raw.tv_sec * 1000000000LL + raw.tv_nsec;
		last_cpu = cpu;
		last_day = day.tv_sec * 1000000LL + day.tv_usec;
	}
	CHECK_EQ(backwards, 0);
}

TEST(clocks_agree)
{
	struct timeval day;
	struct timespec before, after, coarse;
	time_t seconds;

	CHECK_EQ(clock_gettime(CLOCK_REALTIME, &before), 0);
	CHECK_EQ(gettimeofday(&day, NULL), 0);
	seconds = time(NULL);
	CHECK_EQ(syscall(SYS_time, NULL) >= seconds, 1);
	CHECK_EQ(clock_gettime(CLOCK_REALTIME, &after), 0);
	CHECK(day.tv_sec >= before.tv_sec && day.tv_sec <= after.tv_sec);
	CHECK(day.tv_usec >= 0 && day.tv_usec < 1000000);
	CHECK(seconds >= before.tv_sec - 1 && seconds <= after.tv_sec);
	CHECK_EQ(clock_gettime(CLOCK_REALTIME_COARSE, &coarse), 0);
	CHECK(coarse.tv_sec >= before.tv_sec - 1);
	CHECK(now_ns(CLOCK_BOOTTIME) >= now_ns(CLOCK_MONOTONIC) - MS);
}

TEST(sleeping)
{
	int64_t start = now_ns(CLOCK_MONOTONIC), wall = now_ns(CLOCK_REALTIME), slept;

	CHECK_EQ(nanosleep(&(struct timespec){0, 30 * MS}, NULL), 0);
	slept = now_ns(CLOCK_MONOTONIC) - start;
	CHECK(slept >= 30 * MS);
	CHECK(now_ns(CLOCK_REALTIME) - wall >= 29 * MS);
	CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) < slept);
	CHECK_EQ(nanosleep(&(struct timespec){0, 0}, NULL), 0);
	CHECK_EQ(usleep(2000), 0);
	CHECK_ERRNO(nanosleep(&(struct timespec){0, 1000000000}, NULL), EINVAL);
	CHECK_ERRNO(nanosleep(&(struct timespec){0, -1}, NULL), EINVAL);
	CHECK_ERRNO(nanosleep(&(struct timespec){-1, 0}, NULL), EINVAL);
	CHECK_ERRNO(nanosleep(bad_address(), NULL), EFAULT);
}

TEST(interrupted_sleep_tells_what_remains)
{
	struct timespec left = {0, 0};
	struct itimerval timer = every_ms(20, 0);
	unsigned seconds;

	handle(SIGALRM, tick, 0);
	MUST(setitimer(ITIMER_REAL, &timer, NULL));
	CHECK_ERRNO(nanosleep(&(struct timespec){1000, 0}, &left), EINTR);
	CHECK_EQ(ticks, 1);
	CHECK(left.tv_sec > 0 && left.tv_sec < 1000);
	MUST(setitimer(ITIMER_REAL, &timer, NULL));
	left = (struct timespec){0, 0};
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){1000, 0}, &left), EINTR);
	CHECK(left.tv_sec > 0 && left.tv_sec < 1000);
	MUST(setitimer(ITIMER_REAL, &timer, NULL));
	seconds = sleep(1000);
	CHECK(seconds > 0 && seconds <= 1000);
	CHECK_EQ(ticks, 3);
}

TEST(stopped_sleep_goes_on)
{
	int status, ends[2];
	char byte;
	pid_t child;

	MUST(pipe(ends));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		int64_t start = now_ns(CLOCK_MONOTONIC);

		write_all(ends[1], "x", 1);
		CHECK_EQ(nanosleep(&(struct timespec){0, 60 * MS}, NULL), 0);
		CHECK(now_ns(CLOCK_MONOTONIC) - start >= 60 * MS);
		_exit(0);
	}
	MUST(read(ends[0], &byte, 1));
	MUST(kill(child, SIGSTOP));
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	MUST(kill(child, SIGCONT));
	CHECK_EQ(wait_for(child), EXITED(0));
}

TEST(sleeping_until_a_time)
{
	struct timespec until, left;
	struct itimerval timer = every_ms(20, 0);
	int64_t target;

	MUST(clock_gettime(CLOCK_MONOTONIC, &until));
	target = until.tv_sec * 1000000000LL + until.tv_nsec + 25 * MS;
	until = (struct timespec){target / 1000000000, target % 1000000000};
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
	CHECK(now_ns(CLOCK_MONOTONIC) >= target);
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
	target = now_ns(CLOCK_REALTIME) + 10 * MS;
	until = (struct timespec){target / 1000000000, target % 1000000000};
	CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL), 0);
	CHECK(now_ns(CLOCK_REALTIME) >= target);
	CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){1, 0}, NULL), 0);
	handle(SIGALRM, tick, SA_RESTART);
	MUST(setitimer(ITIMER_REAL, &timer, NULL));
	until.tv_sec += 1000;
	CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL), EINTR);
	CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &(struct timespec){0, 1}, NULL), EINVAL);
	/* To fall asleep takes longer, but it's the tick of one that runs that looks. */
	setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 50000}}, NULL);
	left = (struct timespec){7, 7};
	CHECK_EQ(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &(struct timespec){0, 1000}, &left), EINTR);
	CHECK(left.tv_sec == 0 && left.tv_nsec >= 1 && left.tv_nsec <= 1000);
	CHECK_EQ(clock_nanosleep(99, 0, &(struct timespec){0, 1}, NULL), EINVAL);
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, -1}, NULL), EINVAL);
}

TEST(sleepers_wake_in_the_order_of_their_times)
{
	int ends[2];
	char order[4] = "";
	struct timespec start;

	MUST(pipe(ends));
	MUST(clock_gettime(CLOCK_MONOTONIC, &start));
	for (int at = 3; at >= 1; at--) {
		if (MUST(fork()) == 0) {
			start.tv_sec += (start.tv_nsec + at * 300 * MS) / 1000000000;
			start.tv_nsec = (start.tv_nsec + at * 300 * MS) % 1000000000;
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL);
			write_all(ends[1], &(char){(char)('0' + at)}, 1);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		continue;
	CHECK_EQ(read(ends[0], order, 3), 3);
	CHECK_STRING(order, "123");
}

TEST(alarms)
{
	handle(SIGALRM, tick, 0);
	CHECK_EQ(alarm(0), 0);
	CHECK_EQ(alarm(1000), 0);
	CHECK(alarm(500) > 900);
	CHECK(alarm(0) > 400);
	CHECK_EQ(alarm(0), 0);
	CHECK_EQ(ticks, 0);
	CHECK_EQ(alarm(1), 0);
	CHECK_EQ(pause(), -1);
	CHECK_EQ(ticks, 1);
	CHECK_EQ(alarm(0), 0);
}

TEST(alarm_kills_by_default)
{
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		struct itimerval timer = every_ms(10, 0);

		setitimer(ITIMER_REAL, &timer, NULL);
		for (;;)
			pause();
	}
	CHECK_EQ(wait_for(child), KILLED(SIGALRM));
}

TEST(interval_timer_reaches_a_spinning_program)
{
	struct itimerval timer = every_ms(10, 10), old;

	handle(SIGALRM, tick, 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
	spin_until(3);
	CHECK(ticks >= 3);
	CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
	CHECK_EQ(old.it_interval.tv_usec, 10000);
	CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec > 0);
	timer = every_ms(0, 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &timer, &old), 0);
	CHECK_EQ(old.it_interval.tv_usec, 10000);
	CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
	CHECK_EQ(old.it_value.tv_usec, 0);
	ticks = 0;
	timer = every_ms(10, 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
	spin_until(1);
	CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
	CHECK_EQ(old.it_value.tv_sec + old.it_value.tv_usec, 0);
}

TEST(timers_of_cpu_time)
{
	struct itimerval timer = every_ms(20, 0);

	handle(SIGVTALRM, tick, 0);
	handle(SIGPROF, tick, 0);
	CHECK_EQ(setitimer(ITIMER_VIRTUAL, &timer, NULL), 0);
	CHECK_EQ(nanosleep(&(struct timespec){0, 50 * MS}, NULL), 0);
	CHECK_EQ(ticks, 0);
	spin_until(1);
	/* A host may count whole ticks for the timer of which the process had a part. */
	CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) >= 1 * MS);
	CHECK_EQ(setitimer(ITIMER_PROF, &timer, NULL), 0);
	spin_until(2);
	CHECK_EQ(ticks, 2);
}

TEST(interval_timer_errnos)
{
	struct itimerval timer = {{0, 0}, {0, 1000000}};

	CHECK_ERRNO(setitimer(ITIMER_REAL, &timer, NULL), EINVAL);
	timer.it_value.tv_usec = -1;
	CHECK_ERRNO(setitimer(ITIMER_REAL, &timer, NULL), EINVAL);
	timer.it_value.tv_usec = 0;
	CHECK_ERRNO(setitimer((__itimer_which_t)7, &timer, NULL), EINVAL);
	CHECK_ERRNO(getitimer((__itimer_which_t)7, &timer), EINVAL);
	CHECK_ERRNO(getitimer(ITIMER_REAL, bad_address()), EFAULT);
	CHECK_ERRNO(setitimer(ITIMER_REAL, bad_address(), NULL), EFAULT);
}

TEST(two_spinning_programs_share_the_cpu)
{
	int *page = make_shared_page();
	volatile int *turn = page;
	pid_t child = (pid_t)MUST(fork());

	if (child == 0) {
		for (int wanted = 1; wanted < 6; wanted += 2) {
			while (*turn != wanted)
				continue;
			*turn = wanted + 1;
		}
		_exit(0);
	}
	for (int wanted = 0; wanted < 6; wanted += 2) {
		while (*turn != wanted)
			continue;
		*turn = wanted + 1;
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(*turn, 6);
}

TEST(times_of_processes)
{
	struct tms before, after;
	clock_t start, end;
	pid_t child;

	start = times(&before);
	CHECK(start != (clock_t)-1);
	child = (pid_t)MUST(fork());
	if (child == 0) {
		while (now_ns(CLOCK_PROCESS_CPUTIME_ID) < 60 * MS)
			continue;
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	end = times(&after);
	CHECK(end > start);
	CHECK(after.tms_cutime + after.tms_cstime >= 4);
	CHECK(after.tms_utime >= before.tms_utime && after.tms_stime >= before.tms_stime);
	CHECK_EQ(before.tms_cutime + before.tms_cstime, 0);
	CHECK_ERRNO(syscall(SYS_times, bad_address()), EFAULT);
	CHECK(clock() != (clock_t)-1);
}

TEST(cpu_time_of_another_process)
{
	clockid_t clock;
	struct timespec time;
	pid_t child = child_that_pauses();

	CHECK_EQ(clock_getcpuclockid(child, &clock), 0);
	CHECK_EQ(clock_gettime(clock, &time), 0);
	MUST(kill(child, SIGKILL));
	MUST(wait_for(child));
	CHECK_EQ(clock_getcpuclockid(child, &clock), ESRCH);
	CHECK_EQ(clock_getcpuclockid(0, &clock), 0);
	CHECK_EQ(clock_gettime(clock, &time), 0);
}

TEST(posix_timers)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec setting = timer_ms(10, 10), left;
	timer_t timer;

	event.sigev_value.sival_int = 4711;
	handle_info(SIGUSR1, keep_info, 0);
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	CHECK_EQ(timer_gettime(timer, &left), 0);
	CHECK_EQ(left.it_value.tv_sec + left.it_value.tv_nsec, 0);
	CHECK_EQ(timer_settime(timer, 0, &setting, NULL), 0);
	while (ticks < 2)
		pause();
	CHECK_EQ(seen.si_signo, SIGUSR1);
	CHECK_EQ(seen.si_code, SI_TIMER);
	CHECK_EQ(seen.si_value.sival_int, 4711);
	CHECK_EQ(timer_gettime(timer, &left), 0);
	CHECK_EQ(left.it_interval.tv_nsec, 10 * MS);
	CHECK(left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 10 * MS);
	block(SIGUSR1);
	sleep_ms(55);
	unblock(SIGUSR1);
	CHECK(timer_getoverrun(timer) >= 0);
	CHECK(seen.si_overrun >= 1);
	CHECK_EQ(timer_delete(timer), 0);
	CHECK_ERRNO(timer_delete(timer), EINVAL);
	CHECK_ERRNO(timer_settime(timer, 0, &setting, NULL), EINVAL);
	CHECK_ERRNO(timer_create(99, &event, &timer), EINVAL);
	event.sigev_signo = 77;
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
	event = (struct sigevent){.sigev_notify = SIGEV_NONE};
	CHECK_EQ(timer_create(CLOCK_REALTIME, &event, &timer), 0);
	setting = timer_ms(1000000, 0);
	CHECK_EQ(timer_settime(timer, 0, &setting, &left), 0);
	CHECK_EQ(timer_gettime(timer, &left), 0);
	CHECK(left.it_value.tv_sec > 900);
	setting.it_value.tv_nsec = 1000000000;
	CHECK_ERRNO(timer_settime(timer, 0, &setting, NULL), EINVAL);
	ticks = 0;
	handle_info(SIGALRM, keep_info, 0);
	CHECK_EQ(timer_create(CLOCK_REALTIME, NULL, &timer), 0);
	setting = timer_ms(5, 0);
	CHECK_EQ(timer_settime(timer, 0, &setting, NULL), 0);
	while (ticks == 0)
		sleep_ms(5);
	CHECK_EQ(seen.si_signo, SIGALRM);
}

static volatile pid_t handled_by;

static void note_thread(int signal, siginfo_t *info, void *context)
{
	(void)context, (void)signal;
	handled_by = gettid();
	seen = *info;
	ticks++;
}

static void *serve_a_timer(void *argument)
{
	*(volatile pid_t *)argument = gettid();
	while (ticks < 3)
		sleep_ms(1);
	return NULL;
}

TEST(timers_of_one_thread)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 3};
	struct itimerspec setting = timer_ms(5, 5);
	volatile pid_t tid = 0;
	pthread_t thread;
	pid_t gone, child;
	timer_t timer;

	handle_info(SIGRTMIN + 3, note_thread, 0);
	MUST(pthread_create(&thread, NULL, serve_a_timer, (void *)&tid) == 0 ? 0 : -1);
	while (tid == 0)
		sleep_ms(1);
	event.sigev_value.sival_int = 42;
	event._sigev_un._tid = tid;
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	CHECK_EQ(timer_settime(timer, 0, &setting, NULL), 0);
	MUST(pthread_join(thread, NULL) == 0 ? 0 : -1);
	CHECK_EQ(handled_by, tid);
	CHECK_EQ(seen.si_code, SI_TIMER);
	CHECK_EQ(seen.si_value.sival_int, 42);
	/* The thread has gone, and the timer goes on without anybody to tell. */
	ticks = 0;
	sleep_ms(20);
	CHECK_EQ(ticks, 0);
	CHECK_EQ(timer_delete(timer), 0);
	child = child_that_pauses();
	event._sigev_un._tid = child;
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
	MUST(kill(child, SIGKILL));
	gone = child;
	MUST(wait_for(child));
	event._sigev_un._tid = gone;
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
	event._sigev_un._tid = -1;
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
	event._sigev_un._tid = gettid();
	event.sigev_signo = 0;
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
	event.sigev_signo = SIGRTMIN + 3;
	event.sigev_notify = SIGEV_THREAD_ID | SIGEV_NONE;
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, bad_address(), &timer), EFAULT);
	event.sigev_notify = SIGEV_SIGNAL;
	CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, bad_address()), EFAULT);
}

TEST(overruns_are_counted)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 4};
	struct itimerspec setting = timer_ms(2, 2);
	struct timespec none = {0, 0};
	siginfo_t info = {0};
	sigset_t set = set_of(SIGRTMIN + 4);
	timer_t timer;

	block(SIGRTMIN + 4);
	MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
	MUST(timer_settime(timer, 0, &setting, NULL));
	sleep_ms(41);
	CHECK_EQ(sigtimedwait(&set, &info, &none), SIGRTMIN + 4);
	CHECK(info.si_overrun >= 18 && info.si_overrun < 400);
	CHECK_EQ(timer_getoverrun(timer), info.si_overrun);
	/* However many there were, one signal waits. */
	setting = timer_ms(0, 0);
	MUST(timer_settime(timer, 0, &setting, NULL));
	while (sigtimedwait(&set, &info, &none) != -1)
		continue;
	CHECK_EQ(errno, EAGAIN);
	setting = timer_ms(3, 0);
	MUST(timer_settime(timer, 0, &setting, NULL));
	CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 4);
	CHECK_EQ(info.si_overrun, 0);
	CHECK_EQ(timer_getoverrun(timer), 0);
	MUST(timer_delete(timer));
	CHECK_ERRNO(timer_getoverrun(timer), EINVAL);
}

TEST(timers_until_a_time)
{
	struct sigevent event = {.sigev_notify = SIGEV_NONE};
	static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID,
					   CLOCK_THREAD_CPUTIME_ID};
	static const clockid_t without[] = {CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE};
	struct itimerspec setting = {0}, left;
	timer_t timer;

	for (size_t at = 0; at < LENGTH(clocks); at++) {
		CHECK_EQ(timer_create(clocks[at], &event, &timer), 0);
		MUST(clock_gettime(clocks[at], &setting.it_value));
		setting.it_value.tv_sec += 100;
		CHECK_EQ(timer_settime(timer, TIMER_ABSTIME, &setting, NULL), 0);
		CHECK_EQ(timer_gettime(timer, &left), 0);
		CHECK(left.it_value.tv_sec >= 95 && left.it_value.tv_sec <= 100);
		/* What nobody is told of is in no queue to be taken from: only processor time clocks forget it. */
		setting = (struct itimerspec){0};
		CHECK_EQ(timer_settime(timer, 0, &setting, NULL), 0);
		CHECK_EQ(timer_gettime(timer, &left), 0);
		CHECK_EQ(left.it_value.tv_sec >= 95, at < 4);
		MUST(timer_delete(timer));
	}
	for (size_t at = 0; at < LENGTH(without); at++)
		CHECK_ERRNO(timer_create(without[at], &event, &timer), EOPNOTSUPP);
}

TEST(timers_are_not_inherited)
{
	struct itimerspec left;
	timer_t timer;
	pid_t child;

	MUST(timer_create(CLOCK_MONOTONIC, NULL, &timer));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		CHECK_ERRNO(timer_gettime(timer, &left), EINVAL);
		_exit(0);
	}
	CHECK_EQ(wait_for(child), EXITED(0));
	CHECK_EQ(timer_gettime(timer, &left), 0);
}

TEST(timer_descriptors)
{
	int fd = (int)CHECK_OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	struct itimerspec setting = timer_ms(10, 0), left;
	uint64_t expirations = 0;
	struct timespec now;

	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(read(fd, &expirations, sizeof(expirations)), EAGAIN);
	CHECK_EQ(timerfd_settime(fd, 0, &setting, NULL), 0);
	CHECK_ERRNO(read(fd, &expirations, 4), EINVAL);
	MUST(fcntl(fd, F_SETFL, 0));
	CHECK_EQ(read(fd, &expirations, sizeof(expirations)), sizeof(expirations));
	CHECK_EQ(expirations, 1);
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(fd, &expirations, sizeof(expirations)), EAGAIN);
	setting = timer_ms(10, 10);
	CHECK_EQ(timerfd_settime(fd, 0, &setting, NULL), 0);
	sleep_ms(55);
	CHECK_EQ(read(fd, &expirations, sizeof(expirations)), sizeof(expirations));
	CHECK(expirations >= 5);
	CHECK_EQ(timerfd_gettime(fd, &left), 0);
	CHECK_EQ(left.it_interval.tv_nsec, 10 * MS);
	MUST(clock_gettime(CLOCK_MONOTONIC, &now));
	setting = (struct itimerspec){.it_value = {now.tv_sec + 1000, 0}};
	CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, &left), 0);
	CHECK_EQ(left.it_interval.tv_nsec, 10 * MS);
	CHECK_EQ(timerfd_gettime(fd, &left), 0);
	CHECK(left.it_value.tv_sec > 900 && left.it_value.tv_sec <= 1000);
	setting.it_value = (struct timespec){1, 0};
	CHECK_EQ(timerfd_settime((int)MUST(timerfd_create(CLOCK_REALTIME, 0)), TFD_TIMER_ABSTIME, &setting, NULL), 0);
	CHECK_ERRNO(timerfd_create(99, 0), EINVAL);
	CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 0x100), EINVAL);
	CHECK_ERRNO(timerfd_settime((int)MUST(dup(STDOUT_FILENO)), 0, &setting, NULL), EINVAL);
	CHECK_ERRNO(timerfd_settime(5000, 0, &setting, NULL), EBADF);
}

#define SET_TICKS _IOW('T', 0, uint64_t)

/* As a process is restored: how often its timer had expired is said. */
/* As many whole seconds as fit stand for the longest time there is. */
TEST(the_longest_interval)
{
	struct itimerspec setting = {{9223372036, 0}, {1000, 0}}, told;
	int fd = (int)MUST(timerfd_create(CLOCK_MONOTONIC, 0));
	timer_t timer;

	MUST(timerfd_settime(fd, 0, &setting, NULL));
	MUST(timerfd_gettime(fd, &told));
	CHECK_EQ(told.it_interval.tv_sec, 9223372036);
	CHECK_EQ(told.it_interval.tv_nsec, 854775807);
	MUST(timer_create(CLOCK_THREAD_CPUTIME_ID, NULL, &timer));
	MUST(timer_settime(timer, 0, &setting, NULL));
	MUST(timer_gettime(timer, &told));
	CHECK_EQ(told.it_interval.tv_nsec, 854775807);
	setting.it_interval.tv_sec--;
	MUST(timerfd_settime(fd, 0, &setting, NULL));
	MUST(timerfd_gettime(fd, &told));
	CHECK_EQ(told.it_interval.tv_nsec, 0);
}

TEST(expiries_of_timer_descriptors_are_set)
{
	int fd = (int)MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	uint64_t count = 0;

	CHECK_ERRNO(ioctl(fd, SET_TICKS, &count), EINVAL);
	CHECK_ERRNO(ioctl(fd, SET_TICKS, bad_address()), EFAULT);
	CHECK_ERRNO(ioctl(fd, FIONREAD, &count), ENOTTY);
	count = 7;
	CHECK_EQ(ioctl(fd, SET_TICKS, &count), 0);
	count = 0;
	CHECK_EQ(read(fd, &count, sizeof(count)), sizeof(count));
	CHECK_EQ(count, 7);
	CHECK_ERRNO(read(fd, &count, sizeof(count)), EAGAIN);
}
