"""What a seed leads to: the words of splitmix64, in their order, however they are taken."""

from __future__ import annotations

from procession.kernel.decider import SeededDecider

_WORD = 0xFFFF_FFFF_FFFF_FFFF


def _word_after(steps: int, seed: int) -> int:
    """The word that `seed` gives after so many others, made by itself."""
    word = (seed + (steps + 1) * 0x9E3779B97F4A7C15) & _WORD
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
    return word ^ word >> 31


def test_choices_are_the_generators_words_beyond_those_that_are_made_at_once() -> None:
    for seed in (0, 1, 12345, _WORD):
        decider = SeededDecider(seed)
        assert [decider.choose("any", 1 << 64) for _ in range(300)] == [
            _word_after(steps, seed) for steps in range(300)
        ]
    assert SeededDecider(0).choose("any", 1 << 64) == 0xE220A8397B1DCDAF


def test_random_bytes_take_whole_words_and_a_single_option_none() -> None:
    decider, taken = SeededDecider(7), 0
    for length in (1, 8, 9, 0, 511, 512, 513, 3000, 16):
        words = b"".join(
            _word_after(taken + step, 7).to_bytes(8, "little") for step in range(length // 8 + 1)
        )
        assert decider.random_bytes(length) == words[:length]
        taken += -(-length // 8)
        assert decider.choose("any", 1) == 0
        assert decider.choose("any", 10) == _word_after(taken, 7) % 10
        taken += 1
