"""Container runtimes and sandboxes from Debian, unmodified, and systemd."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from procession import Machine, Result
from tests.programs.conftest import RunScript

pytestmark = pytest.mark.heavy

BUNDLE = r"""
bundle=$HOME/bundle
mkdir -p $bundle/rootfs/bin $bundle/rootfs/proc $bundle/rootfs/sys $bundle/rootfs/dev $bundle/rootfs/etc
cp /usr/bin/busybox $bundle/rootfs/bin/
for name in sh ls id ps mount cat echo hostname grep kill sleep touch; do
    ln $bundle/rootfs/bin/busybox $bundle/rootfs/bin/$name
done
cd $bundle
"""
EDIT = r"""
python3 - <<'END'
import json, os
config = json.load(open("config.json"))
config["process"]["terminal"] = False
config["process"]["args"] = ["sh", "-c", os.environ["SCRIPT"]]
left_out = os.environ["WITHOUT"].split()
config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] not in left_out]
if os.environ.get("PROFILE"):
    profile = json.load(open("/usr/share/containers/seccomp.json"))
    held = set(config["process"]["capabilities"]["bounding"])
    calls = []
    for rule in profile["syscalls"]:
        wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
        if "amd64" not in wanted.get("arches", ["amd64"]) or not set(wanted.get("caps", [])) <= held:
            continue
        if "amd64" in unwanted.get("arches", []) or set(unwanted.get("caps", [])) & held:
            continue
        call = {key: rule[key] for key in ("names", "action", "errnoRet") if rule.get(key) is not None}
        if rule.get("args"):
            keys = "index", "value", "valueTwo", "op"
            call["args"] = [{key: test[key] for key in keys if key in test} for test in rule["args"]]
        calls.append(call)
    config["linux"]["seccomp"] = {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": calls,
    }
json.dump(config, open("config.json", "w"))
END
"""


def lines_of(result: Result) -> list[str]:
    """What was printed, by a run that ended by itself."""
    assert (result.reason, result.stderr) == ("", b"")
    return result.stdout.decode().splitlines()


# Sandboxes

FLATPAK = (
    "bwrap --unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --die-with-parent"
    " --new-session --as-pid-1 --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib"
    " --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp --dir /run/user/1000"
    " --ro-bind /etc /etc --setenv XDG_RUNTIME_DIR /run/user/1000 --chdir /tmp"
    " --hostname sandbox --cap-drop ALL"
)


@pytest.mark.parametrize("user", [None, "1000:1000"])
def test_a_sandbox_as_flatpak_makes_it(run_script: RunScript, user: str | None) -> None:
    inside = (
        "echo $$ $(hostname) $PWD; id -u; ls /; touch /usr/x; echo x >/tmp/x && cat /tmp/x;"
        " ls /proc | grep -c ^[0-9]; grep CapEff /proc/self/status; kill -0 1 && echo one;"
        " mount -t tmpfs x /tmp; echo $?"
    )
    result = run_script(f"{FLATPAK} bash -c '{inside}' 2>&1", user=user)
    uid = "0" if user is None else "1000"
    lines = [line.strip() for line in result.stdout.decode().splitlines()]
    assert lines[:2] == ["1 sandbox /tmp", uid]
    assert lines[2:11] == ["bin", "dev", "etc", "lib", "lib64", "proc", "run", "tmp", "usr"]
    assert lines[11] == "touch: cannot touch '/usr/x': Read-only file system"
    assert lines[12] == "x"
    assert lines[14] == "CapEff:\t0000000000000000"
    assert lines[15] == "one"
    assert lines[-1] != "0"


def test_a_sandbox_with_a_network_of_its_own(run_script: RunScript) -> None:
    sandbox = "bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all --die-with-parent"
    inside = "grep -c : /proc/net/dev; readlink /proc/self/ns/net"
    script = f"{sandbox} sh -c '{inside}'; readlink /proc/self/ns/net"
    interfaces, first, second = lines_of(run_script(script))
    assert interfaces == "1"
    assert first != second


def test_a_sandbox_dies_with_its_parent(run_script: RunScript) -> None:
    sandbox = "bwrap --ro-bind / / --proc /proc --unshare-pid --die-with-parent sleep 1000"
    script = f"""
    bash -c '{sandbox} & echo $! >/tmp/pid; sleep 2; kill -KILL $$' &
    sleep 1; pgrep -c bwrap; pgrep -xc sleep
    sleep 2; pgrep -c bwrap; pgrep -x sleep -a
    """
    result = run_script(script)
    assert result.stdout.decode().splitlines() == ["2", "2", "0"]


# Runtimes


def container(runtime: str, script: str, *, spec: str = "", without: str = "") -> str:
    """A shell's script that runs a bundle of busybox whose program is `script`."""
    name = runtime.partition(" ")[0]
    return (
        f"{BUNDLE} {name} spec {spec}; export SCRIPT={script!r} WITHOUT={without!r}; {EDIT} {runtime} run box"
    )


