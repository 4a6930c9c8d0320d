"""Signals that were sent and not yet delivered, to one thread or to a whole process."""

from __future__ import annotations

from collections import deque

from procession.kernel.signal.info import SI_TIMER, SI_USER, SigInfo
from procession.kernel.signal.set import SYNCHRONOUS


class PendingSignals:
    """A mask of pending signals and what is known about each (Linux: include/linux/signal_types.h, struct
    sigpending).

    A signal below 32 is pending once, however often it's sent; of the real-time signals each one queues.
    `queues` holds the infos by signal number; a pending signal has none there if it came when the
    receiver's RLIMIT_SIGPENDING was reached. `arrivals` counts those that came since there were none.
    """

    __slots__ = ("arrivals", "mask", "queues")

    def __init__(self) -> None:
        self.arrivals = 0
        self.mask = 0
        self.queues: dict[int, deque[SigInfo]] = {}

    def __repr__(self) -> str:
        return f"<PendingSignals {[signo for signo in range(1, 65) if self.holds(signo)]}>"

    def holds(self, signo: int) -> bool:
        """Whether `signo` is pending."""
        return bool(self.mask >> (signo - 1) & 1)

    def append(self, info: SigInfo) -> None:
        """Queue `info`, which has been counted, after others of the same number."""
        if not self.queues:
            self.arrivals = 0
        info.arrival = self.arrivals = self.arrivals + 1
        info.is_queued = True
        queue = self.queues.get(info.signo)
        if queue is None:
            self.queues[info.signo] = deque((info,))
        else:
            queue.append(info)
        self.mask |= 1 << (info.signo - 1)

    def in_order(self) -> list[SigInfo]:
        """What is queued, of all numbers, as it came."""
        return sorted((info for queue in self.queues.values() for info in queue), key=_arrival)

    def put_back(self, info: SigInfo) -> None:
        """Make `info`, which was taken and couldn't be delivered yet, the next of its number again.

        A POSIX timer may send its own once more meanwhile.
        """
        if info.timer is not None:
            info = info.without_timer()
        info.arrival = 0
        info.is_queued = True
        self.queues.setdefault(info.signo, deque()).appendleft(info)
        self.mask |= 1 << (info.signo - 1)

    def take(self, signo: int) -> SigInfo:
        """Remove and return the first pending `signo`. Linux: kernel/signal.c, collect_signal."""
        queue = self.queues.get(signo)
        if queue is None:
            self.mask &= ~(1 << (signo - 1))
            return SigInfo(signo, SI_USER)
        info = queue.popleft()
        if not queue:
            del self.queues[signo]
            self.mask &= ~(1 << (signo - 1))
        _let_go(info)
        return info

    def take_next(self, blocked: int) -> SigInfo | None:
        """Remove and return the next signal that isn't in `blocked`, None if there's none.

        Those that an instruction causes come first, then the lowest number.
        Linux: kernel/signal.c, next_signal.
        """
        deliverable = self.mask & ~blocked
        if not deliverable:
            return None
        return self.take(next_number(deliverable))

    def take_fault(self, blocked: int) -> SigInfo | None:
        """Remove and return the oldest fault that an instruction caused, None if there's none.

        Linux: kernel/signal.c, dequeue_synchronous_signal.
        """
        candidates = self.mask & SYNCHRONOUS & ~blocked
        if candidates:
            # Faults coalesce, so the order of the queues is that in which the faults came.
            for signo, queue in self.queues.items():
                if candidates >> (signo - 1) & 1 and queue[0].code > SI_USER:
                    return self.take(signo)
        return None

    def discard_timers(self) -> int:
        """Forget what POSIX timers sent, or who said to be one: how many were looked at.

        Linux: kernel/signal.c, flush_itimer_signals.
        """
        count = 0
        for signo, queue in list(self.queues.items()):
            count += len(queue)
            kept = deque(info for info in queue if info.code != SI_TIMER)
            for info in queue:
                if info.code == SI_TIMER:
                    _let_go(info)
            if kept:
                self.queues[signo] = kept
            else:
                del self.queues[signo]
                self.mask &= ~(1 << (signo - 1))
        return count

    def discard(self, signals: int) -> None:
        """Forget all pending signals in the mask `signals`. Linux: kernel/signal.c, flush_sigqueue_mask."""
        found = self.mask & signals
        if not found:
            return
        self.mask &= ~signals
        for signo in [number for number in self.queues if found >> (number - 1) & 1]:
            for info in self.queues.pop(signo):
                _let_go(info)

    def clear(self) -> None:
        """Forget everything: the thread or process ends. Linux: kernel/signal.c, flush_sigqueue."""
        self.discard(self.mask)


def _let_go(info: SigInfo) -> None:
    info.is_queued = False
    if info.timer is not None:
        info.timer.signal_let_go()
    elif info.account is not None:
        info.account.remove_signal()
        info.account = None


def _arrival(info: SigInfo) -> int:
    return info.arrival


def next_number(signals: int) -> int:
    """The signal of the mask `signals` that is delivered first. Linux: kernel/signal.c, next_signal."""
    faults = signals & SYNCHRONOUS
    if faults:
        signals = faults
    return (signals & -signals).bit_length()
