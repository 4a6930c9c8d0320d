"""What shells start as `procession`: it has a fork of `quick_start.py`'s server made, and ends with that.

usage: python -I -S shell_command.py ADDRESS ARGUMENT...    ADDRESS: the server's, abstract, without the NUL
"""

from __future__ import annotations

import json
import os
import socket
import sys


def main() -> int:
    """Ask, and wait for the command's end: its status, as `waitpid` has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.connect(f"\0{sys.argv[1]}")
        request = {
            "arguments": sys.argv[2:],
            "directory": os.getcwd(),
            "environment": dict(os.environ),
            "targets": [0, 1, 2],
            "is_new_session": False,
            "owns_terminal": False,
            "group": -1,
        }
        socket.send_fds(channel, [json.dumps(request).encode()], [0, 1, 2])
        return int(channel.recv(16))


if __name__ == "__main__":
    sys.exit(os.waitstatus_to_exitcode(main()) % 256)
