/* Runs a program in a child and reads what it prints. */
#ifndef RUN_PROGRAM_H
#define RUN_PROGRAM_H

#include "check.h"

static char output[70000];
static size_t output_length;

/* Executes a program in a child with its standard output in `output`, and returns the wait status. */
CHECK_API int run(const char *path, char *const argv[], char *const envp[])
{
	int ends[2];
	ssize_t got;
	pid_t child;

	MUST(pipe2(ends, O_CLOEXEC));
	child = (pid_t)MUST(fork());
	if (child == 0) {
		MUST(dup2(ends[1], STDOUT_FILENO));
		execve(path, argv, envp);
		dprintf(STDOUT_FILENO, "%s", check_errno_name(errno));
		_exit(111);
	}
	MUST(close(ends[1]));
	output_length = 0;
	while ((got = read(ends[0], output + output_length, sizeof(output) - 1 - output_length)) > 0)
		output_length += (size_t)got;
	output[output_length] = '\0';
	MUST(close(ends[0]));
	return wait_for(child);
}

CHECK_API int run_role(const char *role)
{
	return run(check_self, (char *[]){check_self, (char *)role, NULL}, (char *[]){NULL});
}

/* The number after "NAME=" on a line of the output. */
CHECK_API long field(const char *name)
{
	size_t length = strlen(name);

	for (const char *line = output; line != NULL; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, name, length) == 0 && line[length] == '=')
			return strtol(line + length + 1, NULL, 0);
	}
	return LONG_MIN;
}

static __attribute__((unused)) char *in_environment[] = {"CHECK_ROLE=show", NULL};

ROLE(show)
{
	printf("argc=%d\n", argc);
	for (int at = 0; at < argc; at++)
		printf("[%s]\n", argv[at]);
	printf("end=%d\n", argv[argc] == NULL);
	for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
		printf("<%s>\n", *entry);
	return 0;
}

ROLE(arguments)
{
	return argc;
}

/* Makes a script whose interpreter is this program. */
CHECK_API void write_script(const char *path, const char *interpreter, const char *rest)
{
	char text[PATH_MAX + 600];

	snprintf(text, sizeof(text), "#!%s%s", interpreter, rest);
	write_file(path, text, 0755);
}

#endif
