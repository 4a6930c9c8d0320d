"""A machine written to a file goes on in any process; a file that was made up is refused, or harmless."""

from __future__ import annotations

import errno
import gc
import random
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from mmap import mmap
from pathlib import Path

import pytest
import zstandard

from procession.abi.errno import Errno
from procession.abi.word import Words
from procession.hardware.engine import Engine
from procession.hardware.engines.choice import make_engine
from procession.hardware.engines.unicorn import UnicornEngine
from procession.hardware.physical_memory import PhysicalMemory
from procession.kernel.decider import SeededDecider
from procession.machine import Machine
from procession.snapshot.file import MAGIC
from procession.snapshot.keeper import Snapshot
from procession.snapshot.shape import InstanceShape, shape_of
from procession.snapshot.values import BadSnapshot, ValueReader, ValueWriter
from procession.snapshot.written_pages import written_pages
from tests.of_a_kind import IS_FULL, first_of

SCRIPT = "for i in 1 2; do (echo $i; cat /etc/hostname) & done; wait; read x; echo $x | sort; exit 3"


def started(rootfs: Path) -> Machine:
    machine = Machine(seed=3, rootfs=rootfs, memory=32 << 20)
    machine.start(["sh", "-c", SCRIPT])
    return machine


def ended(machine: Machine) -> tuple[object, ...]:
    machine.feed_input(b"x\n", is_last=True)
    while machine.step_event() is not None:
        pass
    return machine.state_hash(), machine.state_digest(), machine.take_output()


