"""`procession run --gdb PORT`: a debugger at a port of the loopback, be it gdb or any other program."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from procession.gdbserver.packet import PacketReader, framed
from procession.gdbserver.registers import LAYOUT
from procession.hardware.page_table import USER_END

COMMAND = [sys.executable, "-m", "procession", "run"]
WAIT_S = 60
AWAITED = b"procession: a debugger is awaited: gdb -ex 'target remote :%d'\n"
SOURCE = """
#include <unistd.h>
int main(int count, char **arguments)
{
	return write(1, "done\\n", 5) == 5 ? 3 : 4;
}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def machine_at(port: int, *command: str, options: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """`procession run` that waits for a debugger at `port`."""
    with subprocess.Popen(
        [*COMMAND, *options, "--gdb", str(port), "--", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == AWAITED % port
            yield process
        finally:
            process.kill()


class Client:
    """A debugger that knows packets alone."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self.reader = PacketReader()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, body: bytes, after: bytes = b"") -> bytes:
        """The answer to a packet, behind which `after` is sent at once."""
        self.socket.sendall(framed(body) + after)
        return self.next_answer()

    def next_answer(self) -> bytes:
        """The next packet that comes."""
        while (answer := self.reader.next_packet()) is None:
            data = self.socket.recv(65536)
            assert data, "the machine has gone"
            self.reader.feed(data)
        return answer


def test_program_runs_as_the_debugger_says() -> None:
    port = free_port()
    with machine_at(port, "sh", "-c", "echo done; exit 3") as process:
        with Client(port) as client:
            assert client.ask(b"?").startswith(b"T05thread:p2.2;")
            assert client.ask(b"vCont;c") == b"W03;process:2"
        stdout, stderr = process.communicate(timeout=WAIT_S)
    assert (process.returncode, stdout, stderr) == (3, b"done\n", b"")


def test_an_interrupt_right_behind_a_packet_is_heard() -> None:
    port = free_port()
    with machine_at(port, "sh", "-c", "while :; do :; done") as process, Client(port) as client:
        assert client.ask(b"vCont;c", b"\x03").startswith(b"T02thread:")
        assert client.ask(b"vAttach;2").startswith(b"T00thread:p2.2;")
        client.socket.sendall(framed(b"k"))
        process.communicate(timeout=WAIT_S)
    assert process.returncode == 137


def test_what_makes_no_sense_is_refused() -> None:
    port = free_port()
    with machine_at(port, "true"), Client(port) as client:
        assert client.ask(b"Z0,ffffffffffffffff,1") == b"OK"
        assert client.ask(b"z0,ffffffffffffffff,1") == b"OK"
        for place in (b"0,10000000000000000,1", b"0,-1,1", b"2,10000000000000000,8", b"2,fffffffffffffffc,8"):
            assert client.ask(b"Z" + place) == b"E01"
        answers = [client.ask(b"Z2,%x,8" % (8 * number)) for number in range(1, 300)]
        assert answers == [b"OK"] * 256 + [b"E01"] * 43
        for name in ("fs_base", "gs_base"):
            number = [known for known, _ in LAYOUT].index(name)
            assert client.ask(b"P%x=%s" % (number, USER_END.to_bytes(8, "little").hex().encode())) == b"E01"
            assert (
                client.ask(b"P%x=%s" % (number, (USER_END - 1).to_bytes(8, "little").hex().encode())) == b"OK"
            )


def test_there_may_be_nothing_to_go_back_to(tmp_path: Path) -> None:
    port = free_port()
    with machine_at(port, "sh", "-c", "exit 3") as process, Client(port) as client:
        assert b"ReverseContinue+" in client.ask(b"qSupported:")
        for _ in range(2):
            assert client.ask(b"bc") == b"T05thread:p2.2;replaylog:begin;"
            assert client.ask(b"bs") == b"T05thread:p2.2;replaylog:begin;"
        assert client.ask(b"b") == b""
        assert client.ask(b"bx") == b""
        assert client.ask(b"vCont;s") == b"T05thread:p2.2;"
        assert client.ask(b"bs") == b"T05thread:p2.2;"
        assert client.ask(b"bs") == b"T05thread:p2.2;replaylog:begin;"
        assert client.ask(b"vCont;c") == b"W03;process:2"
        assert client.ask(b"bc") == b"E01"
        client.socket.close()
        process.communicate(timeout=WAIT_S)
    assert process.returncode == 3
    port = free_port()
    options = (f"--trace={tmp_path / 'trace'}",)
    with machine_at(port, "true", options=options), Client(port) as client:
        assert b"Reverse" not in client.ask(b"qSupported:")
        assert client.ask(b"bc") == b"E01"


def test_a_file_may_be_of_any_size() -> None:
    port = free_port()
    script = "truncate -s 4T /tmp/large; echo made; while :; do :; done"
    with machine_at(port, "sh", "-c", script) as process, Client(port) as client:
        assert client.ask(b"QPassSignals:14") == b"OK"
        client.socket.sendall(framed(b"vCont;c"))
        assert process.stdout is not None
        assert process.stdout.readline() == b"made\n"
        client.socket.sendall(b"\x03")
        assert client.next_answer().startswith(b"T02thread:")
        assert client.ask(b"vFile:open:%s,0,0" % b"/tmp/large".hex().encode()) == b"F-1,1b"
        assert client.ask(b"vFile:open:%s,0,0" % b"/etc/passwd".hex().encode()) == b"F3"


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb isn't installed")
def test_gdb_stops_at_main(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path / "a-program"
    source = tmp_path / "a-program.c"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-g", "-o", str(program), str(source)], check=True)
    port = free_port()
    with machine_at(port, str(program)) as process:
        commands = (f"target remote :{port}", "break main", "continue", "print count", "continue")
        arguments = [word for line in commands for word in ("-ex", line)]
        gdb = subprocess.run(
            ["gdb", "-q", "-nx", "-batch", *arguments, str(program)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        stdout, stderr = process.communicate(timeout=WAIT_S)
    assert "Breakpoint 1, main (count=1" in gdb.stdout
    assert "$1 = 1" in gdb.stdout
    assert "exited with code 03" in gdb.stdout
    assert (process.returncode, stdout, stderr) == (3, b"done\n", b"")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "native"), b"--gdb doesn't go with --engine native, "),
        (("--record", "run.rec"), b"--record doesn't go with --gdb: "),
    ],
)
def test_what_cannot_be_debugged_is_one_line(
    options: tuple[str, ...], message: bytes, tmp_path: Path
) -> None:
    result = subprocess.run(
        [*COMMAND, "--gdb", str(free_port()), *options, "--", "true"],
        cwd=tmp_path,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith(b"procession: " + message)
    assert result.stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())
