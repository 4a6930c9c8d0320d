for i in $(seq 50); do (exit $i) & done; wait; echo done
for i in 0 1 7 42 255; do (exit $i) & wait $!; echo "$i: $?"; done
sh -c 'kill -TERM $$' & wait $!; echo "terminated: $?"
sh -c 'kill -KILL $$' & wait $! 2>/dev/null; echo "killed: $?"
true & first=$!; false & second=$!
wait $first; echo "true: $?"; wait $second; echo "false: $?"
wait 99999 2>/dev/null; echo "not a child: $?"
wait; echo "none left: $?"
