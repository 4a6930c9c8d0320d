exec 2>/dev/null
sleep 100 & sleep 200 &
jobs | sed 's/  */ /g'
kill %1; wait %1 2>/dev/null; echo $?
kill -INT %2; kill -STOP %2; sleep 0.1; kill -CONT %2; kill -HUP %2; wait %2 2>/dev/null; echo $?
sleep 100 & p=$!; kill -0 $p && echo alive; kill $p; wait $p; echo $?
kill -0 $p 2>/dev/null; echo $?
kill -l 9 15 2; kill -l TERM
disown -a
set -m
sleep 100 & kill %%; wait %%; echo $?
(sleep 5; echo never) & kill -TERM -- -$!; wait $!; echo $?
sleep 100 & kill -STOP $!; until jobs | grep -q Stopped; do sleep 0.1; done; jobs | grep -c Stopped; kill -KILL %1; sleep 0.1; wait %1; echo $?
set +m
bash -c 'kill -9 $$'; echo $?
bash -c 'kill -SEGV $$'; echo $?
bash -c 'ulimit -c 0; kill -ABRT $$' ; echo $?
