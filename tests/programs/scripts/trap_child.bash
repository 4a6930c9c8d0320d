set -m
count=0
trap 'count=$((count+1))' CHLD
for i in 1 2 3; do sleep 0.0$i & done
wait
wait
trap - CHLD
[ $count -ge 1 ] && [ $count -le 5 ] && echo "children seen"
trap 'echo "wait ended"' USR1
sleep 50 & sleeper=$!
(sleep 0.2; kill -USR1 $$) &
wait $sleeper; echo $((($? > 128)))
kill -KILL $sleeper; wait $sleeper 2>/dev/null; echo $?