INSIDE = (
    'id -u; ps | grep -c sh; hostname; grep -E "CapEff|NoNewPrivs" /proc/self/status; touch /x || echo no'
)


@pytest.mark.parametrize(
    ("runtime", "user", "spec", "without"),
    [
        ("crun", None, "", ""),
        ("runc", None, "", ""),
        ("crun --root /tmp/run", "1000:1000", "--rootless", ""),
        ("runc --root /tmp/run", "1000:1000", "--rootless", ""),
    ],
)
def test_a_bundle_of_busybox(
    run_script: RunScript, runtime: str, user: str | None, spec: str, without: str
) -> None:
    script = container(runtime, INSIDE, spec=spec, without=without)
    result = run_script(script + " 2>/dev/null", user=user, environment=ENVIRONMENT)
    name = runtime.partition(" ")[0]
    assert result.stdout.decode().splitlines()[:1] == ["0"]
    assert f"{name}\nCapEff:\t0000000020000420\nNoNewPrivs:\t1\nno\n" in result.stdout.decode()
    assert result.status == 0


ALLOW_MKNOD = r"""
cat >/tmp/edit.py <<'END'
import json
config = json.load(open("config.json"))
for which in "bounding", "effective", "permitted":
    config["process"]["capabilities"][which].append("CAP_MKNOD")
json.dump(config, open("config.json", "w"))
END
"""


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_a_bundle_has_its_devices_and_no_others(run_script: RunScript, runtime: str) -> None:
    inside = "cat /dev/null && echo null; busybox mknod /dev/other c 1 11 && echo made; cat /dev/other"
    script = container(runtime, inside + " 2>&1").replace(
        f"{runtime} run box", f"python3 /tmp/edit.py; {runtime} run box"
    )
    result = run_script(ALLOW_MKNOD + script, environment=ENVIRONMENT)
    assert result.stdout == b"null\nmade\ncat: can't open '/dev/other': Operation not permitted\n"


@pytest.mark.parametrize(
    ("runtime", "user", "spec", "without"),
    [
        ("crun", None, "", ""),
        ("runc", None, "", ""),
        ("runc --root /tmp/run", "1000:1000", "--rootless", ""),
    ],
)
def test_a_bundle_with_docker_s_seccomp_profile(
    run_script: RunScript, runtime: str, user: str | None, spec: str, without: str
) -> None:
    inside = (
        "grep Seccomp: /proc/self/status; busybox mount -t tmpfs x /dev; busybox chroot / id;"
        " busybox date -s 2031-01-01; busybox insmod /bin/sh; id -u"
    )
    script = "export PROFILE=1;" + container(runtime, inside + " 2>&1", spec=spec, without=without)
    result = run_script(script, user=user, environment=ENVIRONMENT)
    text = result.stdout.decode() + result.stderr.decode()
    for line in (
        "Seccomp:\t2",
        "mount: permission denied (are you root?)",
        "chroot: can't change root directory to '/': Operation not permitted",
        "date: can't set date: Operation not permitted",
        # Without the profile there is no such call here at all.
        "insmod: can't insert '/bin/sh': Operation not permitted",
    ):
        assert line in text, text
    assert result.stdout.endswith(b"0\n")


ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"}


USERS = r"""
echo u:x:1000:1000::/home/u:/bin/bash >>/etc/passwd; echo u:x:1000: >>/etc/group
echo u:100000:65536 >/etc/subuid; echo u:100000:65536 >/etc/subgid
as_user() { setpriv --reuid 1000 --regid 1000 --init-groups "$@"; }
cd /
"""


# Those that bring a world of their own

