"""The x87 instructions that a library of today's engines computes in less than 64 bits, in exact integers.

What a function has to give is worked out in integers to some 60 bits more, and rounded once, as the control
word says (Intel SDM volume 1, 8.3.8 to 8.3.10). The processors promise an error below one unit in the last
place: nearly always they round as is done here.
"""

from __future__ import annotations

from math import isqrt

from procession.abi.named_tuple import NamedTuple
from procession.hardware.extended_state import BIAS, INTEGER_BIT, QUIET_BIT, TOP_EXPONENT, Extended

INVALID, DENORMAL, ZERO_DIVIDE, OVERFLOW, UNDERFLOW, INEXACT, STACK_FAULT = 1, 2, 4, 8, 16, 32, 64
C0, C1, C2, C3 = 0x100, 0x200, 0x400, 0x4000
_GUARD = 60
"""How many bits more than a result has are worked out, at least."""
_PRECISION = 64 + _GUARD
_FARTHEST_SHIFT = 1 << 17
"""Any number times 2 to the power of this is too large, and by it too small."""
_LARGEST_ANGLE = 63
"""Angles from 2 to the power of this on are left to the program to reduce."""
_SCALED_PI = 0x3243F6A8885A308D3
"""Pi as the processor has it: in 66 bits, times 2 to the power of 64. Angles are reduced by that."""


INDEFINITE = Extended(True, TOP_EXPONENT, INTEGER_BIT | QUIET_BIT)
ONE = Extended(False, BIAS, INTEGER_BIT)
_ZERO = Extended(False, 0, 0)
_INFINITY = Extended(False, TOP_EXPONENT, INTEGER_BIT)
_LARGEST = Extended(False, TOP_EXPONENT - 1, (1 << 64) - 1)


class Outcome(NamedTuple):
    """What an instruction gives: the numbers to put on the stack, deepest first, the exceptions that it
    raises, and the condition bits that it sets.
    """

    results: tuple[Extended, ...]
    exceptions: int = 0
    conditions: int = 0


class _Real(NamedTuple):
    """`value` times 2 to the power of `scale`; right to `_PRECISION` bits unless `is_exact`."""

    value: int
    scale: int
    is_exact: bool = False


# Rounding


def _round(real: _Real, rounding: int) -> tuple[Extended, int, bool]:
    """The nearest number of 80 bits, the exceptions, and whether it was rounded up in magnitude.

    `rounding` is the field of the control word: nearest, down, up, toward zero.
    """
    is_negative = real.value < 0
    magnitude = abs(real.value)
    if not magnitude:
        return _ZERO, 0, False
    # What isn't exact lies a little beside; a bit below all others keeps it from looking like a tie.
    scale = real.scale
    if not real.is_exact:
        magnitude, scale = magnitude << 1 | 1, scale - 1
    exponent = magnitude.bit_length() - 1 + scale + BIAS
    dropped = max(magnitude.bit_length() - 64, 1 - BIAS - 63 - scale)
    is_tiny = exponent < 1
    if dropped <= 0:
        significand, rest, half = magnitude << -dropped, 0, 0
    else:
        significand, rest, half = magnitude >> dropped, magnitude & (1 << dropped) - 1, 1 << dropped - 1
    exceptions = INEXACT if rest else 0
    is_up = False
    if rest:
        if rounding == 0:
            is_up = rest > half or (rest == half and significand & 1 != 0)
        else:
            is_up = rounding == 2 - is_negative
        significand += is_up
        if significand >> 64:
            significand >>= 1
            exponent += 1
        if is_tiny:
            exceptions |= UNDERFLOW
    if is_tiny:
        exponent = 1 if significand & INTEGER_BIT else 0
    if exponent >= TOP_EXPONENT:
        is_infinite = rounding == 0 or rounding == 2 - is_negative
        number = _INFINITY if is_infinite else _LARGEST
        return number._replace(is_negative=is_negative), OVERFLOW | INEXACT, is_infinite
    return Extended(is_negative, exponent, significand), exceptions, is_up


def _rounded(real: _Real, rounding: int, *, denormal: int = 0) -> Outcome:
    number, exceptions, is_up = _round(real, rounding)
    return Outcome((number,), exceptions | denormal, C1 if is_up else 0)


def _exact(number: Extended, exceptions: int = 0) -> Outcome:
    return Outcome((number,), exceptions)


def _invalid() -> Outcome:
    return Outcome((INDEFINITE,), INVALID)


