"""A machine: an engine, a kernel and a decider together, the object that a user of the library holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import Signal
from procession.attachment import CapturedOutput, Doorbell, HostPace, HostStreams, JoinedTerminal
from procession.command_run import CommandRun, Result, result_of
from procession.ending import ENDING_SIGNALS, RunLimits, check_limits
from procession.first_mounts import devpts_options, find_place, make_directories, mount_first, register_types
from procession.fs.host_stream import CAPTURED_BYTES, HostInput, HostOutput
from procession.fs.mounts.attach import bind
from procession.fs.mounts.mount import Mount
from procession.fs.terminal.devpts import Devpts
from procession.hardware.engines.choice import make_engine
from procession.hardware.engines.scripted import (
    SCRATCH_ADDRESS,
    SCRATCH_BYTES,
    Branch,
    Call,
    ScriptedEngine,
    Step,
)
from procession.hardware.engines.tiered import TieredEngine
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.registers import R12, RIP, set_register
from procession.inlet import Inlet
from procession.interrupt import InterruptGuard
from procession.kernel.clone import CloneArguments, copy_process
from procession.kernel.decider import Decider, SeededDecider
from procession.kernel.init import MASK_ADDRESS, create_init
from procession.kernel.kernel import Kernel
from procession.kernel.namespaces.uts import DEFAULT_HOST_NAME
from procession.kernel.sched.core import TIME_SLICE_NS
from procession.kernel.security.credentials import commit_credentials
from procession.kernel.session import start_session
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from procession.kernel.time.clock import DEFAULT_EPOCH_NS
from procession.keyboard_watch import KeyboardWatch
from procession.launch import (
    DEFAULT_ENVIRONMENT,
    STDERR,
    STDOUT,
    as_list,
    enter_callers_directory,
    enter_directory,
    environment_in,
    execute,
    give_streams,
    give_terminal,
)
from procession.mm.reclaim import PageReclaimer
from procession.mm.vma import PROT_READ, PROT_WRITE, VirtualMemoryArea
from procession.settings import check_files, check_machine
from procession.snapshot.going_back import GoingBack
from procession.syscalls import load_first
from procession.syscalls.dispatch import Traps

if TYPE_CHECKING:
    from procession.attachment import Attachment, Doorbell, MachineHolder, RunProgress
    from procession.exchange.image.opening import Image
    from procession.fs.host_source import HostSource
    from procession.fs.terminal.host import HostTerminal
    from procession.hardware.fault_injection import FaultInjector
    from procession.inspection.call_counter import CallCounter
    from procession.login import Login
    from procession.snapshot.history import History
    from procession.snapshot.keeper import StateKeeper

DEFAULT_MEMORY_BYTES = 1 << 30
_SIGCHLD = int(Signal.SIGCHLD)


class EngineRunner(Protocol):
    """Runs a machine's engine, and does something more then."""

    def run(self) -> None:
        """See `Engine.run`."""


class ContainerSettings(NamedTuple):
    """What a machine with an image was given: where that is, and the limits of its control group."""

    image: str
    memory: int | None
    cpus: int | None
    pids_max: int | None