MACHINE_ID = "echo 0123456789abcdef0123456789abcdef >/etc/machine-id\n"
BUSYBOX_TREE = r"""
mkdir /tree; cd /tree; mkdir -p bin etc usr/bin var root tmp dev proc sys run
cp /usr/bin/busybox /tree/bin/
for name in sh id ps cat ls sleep mount; do ln /tree/bin/busybox /tree/bin/$name; done
echo root:x:0:0::/root:/bin/sh >/tree/etc/passwd
echo ID=box >/tree/etc/os-release
"""
UNITS = r"""
cat >/var/probe.sh <<'END'
cat /proc/self/cgroup /sys/fs/cgroup/system.slice/probe.service/pids.max
pgrep -c systemd-journal
systemctl --no-pager show -p MainPID probe.service | grep -c "=$$"
systemctl start other.service; cat /run/other
(sleep 0.1 &)
sleep 1; ps -eo stat | grep -c ^Z
kill -RTMIN+3 1
END
cat >/var/other.sh <<'END'
touch /usr/x 2>&1; ls -A /tmp; grep NoNew /proc/self/status; systemd-detect-virt
END
cd /etc/systemd/system
cat >probe.service <<'END'
[Service]
Type=exec
TasksMax=77
StandardOutput=file:/var/probe.out
ExecStart=/bin/bash /var/probe.sh
END
cat >other.service <<'END'
[Service]
Type=oneshot
PrivateTmp=yes
ProtectSystem=strict
NoNewPrivileges=yes
StandardOutput=file:/run/other
ExecStart=/bin/bash /var/other.sh
END
mkdir multi-user.target.wants
ln -s ../probe.service multi-user.target.wants/
ln -s /usr/lib/systemd/system/multi-user.target default.target
touch /tmp/mine
"""


def test_systemd_is_process_1_and_ends(containers_root: Path) -> None:
    script = f"{MACHINE_ID}{UNITS} exec /usr/lib/systemd/systemd"
    machine = Machine(rootfs=containers_root, environment={**ENVIRONMENT, "container": "docker"})
    with closing(machine):
        result = machine.run(["bash", "-c", script], pid1=True, time_limit_s=600)
        assert result.reason == "the machine was halted"
        lines = machine.read_file("/var/probe.out").decode().splitlines()
    assert lines == [
        "0::/system.slice/probe.service",
        "77",
        "1",
        "1",
        "touch: cannot touch '/usr/x': Read-only file system",
        "NoNewPrivs:\t1",
        "docker",
        "0",
    ]


def test_nspawn_runs_a_tree(run_script: RunScript) -> None:
    nspawn = "systemd-nspawn --quiet --register=no --keep-unit -D /tree --pipe"
    inside = "id -u; echo $$; ls /dev | grep -c null; cat /proc/self/cgroup; exit 7"
    result = run_script(f"{MACHINE_ID}{BUSYBOX_TREE}{nspawn} /bin/sh -c '{inside}'; echo $?")
    assert result.stdout.decode().splitlines() == ["0", "1", "1", "0::/", "7"]


FIREJAIL = r"""
python3 -c 'import ctypes, time; ctypes.CDLL(None).prctl(15, b"kthreadd", 0, 0, 0); time.sleep(100)' &
sleep 0.5
mkdir -p /home/u; chown 1000:1000 /home/u
echo u:x:1000:1000::/home/u:/bin/bash >>/etc/passwd; echo u:x:1000: >>/etc/group
export HOME=/home/u
"""
"""firejail takes a machine without kernel threads for a sandbox, and makes no other in that."""


def test_firejail_with_its_default_profile(run_script: RunScript) -> None:
    inside = "id -u; ls -A ~ | grep -c secret; grep -E 'Seccomp:|CapEff|NoNew' /proc/self/status; mount"
    inside += "; cat /etc/shadow; ls /proc | grep -c ^[0-9]"
    firejail = "touch /home/u/secret; setpriv --reuid 1000 --regid 1000 --clear-groups firejail --quiet"
    script = f'{FIREJAIL}{firejail} --private --net=none --caps.drop=all --seccomp sh -c "{inside}" 2>&1'
    text = run_script(script).stdout.decode()
    assert "1000\n0\n" in text
    for line in (
        "Seccomp:\t2",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "mount: Permission denied",
        "cat: /etc/shadow: ",
    ):
        assert line in text, text


PODMAN = r"""
mkdir -p /var/lib/containers && mount -t tmpfs storage /var/lib/containers
tar cf /tree.tar -C /tree .
podman() { command podman --storage-driver $DRIVER --cgroup-manager=cgroupfs "$@"; }
podman import --quiet /tree.tar box >/dev/null
"""


