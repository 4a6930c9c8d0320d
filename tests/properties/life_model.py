"""An independent model of processes' lives: families, threads, jobs, stops, ends, and what waits report."""

from __future__ import annotations

from typing import NamedTuple

INIT = 1
SIGHUP, SIGKILL, SIGCHLD, SIGCONT, SIGSTOP = 1, 9, 17, 18, 19
WNOHANG, WUNTRACED, WCONTINUED, WNOTHREAD, WALL, WCLONE = 1, 2, 8, 0x20000000, 0x40000000, 0x80000000
ECHILD, EPERM, ESRCH, EINVAL = 10, 1, 3, 22


class Wait(NamedTuple):
    """wait4's arguments."""

    pid: int
    options: int


class Thread:
    """One task. `children` are the processes that it made or got, `wait` what it sleeps for."""

    def __init__(self, tid: int, process: Process) -> None:
        self.tid = tid
        self.process = process
        self.children: list[Process] = []
        self.wait: Wait | None = None
        self.is_woken = False
        self.is_stopped = False
        self.shall_stop = False
        self.shall_die = False
        self.has_ended = False


class Process:
    """A thread group."""

    def __init__(self, pid: int, parent: Thread | None, exit_signal: int) -> None:
        self.pid = pid
        self.parent = parent
        self.exit_signal = exit_signal
        self.threads: list[Thread] = []
        self.group = pid
        self.session = pid
        self.ignores_children = False
        self.is_subreaper = False
        self.is_ending = False
        self.code = 0
        self.is_stopped = False
        self.stop_report = 0
        self.continue_report = False
        self.tells_of_continuing = False
        self.hangup_waits = False

    @property
    def leader(self) -> Thread:
        return self.threads[0]

    @property
    def living(self) -> list[Thread]:
        return [thread for thread in self.threads if not thread.has_ended]

    @property
    def is_zombie(self) -> bool:
        return not self.living


