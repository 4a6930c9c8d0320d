exec 2>/dev/null
# job control
set -m
sleep 100 & p=$!; kill -TSTP $p; sleep 0.2; jobs %1 | grep -o Stopped; bg %1 > /dev/null; sleep 0.2; jobs %1 | grep -o Running; fg_status=0; kill %1; wait %1; echo "ended $?"
(sleep 100; echo no) & kill -STOP -- -$!; sleep 0.2; ps -o stat= --ppid $$ | grep -c T; kill -CONT -- -$!; kill -TERM -- -$!; wait; 
(trap '' TTOU; exec sleep 0.01) & wait $!; echo $?
ps -o pgid= -p $$ | tr -d ' ' > pg; (ps -o pgid= -p $BASHPID | tr -d ' ') > pg2; cmp -s pg pg2 && echo same group || echo own group
set +m
# signals
trap 'echo got $?' HUP; kill -HUP $$; trap - HUP
for s in HUP INT QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 PIPE ALRM TERM STKFLT XCPU XFSZ VTALRM PROF IO PWR SYS RTMIN RTMIN+5 RTMAX; do (ulimit -c 0; kill -$s $BASHPID; sleep 0.01; echo "$s survived") 2>/dev/null; echo "$s $?"; done
for s in CHLD CONT URG WINCH; do (kill -$s $BASHPID; echo "$s ignored"); done
(trap 'echo pipe' PIPE; (sleep 0.2; echo x; echo "write $?" >&2) | true; sleep 0.1)
trap 'echo chld' CHLD; /bin/true; (exit 3); trap - CHLD
bash -c 'trap "echo parent int" INT; (trap - INT; kill -INT $BASHPID; echo no); echo "child $?"; kill -INT $$; echo after'
bash -c 'trap "exit 42" TERM; sleep 100 & kill -TERM $$; wait'; echo $?
bash -c 'trap "echo exit trap" EXIT; exec true'; bash -c 'trap "echo exit trap" EXIT; exit 5'; echo $?
bash -c 'f() { trap "echo ret" RETURN; kill -USR1 $$; return 3; }; trap "echo usr1 in \$FUNCNAME" USR1; f; echo $?'
bash -c 'trap "echo one" USR1; trap "echo two" USR2; kill -USR2 $$; kill -USR1 $$; sleep 0.01'
bash -c 'trap "trap - TERM; kill -TERM $$" TERM; kill -TERM $$; echo no'; echo $?
bash -c 'kill -STOP $$; echo continued' & sleep 0.1; kill -CONT $!; wait $!; echo $?
# exec
(exec -a newname sh -c 'echo $0'); (exec -c env | wc -l); (exec -l sh -c 'echo $0')
printf '%(%Y-%m-%d)T\n' 0; printf '%s\n' {01..03} {a..e..2} ; echo ${BASH_VERSINFO[0]}; echo $((RANDOM >= 0)) ; echo $EPOCHSECONDS | grep -c '^[0-9]*$'; echo $PPID | grep -c .
x=5; x+=3; echo $x; declare -i n=5; n+=3; echo $n; arr=(a b c); unset 'arr[1]'; echo "${!arr[@]}"; echo "${arr[@]/#/p}"; s=abc; echo ${s@U} ${s@Q}; echo ${s:(-2)}; local_test() { local -n ref=$1; ref=changed; }; v=orig; local_test v; echo $v
while getopts 'ab:' o -a -b val rest; do echo "$o ${OPTARG-}"; done; echo $OPTIND
set -- a b c; echo "$@" "$*" $#; shift 2; echo $1; IFS=,; set -- x y; echo "$*"; unset IFS
echo a{1,2}b | rev; shopt -s extglob nullglob globstar; touch f1 f2 g1; echo !(g*) ; echo **/f* ; echo nothing*; mkdir -p d/e; touch d/e/f3; echo **/f*
[[ a < b ]] && echo less; [[ -n "" ]] || echo empty; [[ 5 -gt 3 && ! -e /nonexistent ]] && echo and; test 1 -eq 1 -a 2 -eq 2 && echo test; (( 5 == 5 )) && echo arith
ulimit -a | wc -l; times > /dev/null; hash ls; type -t ls if f cd; enable | wc -l; help true | head -n 1; bind -l 2>/dev/null | wc -l; caller; dirs; pushd /usr > /dev/null; popd > /dev/null; pwd; umask -p; alias x=y; alias; unalias x; history | wc -l; suspend 2>&1 | head -c 20; logout 2>&1 | head -n 1
mapfile -t -s 1 -n 2 lines < <(seq 5); echo "${lines[@]}"; printf -v out '%03d' 7; echo $out; read -r -p prompt a <<< val; echo $a; echo -n "x" | { read -N 1 c; echo $c; }; select i in a b; do echo $i; break; done <<< 1; let 'z = 3 * 4'; echo $z; echo $(( z++ + ++z )); echo $((16#ff)) $((0777)) $(( 7 ** 2 ))