@pytest.mark.parametrize("driver", ["vfs", "overlay"])
def test_podman_runs_an_image(run_script: RunScript, driver: str) -> None:
    limits = "--memory 64m --pids-limit 10 --cpus 0.5"
    inside = 'id -u; echo $$; mount | grep " on / " | grep -c lowerdir; '
    inside += "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max; exit 7"
    script = f"DRIVER={driver}\n{BUSYBOX_TREE}{PODMAN}"
    script += f"podman run --rm --network=none {limits} box /bin/sh -c '{inside}' 2>/dev/null; echo $?"
    result = run_script(script, environment={**ENVIRONMENT, "HOME": "/root"})
    assert result.stdout.decode().splitlines() == [
        "0",
        "1",
        "1" if driver == "overlay" else "0",
        "67108864",
        "10",
        "50000 100000",
        "7",
    ]


def test_podman_keeps_a_service(run_script: RunScript) -> None:
    service = r"trap \"exit 5\" TERM; sleep 1000 & wait"
    script = (
        f"DRIVER=overlay\n{BUSYBOX_TREE}{PODMAN}"
        + f"""
    podman run -d --name service --network=none box /bin/sh -c "{service}" >/dev/null
    podman ps --format '{{{{.Names}}}} {{{{.State}}}}'
    podman exec service /bin/ps | grep -c 'sleep 1000$'
    podman stop service; podman inspect service --format '{{{{.State.ExitCode}}}}'
    podman rm service
    """
    )
    result = run_script(script, environment={**ENVIRONMENT, "HOME": "/root"})
    assert result.stdout.decode().splitlines() == ["service running", "1", "service", "5", "service"]


def test_podman_without_rights(run_script: RunScript) -> None:
    """A user's containers, whose ids are the user's and those of /etc/subuid."""
    script = f"""{USERS}{BUSYBOX_TREE}
    mkdir -p /home/u /run/user/1000; chown u:u /home/u /run/user/1000; tar cf /tree.tar -C /tree .; cd /home/u
    podman="podman --storage-driver vfs --cgroup-manager=cgroupfs"
    export HOME=/home/u XDG_RUNTIME_DIR=/run/user/1000
    as_user $podman import --quiet /tree.tar box | wc -l
    as_user $podman run --rm --network=none box /bin/sh -c 'id -u; echo $$; cat /proc/self/uid_map'
    as_user $podman run --rm --network=none --user 5 box /bin/sh -c 'id -u; exit 7'; echo $?
    """
    result = run_script(script, environment=ENVIRONMENT)
    assert [" ".join(line.split()) for line in result.stdout.decode().splitlines()] == [
        *("1", "0", "1", "0 1000 1", "1 100000 65536", "5", "7"),
    ]


def test_podman_s_network_leads_in_and_out(run_script: RunScript) -> None:
    """A bridge with a forwarded port, and a machine beyond that the containers reach as their host."""
    script = (
        f"DRIVER=vfs\n{BUSYBOX_TREE}echo hello >/tree/etc/page\n{PODMAN}"
        + """
    mkdir -p /run/netns; ip link set lo up; ip netns add far
    ip link add out type veth peer name eth0 netns far; ip addr add 10.9.0.1/24 dev out; ip link set out up
    ip -n far addr add 10.9.0.2/24 dev eth0; ip -n far link set eth0 up; ip -n far link set lo up
    get() { busybox wget -q -T 5 -O - http://$1/page; }
    podman run -d --name web --network=bridge -p 8080:80 box /bin/busybox httpd -f -p 80 -h /etc >/dev/null
    get 127.0.0.1:8080; get 10.9.0.1:8080; get 10.88.0.2
    ip netns exec far busybox wget -q -T 5 -O - http://10.9.0.1:8080/page
    ip netns exec far busybox httpd -f -p 90 -h /tree/etc &
    sleep 0.5
    podman run --rm --network=bridge box /bin/busybox wget -q -T 5 -O - http://10.9.0.2:90/page
    podman run --rm --network=bridge box /bin/busybox wget -q -T 5 -O - http://10.88.0.2/page
    podman port web; nft list ruleset | grep -c 'dnat ip to 10.88.0.2:80'
    podman rm -f -t 0 web; nft list ruleset | grep -c 'dnat ip'
    """
    )
    result = run_script(script, environment={**ENVIRONMENT, "HOME": "/root"})
    lines = result.stdout.decode().splitlines()
    assert lines == ["hello"] * 6 + ["80/tcp -> 0.0.0.0:8080", "1", "web", "0"]


