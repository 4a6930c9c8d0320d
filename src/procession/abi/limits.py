"""The longest of everything: paths, names, arguments, atomic writes into a pipe."""

from __future__ import annotations

# In bytes, with the NUL.
PATH_MAX = 4096

# In bytes, without a NUL.
NAME_MAX = 255

# The largest write into a pipe that is never interleaved.
PIPE_BUF = 4096

NGROUPS_MAX = 65536

# The most strings that execve takes.
MAX_ARG_STRINGS = 0x7FFFFFFF

# How much of a script's first line is read.
BINPRM_BUF_SIZE = 256
