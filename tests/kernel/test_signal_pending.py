"""Checks the queues of pending signals and the bytes of a siginfo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.abi.siginfo import (
    SiginfoChild,
    SiginfoFault,
    SiginfoKill,
    SiginfoRt,
    SiginfoSys,
    SiginfoTimer,
)
from procession.abi.signals import SignalCode
from procession.fs.namespace import NamespaceTable
from procession.fs.user_namespace import UserNamespace
from procession.kernel.rlimit import RLIMIT_SIGPENDING
from procession.kernel.security.credentials import Credentials
from procession.kernel.signal.info import SI_TIMER, SI_TKILL, SI_USER, SigInfo
from procession.kernel.signal.pending import PendingSignals
from procession.kernel.signal.set import mask_of
from tests.kernel.process_ids import first_pid_namespace, pid_numbered

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

SI_QUEUE = int(SignalCode.SI_QUEUE)


def queued(*infos: SigInfo) -> PendingSignals:
    pending = PendingSignals()
    for info in infos:
        pending.append(info)
    return pending


def take(pending: PendingSignals, blocked: int = 0) -> SigInfo:
    info = pending.take_next(blocked)
    assert info is not None
    return info


class TestOrder:
    def test_lowest_number_first(self) -> None:
        pending = queued(SigInfo(34), SigInfo(15), SigInfo(2))
        assert [take(pending).signo for _ in range(3)] == [2, 15, 34]
        assert pending.take_next(0) is None
        assert pending.mask == 0
        assert not pending.queues

    def test_faults_come_before_lower_numbers(self) -> None:
        pending = queued(SigInfo(1), SigInfo(11, 1), SigInfo(8, 1))
        assert [take(pending).signo for _ in range(3)] == [8, 11, 1]

    def test_oldest_fault_first(self) -> None:
        pending = queued(SigInfo(11, 1), SigInfo(7, 2))
        taken = [pending.take_fault(0) for _ in range(3)]
        assert [info and info.signo for info in taken] == [11, 7, None]

    def test_sent_fault_signal_is_no_fault(self) -> None:
        pending = queued(SigInfo(11, SI_USER))
        assert pending.take_fault(0) is None
        assert pending.holds(11)

    def test_real_time_signals_come_in_the_order_of_sending(self) -> None:
        pending = queued(*(SigInfo(40, SI_QUEUE, value=value) for value in range(3)))
        assert [take(pending).value for _ in range(3)] == [0, 1, 2]
        assert pending.mask == 0

    def test_blocked_signals_stay(self) -> None:
        pending = queued(SigInfo(2), SigInfo(15))
        assert take(pending, mask_of(2)).signo == 15
        assert pending.take_next(mask_of(2)) is None
        assert pending.mask == mask_of(2)

    def test_signal_without_info_is_made_up(self) -> None:
        pending = PendingSignals()
        pending.mask = mask_of(10)
        info = take(pending)
        assert (info.signo, info.code, info.pid) == (10, SI_USER, 0)
        assert pending.mask == 0

    @given(st.lists(st.integers(1, 64)), st.integers(0, (1 << 64) - 1))
    def test_everything_that_is_not_blocked_comes_out(self, signals: list[int], blocked: int) -> None:
        pending = queued(*(SigInfo(signo) for signo in signals))
        taken = []
        while (info := pending.take_next(blocked)) is not None:
            taken.append(info.signo)
        assert sorted(taken) == sorted(signo for signo in signals if not blocked >> (signo - 1) & 1)
        assert pending.mask == mask_of(*signals) & blocked


class TestTimers:
    def test_a_new_program_has_none_of_them(self) -> None:
        """Nor of what only says to be a timer's."""
        infos = [
            SigInfo(signo, code, value=signo)
            for signo, code in ((34, SI_TIMER), (34, SI_TKILL), (35, SI_TIMER), (36, SI_TIMER))
        ]
        infos[0].timer = infos[2].timer = NoTimer()
        pending = queued(*infos)
        assert pending.discard_timers() == 4
        assert pending.mask == mask_of(34)
        assert take(pending) is infos[1]
        assert pending.discard_timers() == 0
        assert not any(info.is_queued for info in infos)

    def test_a_signal_put_back_is_no_more_the_timers_own(self) -> None:
        """The timer may expire and send its own again before the other has been taken."""
        info = SigInfo(34, SI_TIMER, value=7)
        info.timer = NoTimer()
        info.timer_id = 3
        pending = queued(info)
        pending.put_back(take(pending))
        assert not info.is_queued
        pending.append(info)
        first = take(pending)
        assert (first.timer, first.timer_id, first.value) == (None, 3, 7)
        assert take(pending) is info