# Namespaces by hand


def test_root_of_a_user_namespace(run_script: RunScript) -> None:
    acts = {
        "id -u": "0",
        "mount -t tmpfs none /tmp": "mount: /tmp: permission denied.",
        "hostname x": "hostname: you must be root to change the host name",
        "chown 1 /tmp/mine": "Invalid argument",
        "chmod 600 /tmp/mine": "",
        "cat /tmp/roots": "Permission denied",
        "kill -0 1": "Operation not permitted",
        "unshare -m mount -t tmpfs none /tmp": "",
        "unshare -u hostname x": "",
        "unshare -m mount -t proc none /tmp": "permission denied",
        "unshare -pf --mount-proc true": "",
        "mknod /tmp/node c 1 3": "Operation not permitted",
        "nsenter -t 1 -m true": "Permission denied|Operation not permitted",
        "date -s 2031-01-01": "cannot set date: Operation not permitted",
        "nice -n -5 true": "Permission denied|Operation not permitted",
    }
    script = "umask 077; echo secret >/tmp/roots; chmod 1777 /tmp\n"
    body = "touch /tmp/mine\n" + "".join(f"echo '== {act}'; {act} 2>&1\n" for act in acts)
    script += f"cat >/tmp/acts <<'END'\n{body}END\nchmod 644 /tmp/acts\n"
    script += "exec setpriv --reuid 1000 --regid 1000 --clear-groups unshare -Ur bash /tmp/acts"
    text = run_script(script).stdout.decode()
    answers = dict(part.partition("\n")[::2] for part in text.split("== ")[1:])
    assert list(answers) == list(acts)
    for act, expected in acts.items():
        if expected:
            assert any(each in answers[act] for each in expected.split("|")), (act, answers[act])
        else:
            assert not answers[act].strip(), (act, answers[act])


def test_a_fork_bomb_ends_at_the_groups_limit(run_script: RunScript) -> None:
    script = r"""
    echo +pids >/sys/fs/cgroup/cgroup.subtree_control
    mkdir /sys/fs/cgroup/bomb && echo 20 >/sys/fs/cgroup/bomb/pids.max || exit 9
    bash -c 'echo $$ >/sys/fs/cgroup/bomb/cgroup.procs; bomb() { bomb | bomb & }; bomb; sleep 1' 2>/dev/null &
    sleep 0.5
    test "$(cat /sys/fs/cgroup/bomb/pids.current)" -le 20 && echo bounded
    for number in 1 2 3; do bash -c "echo usable $number"; done
    grep -q 'max [1-9]' /sys/fs/cgroup/bomb/pids.events && echo refused
    echo 1 >/sys/fs/cgroup/bomb/cgroup.kill
    wait
    until rmdir /sys/fs/cgroup/bomb 2>/dev/null; do sleep 0.1; done
    echo gone
    """
    result = run_script(script)
    assert result.stdout.decode().splitlines() == [
        "bounded",
        "usable 1",
        "usable 2",
        "usable 3",
        "refused",
        "gone",
    ]


def test_a_fork_bomb_ends_at_the_machines_limit(run_script: RunScript) -> None:
    script = "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 0.2; kill -KILL -1; wait; echo usable"
    result = run_script(script, pids_max=40)
    assert (result.stdout, result.status) == (b"usable\n", 0)


def test_a_pid_namespace_whose_init_dies(run_script: RunScript) -> None:
    script = r"""
    unshare -pf --mount-proc bash -c '
        sleep 1000 & setsid sleep 1000 & (trap "" TERM INT HUP; sleep 1000) &
        sleep 1; echo $$; kill -KILL $$; sleep 1; exit 5'
    echo $?
    pgrep -xc sleep
    unshare -pf --kill-child bash -c 'sleep 1000 & sleep 1000' & sleep 1; kill -KILL $!; wait
    sleep 0.1; pgrep -xc sleep
    unshare -p bash -c '/bin/true; /bin/true && echo forked' 2>&1 | grep -o -m1 'Cannot allocate memory'
    """
    result = run_script(script)
    # An init can't be killed from inside.
    assert result.stdout.decode().splitlines() == ["1", "5", "0", "0", "Cannot allocate memory"]


