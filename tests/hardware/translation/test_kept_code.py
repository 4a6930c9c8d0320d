"""Code kept across runs: the same run with it and without, and files that aren't to be trusted."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.table_filler import TableFiller
from procession.hardware.translation import kept_code, layout
from procession.hardware.translation.checksum import checksum_of
from procession.hardware.translation.code_cache import CodeCache
from procession.hardware.translation.code_keeper import CodeKeeper, contents_of
from procession.hardware.translation.kept_code import FIRST_CODE, KeptCode
from procession.hardware.translation.page_code import PageCode
from procession.hardware.translation.translator import Translator

VERSION = b"v" * 16
DATA = b"\x90" * 4096
LOOP = "for ((i = 0; i < 15000; i++)); do :; done; echo $i"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache directory, which is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "procession" / "code"


def filled() -> CodeCache:
    """A cache with some code, exits, blocks, links and pages."""
    from procession.hardware.translation.code_cache import ATTEND, LINK, Block

    cache = CodeCache()
    start = cache.add(b"\xc3" * 100)
    block = Block(start, 0x1000)
    block.marks += bytes((1, 2, 3, 4, 5, 6))
    block.counter_register = 11
    cache.add_block(block)
    cache.add_exit(ATTEND, 0x1002)
    cache.add_exit(LINK, 0x1004, start + 8)
    cache.links[0x2000] = 0
    cache.link_stubs.append(1 << 46)
    for frame, content in ((5, DATA), (6, DATA[::-1] + b"")):
        page = cache.page(frame, content if frame == 5 else b"\xcc" * 4096)
        page.is_kept = True
        page.entries[0x1000 * frame] = start
        page.dead[0x1000 * frame] = True
        page.stanzas[0x1000 * frame + 4] = start + 8
    cache.straddlers[0x5FFF, 5, 6] = start + 4
    return cache


def reopened(data: bytearray) -> CodeCache:
    return CodeCache(KeptCode(data, VERSION))


def kept_page(cache: CodeCache, frame: int, data: bytes, number: int) -> PageCode:
    """A frame's page, with what was kept of it as page `number`."""
    page = cache.page(frame, data)
    assert cache.kept_page(page, number) is not None
    return page


