# Daemons that live by talking: a message bus, a cache with threads, a broker, a secure shell.
cat > bus.conf <<'END'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=/tmp/bus</listen>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
END
: > monitored > published
dbus-daemon --config-file=bus.conf --nofork --nopidfile > bus.log 2>&1 &
bus=$!
export DBUS_SESSION_BUS_ADDRESS=unix:path=/tmp/bus
until test -S bus; do sleep 0.05; done
ask() { dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus."$@"; }
ask ListNames | tail -n 4
ask GetConnectionUnixUser string:org.freedesktop.DBus | tail -n 1
ask RequestName string:com.example uint32:4 | tail -n 1
ask Nothing 2>&1 | cut -d: -f1
dbus-monitor --session "type='signal',interface='com.example'" > monitored &
monitor=$!
until grep -q 'became a monitor' bus.log; do sleep 0.05; done
dbus-send --session --type=signal / com.example.Something string:hello int32:42
until grep -q 42 monitored; do sleep 0.05; done
kill $monitor
wait $monitor
tail -n 2 monitored
kill $bus
wait $bus; echo "dbus-daemon: $?"

memcached -u nobody -l 127.0.0.1 -p 11311 -t 4 &
cache=$!
talk() { nc.openbsd -q 1 127.0.0.1 11311 | tr -d '\r'; }
until printf 'version\r\nquit\r\n' | talk | grep -q VERSION; do sleep 0.1; done
printf 'set key 0 0 5\r\nhello\r\nget key\r\nincr n 1\r\nset n 0 0 1\r\n7\r\nincr n 35\r\nquit\r\n' | talk
clients=
for client in 1 2 3 4 5 6; do
    (for item in $(seq 20); do printf 'set k%d-%d 0 0 1\r\nx\r\n' $client $item; done; printf 'quit\r\n') | talk | grep -c STORED &
    clients="$clients $!"
done
wait $clients
printf 'stats\r\nquit\r\n' | talk | grep -E 'curr_items|STAT threads'
kill $cache
wait $cache; echo "memcached: $?"

printf 'listener 11883 127.0.0.1\nallow_anonymous true\nlog_type all\n' > broker.conf
mosquitto -c broker.conf > broker.log 2>&1 &
broker=$!
until mosquitto_pub -p 11883 -t other -m here 2> /dev/null; do sleep 0.1; done
mosquitto_sub -p 11883 -t 'news/#' -C 3 -F '%t %p' > published &
subscriber=$!
until grep -q 'SUBACK' broker.log; do sleep 0.05; done
mosquitto_pub -p 11883 -t news/a -m one -r
mosquitto_pub -p 11883 -t news/b -m two -q 2
echo three | mosquitto_pub -p 11883 -t news/c -l
wait $subscriber
grep '^news' published
kill $broker
wait $broker; echo "mosquitto: $?"

mkdir -p /run/sshd keys /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f keys/host
ssh-keygen -q -t ed25519 -N '' -f keys/user
cp keys/user.pub /root/.ssh/authorized_keys
chmod 700 /root/.ssh
id sshd > /dev/null 2>&1 || echo 'sshd:x:120:65534::/run/sshd:/usr/sbin/nologin' >> /etc/passwd
sed -i 's,^root:[^:]*:,root:x:,' /etc/passwd
echo 'root:$6$x$y:19000:0:99999:7:::' > /etc/shadow
cat > sshd.conf <<'END'
Port 10022
ListenAddress 127.0.0.1
HostKey /tmp/keys/host
UsePAM no
PidFile none
PermitRootLogin yes
StrictModes no
Subsystem sftp internal-sftp
END
/usr/sbin/sshd -D -e -f /tmp/sshd.conf 2> sshd.log &
sshd=$!
options="-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
there="ssh -p 10022 $options root@127.0.0.1"
until nc.openbsd -z 127.0.0.1 10022; do sleep 0.1; done
$there -i keys/user 'echo from the other side; echo complaint >&2; exit 9'; echo "ssh: $?"
seq 20000 | $there -i keys/user md5sum
$there -i keys/user -tt 'tty | tr -d 0-9; test -t 0 && echo terminal' < /dev/null | tr -d '\r'
eval "$(ssh-agent -s)" > /dev/null
ssh-add -q keys/user
ssh-add -l | wc -l
$there 'echo by agent'
ssh-agent -k > /dev/null
scp -q -P 10022 -i keys/user $options /etc/hosts root@127.0.0.1:/tmp/copied
cmp /etc/hosts copied && echo copied
$there -i keys/user -M -S /tmp/master -fN
$there -S /tmp/master 'echo multiplexed'
$there -S /tmp/master -O exit 2>&1 | tr -d '\r'
kill $sshd
wait $sshd; echo "sshd: $?"
