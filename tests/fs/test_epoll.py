"""epoll(7): levels, edges, one-shots, nesting, and files that go away."""

from __future__ import annotations

import itertools

import pytest

from procession.abi.errno import EEXIST, EINVAL, ELOOP, ENOENT, ENOSPC
from procession.fs.anonymous_inode import anonymous_inodes
from procession.fs.epoll import EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EpollFile, EpollItem
from procession.fs.eventfd import EventFile
from procession.fs.fd_table import FdTable
from procession.fs.file import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, File
from procession.fs.pipe import PipeFile, create_pipe
from tests.fs.file_tree import FileTree, User, new_tmpfs_tree


class Sleeper:
    """Somebody on a queue who counts how often they are woken."""

    def __init__(self) -> None:
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1


class Scene:
    """A pipe, and instances to watch it."""

    def __init__(self) -> None:
        self.tree: FileTree = new_tmpfs_tree()
        self.reader, self.writer = self.pipe()

    def pipe(self) -> tuple[PipeFile, PipeFile]:
        reader, writer = create_pipe(self.tree.vfs, 0, self.tree.user)
        reader.acquire()
        writer.acquire()
        return reader, writer

    def instance(self, user: User | None = None) -> EpollFile:
        file = EpollFile(self.tree.vfs, user or self.tree.user)
        file.acquire()
        return file


def collect(instance: EpollFile, maximum: int = 10) -> list[tuple[int, int]]:
    """What epoll_wait gives: data and events."""
    found = instance.ready_events(maximum)
    instance.reported(found)
    return [(item.data, events) for item, events in found]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_level_is_reported_until_it_falls(scene: Scene) -> None:
    instance = scene.instance()
    instance.add(scene.reader, 3, POLLIN, 42)
    assert collect(instance) == []
    scene.writer.write(b"ab")
    assert collect(instance) == [(42, POLLIN)]
    assert collect(instance) == [(42, POLLIN)]
    scene.reader.read(2)
    assert collect(instance) == []
    assert instance.ready == {}


def test_an_edge_is_reported_once_for_each_write(scene: Scene) -> None:
    instance = scene.instance()
    instance.add(scene.reader, 3, POLLIN | EPOLLET, 1)
    scene.writer.write(b"a")
    assert collect(instance) == [(1, POLLIN)]
    assert collect(instance) == []
    scene.writer.write(b"b")
    assert collect(instance) == [(1, POLLIN)]
    scene.reader.read(1)
    assert collect(instance) == []


def test_an_edge_of_another_event_is_not_heard(scene: Scene) -> None:
    instance = scene.instance()
    event = EventFile(scene.tree.vfs, 2, 0, scene.tree.user, is_semaphore=True)
    instance.add(event, 5, POLLIN | EPOLLET, 1)
    assert collect(instance) == [(1, POLLIN)]
    event.read(8)
    assert collect(instance) == []
    event.write((1).to_bytes(8, "little"))
    assert collect(instance) == [(1, POLLIN)]


def test_a_one_shot_is_silent_until_it_is_armed_again(scene: Scene) -> None:
    instance = scene.instance()
    scene.writer.write(b"a")
    instance.add(scene.reader, 3, POLLIN | EPOLLONESHOT, 1)
    assert collect(instance) == [(1, POLLIN)]
    scene.writer.write(b"b")
    assert collect(instance) == []
    scene.writer.put()
    assert collect(instance) == []
    instance.modify(scene.reader, 3, POLLIN, 2)
    assert collect(instance) == [(2, POLLIN | POLLHUP)]


def test_errors_and_hang_ups_are_always_reported(scene: Scene) -> None:
    instance = scene.instance()
    instance.add(scene.writer, 4, 0, 1)
    assert collect(instance) == []
    scene.reader.put()
    assert collect(instance) == [(1, POLLERR)]


def test_ready_files_take_turns(scene: Scene) -> None:
    instance = scene.instance()
    pipes = [scene.pipe() for _ in range(3)]
    for number, (reader, writer) in enumerate(pipes):
        instance.add(reader, number, POLLIN, number)
        writer.write(b"x")
    assert [collect(instance, 2) for _ in range(3)] == [
        [(0, POLLIN), (1, POLLIN)],
        [(2, POLLIN), (0, POLLIN)],
        [(1, POLLIN), (2, POLLIN)],
    ]


def test_modifying_changes_which_wakes_are_heard(scene: Scene) -> None:
    instance = scene.instance()
    event = EventFile(scene.tree.vfs, 0, 0, scene.tree.user, is_semaphore=False)
    instance.add(event, 5, POLLIN | EPOLLET, 1)
    instance.modify(event, 5, POLLOUT | EPOLLET, 2)
    assert collect(instance) == [(2, POLLOUT)]
    event.write((1).to_bytes(8, "little"))
    assert collect(instance) == []
    event.read(8)
    assert collect(instance) == [(2, POLLOUT)]


def test_what_is_wrong_with_a_request(scene: Scene) -> None:
    instance = scene.instance()
    instance.add(scene.reader, 3, POLLIN, 1)
    with pytest.raises(EEXIST):
        instance.add(scene.reader, 3, POLLIN, 1)
    instance.add(scene.reader, 4, POLLIN, 2)
    with pytest.raises(ENOENT):
        instance.modify(scene.reader, 5, POLLIN, 1)
    with pytest.raises(ENOENT):
        instance.find(scene.writer, 3)
    with pytest.raises(EINVAL):
        instance.modify(scene.reader, 3, POLLIN | EPOLLEXCLUSIVE, 1)
    with pytest.raises(EINVAL):
        instance.add(scene.writer, 6, POLLOUT | EPOLLEXCLUSIVE | EPOLLONESHOT, 1)
    with pytest.raises(EINVAL):
        instance.add(scene.instance(), 6, POLLIN | EPOLLEXCLUSIVE, 1)
    instance.add(scene.writer, 6, POLLOUT | EPOLLEXCLUSIVE, 1)
    with pytest.raises(EINVAL):
        instance.modify(scene.writer, 6, POLLOUT, 1)


