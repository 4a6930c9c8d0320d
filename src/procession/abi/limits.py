"""The longest of everything: paths, names, arguments, atomic writes into a pipe."""

from __future__ import annotations

from typing import Final

# In bytes, with the NUL.
PATH_MAX: Final = 4096

# In bytes, without a NUL.
NAME_MAX: Final = 255

# The largest write into a pipe that is never interleaved.
PIPE_BUF: Final = 4096

NGROUPS_MAX: Final = 65536

# The most strings that execve takes.
MAX_ARG_STRINGS: Final = 0x7FFFFFFF

# How much of a script's first line is read.
BINPRM_BUF_SIZE: Final = 256
