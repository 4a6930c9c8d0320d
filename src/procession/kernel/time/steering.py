"""How CLOCK_REALTIME is steered towards the true time, by its frequency and by offsets (adjtimex(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S, NS_PER_US
from procession.abi.time import AdjustmentMode, ClockState, ClockStatus

if TYPE_CHECKING:
    from procession.abi.time import Timex

PHASE_LIMIT_US = 16_000_000
"""How wrong the clock may be by its own account."""
MAXIMUM_FREQUENCY = 500 << 16
"""How much faster or slower it may be set, in millionths, sixteen bits of them behind the point."""
MAXIMUM_TAI_S = 100_000
USUAL_TICK_US = 10_000
_MAXIMUM_PHASE_NS = 500_000_000
_MAXIMUM_CONSTANT = 10
_SHIFT_PLL = 2
_SECONDS_PER_DAY = 86_400
_PPB_PER_TICK_US = 100_000
_SINGLE_SHOT_PPB = 500_000
_ERROR_US_PER_S = 500
_PLL_MINIMUM_S, _PLL_MAXIMUM_S = 256, 2048
_FOLD_NS = 10_000_000
"""How often what was gained or lost shows, beside when the clock is read by adjtimex(2)."""

_ADJ_OFFSET = int(AdjustmentMode.ADJ_OFFSET)
_ADJ_FREQUENCY = int(AdjustmentMode.ADJ_FREQUENCY)
_ADJ_MAXERROR = int(AdjustmentMode.ADJ_MAXERROR)
_ADJ_ESTERROR = int(AdjustmentMode.ADJ_ESTERROR)
_ADJ_STATUS = int(AdjustmentMode.ADJ_STATUS)
_ADJ_TIMECONST = int(AdjustmentMode.ADJ_TIMECONST)
_ADJ_TAI = int(AdjustmentMode.ADJ_TAI)
_ADJ_MICRO = int(AdjustmentMode.ADJ_MICRO)
_ADJ_NANO = int(AdjustmentMode.ADJ_NANO)
_ADJ_TICK = int(AdjustmentMode.ADJ_TICK)
_STA_PLL = int(ClockStatus.STA_PLL)
_STA_FLL = int(ClockStatus.STA_FLL)
_STA_INS = int(ClockStatus.STA_INS)
_STA_DEL = int(ClockStatus.STA_DEL)
_STA_UNSYNC = int(ClockStatus.STA_UNSYNC)
_STA_FREQHOLD = int(ClockStatus.STA_FREQHOLD)
_STA_CLOCKERR = int(ClockStatus.STA_CLOCKERR)
_STA_NANO = int(ClockStatus.STA_NANO)
_STA_MODE = int(ClockStatus.STA_MODE)
_READ_ONLY = int(
    ClockStatus.STA_PPSSIGNAL
    | ClockStatus.STA_PPSJITTER
    | ClockStatus.STA_PPSWANDER
    | ClockStatus.STA_PPSERROR
    | ClockStatus.STA_CLOCKERR
    | ClockStatus.STA_NANO
    | ClockStatus.STA_MODE
    | ClockStatus.STA_CLK
)


class Steering:
    """What the kernel knows of a clock's error (Linux: kernel/time/ntp.c, struct ntp_data).

    `frequency` is in millionths, sixteen bits behind the point; `offset_ns` is what a loop still takes away,
    slowly, `single_shot_us` what adjtime(3) still adds. `since_ns` is up to when all that is in the clock,
    `reference_ns` when an offset was told last; `gained_ppb_ns` is the part of a nanosecond that was gained
    and isn't in it yet, in thousand millionths.
    """

    __slots__ = (
        "constant",
        "estimated_error_us",
        "frequency",
        "gained_ppb_ns",
        "maximum_error_us",
        "offset_ns",
        "reference_ns",
        "since_ns",
        "single_shot_us",
        "state",
        "status",
        "tai_s",
        "tick_us",
    )

    def __init__(self, now_ns: int) -> None:
        self.status = _STA_UNSYNC
        self.state: int = ClockState.TIME_OK
        self.frequency = 0
        self.constant = 2
        self.tick_us = USUAL_TICK_US
        self.tai_s = 0
        self.offset_ns = 0
        self.single_shot_us = 0
        self.maximum_error_us = self.estimated_error_us = PHASE_LIMIT_US
        self.since_ns = self.reference_ns = now_ns
        self.gained_ppb_ns = 0

    def clear(self) -> None:
        """The clock was set: nothing is known of its error any more. Linux: kernel/time/ntp.c, ntp_clear."""
        self.single_shot_us = 0
        self.status |= _STA_UNSYNC
        self.maximum_error_us = self.estimated_error_us = PHASE_LIMIT_US
        self.offset_ns = 0

    def is_due(self, now_ns: int) -> bool:
        """Whether some of what was gained should show."""
        return now_ns - self.since_ns >= _FOLD_NS

    def fold(self, now_ns: int, realtime_ns: int) -> int:
        """How much CLOCK_REALTIME, which says `realtime_ns`, has gained since the last time, in nanoseconds.

        Linux: kernel/time/ntp.c, second_overflow.
        """
        elapsed_ns = now_ns - self.since_ns
        if elapsed_ns <= 0:
            return 0
        self.since_ns = now_ns
        rate_ppb = (self.tick_us - USUAL_TICK_US) * _PPB_PER_TICK_US + (self.frequency * 1000 >> 16)
        total = rate_ppb * elapsed_ns + self.gained_ppb_ns
        gained_ns, self.gained_ppb_ns = divmod(total, NS_PER_S)
        if self.offset_ns:
            # Each second takes the same part of what is left.
            whole_ns = NS_PER_S << _SHIFT_PLL + self.constant
            taken_ns = self.offset_ns * min(elapsed_ns, whole_ns) // whole_ns
            self.offset_ns -= taken_ns
            gained_ns += taken_ns
        if self.single_shot_us:
            most_us = max(_SINGLE_SHOT_PPB * elapsed_ns // NS_PER_S // NS_PER_US, 1)
            taken_us = max(-most_us, min(most_us, self.single_shot_us))
            self.single_shot_us -= taken_us
            gained_ns += taken_us * NS_PER_US
        self.maximum_error_us += _ERROR_US_PER_S * elapsed_ns // NS_PER_S
        if self.maximum_error_us > PHASE_LIMIT_US:
            self.maximum_error_us = PHASE_LIMIT_US
            self.status |= _STA_UNSYNC
        return gained_ns + self._leap(realtime_ns, realtime_ns + elapsed_ns)

    def _leap(self, before_ns: int, after_ns: int) -> int:
        """Insert or leave out a second at the end of a day, if that was asked for."""
        if not self.status & (_STA_INS | _STA_DEL):
            self.state = ClockState.TIME_OK
            return 0
        is_insertion = bool(self.status & _STA_INS)
        if self.state == ClockState.TIME_OK:
            self.state = ClockState.TIME_INS if is_insertion else ClockState.TIME_DEL
        day_ns = _SECONDS_PER_DAY * NS_PER_S
        if self.state == ClockState.TIME_WAIT or before_ns // day_ns == after_ns // day_ns:
            return 0
        self.state = ClockState.TIME_WAIT
        self.tai_s += 1 if is_insertion else -1
        return -NS_PER_S if is_insertion else NS_PER_S

    def adjust(self, asked: Timex, now_ns: int) -> None:
        """What is asked for, but for ADJ_SETOFFSET. Linux: kernel/time/ntp.c, process_adjtimex_modes."""
        modes = asked.modes
        if modes & _ADJ_STATUS:
            if self.status & _STA_PLL and not asked.status & _STA_PLL:
                self.state = ClockState.TIME_OK
                self.status = _STA_UNSYNC
            if not self.status & _STA_PLL and asked.status & _STA_PLL:
                self.reference_ns = now_ns
            self.status = self.status & _READ_ONLY | asked.status & 0xFFFFFFFF & ~_READ_ONLY
        if modes & _ADJ_NANO:
            self.status |= _STA_NANO
        if modes & _ADJ_MICRO:
            self.status &= ~_STA_NANO
        if modes & _ADJ_FREQUENCY:
            self.frequency = max(-MAXIMUM_FREQUENCY, min(MAXIMUM_FREQUENCY, asked.freq))
        if modes & _ADJ_MAXERROR:
            self.maximum_error_us = max(0, min(PHASE_LIMIT_US, asked.maxerror))
        if modes & _ADJ_ESTERROR:
            self.estimated_error_us = max(0, min(PHASE_LIMIT_US, asked.esterror))
        if modes & _ADJ_TIMECONST:
            constant = max(0, min(_MAXIMUM_CONSTANT, asked.constant))
            if not self.status & _STA_NANO:
                constant += 4
            self.constant = min(constant, _MAXIMUM_CONSTANT)
        if modes & _ADJ_TAI and 0 <= asked.constant <= MAXIMUM_TAI_S:
            self.tai_s = asked.constant
        if modes & _ADJ_OFFSET:
            self._tell_offset(asked.offset, now_ns)
        if modes & _ADJ_TICK:
            self.tick_us = asked.tick

    def _tell_offset(self, offset: int, now_ns: int) -> None:
        """How far the clock is behind. Linux: kernel/time/ntp.c, ntp_update_offset."""
        if not self.status & _STA_PLL:
            return
        if not self.status & _STA_NANO:
            offset = max(-1_000_000, min(1_000_000, offset)) * NS_PER_US
        offset = max(-_MAXIMUM_PHASE_NS, min(_MAXIMUM_PHASE_NS, offset))
        elapsed_s = 0 if self.status & _STA_FREQHOLD else (now_ns - self.reference_ns) // NS_PER_S
        self.reference_ns = now_ns
        # A nanosecond per second is a thousandth of the frequency's millionths.
        change = 0
        self.status &= ~_STA_MODE
        if elapsed_s >= _PLL_MINIMUM_S and (self.status & _STA_FLL or elapsed_s > _PLL_MAXIMUM_S):
            self.status |= _STA_MODE
            change += (offset << 14) // (1000 * elapsed_s)
        elapsed_s = min(elapsed_s, 1 << _SHIFT_PLL + 1 + self.constant)
        change += (offset * elapsed_s << 16) // (1000 << 2 * (_SHIFT_PLL + 2 + self.constant))
        frequency = self.frequency + change
        self.frequency = max(-MAXIMUM_FREQUENCY, min(MAXIMUM_FREQUENCY, frequency))
        self.offset_ns = offset

    @property
    def shown_state(self) -> int:
        """What adjtimex(2) returns."""
        return ClockState.TIME_ERROR if self.status & (_STA_UNSYNC | _STA_CLOCKERR) else self.state

    @property
    def shown_offset(self) -> int:
        """What is left of the offset, in the unit of the status."""
        if self.status & _STA_NANO:
            return self.offset_ns
        return self.offset_ns // NS_PER_US
