/usr/bin/time -v sh -c 'exit 3' 2>&1 | sed -n 's/^\t//; s/[0-9][0-9.]*$/N/; /:/p' | grep -vE 'faults|switches|resident set size|Elapsed|Percent'
/usr/bin/time -f '%C exited with %x' true
/usr/bin/time -f '%e' -o elapsed sleep 2
grep -c '^2\.0' elapsed
/usr/bin/time -f '%x' sh -c 'kill -9 $$'
echo "status $?"
/usr/bin/time -f '%U %S %M %R %F %c %w' -o numbers head -c 20000000 /dev/zero >/dev/null
awk '{ print NF, ($3 > 500 && $3 < 50000) }' numbers
/usr/bin/time -f %x /no/such/program
echo "status $?"
