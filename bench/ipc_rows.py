"""What is measured of each mechanism by which processes communicate: its latency and its throughput."""

from __future__ import annotations

from bench.rows import Row, Target, mebibytes_per_second, microseconds

BYTES_PER_MIB = 1024 * 1024
LARGE_BYTES = 64 * 1024
QUEUE_BYTES = 8 * 1024


def latency(mechanism: str, title: str, target: Target | None = None) -> Row:
    """Return the row for round trips of eight bytes between two processes."""
    return Row(
        f"{mechanism}-latency",
        f"{title}, round trip of 8 bytes",
        ("ipc.c", mechanism, "latency", "{count}"),
        target,
        native_counts=(1_000, 21_000),
        counts=(500, 5_500),
    )


def throughput(mechanism: str, title: str, message_bytes: int, target: Target | None = None) -> Row:
    """Return the row for messages of `message_bytes` from one process to another, shown in MiB/s."""
    per = BYTES_PER_MIB // message_bytes
    return Row(
        f"{mechanism}-throughput",
        f"{title}, messages of {message_bytes // 1024} KiB",
        ("ipc.c", mechanism, "throughput", "{count}"),
        target,
        unit="MiB/s",
        native_counts=(16 * per, 1_040 * per),
        counts=(4 * per, 132 * per),
        per=per,
    )


IPC_ROWS = (
    latency("pipe", "pipe", microseconds(60)),
    throughput("pipe", "pipe", LARGE_BYTES, mebibytes_per_second(400)),
    latency("fifo", "FIFO"),
    throughput("fifo", "FIFO", LARGE_BYTES),
    latency("unix-stream", "UNIX stream socket"),
    throughput("unix-stream", "UNIX stream socket", LARGE_BYTES),
    latency("unix-datagram", "UNIX datagram socket"),
    throughput("unix-datagram", "UNIX datagram socket", LARGE_BYTES),
    latency("posix-queue", "POSIX message queue"),
    throughput("posix-queue", "POSIX message queue", QUEUE_BYTES),
    latency("sysv-queue", "System V message queue"),
    throughput("sysv-queue", "System V message queue", QUEUE_BYTES),
    latency("shared-memory", "shared memory, futex"),
    throughput("shared-memory", "shared memory, futex, in place", LARGE_BYTES),
    throughput("shared-memory-copied", "shared memory, futex, copied in and out", LARGE_BYTES),
    latency("eventfd", "eventfd"),
    Row(
        "signal-latency",
        "signal, round trip",
        ("signal_ping_pong.c", "{count}"),
        microseconds(80),
        native_counts=(500, 10_500),
        counts=(200, 4_200),
    ),
)
