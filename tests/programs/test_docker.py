"""Docker's daemon with containerd and runc, from Debian and unmodified, inside; LXC and buildah beside it."""

from __future__ import annotations

import pytest

from tests.programs.conftest import RunScript
from tests.programs.program_script import ENVIRONMENT

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

AS_ROOT = {**ENVIRONMENT, "HOME": "/root"}
MEMORY_BYTES = 3 << 30
TREE = r"""
mkdir -p /tree/bin; cp /usr/bin/busybox /tree/bin/
for name in sh cat echo hostname httpd id killall mkdir ping ps sleep; do
    ln /tree/bin/busybox /tree/bin/$name
done
"""
DOCKER = r"""
mkdir -p /var/lib/docker; echo docker:x:999: >>/etc/group
for name in iptables ip6tables; do ln -s $name-nft /usr/sbin/$name; done
dockerd --log-level warn >/tmp/log 2>&1 &
until docker version >/dev/null 2>&1; do sleep 1; done
tar -C /tree -c . | docker import --change 'CMD ["sh"]' - box >/dev/null
"""


def test_docker_runs_an_image(run_script: RunScript) -> None:
    limits = "--memory 64m --pids-limit 10 --cpus 0.5"
    inside = "echo $$; cd /sys/fs/cgroup; cat memory.max pids.max cpu.max; exit 7"
    rights = "--read-only --tmpfs /t --cap-drop ALL --user 5:6 --security-opt no-new-privileges"
    confined = "id -u; (echo x >/f) 2>&1 | grep -c Read-only; echo y >/t/f; cat /t/f"
    script = f"""{TREE}{DOCKER}
    docker info --format '{{{{.Driver}}}} {{{{.CgroupVersion}}}}' 2>/dev/null
    docker run --rm {limits} box sh -c '{inside}' 2>/dev/null; echo $?
    docker run --rm {rights} --network none box sh -c '{confined}'
    printf 'FROM box\\nRUN echo built >/built\\nCMD ["cat", "/built"]\\n' >/tree/Dockerfile
    DOCKER_BUILDKIT=0 docker build -q -t other /tree >/dev/null 2>&1; docker run --rm other
    docker volume create keep; docker run --rm -v keep:/v box sh -c 'echo kept >/v/f'
    docker run --rm -v keep:/v:ro box sh -c 'cat /v/f; (echo no >/v/f) 2>&1 | grep -c Read-only'
    """
    result = run_script(script, environment=AS_ROOT, memory=MEMORY_BYTES)
    assert result.stdout.decode().splitlines() == [
        *("overlay2 2", "1", "67108864", "10", "50000 100000", "7"),
        *("5", "1", "y"),
        *("built", "keep", "kept", "1"),
    ]


def test_docker_keeps_a_service(run_script: RunScript) -> None:
    """A service on a bridge with a forwarded port: looked at, entered, frozen, restarted and stopped."""
    service = "mkdir /www; echo page >/www/index.html; exec httpd -f -p 80 -h /www"
    script = f"""{TREE}{DOCKER}
    state() {{ docker inspect --format "{{{{.State.$1}}}}" web; }}
    options='--init --restart on-failure:1 --health-cmd true --health-interval 1s -p 8080:80'
    docker run -d --name web $options box sh -c '{service}' >/dev/null
    sleep 3; state Status; state Health.Status; docker port web | head -1
    for address in 127.0.0.1:8080 172.17.0.2; do busybox wget -q -T 5 -O - http://$address/; done
    docker exec web ps | grep -c '0 *httpd -f'
    docker pause web; cat /sys/fs/cgroup/docker/*/cgroup.freeze; docker unpause web
    docker exec web killall -KILL httpd; sleep 2
    docker inspect --format '{{{{.RestartCount}}}}' web; state Status
    docker stop -t 5 web; docker rm web
    docker network create net >/dev/null; docker run -d --rm --net net --name named box sleep 50 >/dev/null
    docker run --rm --net net box ping -c 1 named | grep -c 'from 172.18.0.2'
    docker stop -t 0 named; nft list ruleset | grep -c 8080
    """
    result = run_script(script, environment=AS_ROOT, memory=MEMORY_BYTES)
    assert result.stdout.decode().splitlines() == [
        *("running", "healthy", "80/tcp -> 0.0.0.0:8080"),
        *("page", "page", "1"),
        *("web", "1", "web"),
        *("1", "running"),
        *("web", "web", "1", "named", "0"),
    ]


LXC = r"""
place=/var/lib/lxc/box
mkdir -p $place; mv /tree $place/rootfs; mkdir $place/rootfs/proc $place/rootfs/sys $place/rootfs/dev
cat >$place/config <<'END'
lxc.rootfs.path = dir:/var/lib/lxc/box/rootfs
lxc.uts.name = box
lxc.net.0.type = empty
lxc.mount.auto = proc:mixed sys:ro cgroup:mixed
lxc.apparmor.profile = unconfined
lxc.cgroup2.memory.max = 64M
lxc.init.cmd = /bin/sh -c 'while :; do /bin/sleep 1; done'
END
state() { lxc-info -n box -sH; }
"""


def test_lxc_keeps_a_container(run_script: RunScript) -> None:
    script = f"""{TREE}{LXC}
    lxc-execute -n box -- /bin/sh -c 'hostname; exit 3'; echo $?
    lxc-start -n box; state
    lxc-attach -n box -- /bin/sh -c 'ps | grep -c "sleep 1$"'; lxc-cgroup -n box memory.max
    lxc-freeze -n box; state; lxc-unfreeze -n box; lxc-stop -n box -t 2; state
    """
    result = run_script(script, environment=AS_ROOT)
    words = result.stdout.decode().split()
    assert words == ["box", "3", "RUNNING", "1", "67108864", "FROZEN", "STOPPED"]


def test_buildah_builds_an_image(run_script: RunScript) -> None:
    script = f"""{TREE}
    mkdir -p /var/lib/containers; mount -t tmpfs storage /var/lib/containers
    box=$(buildah from scratch); place=$(buildah mount $box); cp -r /tree/bin $place
    buildah umount $box >/dev/null
    buildah run --isolation oci --runtime crun --network none $box -- /bin/sh -c 'echo $$'
    buildah config --cmd 'echo from the image' $box; buildah commit -q $box image >/dev/null
    podman --cgroup-manager=cgroupfs run --rm --network none localhost/image
    """
    result = run_script(script, environment=AS_ROOT)
    assert result.stdout.decode().splitlines() == ["1", "from the image"]
