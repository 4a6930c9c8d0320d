"""Runs in the forms of other tools, read back as those read them."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos

from procession import Machine
from procession.export.diagram import (
    ipc_diagram,
    ipc_dot,
    process_diagram,
    process_graph,
    state_diagram,
    state_graph,
)
from procession.export.json_lines import JsonLines, schema
from procession.export.perfetto import perfetto_trace
from procession.export.table import write_csv, write_sqlite
from procession.inspection.event import Event, SystemCallReturned
from procession.inspection.recorder import EventRecorder
from procession.inspection.timeline import (
    GENERATED_TO_DELIVERED,
    RUNNABLE_TO_RUNNING,
    ZOMBIE_TO_REAPED,
    Timeline,
)
from procession.kernel.task_state import TaskState

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = "(exit 3) & sleep 100 & kill -9 $!; wait; ls / | head -2 | wc -l"


@pytest.fixture(scope="module")
def events(guest_root: Path) -> list[Event]:
    machine = Machine(seed=1, rootfs=guest_root)
    found: list[Event] = []
    machine.observe(EventRecorder(machine.kernel, found.append))
    assert machine.run(["bash", "-c", SCRIPT]).stdout == b"2\n"
    return found


@pytest.fixture(scope="module")
def timeline(events: list[Event]) -> Timeline:
    return Timeline().take_all(events)


def test_lives_are_told_with_causes(timeline: Timeline) -> None:
    by_name = {life.name: life for life in timeline.lives}
    assert {"bash", "ls", "head", "wc"} <= set(by_name)
    causes = [span.cause for life in timeline.lives for span in life.spans]
    assert "exit status 3" in causes
    assert "killed by SIGKILL" in causes
    assert "sleeps in wait4" in causes
    assert "woken by queue" in causes
    for life in timeline.lives:
        for left, reached in zip(life.spans, life.spans[1:], strict=False):
            assert left.end_ns == reached.start_ns
            assert left.start_ns <= left.end_ns


def test_edges_count_what_happened(timeline: Timeline) -> None:
    edges = {(edge.before, edge.after): edge.times for edge in timeline.edges()}
    ended = sum(span.state is TaskState.ZOMBIE for life in timeline.lives for span in life.spans)
    assert edges[TaskState.ZOMBIE, TaskState.DEAD] == ended
    assert edges[TaskState.RUNNING, TaskState.ZOMBIE] == ended


def test_latencies_add_up(timeline: Timeline) -> None:
    for kind in (RUNNABLE_TO_RUNNING, ZOMBIE_TO_REAPED, GENERATED_TO_DELIVERED):
        summary = timeline.summary(kind)
        assert summary is not None
        assert 0 <= summary.least_ns <= summary.median_ns <= summary.most_ns <= summary.total_ns
    mine = timeline.summary(ZOMBIE_TO_REAPED, timeline.lives[-1].tid)
    assert mine is not None
    assert mine.times == 1
    assert timeline.summary("nothing") is None


def test_perfetto_reads_tracks_slices_and_arrows(timeline: Timeline) -> None:
    trace = protos.Trace()
    trace.ParseFromString(perfetto_trace(timeline))
    threads = {
        packet.track_descriptor.uuid: packet.track_descriptor.thread.tid
        for packet in trace.packet
        if packet.track_descriptor.HasField("thread")
    }
    assert sorted(threads.values()) == sorted(life.tid for life in timeline.lives)
    depth = dict.fromkeys(threads, 0)
    begun, ended = set(), set()
    last_ns = 0
    for packet in trace.packet:
        if not packet.HasField("track_event"):
            continue
        event = packet.track_event
        assert packet.timestamp >= last_ns
        last_ns = packet.timestamp
        if event.type == protos.TrackEvent.TYPE_SLICE_BEGIN:
            depth[event.track_uuid] += 1
            assert depth[event.track_uuid] == 1, "states don't overlap"
        elif event.type == protos.TrackEvent.TYPE_SLICE_END:
            depth[event.track_uuid] -= 1
        begun.update(event.flow_ids)
        ended.update(event.terminating_flow_ids)
    assert not any(depth.values())
    assert begun
    assert begun == ended


def test_diagrams_show_states_and_processes(timeline: Timeline) -> None:
    assert "RUNNING --> ZOMBIE: 6x" in state_diagram(timeline)
    assert 'RUNNING -> ZOMBIE [label="6x' in state_graph(timeline)
    assert "killed by SIGKILL" in process_diagram(timeline)
    assert process_graph(timeline).count("->") == 5


def test_diagrams_of_the_ipc_graph(guest_root: Path) -> None:
    machine = Machine(seed=1, rootfs=guest_root)
    machine.start(["bash", "-c", "sleep 5 | cat"])
    machine.run_until(lambda machine: "cat" in str(machine.ipc_graph()))
    graph = machine.ipc_graph()
    assert "fd 1" in ipc_diagram(graph)
    assert "pipe" in ipc_dot(graph)


def test_lines_of_json_keep_to_their_schema(events: list[Event]) -> None:
    output = io.StringIO()
    JsonLines(output).take_all(events)
    validator = Draft202012Validator(schema())
    lines = output.getvalue().splitlines()
    assert len(lines) == len(events)
    for line in lines:
        validator.validate(json.loads(line))


def test_the_schema_in_the_docs_is_current() -> None:
    page = PROJECT / "docs" / "event.schema.json"
    assert json.loads(page.read_text()) == schema(), "run: procession trace --schema > docs/event.schema.json"


def test_tables_hold_every_event(events: list[Event], timeline: Timeline, tmp_path: Path) -> None:
    output = io.StringIO(newline="")
    write_csv(events, output)
    rows = list(csv.reader(io.StringIO(output.getvalue(), newline="")))
    assert len(rows) == len(events) + 1
    path = tmp_path / "run.sqlite"
    write_sqlite(events, path, timeline)
    database = sqlite3.connect(path)
    counts = [
        database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE name NOT IN ('span', 'latency')"
        )
    ]
    assert sum(counts) == len(events)
    (killed,) = database.execute("SELECT count(*) FROM span WHERE cause = 'killed by SIGKILL'").fetchone()
    assert killed == 1
    database.close()
    with pytest.raises(FileExistsError):
        write_sqlite(events, path)


def test_words_that_sqlite_has_no_numbers_for(tmp_path: Path) -> None:
    event = SystemCallReturned(1, 2, 2, 3, "close", 2**64 - 1, "", "")
    write_sqlite([event], tmp_path / "events.sqlite")
    with sqlite3.connect(tmp_path / "events.sqlite") as database:
        assert database.execute("SELECT result FROM system_call_returned").fetchall() == [(hex(2**64 - 1),)]
