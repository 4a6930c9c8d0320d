diff <(seq 3) <(seq 2 4); echo $?
cat <(echo one) <(echo two)
while read x; do echo "read $x"; done < <(seq 3)
exec 3< <(echo from three); read -u 3 y; echo "$y"; exec 3<&-
paste <(seq 3) <(seq 4 6)
comm -12 <(printf 'a\nb\nc\n') <(printf 'b\nc\nd\n')
echo data | tee >(cat > copy) | cat; until [ -s copy ]; do sleep 0.01; done; cat copy
mapfile -t lines < <(printf '%s\n' x y z); echo "${#lines[@]} ${lines[2]}"
wc -l < <(yes | head -n 5000)