def _not_a_number(*operands: Extended) -> Outcome | None:
    """What comes of operands that are no numbers; None if all are. Intel SDM volume 1, table 4-7."""
    if any(operand.is_unsupported for operand in operands):
        return _invalid()
    nans = [operand for operand in operands if operand.is_nan]
    if not nans:
        return None
    exceptions = INVALID if any(nan.is_signalling for nan in nans) else 0
    quiet = [nan for nan in nans if not nan.is_signalling]
    chosen = max(quiet if len(nans) == 2 and len(quiet) == 1 else nans, key=lambda nan: nan.significand)
    return _exact(chosen._replace(significand=chosen.significand | QUIET_BIT), exceptions)


# Functions of integers: `bits` fixed-point bits after the point


def _divided(value: int, divisor: int) -> int:
    """The quotient toward zero."""
    return -(-value // divisor) if value < 0 else value // divisor


def _log_of_ratio(numerator: int, denominator: int, bits: int) -> int:
    """The natural logarithm of a ratio near 1 in fixed point, by 2 atanh((n - d) / (n + d))."""
    z = ((numerator - denominator) << bits) // (numerator + denominator)
    square = z * z >> bits
    term, total, divisor = z, z, 3
    while term:
        term = term * square >> bits
        if term in (0, -1):
            break
        total += _divided(term, divisor)
        divisor += 2
    return 2 * total


def _ln2(bits: int) -> int:
    """The natural logarithm of 2."""
    return _log_of_ratio(4, 3, bits + 8) + _log_of_ratio(3, 2, bits + 8) >> 8


def _expm1(x: int, bits: int) -> int:
    """exp(x) - 1 for a fixed-point number of at most 1 in magnitude."""
    term, total, divisor = x, x, 2
    while term not in (0, -1):
        term = (term * x >> bits) // divisor
        total += term
        divisor += 1
    return total


def _sine(x: int, bits: int) -> int:
    """The sine of a fixed-point number of at most 1 in magnitude."""
    square = x * x >> bits
    term, total, divisor = x, x, 2
    while term not in (0, -1):
        term = -(term * square >> bits) // (divisor * (divisor + 1))
        total += term
        divisor += 2
    return total


def _cosine(x: int, bits: int) -> int:
    """The cosine of a fixed-point number of at most 1 in magnitude."""
    square = x * x >> bits
    term = total = 1 << bits
    divisor = 1
    while term not in (0, -1):
        term = -(term * square >> bits) // (divisor * (divisor + 1))
        total += term
        divisor += 2
    return total


def _arctangent(x: int, bits: int) -> int:
    """The arctangent of a fixed-point number from 0 to 1."""
    one = 1 << bits
    halvings = 0
    while x > one >> 4:
        # atan(x) = 2 atan(x / (1 + sqrt(1 + x^2)))
        x = (x << bits) // (one + isqrt((one << bits) + x * x))
        halvings += 1
    square = x * x >> bits
    term, total, divisor, sign = x, x, 3, -1
    while term:
        term = term * square >> bits
        total += sign * (term // divisor)
        divisor += 2
        sign = -sign
    return total << halvings


def _pi(bits: int) -> int:
    """Pi, by Machin's formula."""
    more = bits + 16

    def inverse(number: int) -> int:
        term = total = (1 << more) // number
        divisor, sign = 3, -1
        while term:
            term //= number * number
            total += sign * (term // divisor)
            divisor += 2
            sign = -sign
        return total

    return 4 * (4 * inverse(5) - inverse(239)) >> 16


def _shifted(value: int, count: int) -> int:
    return value << count if count >= 0 else value >> -count


# Remainders


def remainder(x: Extended, y: Extended, *, is_nearest: bool) -> Outcome:
    """fprem, or with `is_nearest` fprem1: ST(0) becomes what is left of it after division by ST(1).

    If their exponents are far apart only part of the way is gone, and C2 says so; the quotient's last three
    bits are in C0, C3 and C1 otherwise.
    """
    special = _not_a_number(x, y)
    if special is not None:
        return special
    if x.is_infinite or y.is_zero:
        return _invalid()
    denormal = DENORMAL if x.is_denormal or y.is_denormal else 0
    if x.is_zero or y.is_infinite:
        is_odd = not x.exponent and x.significand & INTEGER_BIT
        return _exact(x._replace(exponent=1) if is_odd else x, denormal)
    distance = (x.significand.bit_length() + x.scale) - (y.significand.bit_length() + y.scale)
    scale = min(x.scale, y.scale)
    dividend, divisor = x.significand << x.scale - scale, y.significand << y.scale - scale
    conditions = 0
    if distance < 64:
        quotient, left = divmod(dividend, divisor)
        if is_nearest and (2 * left > divisor or (2 * left == divisor and quotient & 1)):
            quotient, left = quotient + 1, left - divisor
        conditions = (C0 if quotient & 4 else 0) | (C3 if quotient & 2 else 0) | (C1 if quotient & 1 else 0)
    else:
        # The processor goes between 32 and 63 bits of the way.
        left = dividend % (divisor << distance - (distance & 31 | 32))
        conditions = C2
    if not left:
        return Outcome((_ZERO._replace(is_negative=x.is_negative),), denormal, conditions)
    number, _, _ = _round(_Real(-left if x.is_negative else left, scale, is_exact=True), 0)
    return Outcome((number,), denormal, conditions)


# Exponents


def extracted(x: Extended) -> Outcome:
    """fxtract: the exponent of ST(0) as a number, and on top of it its significand with 1's exponent."""
    special = _not_a_number(x)
    if special is not None:
        return special._replace(results=special.results * 2)
    if x.is_infinite:
        return Outcome((_INFINITY, x))
    if x.is_zero:
        return Outcome((_INFINITY.negated(), x), ZERO_DIVIDE)
    length = x.significand.bit_length()
    exponent, _, _ = _round(_Real(length - 1 + x.scale, 0, is_exact=True), 0)
    significand = Extended(x.is_negative, BIAS, x.significand << 64 - length)
    return Outcome((exponent, significand), DENORMAL if x.is_denormal else 0)


def scaled(x: Extended, y: Extended, rounding: int) -> Outcome:
    """fscale: ST(0) times 2 to the power of ST(1), as far as that is whole."""
    special = _not_a_number(x, y)
    if special is not None:
        return special
    denormal = DENORMAL if x.is_denormal or y.is_denormal else 0
    if y.is_infinite:
        if x.is_infinite if y.is_negative else x.is_zero:
            return _invalid()
        return _exact((_ZERO if y.is_negative else _INFINITY)._replace(is_negative=x.is_negative), denormal)
    if x.is_zero or x.is_infinite:
        return _exact(x, denormal)
    # More than that makes no difference.
    shift = _FARTHEST_SHIFT if y.exponent > BIAS + 16 else _shifted(y.significand, min(y.scale, 0))
    signed = -x.significand if x.is_negative else x.significand
    scale = x.scale + (-shift if y.is_negative else shift)
    return _rounded(_Real(signed, scale, is_exact=True), rounding, denormal=denormal)


# Exponentials and logarithms


def exponential(x: Extended, rounding: int) -> Outcome:
    """f2xm1: 2 to the power of ST(0), less 1."""
    special = _not_a_number(x)
    if special is not None:
        return special
    if x.is_zero:
        return _exact(x)
    if x.is_infinite:
        return _exact(ONE.negated() if x.is_negative else x)
    if x in (ONE, ONE.negated()):
        return _exact(Extended(True, BIAS - 1, INTEGER_BIT) if x.is_negative else x, INEXACT)
    denormal = DENORMAL if x.is_denormal else 0
    if x.exponent > BIAS:
        # Undefined there: processors leave it as it is.
        return _exact(x, denormal | INEXACT)
    signed = -x.significand if x.is_negative else x.significand
    if x.exponent < BIAS - _PRECISION:
        # 2^x - 1 is x ln 2 to all the bits that there are.
        bits = _PRECISION + 16
        return _rounded(_Real(signed * _ln2(bits), x.scale - bits), rounding, denormal=denormal)
    bits = _PRECISION + max(-(x.significand.bit_length() + x.scale), 0) + 8
    argument = _shifted(signed * _ln2(bits), x.scale)
    return _rounded(_Real(_expm1(argument, bits), -bits), rounding, denormal=denormal)


def _log2(numerator: int, denominator: int) -> _Real:
    """The binary logarithm of a positive ratio of integers."""
    whole = numerator.bit_length() - denominator.bit_length()
    if whole >= 0:
        denominator <<= whole
    else:
        numerator <<= -whole
    # Within 1/sqrt(2) to sqrt(2), so that nothing cancels near 1.
    if numerator * numerator > 2 * denominator * denominator:
        denominator, whole = denominator << 1, whole + 1
    elif 2 * numerator * numerator < denominator * denominator:
        numerator, whole = numerator << 1, whole - 1
    if numerator == denominator:
        return _Real(whole, 0, is_exact=True)
    nearness = numerator.bit_length() - abs(numerator - denominator).bit_length()
    bits = _PRECISION + nearness + 16
    fraction = (_log_of_ratio(numerator, denominator, bits) << bits) // _ln2(bits)
    return _Real((whole << bits) + fraction, -bits)


def logarithm(x: Extended, y: Extended, rounding: int) -> Outcome:
    """fyl2x: ST(1) times the binary logarithm of ST(0)."""
    special = _not_a_number(x, y)
    if special is not None:
        return special
    if x.is_negative and not x.is_zero:
        return _invalid()
    if x.is_zero:
        if y.is_zero:
            return _invalid()
        infinity = _INFINITY._replace(is_negative=not y.is_negative)
        return _exact(infinity, 0 if y.is_infinite else ZERO_DIVIDE)
    if x.is_infinite:
        return _invalid() if y.is_zero else _exact(_INFINITY._replace(is_negative=y.is_negative))
    denormal = DENORMAL if x.is_denormal or y.is_denormal else 0
    shift = max(-x.scale, 0)
    log = _log2(x.significand << max(x.scale, 0), 1 << shift)
    if y.is_infinite:
        if not log.value:
            return _invalid()
        return _exact(_INFINITY._replace(is_negative=y.is_negative != (log.value < 0)), denormal)
    return _times(y, log, rounding, denormal)


def _times(y: Extended, log: _Real, rounding: int, denormal: int) -> Outcome:
    """ST(1) times a logarithm."""
    if y.is_zero or not log.value:
        return _exact(_ZERO._replace(is_negative=y.is_negative != (log.value < 0)), denormal)
    signed = -y.significand if y.is_negative else y.significand
    outcome = _rounded(
        _Real(signed * log.value, log.scale + y.scale, log.is_exact), rounding, denormal=denormal
    )
    # Processors don't look whether a logarithm came out even.
    is_tiny = outcome.results[0].exponent == 0
    return outcome._replace(exceptions=outcome.exceptions | INEXACT | (UNDERFLOW if is_tiny else 0))


def logarithm_near_one(x: Extended, y: Extended, rounding: int) -> Outcome:
    """fyl2xp1: ST(1) times the binary logarithm of ST(0) + 1."""
    special = _not_a_number(x, y)
    if special is not None:
        return special
    denormal = DENORMAL if x.is_denormal or y.is_denormal else 0
    if x.is_zero:
        if y.is_infinite:
            return _invalid()
        return _exact(_ZERO._replace(is_negative=x.is_negative != y.is_negative), denormal)
    if x.is_infinite:
        if x.is_negative or y.is_zero:
            return _invalid()
        return _exact(_INFINITY._replace(is_negative=y.is_negative))
    if x.is_negative and x.exponent >= BIAS:
        # Undefined there, as 1 + x isn't positive: processors leave it as it is.
        return _exact(x, denormal | INEXACT)
    if y.is_infinite:
        return _exact(_INFINITY._replace(is_negative=x.is_negative != y.is_negative), denormal)
    signed = -x.significand if x.is_negative else x.significand
    if x.exponent < BIAS - _PRECISION:
        # log2(1 + x) is x / ln 2 to all the bits that there are.
        bits = _PRECISION + 16
        log = _Real((signed << 2 * bits) // _ln2(bits), x.scale - bits)
    else:
        scale = x.scale
        one = 1 << max(-scale, 0)
        log = _log2(one + _shifted(signed, max(scale, 0)), one)
    return _times(y, log, rounding, denormal)


# Angles


def _reduced(x: Extended) -> tuple[int, int, int]:
    """An angle as a number of quarter turns and a rest of at most an eighth: the rest, its fixed-point bits,
    and the quarter. The rest is exact for the processor's own pi.
    """
    bits = max(-x.scale, 65)
    angle = x.significand << bits + x.scale
    quarter = _SCALED_PI << bits - 65
    turns, rest = divmod(angle + (quarter >> 1), quarter)
    rest -= quarter >> 1
    if x.is_negative:
        turns, rest = -turns, -rest
    return rest, bits, turns & 3


def _sine_and_cosine(x: Extended) -> tuple[_Real, _Real]:
    rest, bits, quarter = _reduced(x)
    more = _PRECISION + max(bits - abs(rest).bit_length(), 0) + 16
    fixed = rest << more - bits if more >= bits else rest >> bits - more
    sine, cosine = _Real(_sine(fixed, more), -more), _Real(_cosine(fixed, more), -more)
    if not rest:
        sine, cosine = _Real(0, 0, is_exact=True), _Real(1, 0, is_exact=True)
    for _ in range(quarter):
        sine, cosine = cosine, _Real(-sine.value, sine.scale, sine.is_exact)
    return sine, cosine


def _angle_of(x: Extended) -> Outcome | None:
    """What comes of an operand that isn't an angle that can be reduced; None if it is one."""
    special = _not_a_number(x)
    if special is not None:
        return special
    if x.is_infinite:
        return _invalid()
    if x.exponent >= BIAS + _LARGEST_ANGLE:
        return Outcome((x,), 0, C2)
    return None


def sine(x: Extended, rounding: int) -> Outcome:
    """fsin."""
    special = _angle_of(x)
    if special is not None:
        return special
    if x.is_zero:
        return _exact(x)
    denormal = DENORMAL if x.is_denormal else 0
    return _rounded(_sine_and_cosine(x)[0], rounding, denormal=denormal)


def cosine(x: Extended, rounding: int) -> Outcome:
    """fcos."""
    special = _angle_of(x)
    if special is not None:
        return special
    if x.is_zero:
        return _exact(ONE)
    denormal = DENORMAL if x.is_denormal else 0
    return _rounded(_sine_and_cosine(x)[1], rounding, denormal=denormal)


def sine_and_cosine(x: Extended, rounding: int) -> Outcome:
    """fsincos: the sine, and the cosine on top of it."""
    special = _angle_of(x)
    if special is not None:
        return special if special.conditions & C2 else special._replace(results=special.results * 2)
    first, second = sine(x, rounding), cosine(x, rounding)
    return Outcome(first.results + second.results, first.exceptions | second.exceptions, second.conditions)


def tangent(x: Extended, rounding: int) -> Outcome:
    """fptan: the tangent, and 1 on top of it."""
    special = _angle_of(x)
    if special is not None:
        if special.conditions & C2:
            return special
        # An operand that is no number is there twice.
        return special._replace(results=special.results * 2)
    if x.is_zero:
        return Outcome((x, ONE))
    denormal = DENORMAL if x.is_denormal else 0
    over, under = _sine_and_cosine(x)
    if not under.value:
        return _invalid()
    shift = _PRECISION + max(abs(under.value).bit_length() - abs(over.value).bit_length(), 0) + 16
    quotient = _divided(over.value << shift, abs(under.value)) * (1 if under.value > 0 else -1)
    outcome = _rounded(_Real(quotient, over.scale - under.scale - shift), rounding, denormal=denormal)
    return outcome._replace(results=(*outcome.results, ONE))


def arctangent(x: Extended, y: Extended, rounding: int) -> Outcome:
    """fpatan: the angle of the point with the abscissa ST(0) and the ordinate ST(1)."""
    special = _not_a_number(x, y)
    if special is not None:
        return special
    denormal = DENORMAL if x.is_denormal or y.is_denormal else 0
    bits = _PRECISION + 16
    half_turn = _pi(bits)
    sign = -1 if y.is_negative else 1
    if y.is_zero or (x.is_infinite and not y.is_infinite):
        if not x.is_negative:
            return _exact(_ZERO._replace(is_negative=y.is_negative), denormal)
        return _rounded(_Real(sign * half_turn, -bits), rounding, denormal=denormal)
    if y.is_infinite or x.is_zero:
        eighths = 4
        if y.is_infinite and x.is_infinite:
            eighths = 6 if x.is_negative else 2
        value = sign * half_turn * eighths
        return _rounded(_Real(value, -bits - 3), rounding, denormal=denormal)
    return _rounded(_angle(x, y), rounding, denormal=denormal)


def _angle(x: Extended, y: Extended) -> _Real:
    """The angle of a point with finite coordinates that aren't 0."""
    size = (x.significand.bit_length() + x.scale) - (y.significand.bit_length() + y.scale)
    sign = -1 if y.is_negative else 1
    if size > _PRECISION and not x.is_negative:
        # The angle is the ratio, to all the bits that there are.
        shift = _PRECISION + 80
        return _Real(sign * ((y.significand << shift) // x.significand), y.scale - x.scale - shift)
    if size < -_PRECISION or size > _PRECISION:
        bits = _PRECISION + 80
        angle = _pi(bits) if size > 0 else _pi(bits) >> 1
        return _Real(sign * angle, -bits)
    scale = min(x.scale, y.scale)
    across, up = x.significand << x.scale - scale, y.significand << y.scale - scale
    bits = 2 * _PRECISION + max(size, 0) + 16
    is_steep = up > across
    ratio = ((across if is_steep else up) << bits) // (up if is_steep else across)
    angle = _arctangent(ratio, bits)
    half_turn = _pi(bits)
    if is_steep:
        angle = (half_turn >> 1) - angle
    if x.is_negative:
        angle = half_turn - angle
    return _Real(sign * angle, -bits)
