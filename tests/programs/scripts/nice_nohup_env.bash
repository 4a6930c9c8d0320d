base=$(nice)
echo $(($(nice -n 5 nice) - base)) $(($(nice -n 5 nice -n 3 nice) - base)); nice -n 30 nice
nohup sh -c 'echo kept; trap - HUP; kill -HUP $$; echo alive' 2>/dev/null; echo $?
cat nohup.out 2>/dev/null
env -i A=1 B=2 env | sort
env -u HOME sh -c 'echo "${HOME-unset}"'
env X=5 sh -c 'echo $X'
env --chdir=/etc pwd
env -S 'printf %s\n split string'
env /nonexistent; echo $?
env --ignore-signal=TERM sh -c 'kill -TERM $$; echo ignored'
printenv LC_ALL; printenv NONE; echo $?
setsid sh -c 'echo new session'
stdbuf -o0 echo unbuffered