class LifeModel:
    """All processes but init, whose pid is 1 and whose children are in `init`."""

    def __init__(self) -> None:
        self.processes: dict[int, Process] = {}
        self.threads: dict[int, Thread] = {}
        root = Process(INIT, None, 0)
        self.init = Thread(INIT, root)
        root.threads.append(self.init)
        self.results: dict[int, tuple[int, int]] = {}

    # Being made

    def add_process(self, pid: int, parent: Thread, exit_signal: int = SIGCHLD) -> Process:
        process = Process(pid, parent, exit_signal)
        self.add_thread(pid, process)
        parent.children.append(process)
        self.processes[pid] = process
        if parent is not self.init:
            process.group, process.session = parent.process.group, parent.process.session
            process.ignores_children = parent.process.ignores_children
        return process

    def add_sibling(self, pid: int, of: Thread) -> Process:
        """CLONE_PARENT."""
        parent = of.process.parent
        assert parent is not None
        process = self.add_process(pid, parent, of.process.exit_signal)
        process.group, process.session = of.process.group, of.process.session
        process.ignores_children = of.process.ignores_children
        return process

    def add_thread(self, tid: int, process: Process) -> Thread:
        thread = self.threads[tid] = Thread(tid, process)
        process.threads.append(thread)
        return thread

    # Process groups and sessions

    def members(self, group: int) -> list[Process]:
        return [process for process in self.processes.values() if process.group == group]

    def set_group(self, caller: Process, pid: int, group: int) -> int:
        """setpgid(2)."""
        pid = pid or caller.pid
        group = group or pid
        target = self.processes.get(pid)
        if target is None or (
            target is not caller and (target.parent is None or target.parent.process is not caller)
        ):
            return -ESRCH
        if target is not caller and target.session != caller.session:
            return -EPERM
        if target.session == target.pid:
            return -EPERM
        if group != pid and not any(member.session == caller.session for member in self.members(group)):
            return -EPERM
        target.group = group
        return 0

    def start_session(self, caller: Process) -> int:
        """setsid(2)."""
        if self.members(caller.pid):
            return -EPERM
        caller.group = caller.session = caller.pid
        return caller.pid

    def is_orphaned(self, group: int, leaving: Process | None) -> bool:
        for member in self.members(group):
            if member is leaving or member.is_zombie or member.parent is None:
                continue
            parent = member.parent.process
            if parent.pid != INIT and parent.group != group and parent.session == member.session:
                return False
        return True

    def hang_up(self, process: Process, parent: Process, leaving: Process | None) -> None:
        """`parent`, an end of which is near or has come, was perhaps what kept a job from being orphaned."""
        group = process.group
        if parent.pid == INIT or parent.group == group or parent.session != process.session:
            return
        members = self.members(group)
        if self.is_orphaned(group, leaving) and any(member.is_stopped for member in members):
            for member in members:
                self.send_hangup(member)
            for member in members:
                self.send_continue(member)

    # Signals

    def send_hangup(self, process: Process) -> None:
        if process.is_zombie or process.is_ending:
            return
        if any(not thread.is_stopped and not thread.shall_stop for thread in process.living):
            self.begin_end(process, SIGHUP)
        else:
            process.hangup_waits = True

    def kill(self, process: Process) -> None:
        if not process.is_zombie and not process.is_ending:
            self.begin_end(process, SIGKILL)

    def begin_end(self, process: Process, code: int) -> None:
        process.is_ending = True
        process.code = code
        process.is_stopped = process.continue_report = process.tells_of_continuing = False
        for thread in process.living:
            thread.shall_die = True
            thread.is_stopped = thread.shall_stop = False
            if thread.wait is not None:
                thread.is_woken = True

    def send_stop(self, process: Process) -> None:
        if process.is_zombie or process.is_ending:
            return
        for thread in process.living:
            if not thread.is_stopped:
                thread.shall_stop = True
                if thread.wait is not None:
                    thread.is_woken = True
        if not process.is_stopped:
            process.stop_report = SIGSTOP

    def send_continue(self, process: Process) -> None:
        if process.is_zombie or process.is_ending:
            return
        for thread in process.living:
            if thread.is_stopped:
                thread.is_stopped = False
                if thread.wait is not None:
                    thread.is_woken = True
        if process.is_stopped:
            process.is_stopped = False
            process.stop_report = 0
            process.continue_report = process.tells_of_continuing = True
            if process.hangup_waits:
                process.hangup_waits = False
                # It dies of it as soon as one of its threads runs, having told of its going on.
                self.tell(process)
                self.begin_end(process, SIGHUP)

    def tell(self, process: Process) -> None:
        """Wake whoever waits in the parent."""
        if process.parent is not None:
            for thread in process.parent.process.living:
                if thread.wait is not None and not thread.is_stopped:
                    thread.is_woken = True

    # What happens by itself

    def settle(self) -> None:
        """Let the threads do what they have to, the first made first."""
        while True:
            thread = next((each for each in self.threads.values() if self.has_to_go_on(each)), None)
            if thread is None:
                return
            process = thread.process
            if thread.is_woken:
                thread.is_woken = False
                self.look(thread)
            if process.tells_of_continuing and not thread.is_stopped:
                process.tells_of_continuing = False
                self.tell(process)
            if thread.shall_die:
                self.end_thread(thread, process.code)
            elif thread.shall_stop:
                self.stop(thread)

    @staticmethod
    def has_to_go_on(thread: Thread) -> bool:
        if thread.has_ended or thread.is_stopped:
            return False
        tells = thread.process.tells_of_continuing and not thread.is_stopped
        return thread.is_woken or thread.shall_die or thread.shall_stop or tells

    def stop(self, thread: Thread) -> None:
        thread.shall_stop = False
        thread.is_stopped = True
        process = thread.process
        if not process.is_stopped and all(each.is_stopped for each in process.living):
            process.is_stopped = True
            process.continue_report = False
            self.tell(process)

    # Ends

    def end_thread(self, thread: Thread, code: int) -> None:
        """One thread ends, and with the last one the process."""
        process = thread.process
        is_last = process.living == [thread]
        if is_last and not process.is_ending:
            process.is_ending = True
            process.code = code
        thread.wait = None
        self.give_children_away(thread)
        if is_last and process.parent is not None:
            self.hang_up(process, process.parent.process, process)
        thread.has_ended = True
        thread.shall_die = thread.shall_stop = thread.is_woken = False
        if thread is not process.leader:
            process.threads.remove(thread)
            del self.threads[thread.tid]
        if process.is_zombie and len(process.threads) == 1:
            process.is_stopped = process.continue_report = False
            self.announce(process)
        elif not is_last and not process.is_stopped and process.living:
            self.complete_stop(process)

    def complete_stop(self, process: Process) -> None:
        """The others may all have stopped already."""
        if all(each.is_stopped for each in process.living) and not process.is_ending:
            process.is_stopped = True
            self.tell(process)

    def end(self, thread: Thread, code: int) -> None:
        """exit_group(2)."""
        process = thread.process
        if len(process.living) > 1 and not process.is_ending:
            self.begin_end(process, code)
        self.end_thread(thread, process.code if process.is_ending else code)

    def give_children_away(self, thread: Thread) -> None:
        if not thread.children:
            return
        reaper = self.reaper_of(thread)
        children, thread.children = thread.children, []
        for child in children:
            child.parent = reaper
            reaper.children.append(child)
            if reaper.process is thread.process:
                continue
            child.exit_signal = SIGCHLD
            if child.is_zombie and len(child.threads) == 1:
                self.announce(child)
            self.hang_up(child, thread.process, None)

    def reaper_of(self, thread: Thread) -> Thread:
        for other in thread.process.living:
            if other is not thread:
                return other
        ancestor = thread.process.parent
        while ancestor is not None and ancestor is not self.init:
            if ancestor.process.is_subreaper and ancestor.process.living:
                return ancestor.process.living[0]
            ancestor = ancestor.process.parent
        return self.init

    def announce(self, process: Process) -> None:
        parent = process.parent
        assert parent is not None
        self.tell(process)
        if process.exit_signal == SIGCHLD and parent.process.ignores_children:
            self.reap(process)

    def reap(self, process: Process) -> None:
        assert process.parent is not None
        process.parent.children.remove(process)
        del self.processes[process.pid]
        del self.threads[process.pid]

    # Waiting

    def wait(self, thread: Thread, wait: Wait) -> int | None:
        """wait4(2): the result, None if it sleeps. The status is left in `results`."""
        self.results.pop(thread.tid, None)
        thread.wait = wait
        self.look(thread)
        return self.results[thread.tid][0] if thread.tid in self.results else None

    def look(self, thread: Thread) -> None:
        wait = thread.wait
        if wait is None:
            return
        threads = [thread]
        if not wait.options & WNOTHREAD:
            threads += [other for other in thread.process.threads if other is not thread]
        candidates = [
            child for each in threads for child in each.children if self.is_meant(thread, wait, child)
        ]
        for child in candidates:
            status = self.report(child, wait.options)
            if status is not None:
                self.finish(thread, child.pid, status)
                return
        if not candidates:
            self.finish(thread, -ECHILD, 0)
        elif wait.options & WNOHANG:
            self.finish(thread, 0, 0)

    def finish(self, thread: Thread, result: int, status: int) -> None:
        thread.wait = None
        self.results[thread.tid] = result, status

    @staticmethod
    def is_meant(thread: Thread, wait: Wait, child: Process) -> bool:
        if wait.pid > 0 and child.pid != wait.pid:
            return False
        if wait.pid == 0 and child.group != thread.process.group:
            return False
        if wait.pid < -1 and child.group != -wait.pid:
            return False
        return bool(wait.options & WALL) or (child.exit_signal != SIGCHLD) == bool(wait.options & WCLONE)

    def report(self, child: Process, options: int) -> int | None:
        """What a wait finds of `child`, which is taken."""
        if child.is_zombie:
            code = child.code
            self.reap(child)
            return code
        if child.leader.has_ended:
            return None
        if options & WUNTRACED and child.is_stopped and child.stop_report:
            status, child.stop_report = child.stop_report << 8 | 0x7F, 0
            return status
        if options & WCONTINUED and child.continue_report:
            child.continue_report = False
            return 0xFFFF
        return None
