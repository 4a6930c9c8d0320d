"""What a debugger may ask, packet by packet (gdb's manual, Remote Protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.signals import Signal
from procession.gdbserver import transfers
from procession.gdbserver.packet import unescaped
from procession.gdbserver.registers import LAYOUT, all_registers, register_value, set_register_value
from procession.gdbserver.signals import from_protocol
from procession.gdbserver.stop import Reversal, Stop, process_number, stop_reply, thread_id
from procession.gdbserver.watchpoint import Watchpoint
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SigInfo
from procession.mm.remote_access import read_forced, write_forced

if TYPE_CHECKING:
    from procession.gdbserver.connection import Connection
    from procession.gdbserver.debugger import Debugger
    from procession.gdbserver.past import Checkpoint
    from procession.kernel.task import Task

_OK, _UNSUPPORTED = b"OK", b""
_MONITOR_HELP = (
    b"there are: monitor ps, monitor time, monitor checkpoint, monitor restart N, monitor delete N\n"
)
_LONGEST_MEMORY = 1 << 15
_FEATURES = (
    b"PacketSize=8000;QStartNoAckMode+;multiprocess+;swbreak+;hwbreak+;fork-events+;exec-events+;"
    b"vContSupported+;QPassSignals+;QCatchSyscalls+;qXfer:features:read+;qXfer:auxv:read+;"
    b"qXfer:exec-file:read+;qXfer:siginfo:read+;qXfer:threads:read+;qXfer:osdata:read+"
)
_REVERSE_FEATURES = b";ReverseStep+;ReverseContinue+"
_FEATURE_OF_EVENT = ((b"fork", b"fork-events+"), (b"exec", b"exec-events+"), (b"swbreak", b"swbreak+"))
_SIGKILL = int(Signal.SIGKILL)
_ANY = -1
_ALL_MEMORY = 1 << 64
_WATCH_LENGTHS = range(1, 4097)
_MOST_BREAKPOINTS, _MOST_WATCHPOINTS = 1 << 13, 1 << 8
"""Of a process, and of all together: each of the latter is looked at after every instruction."""


class Commands:
    """Answers packets for one debugger. A packet that makes no sense is answered by an error."""

    def __init__(self, debugger: Debugger) -> None:
        self.debugger = debugger
        # Whose registers and memory are meant: after a stop its thread's, until another is chosen.
        self.selected: Task | None = None
        self.rest_of_threads: list[Task] = []
        self.files = transfers.GuestFiles(debugger.machine)
        self.goes_without_acknowledgement = False
        # Where to go as soon as the debugger goes on, by its number.
        self.chosen_mark = 0

    def answer(self, body: bytes) -> bytes | None:
        """What is answered to a packet; None when the machine shall go on."""
        try:
            return self._answer(body)
        except (ValueError, IndexError, OverflowError):
            return b"E01"

    def after(self, connection: Connection) -> None:
        """The answer has been sent."""
        if self.goes_without_acknowledgement:
            connection.reader.wants_acknowledgement = False

    def _answer(self, body: bytes) -> bytes | None:
        kind, rest = body[:1], body[1:]
        if self.chosen_mark and (kind in (b"c", b"s", b"b") or body.startswith(b"vCont;")):
            # However the debugger goes on, it has asked for that place.
            past, number = self.debugger.past, self.chosen_mark
            self.chosen_mark = 0
            if past is not None and number in past.marks:
                return self._go_back(is_step=False, mark=past.marks[number])
        if kind == b"q":
            return self._query(rest)
        if kind == b"Q":
            return self._setting(rest)
        if kind == b"v":
            return self._verbose(rest)
        if kind == b"m":
            return self._read_memory(rest)
        if kind in (b"M", b"X"):
            return self._write_memory(rest, is_binary=kind == b"X")
        if kind in (b"g", b"G", b"p", b"P"):
            return self._registers(kind, rest)
        if kind == b"H":
            return self._select(rest)
        if kind in (b"Z", b"z"):
            return self._breakpoint(rest, is_set=kind == b"Z")
        if kind in (b"c", b"s", b"C", b"S"):
            return self._go_on_simply(kind, rest)
        return self._other(kind, rest)

    def _other(self, kind: bytes, rest: bytes) -> bytes | None:
        debugger = self.debugger
        if kind == b"?":
            stop = debugger.stop
            if stop is not None and process_number(stop.task) in debugger.processes:
                self.selected = stop.task
                return stop_reply(stop)
            return b"W00"
        if kind == b"!":
            return _OK
        if kind == b"T":
            return _OK if self._thread(rest) is not None else b"E01"
        if kind == b"D":
            return self._detach(rest)
        if kind == b"k":
            self._kill_all()
            return None
        if kind == b"b" and rest in (b"s", b"c"):
            return self._go_back(is_step=rest == b"s")
        return _UNSUPPORTED

    # Who is meant

    def _thread(self, text: bytes) -> Task | None:
        """The thread that is written `pPID.TID` or `TID`. Raises ValueError."""
        process = 0
        if text.startswith(b"p"):
            head, _, tail = text[1:].partition(b".")
            process, text = _number(head), tail or b"-1"
        number = _number(text)
        return self.debugger.thread_of(max(process, 0), max(number, 0))

    def _current(self) -> Task:
        """The selected thread. Raises ValueError if there is none."""
        debugger = self.debugger
        task = self.selected
        if task is None or task not in debugger.machine.kernel.tasks or task.is_exiting:
            stop = debugger.stop
            task = stop.task if stop is not None else debugger.thread_of(0)
        if task is None:
            raise ValueError("nobody is held")
        return task

    def _select(self, rest: bytes) -> bytes:
        if rest[:1] == b"g":
            stop = self.debugger.stop
            if rest[1:] in (b"0", b"-1", b"p0.0") and stop is not None:
                self.selected = stop.task
            else:
                self.selected = self._thread(rest[1:])
            return _OK if self.selected is not None else b"E01"
        return _OK if rest[:1] == b"c" else _UNSUPPORTED

    # Memory and registers

    def _read_memory(self, rest: bytes) -> bytes:
        address, length = (int(word, 16) for word in rest.split(b","))
        if not 0 <= address < _ALL_MEMORY:
            return b"E01"
        data = read_forced(self._current().mm, address, min(length, _LONGEST_MEMORY))
        return data.hex().encode() if data or not length else b"E0e"

    def _write_memory(self, rest: bytes, *, is_binary: bool) -> bytes:
        head, _, data = rest.partition(b":")
        address, length = (int(word, 16) for word in head.split(b","))
        data = unescaped(data) if is_binary else bytes.fromhex(data.decode())
        if len(data) != length or not 0 <= address < _ALL_MEMORY:
            return b"E01"
        self.debugger.changed()
        return _OK if write_forced(self._current().mm, address, data) == length else b"E0e"

    def _registers(self, kind: bytes, rest: bytes) -> bytes:
        kernel, task = self.debugger.machine.kernel, self._current()
        if kind == b"g":
            return all_registers(kernel, task).hex().encode()
        if kind == b"p":
            value = register_value(kernel, task, int(rest, 16))
            return value.hex().encode() if value else b"E01"
        self.debugger.changed()
        if kind == b"P":
            which, _, text = rest.partition(b"=")
            value = bytes.fromhex(text.decode())
            return _OK if set_register_value(kernel, task, int(which, 16), value) else b"E01"
        data = bytes.fromhex(rest.decode())
        position = 0
        for number, (_, size) in enumerate(LAYOUT):
            if position + size > len(data):
                break
            set_register_value(kernel, task, number, data[position : position + size])
            position += size
        return _OK

    # Where to stop

    def _breakpoint(self, rest: bytes, *, is_set: bool) -> bytes:
        kind, address_text, length_text = rest.split(b";")[0].split(b",")
        address, length = int(address_text, 16), int(length_text, 16)
        if not 0 <= address < _ALL_MEMORY:
            return b"E01"
        debugger = self.debugger
        process = process_number(self._current())
        if kind in (b"0", b"1"):
            addresses = debugger.breakpoints.setdefault(process, set())
            if is_set:
                if len(addresses) >= _MOST_BREAKPOINTS:
                    return b"E01"
                addresses.add(address)
            else:
                addresses.discard(address)
            return _OK
        if kind not in (b"2", b"3", b"4") or length not in _WATCH_LENGTHS:
            return _UNSUPPORTED
        if address + length > _ALL_MEMORY:
            return b"E01"
        point = Watchpoint(int(kind), process, address, length)
        debugger.watchpoints = [known for known in debugger.watchpoints if known.place != point.place]
        if is_set:
            if len(debugger.watchpoints) >= _MOST_WATCHPOINTS:
                return b"E01"
            debugger.watchpoints.append(point)
        return _OK

    # Going on

    def _go_on_simply(self, kind: bytes, rest: bytes) -> bytes | None:
        task = self._current()
        if kind in (b"C", b"S"):
            self._choose_signal(task, rest.split(b";")[0])
        if kind in (b"s", b"S"):
            self.debugger.steps[task] = (0, 0)
        return None

    def _go_back(self, *, is_step: bool, mark: Checkpoint | None = None) -> bytes | None:
        stop, place = self.debugger.stop, self.debugger.place()
        if stop is None or place is None:
            return b"E01"
        self.debugger.reversal = Reversal(is_step, process_number(stop.task), stop.task.tid, place, mark)
        return None

    def _choose_signal(self, task: Task, text: bytes) -> None:
        signal = from_protocol(int(text, 16))
        if signal:
            self.debugger.signals[task] = signal

    def _continue(self, actions: list[bytes]) -> bytes | None:
        """vCont: the first action that names a thread is its own."""
        debugger = self.debugger
        threads = debugger.threads()
        decided: set[Task] = set()
        for action in actions:
            what, _, who = action.partition(b":")
            meant = self._meant(who, threads)
            for task in meant:
                if task not in decided:
                    decided.add(task)
                    self._act(task, what)
        return None

    def _meant(self, who: bytes, threads: list[Task]) -> list[Task]:
        if not who or who == b"-1":
            return threads
        process = 0
        if who.startswith(b"p"):
            head, _, tail = who[1:].partition(b".")
            process, who = _number(head), tail or b"-1"
        number = _number(who)
        return [
            task
            for task in threads
            if process in (0, _ANY, process_number(task)) and number in (_ANY, 0, task.tid)
        ]

    def _act(self, task: Task, what: bytes) -> None:
        debugger = self.debugger
        if what[:1] in (b"C", b"S"):
            self._choose_signal(task, what[1:])
        if what[:1] in (b"s", b"S"):
            debugger.steps[task] = (0, 0)
        elif what[:1] == b"r":
            start, end = (int(word, 16) for word in what[1:].split(b","))
            debugger.steps[task] = (start, end)

    def _detach(self, rest: bytes) -> bytes:
        debugger = self.debugger
        if rest.startswith(b";"):
            debugger.forget(int(rest[1:], 16))
        else:
            for number in list(debugger.processes):
                debugger.forget(number)
        return _OK

    def _kill_all(self) -> None:
        for number in list(self.debugger.processes):
            self._kill(number)

    def _kill(self, number: int) -> None:
        task = self.debugger.thread_of(number)
        self.debugger.forget(number)
        if task is not None:
            self.debugger.changed()
            send_signal(self.debugger.machine.kernel, task.group, SigInfo(_SIGKILL))

    # Queries

    def _query(self, rest: bytes) -> bytes:
        debugger = self.debugger
        name, _, argument = rest.partition(b":")
        if name == b"Supported":
            wanted = argument.split(b";")
            debugger.events = frozenset(event for event, feature in _FEATURE_OF_EVENT if feature in wanted)
            return _FEATURES if debugger.past is None else _FEATURES + _REVERSE_FEATURES
        if name == b"Xfer":
            return self._transfer(argument)
        if name == b"fThreadInfo":
            self.rest_of_threads = debugger.threads()
            return self._some_threads()
        if name == b"sThreadInfo":
            return self._some_threads()
        if name.startswith(b"ThreadExtraInfo,"):
            task = self._thread(name.partition(b",")[2])
            return b"E01" if task is None else self._about(task).hex().encode()
        if name == b"C":
            return b"QC" + thread_id(self._current())
        if name == b"Attached":
            return b"1"
        if name == b"Symbol":
            return _OK
        if name.startswith(b"Rcmd,"):
            return self._monitor(bytes.fromhex(name[5:].decode()))
        return _UNSUPPORTED

    @staticmethod
    def _about(task: Task) -> bytes:
        state = "" if task.frame is None else " in a system call"
        return task.command_name + f", {task.state.name.lower()}{state}".encode()

    def _some_threads(self) -> bytes:
        found, self.rest_of_threads = self.rest_of_threads[:64], self.rest_of_threads[64:]
        return b"m" + b",".join(map(thread_id, found)) if found else b"l"

    def _monitor(self, text: bytes) -> bytes:
        """What the machine says of itself, and checkpoints in its past: see `_MONITOR_HELP`."""
        kernel = self.debugger.machine.kernel
        verb, _, number = text.partition(b" ")
        if verb in (b"checkpoint", b"restart", b"delete"):
            return self._checkpoint(verb, number).hex().encode()
        if text == b"ps":
            lines = [
                b"%6d %6d %s\n" % (process_number(task), task.tid, task.command_name) for task in kernel.tasks
            ]
            return b"".join(lines).hex().encode()
        if text == b"time":
            return (b"%d.%09d s\n" % divmod(kernel.clock.run_ns, 10**9)).hex().encode()
        return _MONITOR_HELP.hex().encode()

    def _checkpoint(self, verb: bytes, text: bytes) -> bytes:
        debugger = self.debugger
        past = debugger.past
        if past is None or not past.can_go_back:
            return b"there is no past to go back in\n"
        if verb == b"checkpoint":
            if debugger.is_in_kernel:
                return b"not in the middle of what the kernel does: go on to an instruction\n"
            try:
                return b"checkpoint %d\n" % past.mark()
            except ValueError as error:
                return f"{error}\n".encode()
        number = int(text) if text.isdigit() and len(text) < 10 else 0
        if number not in past.marks:
            known = b", ".join(b"%d" % each for each in past.marks)
            return b"there is no such checkpoint, but %s\n" % (known or b"none")
        if verb == b"delete":
            del past.marks[number]
            return b"deleted\n"
        self.chosen_mark = number
        return b"`continue` leads there\n"

    def _transfer(self, argument: bytes) -> bytes:
        what, direction, annex, place = argument.split(b":")
        if direction != b"read":
            return _UNSUPPORTED
        debugger = self.debugger
        if what == b"features" and annex == b"target.xml":
            data = transfers.target_description()
        elif what == b"auxv":
            data = self._current().mm.auxiliary_vector
        elif what == b"exec-file":
            task = debugger.thread_of(int(annex, 16)) if annex else self._current()
            data = transfers.program_name(task) if task is not None else b""
        elif what == b"siginfo":
            stop = debugger.stop
            data = stop.siginfo if stop is not None else b""
            if not data:
                return b"E01"
        elif what == b"threads":
            data = transfers.thread_list(debugger.threads())
        elif what == b"osdata":
            data = transfers.system_table(debugger.machine, annex)
        else:
            return b"E00"
        return transfers.part_of(data, place)

    def _setting(self, rest: bytes) -> bytes:
        debugger = self.debugger
        name, _, argument = rest.partition(b":")
        if name == b"StartNoAckMode":
            self.goes_without_acknowledgement = True
            return _OK
        if name == b"PassSignals":
            numbers = [int(word, 16) for word in argument.split(b";") if word]
            debugger.silent_signals = frozenset(map(from_protocol, numbers))
            return _OK
        if name == b"CatchSyscalls":
            process = process_number(self._current())
            if argument.startswith(b"0"):
                debugger.caught_calls.pop(process, None)
            else:
                calls = [int(word, 16) for word in argument.split(b";")[1:] if word]
                debugger.caught_calls[process] = frozenset(calls) if calls else None
            return _OK
        return _UNSUPPORTED

    def _verbose(self, rest: bytes) -> bytes | None:
        if rest == b"Cont?":
            return b"vCont;c;C;s;S;r"
        if rest.startswith(b"Cont;"):
            return self._continue(rest[5:].split(b";"))
        if rest.startswith(b"File:"):
            operation, _, argument = rest[5:].partition(b":")
            return self.files.answer(operation, argument)
        if rest.startswith(b"Kill;"):
            self._kill(int(rest[5:], 16))
            return _OK
        if rest.startswith(b"Attach;"):
            return self._attach(int(rest[7:], 16))
        if rest.startswith(b"CtrlC"):
            return _OK
        return _UNSUPPORTED

    def _attach(self, number: int) -> bytes:
        """Hold a process more. The machine stands still already."""
        debugger = self.debugger
        debugger.processes.add(number)
        task = debugger.thread_of(number)
        if task is None:
            debugger.processes.discard(number)
            return b"E01"
        debugger.stop = Stop(task, 0)
        self.selected = task
        return stop_reply(debugger.stop)


def _number(text: bytes) -> int:
    """A number of the protocol, -1 for any. Raises ValueError."""
    return _ANY if text == b"-1" else int(text, 16)
