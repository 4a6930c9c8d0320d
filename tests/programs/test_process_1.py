"""Programs that are made to be process 1, from Debian, unmodified: they reap orphans and pass signals on."""

from __future__ import annotations

import pytest

from tests.programs.conftest import RunScript

pytestmark = pytest.mark.heavy

SERVICE = r"""
mkdir -p /services/x
printf '#!/bin/sh\nexec sleep 1000\n' >/services/x/run
chmod +x /services/x/run
"""
SUPERVISORD = r"""
printf '[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\npidfile=/run/s.pid\n' >/etc/s.conf
printf '[program:x]\ncommand=sleep 1000\n' >>/etc/s.conf
"""
WATCH = "(sleep 2; ps -eo stat,args | grep -c '^Z'; kill -TERM 1) &"
"""Counts the zombies, and ends process 1."""


def test_a_program_that_isnt_made_for_it_reaps_nobody(run_script: RunScript) -> None:
    result = run_script("(sleep 1 &); (sleep 2; ps -eo stat,args | grep -c '^Z') & exec sleep 4", pid1=True)
    assert result.stdout == b"1\n"


@pytest.mark.parametrize("init", ["tini --", "dumb-init", "catatonit --"])
def test_small_inits_reap_orphans_and_pass_signals_on(run_script: RunScript, init: str) -> None:
    script = f"(sleep 1 &); {WATCH} exec {init} bash -c 'trap \"echo told; exit 7\" TERM; sleep 1000 & wait'"
    result = run_script(script, pid1=True)
    assert result.stdout == b"0\ntold\n"
    assert result.status == 7
    assert result.reason == ""


@pytest.mark.parametrize(
    ("preparation", "init"),
    [
        (SERVICE, "runsvdir /services"),
        (SERVICE, "s6-svscan /services"),
        (SUPERVISORD, "supervisord -s -c /etc/s.conf"),
    ],
)
def test_supervisors_reap_orphans_and_end_at_sigterm(
    run_script: RunScript, preparation: str, init: str
) -> None:
    watch = "(sleep 3; pgrep -xc sleep; ps -eo stat,args | grep -c '^Z'; kill -TERM 1) &"
    result = run_script(f"{preparation} (sleep 1 &); {watch} exec {init}", pid1=True)
    # The service, and nobody who has ended.
    assert result.stdout.decode().splitlines()[:2] == ["1", "0"]
    assert (result.status, result.reason) == (0, "")


def test_busybox_init_starts_again_what_ends(run_script: RunScript) -> None:
    script = r"""
    printf '::sysinit:/bin/echo started\n::respawn:/bin/sleep 1\n::shutdown:/bin/echo down\n' >/etc/inittab
    (sleep 1 &)
    (sleep 5; ps -eo stat,args | grep -c '^Z'; pgrep -xc sleep; kill -USR2 1) &
    exec busybox init
    """
    result = run_script(script, pid1=True)
    lines = result.stdout.decode().splitlines()
    assert [line for line in lines if line in ("started", "down")] == ["started", "down"]
    assert "0" in lines
    assert (result.status, result.reason) == (0, "the machine was powered off")


def test_openrc_starts_services_and_turns_the_machine_off(run_script: RunScript) -> None:
    script = r"""
    for level in sysinit boot default shutdown; do mkdir -p /etc/runlevels/$level; done
    printf '#!/usr/sbin/openrc-run\ncommand=/bin/sleep\ncommand_args=1000\n' >/etc/init.d/service
    printf 'command_background=yes\npidfile=/run/service.pid\n' >>/etc/init.d/service
    chmod +x /etc/init.d/service; ln -s /etc/init.d/service /etc/runlevels/default/
    (sleep 20; rc-service service status; pgrep -xc sleep; openrc-shutdown --poweroff now) &
    exec openrc-init
    """
    result = run_script(script, pid1=True)
    lines = [line.strip() for line in result.stdout.decode().splitlines()]
    at = lines.index("* status: started")
    # The service, and no other.
    assert lines[at + 1] == "1"
    assert (result.status, result.reason) == (0, "the machine was powered off")
