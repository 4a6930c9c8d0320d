"""A run as a trace that Perfetto shows: a track for each task, its states as slices, arrows between them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from procession.abi.named_tuple import NamedTuple
from procession.inspection.event import Event, Executed, SignalDelivered, SignalGenerated, Woken
from procession.inspection.timeline import Life, Span, Timeline, signal_text
from procession.kernel.task_state import TaskState

_PACKAGE = "procession.perfetto"
_UINT64, _INT32, _FIXED64 = (
    FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_INT32,
    FieldDescriptorProto.TYPE_FIXED64,
)
_UINT32, _STRING = FieldDescriptorProto.TYPE_UINT32, FieldDescriptorProto.TYPE_STRING

FIELDS: Final[dict[str, tuple[tuple[str, int, Any, bool], ...]]] = {
    "Trace": (("packet", 1, "TracePacket", True),),
    "TracePacket": (
        ("timestamp", 8, _UINT64, False),
        ("trusted_packet_sequence_id", 10, _UINT32, False),
        ("track_event", 11, "TrackEvent", False),
        ("sequence_flags", 13, _UINT32, False),
        ("track_descriptor", 60, "TrackDescriptor", False),
    ),
    "TrackDescriptor": (
        ("uuid", 1, _UINT64, False),
        ("name", 2, _STRING, False),
        ("process", 3, "ProcessDescriptor", False),
        ("thread", 4, "ThreadDescriptor", False),
        ("parent_uuid", 5, _UINT64, False),
    ),
    "ProcessDescriptor": (("pid", 1, _INT32, False), ("process_name", 6, _STRING, False)),
    "ThreadDescriptor": (
        ("pid", 1, _INT32, False),
        ("tid", 2, _INT32, False),
        ("thread_name", 5, _STRING, False),
    ),
    "TrackEvent": (
        ("type", 9, _INT32, False),
        ("track_uuid", 11, _UINT64, False),
        ("categories", 22, _STRING, True),
        ("name", 23, _STRING, False),
        ("flow_ids", 47, _FIXED64, True),
        ("terminating_flow_ids", 48, _FIXED64, True),
    ),
}
"""The messages of Perfetto's format that are written, and their fields: name, number, type, if repeated."""
_SLICE_BEGIN, _SLICE_END, _INSTANT = 1, 2, 3
_SEQUENCE = 1
_STATE_CLEARED = 1
_PROCESS_TRACKS = 1 << 32
_LATE = 1 << 40
"""Instants come behind the slices that begin at the same time."""


class _Mark(NamedTuple):
    """One event on a track, before it's a message; `order` puts what happens at one time in its order."""

    time_ns: int
    order: int
    kind: int
    track: int
    name: str
    category: str
    starting_flow: int
    ending_flow: int


def perfetto_trace(timeline: Timeline) -> bytes:
    """The trace of `timeline` as a file's contents.

    Each process is a track of its own with a track for each of its threads, on which states are slices, named
    by the state and why; programs and signals are instants. Arrows lead to a task from who made, woke or
    signalled it.
    """
    classes = _message_classes()
    trace: Any = classes["Trace"]()
    for number, life in enumerate(timeline.lives):
        _describe(trace, life, number)
    for position, mark in enumerate(sorted(_marks(timeline), key=lambda mark: mark[:2])):
        packet = _packet(trace, mark.time_ns)
        if position == 0:
            packet.sequence_flags = _STATE_CLEARED
        event = packet.track_event
        event.type, event.track_uuid = mark.kind, mark.track
        if mark.name:
            event.name = mark.name
            event.categories.append(mark.category)
        if mark.starting_flow:
            event.flow_ids.append(mark.starting_flow)
        if mark.ending_flow:
            event.terminating_flow_ids.append(mark.ending_flow)
    contents = trace.SerializeToString()
    assert isinstance(contents, bytes)
    return contents


def _packet(trace: Any, time_ns: int) -> Any:
    packet = trace.packet.add()
    packet.timestamp = time_ns
    packet.trusted_packet_sequence_id = _SEQUENCE
    return packet


def _describe(trace: Any, life: Life, number: int) -> None:
    """The track of a life; a process's leader makes the process's track too."""
    descriptor = _packet(trace, 0).track_descriptor
    descriptor.uuid = number + 1
    name = f"{life.name or 'task'} {life.tid}"
    descriptor.name = name
    thread = descriptor.thread
    thread.pid, thread.tid, thread.thread_name = life.pid, life.tid, name
    if life.tid == life.pid:
        process_track = _packet(trace, 0).track_descriptor
        process_track.uuid = _PROCESS_TRACKS + number
        process_track.process.pid = life.pid
        process_track.process.process_name = name


def _marks(timeline: Timeline) -> Iterator[_Mark]:
    flows = count(1)
    tracks: dict[int, int] = {}
    for number, life in enumerate(timeline.lives):
        track = number + 1
        maker = tracks.get(life.parent_tid)
        if maker is not None and life.spans:
            yield from _arrow(next(flows), life.spans[0].start_ns, maker, track, "makes", "made")
        tracks[life.tid] = track
        for position, span in enumerate(life.spans):
            if span.state is TaskState.DEAD:
                break
            end_ns = timeline.end_ns if span.end_ns < 0 else span.end_ns
            order = 4 * position
            yield _Mark(span.start_ns, order, _SLICE_BEGIN, track, _span_name(span), "state", 0, 0)
            yield _Mark(end_ns, order + 3, _SLICE_END, track, "", "", 0, 0)
        for event in life.events:
            name = _instant_name(event)
            if name:
                yield _Mark(event.time_ns, _LATE, _INSTANT, track, name, "event", 0, 0)
            sender = _sender(event)
            if sender in tracks and tracks[sender] != track:
                what, becomes = _arrow_names(event)
                yield from _arrow(next(flows), event.time_ns, tracks[sender], track, what, becomes)


def _arrow(flow: int, time_ns: int, source: int, target: int, what: str, becomes: str) -> Iterator[_Mark]:
    yield _Mark(time_ns, _LATE, _INSTANT, source, what, "arrow", flow, 0)
    yield _Mark(time_ns, _LATE + 1, _INSTANT, target, becomes, "arrow", 0, flow)


def _span_name(span: Span) -> str:
    return f"{span.state.name}: {span.cause}" if span.cause else span.state.name


def _instant_name(event: Event) -> str:
    if isinstance(event, Executed):
        return f"executes {event.path.decode('utf-8', 'replace')}"
    if isinstance(event, SignalDelivered):
        return f"takes {signal_text(event.signal)} ({event.action})"
    return ""


def _sender(event: Event) -> int:
    if isinstance(event, Woken):
        return event.waker_tid
    if isinstance(event, SignalGenerated):
        return event.sender_tid
    return 0


def _arrow_names(event: Event) -> tuple[str, str]:
    if isinstance(event, SignalGenerated):
        name = signal_text(event.signal)
        return f"sends {name} to {event.tid}", f"is sent {name}, {event.outcome}"
    return f"wakes {event.tid}", "is woken"


def _message_classes() -> dict[str, Any]:
    """The classes of FIELDS' messages."""
    file = FileDescriptorProto(name="procession_perfetto.proto", package=_PACKAGE, syntax="proto2")
    for message_name, fields in FIELDS.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind, is_repeated in fields:
            field = message.field.add(name=name, number=number)
            field.label = (
                FieldDescriptorProto.LABEL_REPEATED if is_repeated else FieldDescriptorProto.LABEL_OPTIONAL
            )
            if isinstance(kind, str):
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{kind}"
            else:
                field.type = kind
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in FIELDS}