@pytest.fixture(scope="module")
def saved(guest_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("snapshot") / "file"
    machine = started(guest_root)
    for _ in range(150):
        machine.step_system_call()
    machine.save(path)
    return path


@pytest.mark.parametrize("count", first_of(1, [150, 0, 40, 190]))
def test_what_was_saved_goes_on(guest_root: Path, tmp_path: Path, count: int) -> None:
    machine = started(guest_root)
    for _ in range(count):
        machine.step_system_call()
    machine.save(tmp_path / "file")
    loaded = Machine.load(tmp_path / "file")
    assert (loaded.state_hash(), loaded.state_digest()) == (machine.state_hash(), machine.state_digest())
    snapshot = loaded.snapshot()
    fork = loaded.fork()
    expected = ended(machine)
    assert ended(loaded) == expected
    loaded.restore(snapshot)
    assert ended(fork) == ended(loaded) == expected


@pytest.mark.heavy
def test_in_another_process(saved: Path) -> None:
    program = (
        "import sys; from procession import Machine; machine = Machine.load(sys.argv[1]);"
        "print(machine.state_hash()); machine.feed_input(b'x\\n', is_last=True)\n"
        "while machine.step_event() is not None: pass\n"
        "print(machine.state_hash(), machine.take_output().stdout)"
    )
    run = subprocess.run([sys.executable, "-c", program, saved], capture_output=True, text=True, check=True)
    here = Machine.load(saved)
    assert run.stdout.split()[0] == here.state_hash()
    state_hash, _, output = ended(here)
    assert run.stdout.splitlines()[1] == f"{state_hash} {output.stdout!r}"  # type: ignore[attr-defined]


def test_what_cant_be_saved_says_why(guest_root: Path, tmp_path: Path) -> None:
    class Own(SeededDecider):
        pass

    machine = Machine(rootfs=guest_root, memory=32 << 20, decider=Own(0))
    with pytest.raises(ValueError, match="decider of its own can't be saved"):
        machine.save(tmp_path / "file")
    machine = Machine(engine="scripted", rootfs=guest_root, memory=32 << 20)
    with pytest.raises(ValueError, match="scripted engine can't be saved"):
        machine.save(tmp_path / "file")
    machine = Machine(rootfs=guest_root, memory=32 << 20)
    machine.add_volume(str(tmp_path), "/mnt/volume")
    with pytest.raises(ValueError, match="volumes can't be saved"):
        machine.save(tmp_path / "file")


def unpacked(path: Path) -> bytes:
    return zstandard.ZstdDecompressor().decompress(path.read_bytes()[len(MAGIC) :], max_output_size=1 << 28)


def packed(data: bytes) -> bytes:
    return MAGIC + zstandard.ZstdCompressor(level=1).compress(data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"1 ", b"7 ", "format is version 7"),
        (b"procession.kernel.task:Task", b"procession.machine:Machine0", "no class of a machine's state"),
        (b"procession.kernel.task:Task", b"procession.fs.host_source:H", "no class of a machine's state"),
        (b'"memory": 33554432', b'"memory": 33554.32', "setting memory isn't readable"),
        (b'"memory": 33554432', b'"memory": 00000016', "head isn't readable"),
        (b'"engine": "unicorn"', b'"engine": "unicord"', "no engine is called"),
        (b'["command_name"', b'["command_nome"', "isn't what it was"),
    ],
)
def test_a_changed_head_is_refused(saved: Path, tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    data = unpacked(saved)
    if old == b'["command_name"':
        old, new = b'"command_name"', b'"command_nome"'
    assert old in data
    (tmp_path / "file").write_bytes(packed(data.replace(old, new, 1)))
    with pytest.raises(BadSnapshot, match=message):
        Machine.load(tmp_path / "file")


def test_what_is_no_snapshot_is_refused(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    for data in (b"", b"x", MAGIC, MAGIC + b"x" * 100, whole[:-1000], whole[: len(whole) // 2], packed(b"")):
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(BadSnapshot):
            Machine.load(tmp_path / "file")


def try_hostile(data: bytes, path: Path, chance: random.Random) -> bool:
    """Load `data` with some bytes changed, and run it if it can be; whether it could."""
    hostile = bytearray(data)
    # Mostly in what isn't contents of frames.
    end = len(hostile) if chance.random() < 0.1 else len(hostile) // 40
    for _ in range(chance.choice((1, 1, 2, 5, 40))):
        place = chance.randrange(end)
        hostile[place] = chance.choice(
            (hostile[place] ^ 1 << chance.randrange(8), chance.randrange(256), 0, 255)
        )
    path.write_bytes(packed(bytes(hostile)))
    try:
        machine = Machine.load(path)
    except BadSnapshot:
        return False
    machine.close()
    return True


@pytest.mark.parametrize("seed", first_of(1, range(3)))
def test_any_bytes_are_a_state_or_refused(saved: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = unpacked(saved)
    found = [try_hostile(data, tmp_path / "file", chance) for _ in range(25 if IS_FULL else 12)]
    assert not all(found)


@pytest.mark.heavy
@pytest.mark.timeout(500)
@pytest.mark.parametrize("seed", range(99, 109))
def test_any_bytes_are_a_state_or_refused_often(saved: Path, tmp_path: Path, seed: int) -> None:
    """In parts: on a busy host all of it takes longer than the ten minutes that no test may pass."""
    chance = random.Random(seed)
    data = unpacked(saved)
    found = [try_hostile(data, tmp_path / "file", chance) for _ in range(300)]
    assert any(found)
    assert not all(found)


def save_changed(machine: Machine, path: Path, change: Callable[[Snapshot], None]) -> None:
    """Save `machine` as somebody would who wants to do harm."""
    snapshot = machine.snapshot()
    change(snapshot)
    with pytest.MonkeyPatch.context() as context:
        context.setattr(machine, "snapshot", lambda: snapshot)
        machine.save(path)


@pytest.mark.parametrize(
    ("name", "value"), [("next_fresh", 1 << 50), ("next_fresh", 2), ("frame_count", 1 << 50)]
)
def test_a_memory_that_isnt_that_of_its_frames_is_refused(
    guest_root: Path, tmp_path: Path, name: str, value: int
) -> None:
    def change(snapshot: Snapshot) -> None:
        shape = shape_of(PhysicalMemory)
        assert isinstance(shape, InstanceShape)
        place = shape.fields.index(name)
        records = chain.from_iterable(snapshot.records.leaves)
        for known, record in zip(snapshot.keeper.table.objects, records, strict=True):
            if type(known) is PhysicalMemory:
                record.contents = (*record.contents[:place], value, *record.contents[place + 1 :])

    save_changed(started(guest_root), tmp_path / "file", change)
    with pytest.raises(BadSnapshot, match="isn't that of its frames"):
        Machine.load(tmp_path / "file")


@pytest.mark.parametrize(
    "what", ["short", "long", "arguments", "command", "kind", "failure", "terminal", "end"]
)
def test_what_the_machine_keeps_of_itself_is_looked_at(guest_root: Path, tmp_path: Path, what: str) -> None:
    def change(snapshot: Snapshot) -> None:
        values, captured, source, slice_end = snapshot.beside
        arguments, command, is_in_slice, is_pid1, kind, directory, failure, terminal = values
        changed = {
            "short": values[:-1],
            "long": (*values, None),
            "arguments": ((*arguments, 1), *values[1:]),
            "command": (arguments, b"sh", *values[2:]),
            "kind": (arguments, command, is_in_slice, is_pid1, None, directory, failure, terminal),
            "failure": (arguments, command, is_in_slice, is_pid1, kind, directory, "failed", terminal),
            "terminal": (*values[:-1], command),
        }
        if what == "end":
            slice_end = (*slice_end, 0)
        snapshot.beside = changed.get(what, values), captured, source, slice_end

    engines: list[Engine] = []

    def make(name: str) -> Engine:
        engines.append(make_engine(name))
        return engines[-1]

    save_changed(started(guest_root), tmp_path / "file", change)
    with pytest.MonkeyPatch.context() as context:
        context.setattr("procession.snapshot.going_back.make_engine", make)
        with pytest.raises(BadSnapshot, match="how far the run was"):
            Machine.load(tmp_path / "file")
    # Nothing is left of the machine that there was to be.
    [engine] = engines
    assert isinstance(engine, UnicornEngine)
    assert not engine.handle.value


def test_a_layout_that_isnt_one_is_refused() -> None:
    writer = ValueWriter({})
    writer.value(Words("<IQ"))
    assert ValueReader(bytes(writer.data)).value().format == "<IQ"
    for form in ("<n", "=P", "q" + "99999q" * 30, "é"):
        writer = ValueWriter({})
        writer.value(Words("<IQ"))
        hostile = writer.data[:2]
        text = ValueWriter({})
        text.value(form)
        try:
            layout = ValueReader(bytes(hostile + text.data)).value()
        except BadSnapshot:
            continue
        assert layout.size > 0


def test_what_is_saved_is_no_more_than_what_is_loaded(
    saved: Path, guest_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = started(guest_root)
    for name, limit, message in (
        ("_MOST_OBJECTS", 100, "100 are loaded"),
        ("_LARGEST_BESIDE_FRAMES", 1000, "1000 are loaded"),
        ("_LARGEST_FRAMES", 1 << 16, "65536 are loaded"),
    ):
        with monkeypatch.context() as context:
            context.setattr(f"procession.snapshot.file.{name}", limit)
            with pytest.raises(ValueError, match=message):
                machine.save(tmp_path / "file")
            with pytest.raises(BadSnapshot):
                Machine.load(saved)
    # What isn't frames is bounded by itself: a machine may be as full as it can.
    monkeypatch.setattr("procession.snapshot.file._LARGEST_BESIDE_FRAMES", len(unpacked(saved)) // 2)
    Machine.load(saved).close()


def test_pages_that_arent_watched_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(errno.EPERM, "userfaultfd")

    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    monkeypatch.setattr("procession.snapshot.written_pages._open_userfaultfd", refuse)
    memory = mmap(-1, 1 << 16)
    assert written_pages(memory) is None
    gc.collect()
    assert unraisable == []


def test_paths_that_lead_elsewhere_are_refused(saved: Path, guest_root: Path) -> None:
    """A made-up file can name any path: nothing outside the tree is looked at."""
    from procession.fs.host_tree import HostTree

    machine = Machine.load(saved)
    (tree,) = {value for value in machine.objects_in_order() if isinstance(value, HostTree)}
    assert tree.root == bytes(guest_root)
    assert tree.exists(b"etc/hostname")
    for path in (b"../x", b"etc/../../x", b"/etc", b"etc//x", b".", b"etc/.", b"a\0b"):
        with pytest.raises(Errno):
            tree.status(path)
        with pytest.raises(Errno):
            tree.read(path, 0, 10)
