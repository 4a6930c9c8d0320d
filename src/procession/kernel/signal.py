"""Signals: the names that the rest of the kernel uses (signal(7))."""

from __future__ import annotations

from procession.kernel.siginfo import SigInfo
from procession.kernel.signal_delivery import deliver_signals, exit_signals
from procession.kernel.signal_generation import (
    begin_group_exit,
    complete_signal,
    force_signal,
    kill_thread,
    prepare_signal,
    send_group_signal,
    send_signal,
    send_timer_signal,
)
from procession.kernel.signal_handlers import SignalAction, SignalHandlers
from procession.kernel.signal_mask import (
    recalculate_pending,
    restore_saved_mask,
    retarget_shared_pending,
    set_blocked,
    set_temporary_mask,
)
from procession.kernel.signal_parent import notify_parent, notify_parent_of_stop
from procession.kernel.signal_pending import PendingSignals
from procession.kernel.signal_wake import has_fatal_signal, wake_for_signal

__all__ = [
    "PendingSignals",
    "SigInfo",
    "SignalAction",
    "SignalHandlers",
    "begin_group_exit",
    "complete_signal",
    "deliver_signals",
    "exit_signals",
    "force_signal",
    "has_fatal_signal",
    "kill_thread",
    "notify_parent",
    "notify_parent_of_stop",
    "prepare_signal",
    "recalculate_pending",
    "restore_saved_mask",
    "retarget_shared_pending",
    "send_group_signal",
    "send_signal",
    "send_timer_signal",
    "set_blocked",
    "set_temporary_mask",
    "wake_for_signal",
]
