yes | head -n 100000 | sort | uniq -c
seq 1 20000 | sort -R | sort -n | tail -n 1
seq 1000 | awk '{s += $1} END {print s}'
seq 100 | paste -s -d + | bc 2>/dev/null || seq 100 | paste -s -d ' ' | wc -w
cat /dev/zero | head -c 1000000 | tr '\0' 'x' | wc -c
printf '%s\n' b a c b a | sort | uniq -c | sort -k1,1nr -k2
# How many there are depends on the tree.
[ "$(ls /usr/bin | wc -l)" -eq "$(find /usr/bin -mindepth 1 -maxdepth 1 | wc -l)" ]; echo $?
[ "$(ls -l /usr/bin | awk '{s+=$5} END {print NR}')" -eq $(($(ls /usr/bin | wc -l) + 1)) ]; echo $?
for i in 1 2 3 4 5; do echo $i; done | while read n; do echo "got $n"; done | tac
