"""RTA_METRICS: what is known of a way, such as the largest packet and the congestion control
(ip-route(8))."""

from __future__ import annotations

from procession.abi.errno import EINVAL, TOLD
from procession.abi.netlink import RouteMetric
from procession.abi.word import pack_u32
from procession.net.netlink.attributes import list_in
from procession.net.sysctls import CONGESTION_CONTROLS

_LARGEST = int(RouteMetric.RTAX_FASTOPEN_NO_COOKIE)
_CONGESTION, _FEATURES = int(RouteMetric.RTAX_CC_ALGO), int(RouteMetric.RTAX_FEATURES)
_MOST = {
    int(RouteMetric.RTAX_ADVMSS): 65_535 - 40,
    int(RouteMetric.RTAX_MTU): 65_535 - 15,
    int(RouteMetric.RTAX_HOPLIMIT): 255,
}
_KNOWN_FEATURES = 0x1F
_LONGEST_NAME = 15


def wanted_metrics(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """The metrics of a list, those that aren't 0, in the order of their numbers. Raises EINVAL.

    Linux: net/ipv4/metrics.c, ip_metrics_convert.
    """
    metrics: dict[int, bytes] = {}
    for kind, value in list_in(data):
        if not kind:
            continue
        if kind > _LARGEST:
            raise EINVAL("Invalid metric type", TOLD)
        if kind == _CONGESTION:
            name = value.split(b"\0", 1)[0][:_LONGEST_NAME]
            if name not in CONGESTION_CONTROLS:
                raise EINVAL("Unknown tcp congestion algorithm", TOLD)
            metrics[kind] = name + b"\0"
            continue
        if len(value) != 4:
            raise EINVAL("Invalid attribute in metrics", TOLD)
        number = int.from_bytes(value, "little")
        if kind in _MOST:
            number = min(number, _MOST[kind])
        if kind == _FEATURES and number & ~_KNOWN_FEATURES:
            raise EINVAL("Unknown flag set in feature mask in metrics attribute", TOLD)
        metrics[kind] = pack_u32(number)
    return tuple(sorted((kind, value) for kind, value in metrics.items() if any(value)))


def have_metrics(data: bytes, metrics: tuple[tuple[int, bytes], ...]) -> bool:
    """Whether a route has the metrics of a list. Linux: net/ipv4/fib_semantics.c, fib_metrics_match."""
    there = dict(metrics)
    for kind, value in list_in(data):
        if not kind:
            continue
        if kind > _LARGEST:
            return False
        if kind == _CONGESTION:
            if there.get(kind, b"") != value.split(b"\0", 1)[0] + b"\0":
                return False
        elif len(value) != 4 or there.get(kind, bytes(4)) != value:
            return False
    return True