@pytest.mark.skipif(why_unavailable() is not None, reason="this host can't translate")
def test_nothing_is_kept_of_a_run_that_broke_off_in_a_translation(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_link_stub, made = Translator.make_link_stub, 0

    def fail(self: Translator, target: int, number: int) -> int:
        nonlocal made
        made += 1
        if made == 500:
            raise RecursionError
        return make_link_stub(self, target, number)

    monkeypatch.setattr(Translator, "make_link_stub", fail)
    for is_kept in (False, True):
        machine = Machine(engine="native")
        try:
            if is_kept:
                machine.run(["/bin/bash", "-c", LOOP])
            else:
                with pytest.raises(RecursionError):
                    machine.run(["/bin/bash", "-c", LOOP])
        finally:
            machine.close()
        assert directory.exists() == is_kept


def test_what_is_kept_comes_back() -> None:
    old = filled()
    new = reopened(contents_of(old, VERSION))
    assert new.position == old.position
    assert bytes(new.view[: new.position]) == bytes(old.view[: old.position])
    assert [(e.kind, e.pc, e.place) for e in map(new.exit_at, range(2))] == [
        (e.kind, e.pc, e.place) for e in map(old.exit_at, range(2))
    ]
    block = new.block_at(FIRST_CODE + 50)
    assert block is not None
    assert (block.start, block.pc, block.counter_register) == (FIRST_CODE, 0x1000, 11)
    assert block.marks == bytes((1, 2, 3, 4, 5, 6))
    assert (new.all_links(), new.link_stubs) == (old.links, old.link_stubs)
    assert (new.link(0x2000), new.link(0x2001), new.link(0x1FFF)) == (0, None, None)
    pages = [kept_page(new, 40, DATA, 5), kept_page(new, 41, b"\xcc" * 4096, 6)]
    assert pages[0].entry(0x5000) == FIRST_CODE
    assert pages[0].entry(0x5001) is pages[0].entry(0x6000) is None
    pages[0].unfold()
    assert (pages[0].entries, pages[0].stanzas) == ({0x5000: FIRST_CODE}, {0x5004: FIRST_CODE + 8})
    pages[1].unfold()
    assert pages[1].dead == {0x6000: True}
    assert new.straddler(0x5FFF, *pages) == FIRST_CODE + 4
    assert new.kept_page(new.page(42, b"\1" * 4096), 5) is None
    assert new.kept_page(new.page(40, DATA), 4) is None
    old.close()
    new.close()


def test_what_two_runs_have_translated_comes_back() -> None:
    from procession.hardware.translation.code_cache import BUDGET, Block

    second = reopened(contents_of(filled(), VERSION))
    lengths = second.lengths()
    for length in (3, 40):
        block = Block(second.add(b"\x90" * length), 0x7000 + length)
        block.marks += bytes((length, length, 0))
        second.add_block(block)
        second.add_exit(BUDGET, 0x7000 + length, length)
        if length == 3:
            # As an instruction does that is executed by itself.
            second.cut(lengths)
            assert second.lengths() == lengths
    third = reopened(contents_of(second, VERSION))
    for cache in (second, third):
        assert [(each.pc, bytes(each.marks)) for each in map(cache.block_number, range(2))] == [
            (0x1000, bytes((1, 2, 3, 4, 5, 6))),
            (0x7028, bytes((40, 40, 0))),
        ]
        assert [(each.kind, each.pc, each.place) for each in map(cache.exit_at, range(3))][1:] == [
            (0, 0x1004, FIRST_CODE + 8),
            (BUDGET, 0x7028, 40),
        ]
        found = cache.block_at(FIRST_CODE + 110)
        assert found is not None
        assert found.pc == 0x7028


def test_a_little_is_added_a_few_times() -> None:
    data = contents_of(filled(), VERSION)
    for count in (1, 2):
        cache = reopened(data)
        cache.add(b"\xc3" * 100)
        news = [cache.has_news]
        cache.add(b"\xc3" * 412)
        news.append(cache.has_news)
        assert news == [False, True]
        data = contents_of(cache, VERSION)
        assert KeptCode(bytearray(data), VERSION).supplements == count
    cache = reopened(data)
    cache.add(b"\xc3" * 512)
    news = [cache.has_news]
    cache.add(b"\xc3" * (1 << 14))
    news.append(cache.has_news)
    assert news == [False, True]
    assert KeptCode(contents_of(cache, VERSION), VERSION).supplements == 0


def test_pages_that_a_run_didnt_need_stay() -> None:
    old = filled()
    middle = reopened(contents_of(old, VERSION))
    page = middle.page(9, b"\2" * 4096)
    page.is_kept = True
    page.entries[0x9000] = middle.add(b"\xc3" * 10)
    new = reopened(contents_of(middle, VERSION))
    assert kept_page(new, 1, DATA, 5).entry(0x5000) == FIRST_CODE
    assert kept_page(new, 2, b"\2" * 4096, 9).entry(0x9000) == FIRST_CODE + 100
    assert new.straddler(0x5FFF, new.page(1, DATA), new.page(3, b"\xcc" * 4096)) == FIRST_CODE + 4
    for cache in (old, middle, new):
        cache.close()


def test_pages_that_arent_of_files_arent_kept() -> None:
    old = filled()
    page = old.page(7, b"\7" * 4096)
    page.entries[0x7000] = FIRST_CODE
    new = reopened(contents_of(old, VERSION))
    assert new.kept_page(new.page(1, b"\7" * 4096), 7) is None
    old.close()
    new.close()


def test_a_page_is_known_by_all_that_it_holds() -> None:
    old = filled()
    new = reopened(contents_of(old, VERSION))
    frames = iter(range(100, 200))
    for place in (0, 1023, 1024, 1039, 1040, 4095):
        other = bytearray(DATA)
        other[place] ^= 1
        assert new.kept_page(new.page(next(frames), bytes(other)), 5) is None
        second = bytearray(b"\xcc" * 4096)
        second[place] ^= 1
        pages = new.page(next(frames), DATA), new.page(next(frames), bytes(second))
        assert new.straddler(0x5FFF, *pages) is None
    assert new.kept_page(new.page(next(frames), DATA), 5) is not None
    old.close()
    new.close()


def test_pages_of_one_number_are_told_apart() -> None:
    old = filled()
    others = [DATA[:-1] + bytes((last,)) for last in range(5)]
    for place, data in enumerate(others):
        page = old.page(50 + place, data)
        page.is_kept = True
        page.entries[0x5000 + place] = FIRST_CODE + place
    new = reopened(contents_of(reopened(contents_of(old, VERSION)), VERSION))
    for place, data in enumerate(others):
        assert kept_page(new, 70 + place, data, 5).entry(0x5000 + place) == FIRST_CODE + place
        assert new.page(70 + place, data).entry(0x5000) == (None if place else FIRST_CODE)
    new.close()
    old.close()


# Files that aren't to be trusted


def test_any_change_is_noticed() -> None:
    cache = filled()
    data = contents_of(cache, VERSION)
    cache.close()
    chance = random.Random(3)
    for _ in range(300):
        broken = bytearray(data)
        place = chance.randrange(len(data) if chance.randrange(4) == 0 else len(data) - 2 * 4096)
        broken[place] ^= 1 << chance.randrange(8)
        if place < len(data) - 2 * 4096:
            with pytest.raises(ValueError, match=r"version|header|written|nothing"):
                KeptCode(broken, VERSION)
        else:
            # What a page holds is compared with the page itself.
            kept = KeptCode(broken, VERSION)
            found = [kept.record_of(DATA, 5), kept.record_of(b"\xcc" * 4096, 6)]
            assert found.count(None) == 1
    for length in (0, 10, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match=r"version|header|written"):
            KeptCode(bytearray(data[:length]), VERSION)
    with pytest.raises(ValueError, match="version"):
        KeptCode(bytearray(data), b"w" * 16)


def sealed(data: bytearray) -> bytes:
    """The same with the checksum that it should have."""
    header = kept_code.HEADER
    fields = list(header.unpack_from(data, 0))
    view = memoryview(data)
    checked = len(data) - 4096 * fields[-2]
    if checked >= header.size:
        fields[-1] = checksum_of(view[header.size : checked], bytes(view[: header.size - 8]))
    header.pack_into(data, 0, *fields)
    return bytes(data)


def test_what_takes_long_to_translate_is_added_to_much() -> None:
    """A short program's code, that is, though a few long ones have a hundred times as much."""
    cache = filled()
    cache.add(b"\xc3" * (3 << 20))
    large = reopened(contents_of(cache, VERSION))
    large.add(b"\xc3" * (23 << 10))
    assert not large.has_much_news
    large.add(b"\xc3" * (2 << 10))
    assert large.has_much_news


def test_few_pages_are_compared_with_one() -> None:
    """Though any number of them have its number and look alike at first."""
    cache = CodeCache()
    start = cache.add(b"\xc3" * 100)
    for frame in range(100):
        page = cache.page(frame, b"%4096d" % frame)
        page.is_kept = True
        page.entries[0x5FFF] = start
        cache.straddlers[0x5FFF, frame, 0] = start + 4
    kept = KeptCode(contents_of(cache, VERSION), VERSION)
    cache.close()
    found = [kept.record_of(b"%4096d" % frame, 5) for frame in range(100)]
    assert 100 - found.count(None) == len(list(kept.all_records())) == kept_code._MOST_ALIKE
    first = b"%4096d" % 0
    met = [kept.straddlers_of(5, b"%4096d" % frame, first) for frame in range(100)]
    assert sum(map(len, met)) == kept_code._MOST_ALIKE
    assert met[0] == {0x5FFF: start + 4}


def test_whatever_it_says_nothing_fails_for_it() -> None:
    """The checksum is right, and what's below it isn't: all that's looked up in it is numbers."""
    cache = filled()
    data = contents_of(cache, VERSION)
    cache.close()
    chance = random.Random(4)
    accepted = 0
    filler = TableFiller(0, layout.RETURN_BITS)
    tables = ctypes.create_string_buffer(layout.ORDERS_BYTES)
    for _ in range(400):
        broken = bytearray(data)
        for _ in range(chance.choice((1, 5, 50))):
            broken[chance.randrange(24, len(data))] = chance.randrange(256)
        try:
            kept = KeptCode(bytearray(sealed(broken)), VERSION)
        except ValueError:
            continue
        accepted += 1
        new = CodeCache(kept)
        for number in range(new.exit_count):
            exit_ = new.exit_at(number)
            if exit_.kind == 0:
                new.patch(exit_.place, FIRST_CODE)
        for offset in range(0, new.position, 7):
            new.block_at(offset)
        pages = [new.page(1, DATA), new.page(2, b"\xcc" * 4096)]
        for page, number in zip(pages, (5, 6), strict=True):
            found = new.kept_page(page, number)
            if found is not None:
                filler.fill(found, ctypes.addressof(tables))
            page.entry(number << 12)
            page.unfold()
        new.straddler(0x5FFF, *pages)
        contents_of(new, VERSION)
        new.close()
    assert accepted > 100


def keeper_with_file(directory: Path) -> CodeKeeper:
    keeper = CodeKeeper(str(directory), VERSION)
    cache = filled()
    assert keeper.save(cache)
    cache.close()
    assert keeper.load() is not None
    return keeper


def test_only_a_private_file_is_read(tmp_path: Path) -> None:
    keeper = keeper_with_file(tmp_path / "code")
    path = Path(keeper.path)
    for mode in (0o620, 0o602, 0o644, 0o666):
        path.chmod(mode)
        assert keeper.load() is None
    path.chmod(0o600)
    assert keeper.load() is not None
    for mode in (0o770, 0o707, 0o755, 0o1777):
        path.parent.chmod(mode)
        assert keeper.load() is None
        cache = filled()
        assert not keeper.save(cache)
        cache.close()
    path.parent.chmod(0o700)
    assert keeper.load() is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_only_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    keeper = keeper_with_file(tmp_path / "code")
    os.chown(keeper.path, 65534, 65534)
    assert keeper.load() is None
    os.chown(keeper.path, 0, 0)
    os.chown(keeper.directory, 65534, 65534)
    assert keeper.load() is None


def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path: Path) -> None:
    keeper = keeper_with_file(tmp_path / "code")
    path = Path(keeper.path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert keeper.load() is None
    path.unlink()
    os.mkfifo(path, 0o600)
    assert keeper.load() is None
    path.unlink()
    path.mkdir(0o700)
    assert keeper.load() is None
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "code")
    assert CodeKeeper(str(link), VERSION).load() is None


