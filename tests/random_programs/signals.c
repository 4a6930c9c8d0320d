/* Random signals, masks, handlers and stacks of one process, and stops of it: signals FIRST END
 *
 * The parent lets a stopped child go on. Handlers raise signals too, and change the mask that they return to.
 */
#define _GNU_SOURCE
#include "chance.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
#define STEPS 60
#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define RESTORER 0x4000000

static const int signals[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGCHLD, SIGCONT, SIGURG,
	SIGWINCH, SIGIO, SIGTTIN, SIGTTOU, SIGTSTP, 34, 35, 36, 40, 64,
};
static int depth;
static char alternate[65536];

static int any_signal(void)
{
	return signals[chance(COUNT(signals))];
}

static void any_set(sigset_t *set, unsigned int rarity)
{
	sigemptyset(set);
	for (size_t index = 0; index < COUNT(signals); index++) {
		if (chance(rarity) == 0)
			sigaddset(set, signals[index]);
	}
}

static unsigned long bits_of(const sigset_t *set)
{
	unsigned long bits;

	memcpy(&bits, set, sizeof(bits));
	return bits;
}

static void say(const char *text, int length)
{
	if (write(1, text, (size_t)length) != length)
		_exit(3);
}

static void show(const char *what, long detail, long result)
{
	char line[200];

	if (result < 0)
		say(line, snprintf(line, sizeof(line), "%s %ld error %d\n", what, detail, errno));
	else
		say(line, snprintf(line, sizeof(line), "%s %ld is %ld\n", what, detail, result));
}

static void handler(int number, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;
	unsigned long mask = 0;
	char line[200];
	int value = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
	int is_above = &line[0] >= &alternate[0] && &line[0] < &alternate[sizeof(alternate)];

	syscall(SYS_rt_sigprocmask, 0, NULL, &mask, sizeof(mask));
	say(line, snprintf(line, sizeof(line), "  signal %d in %d: code %d, value %d, mask %lx after %lx, stack %d\n", number,
			   depth, number == SIGCHLD ? 0 : info->si_code, value, mask,
			   bits_of(&interrupted->uc_sigmask), is_above));
	depth++;
	if (chance(4) == 0 && depth < 4) {
		int other = any_signal();

		say(line, snprintf(line, sizeof(line), "  raises %d\n", other));
		syscall(SYS_tgkill, getpid(), gettid(), other);
	}
	depth--;
	if (chance(6) == 0)
		sigaddset(&interrupted->uc_sigmask, any_signal());
	if (chance(8) == 0)
		sigemptyset(&interrupted->uc_sigmask);
}

static void change_action(int number)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO}, old;

	action.sa_flags |= (chance(3) ? 0 : SA_NODEFER) | (chance(5) ? 0 : SA_RESETHAND);
	action.sa_flags |= (chance(4) ? 0 : SA_ONSTACK) | (chance(3) ? SA_RESTART : 0);
	if (chance(5) == 0)
		action.sa_handler = SIG_IGN;
	any_set(&action.sa_mask, 5);
	if (sigaction(number, &action, &old) == 0)
		show("old flags", number, old.sa_flags & ~RESTORER);
	show("old handler", number, old.sa_handler == SIG_IGN ? 1 : old.sa_handler == SIG_DFL ? 0 : 2);
}

static void change_stack(void)
{
	stack_t old = {0}, new = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
	int flags = 0, result;

	if (chance(4) == 0)
		flags = SS_DISABLE;
	if (chance(6) == 0)
		new.ss_size = 100;
	if (chance(5) == 0)
		flags |= (int)SS_AUTODISARM;
	new.ss_flags = flags;
	result = sigaltstack(chance(3) ? &new : NULL, &old);
	show("stack", old.ss_flags, result);
}

/* A timer's handler ends the wait if nothing else does. */
static void suspend(void)
{
	struct itimerval timer = {.it_value.tv_usec = 2000};
	struct sigaction action;
	sigset_t set;

	any_set(&set, 2);
	sigdelset(&set, SIGALRM);
	sigaction(SIGALRM, NULL, &action);
	if (action.sa_handler == SIG_IGN || action.sa_handler == SIG_DFL)
		return;
	setitimer(ITIMER_REAL, &timer, NULL);
	show("suspend", 0, sigsuspend(&set));
	timer.it_value.tv_usec = 0;
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void take(void)
{
	struct signalfd_siginfo taken[3];
	struct timespec none = {0, 0};
	siginfo_t info = {0};
	sigset_t set;
	long result;
	int file;

	any_set(&set, 2);
	if (chance(2)) {
		result = sigtimedwait(&set, &info, &none);
		show("wait", info.si_code, result);
		return;
	}
	file = signalfd(-1, &set, SFD_NONBLOCK);
	result = read(file, taken, sizeof(*taken) * (1 + chance(3)));
	show("read", result > 0 ? (long)taken[0].ssi_signo : 0, result);
	close(file);
}

static void change_mask(void)
{
	sigset_t set, old;
	int result;

	any_set(&set, 3);
	result = sigprocmask((int)chance(3), &set, &old);
	show("mask", (long)bits_of(&old), result);
}

static void live(void)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	struct timespec none = {0, 0};
	unsigned long pending = 0;
	sigset_t set;

	for (size_t index = 0; index < COUNT(signals); index++)
		sigaction(signals[index], &action, NULL);
	any_set(&set, 2);
	sigprocmask(SIG_SETMASK, &set, NULL);
	for (int step = 0; step < STEPS; step++) {
		unsigned int what = chance(12);
		int number = any_signal();

		if (what < 2)
			change_mask();
		else if (what < 4)
			show("kill", number, kill(getpid(), number));
		else if (what < 5)
			show("queue", number, sigqueue(getpid(), number, (union sigval){.sival_int = step}));
		else if (what < 6)
			show("tgkill", number, syscall(SYS_tgkill, getpid(), gettid(), number));
		else if (what < 7)
			show("pending", syscall(SYS_rt_sigpending, &pending, sizeof(pending)), (long)pending);
		else if (what < 8)
			take();
		else if (what < 9)
			change_action(number);
		else if (what < 10)
			change_stack();
		else if (what < 11)
			suspend();
		else
			show("sleep", 0, nanosleep(&none, NULL));
	}
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	_exit(0);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	for (int seed = atoi(argv[1]); argc > 2 && seed < atoi(argv[2]); seed++) {
		int status = 0;
		pid_t child;

		printf("seed %d\n", seed);
		child = fork();
		if (child == 0) {
			setpgid(0, 0);
			start_with(seed);
			live();
		}
		while (waitpid(child, &status, WUNTRACED | WCONTINUED) == child) {
			printf("status %x\n", status);
			if (WIFSTOPPED(status))
				kill(child, SIGCONT);
		}
	}
	return 0;
}
