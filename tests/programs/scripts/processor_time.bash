exec 2>/dev/null
(ulimit -t 1; while :; do :; done) 2>/dev/null; echo $?
(trap 'echo limit; exit 3' XCPU; ulimit -St 1; while :; do :; done) 2>/dev/null; echo $?
