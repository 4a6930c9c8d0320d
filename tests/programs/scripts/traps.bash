exec 2>/dev/null
trap 'echo "exit $?"' EXIT
trap 'echo usr1' USR1
trap 'echo usr2; trap - USR2' USR2
kill -USR1 $$; kill -USR1 $$
kill -USR2 $$
(trap 'echo "subshell int"; exit 5' INT; kill -INT $BASHPID; echo not reached); echo $?
(trap '' TERM; kill -TERM $BASHPID; echo ignored); echo $?
(kill -TERM $BASHPID; echo not reached); echo $?
bash -c 'trap "echo term; exit 0" TERM; kill -TERM $$; echo no'; echo $?
trap 'echo "err $?"' ERR
false
f() { trap 'echo return' RETURN; echo in f; }
f
trap - ERR
set -E
trap -p USR1 EXIT
trap 'debugged=1' DEBUG; :; echo "debugged $debugged"; trap - DEBUG
sleep 100 &
trap 'echo "interrupted wait"' USR1
pid=$!
# A shell that is killed before it has executed sleep would run its own EXIT trap.
until grep -q sleep /proc/$pid/comm; do :; done
(kill -USR1 $$)
kill $pid; wait $pid 2>/dev/null; echo $?
exit 7
