"""Random changes of mounts in several namespaces keep all that mounts know of each other consistent."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.errno import Errno
from procession.fs.dentry import Path
from procession.fs.fs_context import FsContext
from procession.fs.mounts.attach import bind, copy_for_bind, move, pivot_root, share_like
from procession.fs.mounts.context_file import TreeFile, open_detached
from procession.fs.mounts.mount import Mount
from procession.fs.mounts.namespace import MountNamespace, copy_mount_namespace
from procession.fs.mounts.peers import MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE, peers_of, slaves_of
from procession.fs.mounts.reconfigure import set_propagation
from procession.fs.mounts.unmount import MNT_DETACH, unmount
from procession.fs.namei import lookup
from procession.fs.tmpfs import Tmpfs
from procession.fs.user_namespace import UserNamespace
from tests.fs.file_tree import FileTree, new_tmpfs_tree
from tests.of_a_kind import examples

NAMES = (b"/a", b"/b", b"/c", b"/a/x", b"/b/x", b"/c/x", b"/a/x/x", b"/", b"/f")
KINDS = (MS_SHARED, MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE)
ACTIONS = (
    *("mount", "bind", "rbind", "move", "propagate", "unmount", "detach", "copy") * 2,
    *("less", "end", "tree", "attach", "beneath", "group", "pivot", "enter", "leave", "close"),
)
steps = st.tuples(
    st.sampled_from(ACTIONS), st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 7), st.booleans()
)


class World:
    """Some namespaces with a user's place in each, and trees that aren't mounted."""

    def __init__(self) -> None:
        self.tree: FileTree = new_tmpfs_tree(8 << 20)
        for name in ("/a", "/b", "/c", "/a/x", "/b/x", "/c/x"):
            self.tree.mkdir(name)
        self.tree.create("/f")
        self.tree.vfs.mount_table.maximum = 60
        self.spaces: list[tuple[MountNamespace, FsContext]] = [(self.tree.namespace, self.tree.context)]
        self.trees: list[TreeFile] = []

    def place(self, context: FsContext, name: bytes) -> Path:
        return lookup(context, self.tree.user, name)

    def act(self, action: str, first: bytes, second: bytes, number: int, is_recursive: bool) -> None:
        space, context = self.spaces[number % len(self.spaces)]
        vfs = self.tree.vfs
        if action in ("copy", "less"):
            if len(self.spaces) < 4:
                owner = UserNamespace(vfs.namespaces, vfs.init_user_namespace) if action == "less" else None
                own = context.copy()
                try:
                    self.spaces.append((copy_mount_namespace(space, own, owner), own))
                except Errno:
                    own.put()
            return
        if action == "end":
            if len(self.spaces) > 1:
                self.spaces.remove((space, context))
                context.put()
                space.put()
            return
        if action == "close":
            if self.trees:
                self.trees.pop(number % len(self.trees)).put()
            return
        place = self.place(context, first)
        if action == "mount":
            space.mount(Tmpfs(vfs, mode=0o755), place)
            with contextlib.suppress(Errno):
                self.place(context, first).inode.mkdir(b"x", 0o755, self.tree.user)
        elif action in ("bind", "rbind"):
            bind(space, place, self.place(context, second), is_recursive=action == "rbind")
        elif action == "move":
            move(space, place, self.place(context, second), root=context.root)
        elif action == "propagate":
            set_propagation(place, KINDS[number % len(KINDS)], is_recursive=is_recursive)
        elif action in ("unmount", "detach"):
            unmount(space, place, MNT_DETACH if action == "detach" else 0, context.root)
        elif action == "tree":
            mount = copy_for_bind(space, place, is_recursive=is_recursive)
            file = open_detached(mount, space.owner, space, self.tree.user)
            file.acquire()
            self.trees.append(file)
        elif action in ("attach", "beneath") and self.trees:
            source = self.trees[number % len(self.trees)].path
            move(space, source, place, is_beneath=action == "beneath", root=context.root)
        elif action == "group":
            share_like(place, self.place(context, second))
        elif action == "pivot":
            root = context.root
            pivot_root(space, root, place, self.place(context, second))
            for _, other in self.spaces:
                other.replace(root, place)
        elif action == "enter" and place.inode.is_directory:
            context.set_cwd(place)
        elif action == "leave":
            context.set_cwd(context.root)

    def mounts(self) -> list[Mount]:
        """All mounts of all namespaces and trees."""
        namespaces = self.tree.vfs.namespaces.live.values()
        return [
            mount
            for space in namespaces
            if isinstance(space, MountNamespace)
            for mount in space.mounts.values()
        ]

    def check(self) -> None:
        """What mounts know of each other is true."""
        for space in self.tree.vfs.namespaces.live.values():
            if isinstance(space, MountNamespace):
                tree = space.root.tree()
                assert set(tree) == set(space.mounts.values())
                assert len(tree) == len(space.mounts) <= self.tree.vfs.mount_table.maximum
        groups: dict[int, set[Mount]] = {}
        for mount in self.mounts():
            assert mount.is_attached
            assert not mount.will_be_unmounted
            for mountpoint, child in mount.children.items():
                assert child.parent is mount
                assert child.mountpoint is mountpoint
                assert child.namespace is mount.namespace
                assert mountpoint.mounted is not None
                assert child in mountpoint.mounted
                assert mountpoint.is_descendant_of(mount.root)
            assert mount.next_peer.previous_peer is mount
            peers = peers_of(mount)
            assert mount.group or len(peers) == 1
            assert {peer.group for peer in peers} == {mount.group}
            assert mount.group or mount.first_slave is None
            assert len({peer.master.group if peer.master is not None else 0 for peer in peers}) == 1
            if mount.group:
                groups.setdefault(mount.group, set()).add(mount)
                assert not mount.is_unbindable
                assert set(peers) >= groups[mount.group]
            for slave in slaves_of(mount):
                assert slave.master is mount
                assert slave.namespace is not None
            if mount.master is not None:
                assert mount.master.group
                assert mount in slaves_of(mount.master)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(steps, max_size=40))
def test_mounts_stay_consistent(script: list[tuple[str, bytes, bytes, int, bool]]) -> None:
    world = World()
    for step in script:
        with contextlib.suppress(Errno):
            world.act(*step)
        world.check()
    accounts = world.tree.vfs.accounts
    while world.trees:
        world.trees.pop().put()
    for space, context in world.spaces[1:]:
        context.put()
        space.put()
    kept = world.mounts()
    used = world.tree.context
    assert accounts.mount_count >= len(kept)
    if used.root.mount.is_attached and used.cwd.mount.is_attached:
        assert accounts.mount_count == len(kept)
        assert sorted(mount.number for mount in kept) == sorted({mount.number for mount in kept})