def test_subordinate_ids(run_script: RunScript) -> None:
    """newuidmap and newgidmap, set-user-id programs, map the ids that /etc/subuid gives a user."""
    script = f"""{USERS}
    as_user unshare --map-auto -Ur bash -c 'cat /proc/self/uid_map; touch /tmp/f; chown 5:6 /tmp/f
        stat -c "%u %g" /tmp/f'
    stat -c '%u %g' /tmp/f
    as_user unshare --map-users=100007,0,3 --map-users=1000,50,1 bash -c 'cat /proc/self/uid_map'
    as_user unshare --map-users=99999,0,3 true 2>&1 | head -n 1
    """
    assert [" ".join(line.split()) for line in lines_of(run_script(script))] == [
        "0 1000 1",
        "1 100000 65535",
        "5 6",
        "100004 100005",
        "0 100007 3",
        "50 1000 1",
        "newuidmap: uid range [0-3) -> [99999-100002) not allowed",
    ]


def test_all_of_a_process_is_entered(run_script: RunScript) -> None:
    script = """
    unshare -muinpUrCT -f --mount-proc --monotonic 100 sleep 1000 & sleep 0.5; inside=$(pgrep -x sleep)
    nsenter -t $inside -a ps -eo pid,ppid,args | cat
    nsenter -t $inside -a id -u; nsenter -t $inside -a cat /proc/self/timens_offsets
    nsenter -t $inside -U --preserve-credentials id -u; nsenter -t $inside --mount --pid -- pgrep -c .
    nsenter --net=/proc/$inside/ns/net ip -br link
    lsns -n -p $inside -o TYPE,NPROCS | sort; lsns -n --tree=parent -t pid -o NS,COMMAND | tr -d 0-9
    lsns -n -T -o TYPE | grep -c .
    kill $inside; sleep 0.1; kill -0 $inside && kill -KILL $inside
    wait 2>/dev/null; lsns -n -t pid | grep -c .
    """
    result = run_script(script)
    assert [" ".join(line.split()) for line in result.stdout.decode().splitlines()] == [
        *("PID PPID COMMAND", "1 0 sleep 1000", "2 0 ps -eo pid,ppid,args"),
        *("0", "monotonic 100 0", "boottime 0 0", "0", "1"),
        "lo DOWN 00:00:00:00:00:00 <LOOPBACK>",
        *("cgroup 2", "ipc 2", "mnt 2", "net 2", "pid 1", "time 1", "user 2", "uts 2"),
        *("init", "`- sleep"),
        "16",
        "1",
    ]


def test_capabilities_by_their_tools(run_script: RunScript) -> None:
    script = f"""{USERS}
    capsh --drop=cap_net_raw --print | grep -c '^Bounding.*cap_net_raw'
    capsh --user=u --print | grep -E '^Current|^uid|^Current IAB'
    capsh --iab='^cap_chown' --print | grep IAB
    capsh --secbits=0x2f --print | grep -E 'noroot|keep'
    capsh --mode=NOPRIV --print | head -n 1; capsh --has-a=cap_chown; echo $?
    cp /usr/bin/sleep /tmp/own; setcap cap_net_raw+ep /tmp/own; getcap /tmp/own
    setpriv --reuid 1000 --regid 1000 --init-groups /tmp/own 10 & sleep 0.2
    getpcaps $! 2>&1 | cut -d' ' -f2-; kill $!
    setpriv --nnp --reuid u --regid u --init-groups --inh-caps +net_raw --ambient-caps +net_raw \\
        grep -E 'CapInh|CapPrm|CapEff|CapAmb|NoNew' /proc/self/status
    setpriv --bounding-set -sys_admin --pdeathsig TERM setpriv -d | grep -E 'death|Bounding.*sys_admin'
    setpriv --landlock-access fs --landlock-rule path-beneath:execute,read-file:/usr \\
        bash -c 'echo >/tmp/x' 2>&1
    """
    result = run_script(script)
    raw = "0000000000002000"
    assert result.stdout.decode().splitlines() == [
        *("0", "Current: =p", "Current IAB: ", "uid=1000(u) euid=1000(u)"),
        "Current IAB: ^cap_chown",
        *(" secure-noroot: yes (locked)", " secure-keep-caps: no (locked)"),
        *("Current: =", "1", "/tmp/own cap_net_raw=ep", "cap_net_raw=ep"),
        *(f"CapInh:\t{raw}", f"CapPrm:\t{raw}", f"CapEff:\t{raw}", f"CapAmb:\t{raw}", "NoNewPrivs:\t1"),
        "Parent death signal: TERM",
        "bash: line 1: /tmp/x: Permission denied",
    ]