class NoTimer:
    def signal_taken(self, kernel: Kernel, info: SigInfo, /) -> None: ...
    def signal_let_go(self) -> None: ...


class TestAccount:
    def charged(self, account: Credentials, signo: int) -> SigInfo:
        info = SigInfo(signo)
        info.account = account
        account.add_signal()
        return info

    def test_taking_and_discarding_give_back(self) -> None:
        account = Credentials(UserNamespace(NamespaceTable(), None), 1000, 1000)
        pending = queued(*(self.charged(account, signo) for signo in (2, 40, 40, 41)))
        assert account.count_of(RLIMIT_SIGPENDING) == 4
        pending.take_next(0)
        assert account.count_of(RLIMIT_SIGPENDING) == 3
        pending.discard(mask_of(40))
        assert account.count_of(RLIMIT_SIGPENDING) == 1
        assert pending.mask == mask_of(41)
        pending.clear()
        assert account.count_of(RLIMIT_SIGPENDING) == 0
        assert pending.mask == 0


NAMESPACE = first_pid_namespace()
SEVEN, NINE = pid_numbered(7, NAMESPACE), pid_numbered(9, NAMESPACE)


class TestBytes:
    def test_kill(self) -> None:
        bytes_ = SigInfo(15, SI_USER, sender=SEVEN, uid=1000).pack(NAMESPACE)
        assert SiginfoKill.unpack(bytes_) == SiginfoKill(15, 0, 0, 7, 1000)

    def test_queued_value(self) -> None:
        bytes_ = SigInfo(40, SI_QUEUE, sender=SEVEN, uid=1000, value=(1 << 64) - 1).pack(NAMESPACE)
        assert SiginfoRt.unpack(bytes_) == SiginfoRt(40, 0, -1, 7, 1000, (1 << 64) - 1)
        assert SiginfoRt.unpack(SigInfo(12, SI_TKILL, sender=SEVEN).pack(NAMESPACE)).si_code == -6

    def test_child(self) -> None:
        bytes_ = SigInfo(17, 2, sender=NINE, uid=3, status=11, utime=5, stime=6).pack(NAMESPACE)
        assert SiginfoChild.unpack(bytes_) == SiginfoChild(17, 0, 2, 9, 3, 11, 5, 6)

    def test_fault(self) -> None:
        bytes_ = SigInfo(11, 2, address=0xDEADBEEF000).pack(NAMESPACE)
        assert SiginfoFault.unpack(bytes_) == SiginfoFault(11, 0, 2, 0xDEADBEEF000, 0)

    def test_timer(self) -> None:
        info = SigInfo(14, SI_TIMER, value=77)
        info.timer_id, info.overrun = 3, 4
        assert SiginfoTimer.unpack(info.pack(NAMESPACE)) == SiginfoTimer(14, 0, -2, 3, 4, 77)

    def test_seccomp(self) -> None:
        info = SigInfo(31, 1, address=0x400123, value=39, errno=5)
        info.architecture = 0xC000003E
        assert SiginfoSys.unpack(info.pack(NAMESPACE)) == SiginfoSys(31, 5, 1, 0x400123, 39, 0xC000003E)

    @given(st.binary(min_size=128, max_size=128), st.integers(1, 64))
    def test_what_a_program_gives_comes_back(self, data: bytes, signo: int) -> None:
        packed = SigInfo.unpack(signo, data).pack(NAMESPACE)
        assert len(packed) == 128
        assert int.from_bytes(packed[:4], "little") == signo
        assert packed[4:12] == data[4:12]
        assert packed[16:48] == data[16:48]
        assert packed[48:] == bytes(80)

    @pytest.mark.parametrize(
        ("signo", "code", "is_known"),
        [
            (10, 100, False),
            (10, 6, True),
            (10, 7, False),
            (11, 10, True),
            (11, 11, False),
            (10, 0x80, True),
            (10, 0, True),
            (10, -7, True),
            (10, -8, False),
            (10, -60, True),
            (10, -61, False),
        ],
    )
    def test_known_kinds(self, signo: int, code: int, is_known: bool) -> None:
        assert SigInfo(signo, code).is_known is is_known
