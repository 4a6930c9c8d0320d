exec 2>/dev/null
timeout 0.2 sleep 100; echo $?
timeout -s KILL 0.2 sleep 100; echo $?
timeout 5 true; echo $?
timeout --preserve-status 0.1 sleep 10; echo $?
timeout -k 0.1 0.1 sh -c 'trap "" TERM; while :; do sleep 1; done'; echo $?
timeout 0.02 sh -c 'while :; do :; done'; echo $?
timeout 1 /nonexistent 2>/dev/null; echo $?
timeout --foreground 0.003 cat /dev/zero > /dev/null; echo $?
TIMEFORMAT='%lR'; { time true; } 2>&1 | sed 's/[0-9]/N/g'
TIMEFORMAT='%R'; { time sleep 0.5; } 2>&1 | cut -c 1-3
{ time -p true; } 2>&1 | sed 's/[0-9]/N/g'
date -u -d @0; date -u -d '2000-02-28 +2 days' +%F; date -u -d @1893456000 +%s
SECONDS=0; sleep 2; echo $SECONDS
times | wc -l
sleep 0.1 0.1; echo $?
sleep x 2>/dev/null; echo $?
