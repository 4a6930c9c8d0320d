true | false | true; echo "${PIPESTATUS[@]}"
(exit 3) | (exit 4) | (exit 5); echo "${PIPESTATUS[*]} $?"
yes | head -n 1 >/dev/null; echo "${PIPESTATUS[@]}"
set -o pipefail
(exit 3) | true; echo $?
false | true | (exit 9) | true; echo $?
set +o pipefail
! true | false; echo $?
echo a | { read x; echo "$x"; exit 2; }; echo $?
cat /nonexistent 2>/dev/null | wc -l; echo "${PIPESTATUS[@]}"