def test_a_closed_file_leaves(scene: Scene) -> None:
    instance = scene.instance()
    scene.writer.write(b"x")
    instance.add(scene.reader, 3, POLLIN, 1)
    queue = scene.reader.wait_queues()[0]
    scene.reader.put()
    assert instance.items == {}
    assert instance.ready == {}
    assert queue.waiters == {}
    assert collect(instance) == []


def test_a_closed_instance_leaves_no_trace(scene: Scene) -> None:
    instance = scene.instance()
    instance.add(scene.reader, 3, POLLIN, 1)
    instance.add(scene.writer, 4, POLLOUT | EPOLLEXCLUSIVE, 1)
    instance.put()
    assert scene.reader.watchers == {}
    assert scene.reader.wait_queues()[0].waiters == {}
    assert scene.writer.wait_queues()[0].waiters == {}
    assert anonymous_inodes(scene.tree.vfs).epoll_watches == {}


def test_an_instance_in_an_instance(scene: Scene) -> None:
    inner, outer = scene.instance(), scene.instance()
    inner.add(scene.reader, 3, POLLIN, 1)
    outer.add(inner, 5, POLLIN, 2)
    sleeper = Sleeper()
    outer.queue.add(sleeper)
    assert outer.poll_mask() == 0
    scene.writer.write(b"x")
    assert sleeper.wakes == 1
    assert outer.poll_mask() == POLLIN | POLLRDNORM
    assert collect(outer) == [(2, POLLIN)]
    scene.reader.read(1)
    assert collect(outer) == []


def test_circles_and_long_chains_are_refused(scene: Scene) -> None:
    chain = [scene.instance() for _ in range(6)]
    for outer, inner in itertools.pairwise(chain[:5]):
        outer.add(inner, 1, POLLIN, 0)
    with pytest.raises(ELOOP):
        chain[4].add(chain[5], 1, POLLIN, 0)
    with pytest.raises(ELOOP):
        chain[5].add(chain[0], 1, POLLIN, 0)
    with pytest.raises(ELOOP):
        chain[3].add(chain[0], 2, POLLIN, 0)
    chain[4].add(scene.reader, 1, POLLIN, 7)
    scene.writer.write(b"x")
    assert collect(chain[0]) == [(0, POLLIN)]


def test_an_event_may_not_go_too_many_ways(scene: Scene) -> None:
    inner = scene.instance()
    inner.add(scene.reader, 3, POLLIN, 0)
    outer = [scene.instance() for _ in range(501)]
    for instance in outer[:500]:
        instance.add(inner, 4, POLLIN, 0)
    with pytest.raises(EINVAL):
        outer[500].add(inner, 4, POLLIN, 0)
    assert outer[500].items == {}
    outer[500].add(scene.reader, 3, POLLIN, 0)


def test_only_one_of_the_exclusive_instances_that_are_waited_for_is_woken(scene: Scene) -> None:
    instances = [scene.instance() for _ in range(4)]
    sleepers = [Sleeper() for _ in instances]
    for instance in instances:
        instance.add(scene.reader, 3, POLLIN | EPOLLEXCLUSIVE, 1)
    for number in (1, 2, 3):
        instances[number].queue.add(sleepers[number])
    ordinary = scene.instance()
    ordinary.add(scene.reader, 3, POLLIN, 1)
    scene.writer.write(b"x")
    assert [bool(instance.ready) for instance in instances] == [True, True, False, False]
    assert [sleeper.wakes for sleeper in sleepers] == [0, 1, 0, 0]
    assert collect(ordinary) == [(1, POLLIN)]


def test_watches_are_counted_by_user(scene: Scene) -> None:
    user = User(7)
    instance = scene.instance(user)
    limit = scene.tree.vfs.memory.frame_count * 4096 // 25 // 200
    for fd in range(limit):
        instance.add(scene.reader, fd, POLLIN, 0)
    with pytest.raises(ENOSPC):
        instance.add(scene.reader, limit, POLLIN, 0)
    instance.remove(instance.find(scene.reader, 0))
    instance.add(scene.reader, limit, POLLIN, 0)


def test_fdinfo_tells_what_is_watched(scene: Scene) -> None:
    instance = scene.instance()
    instance.add(scene.reader, 3, POLLIN | EPOLLET, (1 << 64) - 1)
    inode = scene.reader.inode
    assert instance.show_details() == (
        b"tfd:        3 events: 80000019 data: ffffffffffffffff  pos:0 ino:%x sdev:%x\n"
        % (inode.number, inode.superblock.device)
    )


def test_other_watchers_are_no_instances(scene: Scene) -> None:
    class Watcher:
        def descriptor_closed(self, table: FdTable) -> None:
            raise AssertionError

        def file_closed(self) -> None:
            raise AssertionError

    file: File = scene.reader
    file.watchers = {Watcher(): None}
    instance = scene.instance()
    instance.add(file, 3, POLLIN, 0)
    assert [type(watcher) is EpollItem for watcher in file.watchers] == [False, True]
    file.watchers.pop(next(iter(file.watchers)))
