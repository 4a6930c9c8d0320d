sleep 1000 & p=$!
ps -o pid= -p $p | tr -d ' ' | grep -qx $p && echo listed
ps -o comm=,stat= -p $p; ps -o args= -p $p; ps -o ppid= -p $p | tr -d ' ' | grep -qx $$ && echo parent
ps -o ni= -p $p | tr -d ' '; ps --no-headers -C sleep -o comm | sort | uniq -c | tr -s ' '
pgrep -x sleep | grep -qx $p && echo pgrep; pgrep -c -x sleep; pgrep -x -f 'sleep 1000' | grep -c .; true
cat /proc/$p/comm; tr '\0' ' ' < /proc/$p/cmdline; echo; awk '{print $3}' /proc/$p/stat; awk '/^(Name|State|Threads):/' /proc/$p/status; readlink /proc/$p/exe | xargs basename; readlink /proc/$p/cwd; ls /proc/$p/fd | xargs
tr '\0' '\n' < /proc/$p/environ | grep LC_ALL; kill -STOP $p; sleep 0.1; ps -o stat= -p $p; kill -CONT $p; sleep 0.1; ps -o stat= -p $p
pkill -x sleep; wait $p; echo $?; ps -p $p > /dev/null; echo $?
(sleep 500 & echo $! > orphan; exit) ; sleep 0.1; ps -o ppid= -p $(cat orphan) | tr -d ' '; kill $(cat orphan)
bash -c 'exit 3' & z=$!; sleep 0.1; wait $z; echo $?
sh -c 'sleep 0.1 & exec sleep 0.3' & q=$!; sleep 0.2; ps -o stat= --ppid $q | cut -c 1; wait $q
taskset -p $$ > /dev/null && echo taskset; ionice -p $$ > /dev/null && echo ionice
chrt -p $$ | head -n 1 | sed 's/.*: //'; prlimit --nofile=50:60 -p $$ ; ulimit -n; flock lock echo locked; flock -n lock true && echo free; (flock 9; echo held) 9> lock2
free > /dev/null && echo free; uptime > /dev/null && echo uptime; vmstat > /dev/null && echo vmstat; pwdx $$ | sed 's/.*: //'; pmap $$ > /dev/null && echo pmap; w > /dev/null && echo w; top -b -n 1 > top && grep -c PID top; slabtop -o > /dev/null 2>&1; sysctl -n kernel.ostype; uname; tload --version > /dev/null && echo tload; getopt -o ab: -- -a -b x y; hostname > /dev/null && echo hostname; mountpoint /proc; setsid -w sh -c 'exit 4'; echo $?; rev <<< abc; namei /usr/bin | tail -n 1; mcookie | wc -c; whereis -b bash;
