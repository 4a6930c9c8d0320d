"""The namespaces of a machine at one moment: which lies in which, and who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.fs.user_namespace import UserNamespace
from procession.kernel.namespaces.pid import PidNamespace

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel


class NamespacePlace(NamedTuple):
    """A namespace among the others: `parent` is the one around it, or else the user namespace that owns it.

    0 stands for no number. `tids` are the tasks in it, of user and pid namespaces alone.
    """

    kind: str
    number: int
    level: int
    parent: int
    tids: tuple[int, ...]


def namespace_places(kernel: Kernel) -> list[NamespacePlace]:
    """All that there are, in the order in which they were made."""
    members: dict[int, list[int]] = {}
    for task in sorted(kernel.tasks, key=lambda task: task.tid):
        for namespace in (task.pid_namespace, task.credentials.user_namespace):
            members.setdefault(namespace.number, []).append(task.tid)
    places: list[NamespacePlace] = []
    for found in kernel.vfs.namespaces.live.values():
        level, parent = 0, 0 if found.type_name == "user" else found.owner.number
        if isinstance(found, PidNamespace | UserNamespace):
            level = found.level
            parent = parent if found.parent is None else found.parent.number
        tids = tuple(members.get(found.number, ()))
        places.append(NamespacePlace(found.type_name, found.number, level, parent, tids))
    return places


def namespace_tree(kernel: Kernel) -> str:
    """The namespaces of the machine: users' and pids' as trees, each with who is in it."""
    lines: list[str] = []
    places = namespace_places(kernel)
    for kind in ("user", "pid"):
        lines.append(f"{kind} namespaces")
        for place in places:
            if place.kind == kind:
                tids = ", ".join(map(str, place.tids)) or "nobody"
                lines.append(f"{'  ' * (place.level + 2)}{kind}:[{place.number}] tasks {tids}")
    lines.append("others")
    lines += [
        f"    {place.kind}:[{place.number}] owned by user:[{place.parent}]"
        for place in places
        if place.kind not in ("user", "pid")
    ]
    return "\n".join(lines) + "\n"
