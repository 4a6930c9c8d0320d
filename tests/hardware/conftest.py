"""The engines that tests of the contract run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from procession.hardware.engine import Engine
from procession.hardware.engines import tiered
from procession.hardware.engines.choice import make_engine
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.tiered import TieredEngine
from procession.hardware.engines.unicorn import UnicornEngine
from tests.hardware.processor_bench import Bench, processor_bench


def _make_tiered() -> Engine:
    return make_engine("auto")


ENGINES: dict[str, Callable[[], Engine]] = {
    "auto": _make_tiered,
    "auto, promoted soon": _make_tiered,
    "native": NativeEngine,
    "unicorn": UnicornEngine,
}
NEEDS_STUBS = ("auto, promoted soon", "native")


@pytest.fixture(params=sorted(ENGINES))
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A processor of each engine in turn."""
    name: str = request.param
    if name in NEEDS_STUBS:
        reason = why_unavailable()
        if reason is not None:
            pytest.skip(reason)
    if name == "auto, promoted soon":
        monkeypatch.setattr(tiered, "PROMOTION_UNITS", 1)
    with processor_bench(ENGINES[name]) as bench:
        yield bench
        if name == "auto, promoted soon":
            assert isinstance(bench.engine, TieredEngine)
            assert not bench.engine.refusal
