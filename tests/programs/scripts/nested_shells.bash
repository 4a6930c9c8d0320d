bash -c 'bash -c "bash -c \"echo three deep; exit 5\"; echo \$?"; echo $?'
(echo sub; (echo subsub; exit 3); echo $?); x=1; (x=2); echo $x; { x=3; }; echo $x
exec_test=$(bash -c 'exec echo replaced; echo never'); echo "$exec_test"
cat > script <<'END'
#!/bin/bash
echo "$0 $# $*"
exit 9
END
chmod +x script; ./script a 'b c'; echo $?
printf '#!/bin/cat\nprinted by cat\n' > catscript; chmod +x catscript; ./catscript
printf 'echo no magic $1\n' > plain; chmod +x plain; ./plain arg; sh plain arg2
printf '#!/nonexistent\n' > bad; chmod +x bad; ./bad 2>&1; echo $?
printf '#!/usr/bin/env -S sh -x\necho traced\n' > traced; chmod +x traced; ./traced 2>&1
nosuchcommand; echo $?; ./nosuch; echo $?; touch noexec; ./noexec; echo $?; /tmp; echo $?; /usr/bin/bash -c 'exit 300'; echo $?
printf '\177ELF garbage' > elf; chmod +x elf; ./elf; echo $?; : > empty; chmod +x empty; ./empty; echo $?
. ./plain sourced; source <(echo 'echo from a pipe'); eval 'echo evaluated'; bash -s one two <<< 'echo "$# $1"'; echo 'echo piped' | bash
export VAR=exported; bash -c 'echo $VAR'; VAR=once bash -c 'echo $VAR'; unset VAR; bash -c 'echo ${VAR-unset}'; set -e; (false; echo not reached) || echo failed; set +e; bash -ec 'false; echo no'; echo $?; bash -uc 'echo $undefined' 2>&1; echo $?
declare -f f > /dev/null || echo undefined; f() { echo "f $BASH_SUBSHELL"; (echo "s $BASH_SUBSHELL"); }; export -f f; bash -c f; bash --norc -i <<< 'echo interactive' 2>/dev/null; dash -c 'echo dash'; sh -c 'echo sh'; busybox sh -c 'echo busybox'; python3 -S -c 'print("python")' ; perl -e 'print "perl\n"'
for i in $(seq 100); do /bin/true || echo failed; done; for i in $(seq 100); do $(echo true); done; echo $?
shopt -s lastpipe; echo last | read v; echo "$v"; [ -t 0 ] || echo not a terminal; echo $BASH_VERSION | cut -c 1; enable -n echo; echo external; type cd; command -v ls; hash -r; compgen -b | wc -l | awk '{print ($1 > 50)}'; printf '%s\n' *; echo ~root; echo "$-" | grep -c c; [ "$$" = "$(echo $$)" ] && echo same pid; [ "$BASHPID" != "$(echo $BASHPID)" ] && echo other pid
