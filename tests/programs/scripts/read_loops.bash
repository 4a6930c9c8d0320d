printf 'a:b:c\nd:e:f\n' > f
while IFS=: read -r x y z; do echo "$z$y$x"; done < f
n=0; while read -r line; do ((n++)); done < <(seq 500); echo $n
read -r -d '' all < f; echo "$all"
read -n 3 three < f; echo "$three"
read -a words <<< "one two three"; echo "${words[1]}"
echo input | { read x; echo "got $x"; }
read -t 0.1 nothing < <(sleep 1); echo $(($? > 128))
IFS= read -r kept <<< "  spaces  "; echo "[$kept]"
while read -r -u 4 l; do echo "4:$l"; done 4< f
printf 'no newline' | { read x; echo "$? $x"; }
printf 'a\0b\0c\0' | while IFS= read -r -d '' part; do echo -n "<$part>"; done; echo
readarray -n 2 -t two < <(seq 9); echo "${two[*]}"
