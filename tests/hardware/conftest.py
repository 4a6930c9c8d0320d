"""The engines that tests of the contract run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from procession.hardware.engine import Engine
from procession.hardware.engines.unicorn import UnicornEngine
from tests.hardware.processor_bench import Bench, processor_bench

ENGINES: dict[str, Callable[[], Engine]] = {"unicorn": UnicornEngine}


@pytest.fixture(params=sorted(ENGINES))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A processor of each engine in turn."""
    with processor_bench(ENGINES[request.param]) as bench:
        yield bench
