"""Pictures that Mermaid and Graphviz draw: the states of tasks, the tree of processes, the namespaces,
the IPC graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_US
from procession.inspection.timeline import Life, Timeline
from procession.kernel.task_state import TaskState

if TYPE_CHECKING:
    from procession.inspection.namespaces import NamespacePlace
    from procession.kernel.waits.channels import Party
    from procession.kernel.waits.graph import IpcGraph


def state_diagram(timeline: Timeline) -> str:
    """Mermaid's stateDiagram-v2 of the transitions that happened, with counts and mean times before them."""
    lines = ["stateDiagram-v2"]
    reached = {life.spans[0].state for life in timeline.lives if life.spans}
    lines += [f"    [*] --> {state.name}" for state in sorted(reached)]
    for edge in timeline.edges():
        label = f"{edge.times}x, after {_us(edge.total_ns // edge.times)}"
        lines.append(f"    {edge.before.name} --> {edge.after.name}: {label}")
    if any(life.spans and life.spans[-1].state is TaskState.DEAD for life in timeline.lives):
        lines.append("    DEAD --> [*]")
    return "\n".join(lines) + "\n"


def state_graph(timeline: Timeline) -> str:
    """The same for Graphviz, as a digraph."""
    lines = ["digraph states {", "    node [shape=box, style=rounded];"]
    for edge in timeline.edges():
        label = f"{edge.times}x\\nafter {_us(edge.total_ns // edge.times)}"
        lines.append(f'    {edge.before.name} -> {edge.after.name} [label="{label}"];')
    return "\n".join((*lines, "}")) + "\n"


def process_diagram(timeline: Timeline) -> str:
    """Mermaid's flowchart of who made whom, each with its end."""
    lines = ["flowchart TD"]
    for number, life in enumerate(timeline.lives):
        lines.append(f'    t{number}["{_mermaid_text(_life_label(life))}"]')
    lines += [f"    t{maker} --> t{made}" for maker, made in _making(timeline.lives)]
    return "\n".join(lines) + "\n"


def process_graph(timeline: Timeline) -> str:
    """The same for Graphviz."""
    lines = ["digraph processes {", "    node [shape=box];"]
    for number, life in enumerate(timeline.lives):
        lines.append(f'    t{number} [label="{_quoted(_life_label(life))}"];')
    lines += [f"    t{maker} -> t{made};" for maker, made in _making(timeline.lives)]
    return "\n".join((*lines, "}")) + "\n"


def ipc_diagram(graph: IpcGraph) -> str:
    """Mermaid's flowchart of who can talk to whom through what, at one moment."""
    lines = ["flowchart LR"]
    nodes, edges = _ipc_parts(graph)
    for key, (label, is_task) in nodes.items():
        text = _mermaid_text(label)
        lines.append(f'    {key}["{text}"]' if is_task else f'    {key}(["{text}"])')
    lines += [f'    {source} -- "{_mermaid_text(label)}" --> {target}' for source, target, label in edges]
    return "\n".join(lines) + "\n"


def ipc_dot(graph: IpcGraph) -> str:
    """The same for Graphviz."""
    lines = ["digraph ipc {", "    rankdir=LR;"]
    nodes, edges = _ipc_parts(graph)
    for key, (label, is_task) in nodes.items():
        lines.append(f'    {key} [label="{_quoted(label)}", shape={"box" if is_task else "ellipse"}];')
    for source, target, label in edges:
        lines.append(f'    {source} -> {target} [label="{_quoted(label)}"];')
    return "\n".join((*lines, "}")) + "\n"


def namespace_diagram(places: Iterable[NamespacePlace]) -> str:
    """Mermaid's flowchart of the namespaces: those around others, or that own them, above."""
    lines = ["flowchart TD"]
    places = list(places)
    lines += [f'    n{place.number}["{_mermaid_text(_place_label(place))}"]' for place in places]
    lines += [f"    n{place.parent} --> n{place.number}" for place in places if place.parent]
    return "\n".join(lines) + "\n"


def namespace_dot(places: Iterable[NamespacePlace]) -> str:
    """The same for Graphviz."""
    lines = ["digraph namespaces {", "    node [shape=box];"]
    places = list(places)
    lines += [f'    n{place.number} [label="{_quoted(_place_label(place))}"];' for place in places]
    lines += [f"    n{place.parent} -> n{place.number};" for place in places if place.parent]
    return "\n".join((*lines, "}")) + "\n"


def _place_label(place: NamespacePlace) -> str:
    label = f"{place.kind}:[{place.number}]"
    return f"{label} tasks {', '.join(map(str, place.tids))}" if place.tids else label


def _making(lives: Iterable[Life]) -> list[tuple[int, int]]:
    """Pairs of positions in `lives`: who made whom."""
    latest: dict[int, int] = {}
    pairs = []
    for number, life in enumerate(lives):
        if life.parent_tid in latest:
            pairs.append((latest[life.parent_tid], number))
        latest[life.tid] = number
    return pairs


def _life_label(life: Life) -> str:
    last = life.spans[-1] if life.spans else None
    end = ""
    for span in life.spans:
        if span.state is TaskState.ZOMBIE:
            end = f", {span.cause}"
    if last is not None and last.state is TaskState.ZOMBIE:
        end += ", not reaped"
    return f"{life.tid} {life.name or '?'}{end}"


def _us(nanoseconds: int) -> str:
    return f"{nanoseconds / NS_PER_US:.1f} us"


def _mermaid_text(text: str) -> str:
    return text.replace("#", "#35;").replace('"', "#quot;").replace("\n", " ")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _ipc_parts(graph: IpcGraph) -> tuple[dict[str, tuple[str, bool]], list[tuple[str, str, str]]]:
    """Nodes by key, with their label and whether they're processes, and edges: from, to, label."""
    nodes: dict[str, tuple[str, bool]] = {}
    edges: list[tuple[str, str, str]] = []
    for number, channel in enumerate(graph.channels):
        key = f"c{number}"
        nodes[key] = (" ".join(filter(None, (channel.kind, channel.name, channel.queued))), False)
        for party in (*channel.writers, *channel.readers):
            nodes.setdefault(f"p{party.pid}", (f"{party.pid} {party.name}", True))
        edges += [(f"p{party.pid}", key, _end_label(party)) for party in channel.writers]
        edges += [(key, f"p{party.pid}", _end_label(party)) for party in channel.readers]
    for wait in graph.waits:
        nodes.setdefault(f"p{wait.pid}", (f"{wait.pid} {wait.name}", True))
        edges += [(f"p{wait.pid}", f"p{waker}", "waits for") for waker in wait.wakers if f"p{waker}" in nodes]
    return nodes, edges


def _end_label(party: Party) -> str:
    if party.is_on_its_way:
        return "on its way"
    return "mapped" if party.descriptor is None else f"fd {party.descriptor}"
