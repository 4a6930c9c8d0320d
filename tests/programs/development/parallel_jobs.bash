seq 12 | xargs -P 4 -n 3 sh -c 'sleep 0.0$((RANDOM % 3)); echo "$@"' sh | sort -n
seq 6 | xargs -P 0 -I @ sh -c 'exit $((@ == 5))'
echo "xargs $?"
printf '%s\n' a b | xargs -P 2 -n 1 sh -c 'kill -TERM $$' 2>/dev/null
echo "xargs $?"
echo 'will cite' | parallel --citation >/dev/null 2>&1
seq 8 | parallel -j 4 --keep-order 'echo {} squared is $(({} * {}))'
parallel -j 2 --keep-order echo {1}-{2} ::: a b ::: 1 2 3
seq 5 | parallel -j 3 --joblog log 'exit {}'
echo "parallel $?"
awk '{ print $7 }' log | sort
seq 100 | parallel --pipe -N 25 -j 2 wc -l
parallel --halt now,fail=1 -j 1 'test {} -lt 3' ::: 1 2 3 4 5 2>/dev/null
echo "parallel $?"
parallel -j 2 --timeout 1 'sleep {}; echo slept {}' ::: 0 30
echo "parallel $?"