class Machine(GoingBack):
    """One deterministic Linux machine in this process.

    The same seed, program and files give the same run. `rootfs` is the directory of the host that the
    guest sees as its root, never written to; `memory` is in bytes, 1 GiB unless given;
    `environment` the program's variables; `cwd` its directory in the guest, by default the caller's where
    `rootfs` is the host's /, and else /; `cpus` how many virtual processors there are, 1 unless given.
    `user` is who it runs as, `USER` or `USER:GROUP` in the guest's names or numbers, which also sets HOME
    unless `environment` does;
    without one it is root, with every capability. `hostname` is what the machine calls itself. `pids_max` is
    how many tasks there may be at once, init and zombies included (as a cgroup's pids.max: EAGAIN).
    `image` is a container image instead of a `rootfs`: an OCI layout, a directory or an archive, or the
    archive of `docker save`; `PATH:NAME` is one of several. What it says of environment, user and
    directory holds unless it's given here, where `environment` is added to the image's; `memory`, `cpus` and
    `pids_max` are then limits of its control group, and the machine has more memory. An empty command is the
    image's; `entrypoint` replaces that of the image and its arguments, "" does away with it.
    `fault_injector` may let allocations fail. `source` says what is below `rootfs`, if that isn't the host.
    `engine` is "auto", which runs programs that work hard on the host's processor, in processes that hold
    nothing but their memory, and all others on "unicorn"; one of these two alone: "unicorn" or "native"; or
    "scripted", for tests without a processor.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        rootfs: str | os.PathLike[str] = "/",
        memory: int | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: str | None = None,
        engine: str = "unicorn",
        decider: Decider | None = None,
        epoch_ns: int = DEFAULT_EPOCH_NS,
        cpus: int | None = None,
        user: str | None = None,
        hostname: str = DEFAULT_HOST_NAME,
        pids_max: int | None = None,
        image: str | os.PathLike[str] | None = None,
        entrypoint: str | None = None,
        fault_injector: FaultInjector | None = None,
        source: HostSource | None = None,
    ) -> None:
        processor_count = 1 if cpus is None else cpus
        check_machine(hostname, processor_count, pids_max)
        check_files(rootfs, image, source)
        memory_bytes = DEFAULT_MEMORY_BYTES if memory is None else memory
        if image is not None:
            from procession.confinement import confine, machine_memory

            if memory is not None:
                memory_bytes = machine_memory(memory)
        load_first()
        register_types()
        super().__init__()
        self.seed = seed
        self.settings: dict[str, Any] = {
            "seed": seed,
            "rootfs": os.path.realpath(rootfs),
            "memory": memory_bytes,
            "cwd": cwd,
            "engine": engine,
            "epoch_ns": epoch_ns,
            "cpus": processor_count,
            "user": user,
            "hostname": hostname,
            "pids_max": pids_max,
        }
        self.memory = _make_memory(memory_bytes, fault_injector)
        self.engine = make_engine(engine)
        self.image: Image | None = None
        self.container: ContainerSettings | None = None
        self.entrypoint = entrypoint
        self.shows_host = image is None and os.path.realpath(rootfs) == "/"
        if image is not None:
            from procession.exchange.image.opening import open_image

            self.image = open_image(image)
            self.container = ContainerSettings(os.fspath(image), memory, cpus, pids_max)
            user = user or self.image.config.user or None
            cwd = cwd or self.image.config.directory or "/"
            environment = environment_in(
                self.image.config.environment, hostname, environment, is_root=user is None
            )
        self.environment = dict(DEFAULT_ENVIRONMENT if environment is None else environment)
        if user is not None and environment is None:
            del self.environment["HOME"]
        self.cwd = cwd
        self.kernel = Kernel(
            self.memory, self.engine, decider or SeededDecider(seed), epoch_ns, processor_count
        )
        self.traps = Traps(self.kernel)
        self.engine.attach(self.memory, self.traps)
        self.fault_injector = fault_injector
        self.source: object = source
        self.input = HostInput()
        self.output = HostOutput()
        self.inlet = Inlet(self.kernel, self.input, self.output)
        mount_first(
            self.kernel,
            os.fspath(rootfs),
            source if self.image is None else self.image.tree,
            os.fsencode(hostname),
            console=(self.output, STDERR),
            injector=fault_injector,
        )
        if pids_max is not None and image is None:
            self.kernel.limit_tasks(bound=pids_max)
        self.init = create_init(self.kernel)
        if image is not None:
            confine(self.kernel, self.init, memory=memory, cpus=cpus, tasks=pids_max)
        if isinstance(self.engine, ScriptedEngine):
            self.engine.current_task = self._current_task
            _point_at_script(self.init, self.engine.add_script(REAPER_SCRIPT))
        self.login: Login | None = None
        if user is not None:
            from procession.login import find_login

            self.login = find_login(self.kernel, self.init.credentials, user)
            self.environment.setdefault("HOME", self.login.home)
        self._begin_outside()

    def _begin_outside(self) -> None:
        """What the machine has of the world outside, and of a run, before there is one."""
        self.command = None
        self.terminal: HostTerminal | None = None
        self.doorbell: Doorbell | None = None
        self.forwarded: list[str] = []
        self.progress: RunProgress | None = None
        self.is_closed = False
        self.is_broken_off = False
        self.limits: RunLimits | None = None
        self.stream_failure: OSError | None = None
        self._interrupts = InterruptGuard()
        self.arguments: tuple[bytes, ...] = ()
        self.is_pid1 = False
        self.run_kind = "captured"
        self.start_directory: str | None = None
        self.slice_watcher: Callable[[int], None] | None = None
        self.is_in_slice = False
        self.history: History | None = None
        self.debugger: MachineHolder | None = None
        self.accesses: EngineRunner | None = None
        self._keeper: StateKeeper | None = None

    # Starting a program

    def __repr__(self) -> str:
        kernel = self.kernel
        state = ", closed" if self.is_closed else ""
        return (
            f"<Machine, seed {self.seed}, {len(kernel.tasks)} tasks, at {kernel.clock.run_ns / 1e9} s{state}>"
        )

    def command_line(self, argv: Sequence[str | bytes]) -> list[str | bytes]:
        """What is executed when `argv` is asked for: with an image its entrypoint comes first."""
        if self.image is None:
            return list(argv)
        return self.image.config.command_line(argv, self.entrypoint)

    def start(self, argv: Sequence[str | bytes] = (), *, pid1: bool = False) -> Task:
        """Make the program `argv` ready to run, without running it.

        Raises the errno that execve gives, and StartFailure if there is no directory `cwd`.

        It's a child of init, or with `pid1` the machine's first process itself. A name without a slash is
        looked for along PATH.
        """
        if isinstance(argv, str | bytes):
            raise TypeError(f"a command is a list of strings, such as {as_list(argv)}, not {argv!r}")
        arguments = [os.fsencode(argument) for argument in self.command_line(argv)]
        if not arguments:
            raise ValueError("a command is needed")
        self._check_open()
        self.arguments, self.is_pid1 = tuple(arguments), pid1
        kernel = self.kernel
        if pid1:
            task = self.init
            task.blocked = 0
        else:
            task = self._child_of_init()
        if self.login is not None:
            uid, gid, groups, _ = self.login
            commit_credentials(task, task.credentials.for_user(uid, gid, groups))
        self._open_streams(task)
        if self.cwd is not None:
            if self.image is not None:
                make_directories(self.kernel, os.fsencode(self.cwd))
            enter_directory(task, self.cwd)
        elif self.shows_host:
            self.start_directory = enter_callers_directory(task, self.init.credentials)
        environment = [os.fsencode(f"{name}={value}") for name, value in self.environment.items()]
        execute(kernel, task, arguments, environment, self.environment.get("PATH", ""))
        self.engine.begin_beside(self.init.mm.tables.root, task.mm.tables.root)
        self.command = task
        self.inlet.command = task.group
        kernel.scheduler.start(task)
        return task

    def _child_of_init(self) -> Task:
        """A new process in a session of its own, which blocks no signals; init runs from now on."""
        if self.init.state is TaskState.NEW:
            self.kernel.scheduler.start(self.init)
        task = copy_process(self.kernel, self.init, CloneArguments(0, _SIGCHLD))
        task.blocked = 0
        start_session(task)
        return task

    def _open_streams(self, task: Task) -> None:
        if self.terminal is not None:
            give_terminal(task, self.terminal)
        else:
            give_streams(task, self.kernel.vfs, self.input, self.output)

    def start_script(self, steps: Sequence[Step]) -> Task:
        """Make a scripted program ready to run, as a child of init; only with the scripted engine."""
        engine = self.engine
        if not isinstance(engine, ScriptedEngine):
            raise TypeError("only the scripted engine runs scripts")
        kernel = self.kernel
        task = self._child_of_init()
        self._open_streams(task)
        task.mm.map(
            VirtualMemoryArea(SCRATCH_ADDRESS, SCRATCH_ADDRESS + SCRATCH_BYTES, PROT_READ | PROT_WRITE)
        )
        task.command_name = b"script"
        _point_at_script(task, engine.add_script(steps))
        if self.command is None:
            self.command = task
        self.inlet.command = task.group
        kernel.scheduler.start(task)
        return task

    def _current_task(self) -> Task:
        task = self.kernel.current
        assert task is not None
        return task

    # Running

    def step(self) -> bool:
        """Run until the processor comes back, or let time jump to the next timer. False if neither helps."""
        if self.history is not None:
            self.history.note()
        if self.run_slice() or self.shall_stop:
            return True
        return self.kernel.reboot_command is None and self.kernel.timers.jump_to_next()

    def run_slice(self) -> bool:
        """Run until the processor comes back. False if nobody can run."""
        self._check_open()
        self.traps.return_at_ns = self.kernel.clock.work_ns + TIME_SLICE_NS
        self.traps.has_returned = False
        return self._go_on()

    def run_on(self) -> bool:
        """Run the present slice on, if somebody who watches has had the machine stop in it, else the next
        one.

        `is_in_slice` says afterwards that it isn't over yet: a recording counts whole ones. False if nobody
        can run.
        """
        can_go_on = self._go_on() if self.is_in_slice else self.run_slice()
        has_returned = self.traps.has_returned or self.kernel.reboot_command is not None
        self.is_in_slice = self.shall_stop and not has_returned
        return can_go_on

    def _go_on(self) -> bool:
        kernel = self.kernel
        with self._interrupts:
            if kernel.reboot_command is not None:
                return False
            if kernel.current is None:
                self.traps.gave_way = False
                self.traps.resume()
                if self.shall_stop or kernel.current is None:
                    return self.traps.gave_way
            if self.accesses is None:
                self.engine.run()
            else:
                self.accesses.run()
            if self.engine.budget_left() <= 0:
                self.traps.has_returned = True
                self.traps.slice_over()
        return True

    def _check_open(self) -> None:
        if self.is_closed:
            raise ValueError("this machine is closed")
        if self.is_broken_off:
            raise ValueError("this machine was broken off in the middle of the kernel's work")

    def run_until(self, condition: Callable[[Machine], bool]) -> bool:
        """Run until `condition` holds, looked at after each step. False if it never came true."""
        while not condition(self):
            if not self.step():
                return condition(self)
        return True

    def run(
        self,
        argv: Sequence[str | bytes] = (),
        *,
        stdin: bytes = b"",
        pid1: bool = False,
        time_limit_s: float | None = None,
        wall_limit_s: float | None = None,
        output_limit_bytes: int = CAPTURED_BYTES,
    ) -> Result:
        """Run a program to its end; what it writes is in the result.

        `time_limit_s` is virtual time, `wall_limit_s` the caller's. Once it has written more than
        `output_limit_bytes` to stdout and stderr together, the run ends (status 124).
        """
        check_limits(time_limit_s, wall_limit_s)
        self.start(argv, pid1=pid1)
        if stdin:
            self.inlet.feed(stdin)
        self.inlet.end_input()
        captured = CapturedOutput(self.inlet, output_limit_bytes)
        reason = self._run_command(captured, time_limit_s, wall_limit_s) or captured.reason_to_end
        return self._result(reason, bytes(captured.written[STDOUT]), bytes(captured.written[STDERR]))

    def run_attached(
        self,
        argv: Sequence[str | bytes] = (),
        *,
        pid1: bool = False,
        time_limit_s: float | None = None,
        wall_limit_s: float | None = None,
        is_paced: bool = False,
    ) -> Result:
        """Run a program with this process's stdin, stdout and stderr.

        With `is_paced`, time passes in the machine as it does outside: while all sleep it doesn't jump.
        """
        self.run_kind = "streams"
        self.start(argv, pid1=pid1)
        with Doorbell() as doorbell:
            pace = HostPace(self.inlet) if is_paced else None
            streams = HostStreams(self.inlet, doorbell, pace)
            self.doorbell = doorbell
            reason = self._run_command(streams, time_limit_s, wall_limit_s)
            self.doorbell = None
        self.stream_failure = streams.failure
        return self._result(reason)

    def run_in_terminal(
        self,
        argv: Sequence[str | bytes] = (),
        *,
        pid1: bool = False,
        time_limit_s: float | None = None,
        wall_limit_s: float | None = None,
        has_keyboard: bool = True,
    ) -> Result:
        """Run a program on a terminal of its own, joined to the one that this process's stdin and stdout are.

        That must be in raw mode. Without `has_keyboard` stdin isn't read. Time passes as outside.
        """
        self.run_kind = "terminal"
        self.open_terminal()
        assert self.terminal is not None
        with Doorbell() as doorbell:
            joined = JoinedTerminal(self.inlet, self.terminal, doorbell, has_keyboard=has_keyboard)
            joined.resize()
            self.start(argv, pid1=pid1)
            self.doorbell = doorbell
            with KeyboardWatch(joined, lambda: self.limits):
                reason = self._run_command(joined, time_limit_s, wall_limit_s)
            self.doorbell = None
        return self._result(reason)

    def run_again(self, world: Attachment, argv: Sequence[str | bytes], *, pid1: bool = False) -> Result:
        """Run a program in a `world` that isn't the one outside, such as a recorded one."""
        self.start(argv, pid1=pid1)
        return self._result(self._run_command(world, None, None))

    def open_terminal(self) -> HostTerminal:
        """Make a terminal that `start` gives its program as streams and controlling terminal.

        What is typed there is fed to it, and what it shows is taken from it.
        """
        from procession.fs.terminal.host import HostTerminal

        place = find_place(self.kernel, b"/dev/pts")
        if place is None or not isinstance(place.inode.superblock, Devpts):
            place = Mount(Devpts(self.kernel.vfs, devpts_options())).path
        credentials = self.init.credentials
        if self.login is not None:
            uid, gid, groups, _ = self.login
            credentials = credentials.for_user(uid, gid, groups)
        self.terminal = self.inlet.terminal = terminal = HostTerminal(place, credentials)
        console = find_place(self.kernel, b"/dev/console", is_directory=False)
        if console is not None:
            bind(self.kernel.init_namespaces.mounts, terminal.slave_path, console, is_recursive=False)
        return terminal

    def _run_command(self, world: Attachment, time_limit_s: float | None, wall_limit_s: float | None) -> str:
        """See `CommandRun.go`."""
        limits = RunLimits(self.kernel, self._interrupt, time_limit_s, wall_limit_s)
        return CommandRun(self, world, limits).go()

    def _result(self, reason: str, stdout: bytes = b"", stderr: bytes = b"") -> Result:
        assert self.command is not None
        return result_of(self.command, reason, stdout, stderr)

    def _interrupt(self) -> None:
        """Called by another thread: let the present slice, or a wait for the world outside, end."""
        self.engine.interrupt()
        doorbell = self.doorbell
        if doorbell is not None:
            doorbell.ring()

    @property
    def engine_of_run(self) -> str:
        """The engine with which this run is to be done again."""
        engine = self.engine
        if isinstance(engine, TieredEngine) and engine.hot is None:
            return "cold"
        name: str = self.settings["engine"]
        return name

    @property
    def why_slow(self) -> str:
        """Why programs that work hard aren't run on the host's processor, if that was wanted; else empty."""
        return self.engine.refusal if isinstance(self.engine, TieredEngine) else ""

    def count_calls(self) -> CallCounter:
        """Count the system calls that are made from now on."""
        from procession.inspection.call_counter import CallCounter

        counter = CallCounter(self.traps)
        self.engine.tell(counter)
        return counter

    def request_report(self) -> None:
        """Let whoever shows the run's progress tell of its processes, after the next step."""
        if self.progress is not None:
            self.progress.wants_table = True
            if self.doorbell is not None:
                self.doorbell.ring()

    def forward_signal(self, name: str) -> None:
        """Send the command's process group a signal, as a terminal would; taken at the next step."""
        self.forwarded.append(name)
        if self.doorbell is not None:
            self.doorbell.ring()
        if self.limits is not None and name in ENDING_SIGNALS:
            self.limits.await_delivery(name, lambda: bool(self.forwarded))

    def state_hash(self) -> str:
        """A digest of all of the machine's state: equal for equal machines, on any host."""
        from procession.kernel.state_hash import state_hash

        return state_hash(self.kernel)

    def close(self) -> None:
        """Give back what the machine holds of the host. It can be looked at still, but not run."""
        if self.is_closed:
            return
        if self.kernel.live is not None and not self.is_broken_off:
            self.kernel.registers_of(self.kernel.live)
        self.is_closed = True
        self.engine.close()
        if self._keeper is not None:
            self._keeper.close()
        for volume in self.volumes:
            volume.close()


def _make_memory(size: int, injector: FaultInjector | None) -> PhysicalMemory:
    """Physical memory of `size` bytes, from which pages of files are let go when it runs out."""
    if injector is None:
        memory = PhysicalMemory(size)
    else:
        # Imported only here, as most machines' allocations don't fail on purpose.
        from procession.hardware.fault_injection import FailingMemory

        memory = FailingMemory(size, injector)
    memory.reclaimer = PageReclaimer()
    return memory


def _point_at_script(task: Task, number: int) -> None:
    set_register(task.registers.general, R12, number)
    set_register(task.registers.general, RIP, 0)


REAPER_SCRIPT: tuple[Step, ...] = (
    "reap",
    Call(61, -1, 0, 0, 0),
    Branch(lambda result: result >= 0, "reap"),
    Call(128, MASK_ADDRESS, 0, 0, 8),
    Branch(lambda result: True, "reap"),
)
"""What init does where there is no processor to run its code."""
