"""The function graph, of real programs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from procession import Machine
from procession.abi.syscall_numbers import NUMBERS
from procession.trace.function_graph import FunctionGraph, GraphNode, GraphTree
from procession.trace.graph_text import tree_lines, tree_record

SCRIPT = "(exit 3) & wait $!; trap : USR1; kill -USR1 $$; echo $?"


def graph_of(guest_root: Path, chosen: str, script: str = SCRIPT) -> tuple[list[GraphTree], str]:
    machine = Machine(seed=1, rootfs=guest_root)
    trees: list[GraphTree] = []
    with FunctionGraph(machine, chosen.split(","), trees.append):
        result = machine.run(["bash", "-c", script])
    assert result.stdout == b"0\n"
    return trees, machine.state_hash()


def symbols(node: GraphNode) -> list[str]:
    """The counterparts in Linux of `node` and all below it, from above."""
    found = [symbol for place in node.places for symbol in place.symbols]
    for child in node.children:
        found += symbols(child)
    return found


def test_a_fork_is_followed_down_to_its_copies(guest_root: Path) -> None:
    trees, _ = graph_of(guest_root, "fork")
    assert [tree.call.name for tree in trees if tree.call is not None] == ["clone"]
    assert trees[0].task == "bash[2]"
    assert trees[0].outcome == "3"
    # What is checked before cites the same places.
    found = list(dict.fromkeys(reversed(symbols(trees[0].root))))[::-1]
    expected = (
        *(
            "kernel_clone",
            "copy_process",
            "copy_creds",
            "copy_fs",
            "copy_files",
            "dup_fd",
            "copy_mm",
            "dup_mmap",
        ),
        *("copy_namespaces", "alloc_pid", "dup_task_struct", "copy_thread", "sched_fork", "copy_signal"),
        *("copy_sighand", "wake_up_new_task"),
    )
    assert [symbol for symbol in found if symbol in expected] == list(expected)
    lines = tree_lines(trees[0])
    assert any("+task" in line and "kernel/fork.c, dup_task_struct" in line for line in lines)
    assert any("+files#2" in line for line in lines)
    assert any("+pid[3]" in line and "kernel/pid.c, alloc_pid" in line for line in lines)


def test_an_id_is_shown_by_its_numbers_at_each_level(guest_root: Path) -> None:
    command = "unshare -p --fork true; echo $?"
    trees, _ = graph_of(guest_root, "fork", command)
    inner = next(tree for tree in trees if tree.task.startswith("unshare["))
    assert any("-> pid[4/1]  [+pid[4/1]" in line for line in tree_lines(inner))


def test_a_wait_that_sleeps_goes_on_later(guest_root: Path) -> None:
    trees, _ = graph_of(guest_root, "wait,exit")
    mine = [tree for tree in trees if tree.task == "bash[2]" and tree.call is not None]
    assert [(tree.outcome, tree.is_resumed) for tree in mine[:2]] == [("sleeps", False), ("3", True)]
    assert "release_task" in symbols(mine[1].root)
    assert mine[2].outcome.startswith("-1 ")
    ends = [tree for tree in trees if tree.task == "bash[3]"]
    assert [tree.outcome for tree in ends] == ["doesn't return"]
    assert {"do_exit", "exit_notify", "do_notify_parent"} <= set(symbols(ends[0].root))


def test_a_read_that_sleeps_is_shown_though_another_goes_on_first(guest_root: Path) -> None:
    """The shell's wait, which isn't chosen, returns before any other call is entered."""
    trees, _ = graph_of(guest_root, "read", "sleep 2 | (read line; echo 0)")
    reader = [(tree.outcome, tree.is_resumed) for tree in trees if tree.task == "bash[4]"]
    assert reader == [("sleeps", False), ("0", True)]


def test_a_wait_that_slept_before_is_seen_to_go_on(guest_root: Path) -> None:
    machine = Machine(seed=1, rootfs=guest_root)
    machine.start(["bash", "-c", "(exit 3) & wait; exit 4"])
    waiting: list[str] = []
    while not waiting:
        assert machine.step_event() is not None
        waiting = [
            task.command_name.decode()
            for task in machine.kernel.tasks
            if task.frame is not None and task.frame.number == NUMBERS["wait4"] and task.tid == 2
        ]
    trees: list[GraphTree] = []
    with FunctionGraph(machine, ["wait"], trees.append):
        while machine.step_event() is not None:
            pass
    mine = [tree for tree in trees if tree.task == "bash[2]"]
    assert mine[0].outcome == "3"
    assert "release_task" in symbols(mine[0].root)


def test_moments_that_no_call_asks_for(guest_root: Path) -> None:
    trees, _ = graph_of(guest_root, "signal,fault,switch")
    found = {symbol for tree in trees for symbol in symbols(tree.root)}
    assert {"handle_mm_fault", "context_switch", "__send_signal_locked", "handle_signal"} <= found
    assert all(tree.call is None for tree in trees)


def test_only_switches_to_another_task_are_switches(guest_root: Path) -> None:
    trees, _ = graph_of(guest_root, "switch")
    tasks = [tree.task for tree in trees]
    assert {"bash[2]", "bash[3]"} <= set(tasks)
    assert all(one != next_one for one, next_one in pairwise(tasks))


def test_watching_changes_nothing(guest_root: Path) -> None:
    machine = Machine(seed=1, rootfs=guest_root)
    machine.run(["bash", "-c", SCRIPT])
    _, watched = graph_of(guest_root, "fork,exec,exit,wait,signal,fault,switch")
    assert watched == machine.state_hash()


def test_depth_and_records(guest_root: Path) -> None:
    trees, _ = graph_of(guest_root, "exec", "/bin/true; echo $?")
    tree = next(tree for tree in trees if tree.outcome == "0")
    assert len(tree_lines(tree, depth=2)) < len(tree_lines(tree))
    record = tree_record(tree)
    assert record["call"] == "execve"
    files = [call["linux"][0]["file"] for call in record["root"]["calls"]]
    assert "fs/exec.c" in files


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="'frok' is no system call"):
        FunctionGraph(Machine(engine="scripted"), ["frok"], lambda tree: None)
