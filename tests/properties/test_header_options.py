"""Options of IPv4's header: whatever bytes a program gives, what is gathered fits where it belongs."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from procession.abi.errno import EINVAL, EPERM
from procession.net.internet.header_options import answered, checked_options, is_routed_by_source, recorded

KINDS = st.sampled_from((0, 1, 7, 68, 130, 131, 134, 137, 148))
OPTION = st.builds(
    lambda kind, pointer, rest, length: bytes((kind, length or len(rest) + 3, pointer)) + rest,
    KINDS,
    st.integers(0, 60),
    st.binary(max_size=20),
    st.sampled_from((0, 0, 0, 2, 3, 7, 255)),
)


@given(st.one_of(st.binary(max_size=44), st.lists(OPTION, max_size=3).map(b"".join)), st.booleans())
def test_options_keep_their_length(data: bytes, is_privileged: bool) -> None:
    try:
        options = checked_options(data, lambda: is_privileged)
    except (EINVAL, EPERM):
        return
    length = len(options)
    assert length <= 40
    assert length % 4 == 0
    assert checked_options(options, lambda: True) == options
    assert is_routed_by_source(options) in (False, is_privileged)
    options = recorded(options, b"\1\2\3\4", 10**18, lambda _: True, is_sender=True)
    with contextlib.suppress(EINVAL):
        for number in range(10):
            options = recorded(options, bytes((number,) * 4), 10**18, lambda address: address[0] % 2 == 0)
            assert len(options) == length
    answer = answered(options)
    assert len(answer) % 4 == 0
    assert len(answer) <= length
