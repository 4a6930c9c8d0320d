"""binfmt_misc with real programs. Only here: on Linux the formats would be registered for the host."""

from __future__ import annotations

import pytest

from tests.programs.conftest import RunProgram

MOUNT = "busybox mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; cd /proc/sys/fs/binfmt_misc;"
PROGRAMS = """
printf '#!/bin/bash\necho "$# $0 $*"\n' >/tmp/show
printf MAGIChello >/tmp/program
printf anything >/tmp/a.foo
chmod +x /tmp/show /tmp/program /tmp/a.foo
"""


def test_programs_run_with_their_interpreters(run_program: RunProgram) -> None:
    result = run_program(
        [
            "/usr/bin/bash",
            "-c",
            PROGRAMS
            + MOUNT
            + """
cat status
echo ':magic:M::MAGIC::/tmp/show:' >register
echo ':name:E::foo::/tmp/show:P' >register
/tmp/program 1 2
/tmp/a.foo x
echo 0 >magic
/tmp/program 2>/dev/null || echo "status $?"
echo 1 >magic
echo 0 >status
/tmp/a.foo 2>/dev/null || echo "status $?"
echo 1 >status
echo ':magic:M::MAGIC::/tmp/show:' >register
echo ':bad' >register
ls
echo -1 >magic
ls
cd /
busybox umount /proc/sys/fs/binfmt_misc
ls /proc/sys/fs/binfmt_misc
/tmp/a.foo 2>/dev/null || echo "status $?"
""",
        ]
    )
    assert result.stdout.decode().splitlines() == [
        "enabled",
        "3 /tmp/show /tmp/program 1 2",
        "3 /tmp/show /tmp/a.foo /tmp/a.foo x",
        "status 127",
        "status 127",
        *("magic", "name", "register", "status"),
        *("name", "register", "status"),
        "status 127",
    ]
    assert result.stderr.decode().splitlines() == [
        "/usr/bin/bash: line 20: echo: write error: File exists",
        "/usr/bin/bash: line 21: echo: write error: Invalid argument",
    ]


@pytest.mark.heavy
def test_an_interpreter_may_have_the_program_opened_and_its_rights(run_program: RunProgram) -> None:
    result = run_program(
        [
            "/usr/bin/bash",
            "-c",
            MOUNT
            + r"""
printf '#PRIV\nimport os\nprint(os.getuid(), os.geteuid(), os.readlink("/proc/self/fd/3"))\n' >/tmp/program
chown games /tmp/program
chmod 4755 /tmp/program
echo ':a:M::#PRIV::/usr/bin/python3:C' >register
/tmp/program
setpriv --reuid 1 --regid 1 --clear-groups /tmp/program
echo -1 >a
echo ':a:M::#PRIV::/usr/bin/cat:O' >register
LD_SHOW_AUXV=1 /tmp/program | grep EXECFD
echo -1 >a
echo ':a:M::#PRIV::/usr/bin/head:F' >register
mv /usr/bin/head /usr/bin/other
/tmp/program | wc -l
""",
        ]
    )
    assert result.stdout.decode().splitlines() == [
        "0 5 /tmp/program",
        "1 5 /tmp/program",
        "AT_EXECFD:            3",
        "3",
    ]
    assert (result.stderr, result.status) == (b"", 0)
