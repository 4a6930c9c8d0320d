exec 2>/dev/null
umask 022; umask; umask -S
umask 077; touch private; stat -c %a private; mkdir d; stat -c %a d
umask u=rwx,g=rx,o=; umask
umask 000; touch open; stat -c %a open
ulimit -n 20; ulimit -n; for i in {3..30}; do eval "exec $i</dev/null" 2>/dev/null || { echo "stopped at $i"; break; }; done
for i in {3..19}; do eval "exec $i<&-"; done
(ulimit -f 1; head -c 5000 /dev/zero > big; echo $?; stat -c %s big) 2>/dev/null
(ulimit -v 20000; perl -e '$x = "a" x 100_000_000' 2>/dev/null; echo $?)
(ulimit -s 256; ulimit -s)
ulimit -c 0; ulimit -c
(ulimit -Sn 10; ulimit -Hn 15; ulimit -Sn 15; ulimit -n)