def test_a_directory_that_cant_be_made_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keeper = CodeKeeper(str(tmp_path / "file" / "code"), VERSION)
    cache = filled()
    assert not keeper.save(cache)
    cache.close()
    assert keeper.load() is None


def test_what_an_ended_machine_has_left_is_used(tmp_path: Path) -> None:
    keeper = keeper_with_file(tmp_path / "code")
    before = Path(keeper.path).read_bytes()
    Path(f"{keeper.path}.new").write_bytes(b"x" * 2 * len(before))
    Path(f"{keeper.path}.new").chmod(0o600)
    cache = filled()
    assert keeper.save(cache)
    cache.close()
    assert Path(keeper.path).read_bytes() == before
    assert os.listdir(keeper.directory) == ["translations"]


def test_one_machine_writes_at_a_time(tmp_path: Path) -> None:
    keeper = keeper_with_file(tmp_path / "code")
    before = Path(keeper.path).read_bytes()
    cache = filled()
    with open(f"{keeper.path}.new", "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert not keeper.save(cache)
        assert Path(keeper.path).read_bytes() == before
        os.unlink(other.name)
        assert keeper.save(cache)
    cache.close()
    assert keeper.load() is not None


def test_too_much_is_forgotten(tmp_path: Path) -> None:
    keeper = keeper_with_file(tmp_path / "code")
    cache = filled()
    cache.position = kept_code.MOST_CODE_BYTES + 1
    assert keeper.save(cache)
    cache.close()
    assert keeper.load() is None
    assert os.listdir(keeper.directory) == []


# Runs


def run(guest_root: Path, script: str) -> tuple[bytes, int, str]:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    machine = Machine(rootfs=guest_root, engine="native", seed=1)
    try:
        result = machine.run(["bash", "-c", script])
        return result.stdout, machine.kernel.clock.now_ns, machine.state_hash()
    finally:
        machine.close()


@pytest.mark.heavy
def test_a_run_is_the_same_with_kept_code(guest_root: Path, directory: Path) -> None:
    cold = run(guest_root, LOOP)
    kept = CodeKeeper(str(directory)).load()
    assert kept is not None
    assert len(set(kept.page_numbers)) > 10
    assert run(guest_root, LOOP) == cold
    assert cold[0] == b"15000\n"


def test_a_file_of_rubbish_is_replaced(guest_root: Path, directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    path = directory / "translations"
    path.write_bytes(b"PRCNCODE" + os.urandom(10_000))
    path.chmod(0o600)
    assert run(guest_root, "echo $((6 * 7))")[0] == b"42\n"
    assert CodeKeeper(str(directory)).load() is not None


@pytest.mark.heavy
def test_two_machines_at_once(guest_root: Path, directory: Path) -> None:
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    machines = [Machine(rootfs=guest_root, engine="native", seed=1) for _ in range(2)]
    for machine in machines:
        machine.start(["bash", "-c", LOOP])
    for _ in range(50):
        for machine in machines:
            machine.step()
    for machine in machines:
        machine.close()
    assert CodeKeeper(str(directory)).load() is not None
    assert run(guest_root, LOOP)[0] == b"15000\n"
