"""The function graph for a reader: each tree as lines, with the counterparts in Linux beside."""

from __future__ import annotations

from typing import Any

from procession.abi.duration import NS_PER_US
from procession.trace.function_graph import GraphNode, GraphTree

PLACE_COLUMN = 78


def tree_lines(tree: GraphTree, depth: int | None = None, *, shows_host_time: bool = True) -> list[str]:
    """`tree` as text, a heading and a line for each function, down to `depth` levels (None: all)."""
    root = tree.root
    name = tree.call.name if tree.call is not None else root.name
    outcome = tree.outcome
    if outcome:
        outcome = " sleeps" if outcome == "sleeps" else f" = {outcome}"
    times = f"{root.virtual_ns / NS_PER_US:.1f} us virtual"
    if shows_host_time:
        times += f", {root.host_ns / NS_PER_US:.1f} us host"
    lines = [f"{tree.task} {name}{' goes on' if tree.is_resumed else ''}{outcome}    ({times})"]
    _add(lines, root, "", "", depth)
    return lines


def _add(lines: list[str], node: GraphNode, lead: str, below: str, depth: int | None) -> None:
    text = f"{lead}{node.name}({node.arguments})"
    if node.count > 1:
        text += f" x{node.count}"
    if node.is_failed:
        text += " !"
    elif node.result:
        text += f" -> {node.result}"
    children = node.children
    effects = node.effects
    if node.frames and not children:
        effects = [*effects, f"{node.frames:+d} frame{'s' if abs(node.frames) != 1 else ''}"]
    if effects:
        text += f"  [{', '.join(effects)}]"
    if node.places_text:
        text = f"{text:<{PLACE_COLUMN}} {node.places_text}"
    lines.append(text)
    if not children or (depth is not None and depth <= 1):
        return
    for position, child in enumerate(children, 1):
        is_last = position == len(children)
        _add(
            lines,
            child,
            below + ("└─ " if is_last else "├─ "),
            below + ("   " if is_last else "│  "),
            None if depth is None else depth - 1,
        )


def tree_record(tree: GraphTree) -> dict[str, Any]:
    """`tree` as plain values, for JSON."""
    return {
        "task": tree.task,
        "call": tree.call.name if tree.call is not None else None,
        "start_ns": tree.start_ns,
        "resumed": tree.is_resumed,
        "outcome": tree.outcome,
        "root": _record(tree.root),
    }


def _record(node: GraphNode) -> dict[str, Any]:
    return {
        "function": node.name,
        "linux": [{"file": place.file, "symbols": list(place.symbols)} for place in node.places],
        "arguments": node.arguments,
        "result": node.result,
        "failed": node.is_failed,
        "effects": node.effects,
        "count": node.count,
        "frames": node.frames,
        "virtual_ns": node.virtual_ns,
        "host_ns": node.host_ns,
        "calls": [_record(child) for child in node.children],
    }
