"""Which functions a signal handler may neither interrupt nor call (signal-safety(7)), by names on a stack."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAME = re.compile(r"\((?:_*)(?:IO_|libc_)?(\w+)\+0x")
_UNSAFE_NAMES = """
malloc free calloc realloc reallocarray memalign aligned_alloc posix_memalign strdup strndup
asprintf vasprintf printf fprintf sprintf snprintf vprintf vfprintf vsprintf vsnprintf puts fputs
putchar putc fputc fwrite fread fgets fgetc getc getchar ungetc getline getdelim fflush fopen fdopen
freopen fclose fseek ftell rewind scanf fscanf perror exit syslog vsyslog openlog closelog setenv
putenv unsetenv system popen pclose getpwnam getpwuid getgrnam getgrgid getaddrinfo freeaddrinfo
gethostbyname pthread_mutex_lock pthread_mutex_unlock pthread_cond_wait pthread_cond_signal
pthread_create dlopen dlsym dlclose opendir readdir closedir setlocale localtime gmtime mktime ctime
asctime strftime strtok strerror rand random srand srandom qsort
"""
_UNSAFE = frozenset(_UNSAFE_NAMES.split())
"""Those of the C library's functions that programs use and that signal-safety(7) doesn't list."""


def unsafe_function(stack: Sequence[str]) -> str:
    """The innermost such function on a stack, as `CallStacks` writes it; "" if there is none."""
    for line in stack:
        found = _NAME.search(line)
        if found is not None and found[1] in _UNSAFE:
            return found[1]
    return ""


def above(stack: Sequence[str], interrupted: Sequence[str]) -> Sequence[str]:
    """What a handler has on `stack`, without what it has interrupted."""
    count = len(interrupted)
    is_below = count and list(stack[-count:]) == list(interrupted)
    return stack[:-count] if is_below else stack
