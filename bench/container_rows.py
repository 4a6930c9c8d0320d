"""What is measured of namespaces, sandboxes and containers, those of Debian's `bwrap` and `crun`."""

from __future__ import annotations

from bench.rows import Row, microseconds, times_native

BWRAP = (
    "for ((i = 0; i < {count}; i++)); do"
    " bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all /bin/true || exit 1; done"
)
CRUN = r"""
mkdir -p /mnt && mount -t sysfs sysfs /sys && mount -t cgroup2 none /sys/fs/cgroup || exit 1
mount -t tmpfs bundle /mnt && cd /mnt && mkdir -p rootfs/bin rootfs/proc rootfs/sys rootfs/dev
cp /bin/busybox rootfs/bin/ && crun spec || exit 1
sed -i 's/"terminal": true/"terminal": false/; s|"sh"|"/bin/busybox", "true"|' config.json
for ((i = 0; i < {count}; i++)); do crun run box || exit 1; done
"""
"""Under control groups of version 2 alone: crun doesn't run beside those of version 1."""

CONTAINER_ROWS = (
    Row(
        "pid-namespace",
        "unshare of a pid namespace, fork and wait",
        ("pid_namespace.c", "{count}"),
        times_native(2),
        native_counts=(20, 220),
        counts=(10, 110),
    ),
    Row(
        "bwrap",
        "a sandbox of bubblewrap, started and ended",
        ("/bin/bash", "-c", BWRAP),
        times_native(5),
        unit="ms",
        native_counts=(2, 22),
        counts=(2, 12),
        tree="containers",
    ),
    Row(
        "crun",
        "crun run of a busybox that does nothing",
        ("/usr/bin/unshare", "-m", "/bin/bash", "-c", CRUN),
        times_native(6),
        unit="ms",
        native_counts=(2, 12),
        counts=(1, 6),
        tree="containers",
    ),
    Row(
        "filtered-getpid",
        "getpid under a filter as docker's",
        ("filtered_getpid.c", "{count}"),
        microseconds(3.6),
        native_counts=(20_000, 520_000),
        counts=(5_000, 105_000),
    ),
)
