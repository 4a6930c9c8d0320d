(sleep 0.3; exit 3) & (sleep 0.1; exit 1) & (sleep 0.2; exit 2) &
for i in 1 2 3; do wait -n; echo $?; done
wait -n; echo "none $?"
sleep 0.2 & a=$!
(exit 4) & b=$!
wait -n -p which $a $b; echo "$? $([ "$which" = "$b" ] && echo b)"
wait
sleep 100 & sleep 100 &
jobs -p | wc -l
kill %1; wait %1; echo $?
kill %2; wait %2; echo $?
jobs
