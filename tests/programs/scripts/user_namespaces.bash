# Users inside and outside of user namespaces, by unshare(1) and setpriv(1).
cd /tmp
rm -rf space && mkdir space && cd space
touch roots; touch theirs; chown 1234:1234 theirs; chmod 777 .
as_user() { setpriv --reuid 1234 --regid 1234 --clear-groups "$@"; }

echo "== one id"
as_user unshare -Ur bash -c 'id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups'
as_user unshare -U bash -c 'id -u; id -g; cat /proc/self/uid_map'
as_user unshare --user --map-user=7 --map-group=8 bash -c 'id -u; id -g'
as_user unshare -c bash -c 'id -u; id -g'

echo "== files"
as_user unshare -Ur bash -c 'stat -c "%n %u:%g" roots theirs; chmod 600 theirs; chmod 600 roots; chown 5 theirs; touch new; stat -c "%n %u:%g" new; ls /root'
stat -c '%n %u:%g' new

echo "== capabilities"
as_user unshare -Ur bash -c 'grep -E "^Cap(Inh|Prm|Eff|Amb)" /proc/self/status'
as_user unshare -Ur bash -c 'hostname inner; echo $?; kill -0 1; echo $?; renice -n -5 $$ ; echo 1 > /proc/sys/kernel/pid_max' 2>&1 | sed 's/[0-9]* (process/PID (process/; s/failed to set priority for [0-9]*/failed to set priority for PID/'
as_user unshare -Ur setpriv --ambient-caps=-all --bounding-set=-all bash -c 'grep -E "^Cap(Prm|Eff|Bnd)" /proc/self/status'

echo "== nested"
as_user unshare -Ur unshare -Ur unshare -U --map-user=9 bash -c 'id -u; cat /proc/self/uid_map'

echo "== ranges"
(unshare -U sleep 1 & child=$!; sleep 0.3
echo 0 1000 10 > /proc/$child/uid_map; echo $?; echo 0 2000 10 > /proc/$child/gid_map
cat /proc/$child/uid_map; echo 0 1 1 > /proc/$child/uid_map; wait)

echo "== limits"
as_user unshare -Ur bash -c 'echo 1 > /proc/sys/user/max_user_namespaces; unshare -U unshare -U true; echo 0 > /proc/sys/user/max_user_namespaces; unshare -U true'
as_user bash -c 'echo 5 > /proc/sys/user/max_user_namespaces'

echo "== privileges"
setpriv --no-new-privs --reuid 1234 --regid 1234 --clear-groups bash -c 'grep -E "NoNewPrivs|^Uid|Seccomp:" /proc/self/status'
setpriv --inh-caps=+kill --ambient-caps=+kill --reuid 1234 --regid 1234 --clear-groups bash -c 'grep -E "^Cap(Inh|Prm|Eff|Amb)" /proc/self/status; kill -0 1; echo $?'
setpriv --securebits=+noroot,+noroot_locked bash -c 'grep -E "^Cap(Prm|Eff)" /proc/self/status'
setpriv --keep-groups --reuid 0 id -u
