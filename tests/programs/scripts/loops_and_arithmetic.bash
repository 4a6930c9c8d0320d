s=0; for ((i = 0; i < 3000; i++)); do ((s += i * i % 7)); done; echo $s
i=0; while ((i < 5)); do ((i++)); ((i == 3)) && continue; echo -n "$i "; done; echo
until ((i == 0)); do i=$((i - 1)); done; echo $i
echo $((2**62)) $((1 << 40)) $((-7 / 2)) $((-7 % 3)) $((0x1f)) $((8#17)) $((2#1011)) $((9223372036854775807 + 1))
echo $((5 > 3 ? 10 : 20)) $((!0)) $((~5)) $((6 & 3)) $((6 | 3)) $((6 ^ 3))
((1 / 0)); echo $?
fib() { local n=$1; if ((n < 2)); then echo $n; else echo $(($(fib $((n-1))) + $(fib $((n-2))))); fi; }
fib 8
f() { g() { h() { echo "h $1 ${FUNCNAME[*]}"; }; h "$1"; }; g "$1"; }
f nested
declare -A map=([one]=1 [two]=2); for k in one two; do echo "$k=${map[$k]}"; done
a=(5 3 9 1); printf '%s\n' "${a[@]}" | sort -n | xargs
for x in {a..e}{1..2}; do echo -n "$x "; done; echo
case foo.tar.gz in *.zip) echo zip;; *.tar.*) echo tar;; esac
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
select x in a b; do echo "chose $x"; break; done <<< 2 2>/dev/null
printf '%05d|%-6s|%x|%c|%.3f|%q\n' 42 ab 255 zed 3.14159 'a b'
recurse() { (($1 == 0)) && return 0; recurse $(($1 - 1)); }; recurse 200; echo $?
