echo out > f; cat f; echo more >> f; cat < f
{ echo stdout; echo stderr >&2; } > both 2>&1; cat both
{ echo a; echo b >&2; } 2>/dev/null
{ echo a; echo b >&2; } 2>&1 >/dev/null | sed 's/^/err: /'
exec 5> five; echo to five >&5; exec 5>&-; cat five
exec 6<> six; echo rw >&6; cat six; exec 6>&-
echo closed >&6; echo $?
set -o noclobber; echo x > f; echo $?; echo x >| f; cat f; set +o noclobber
exec 3>&1 4> four; exec >&4; echo hidden; exec >&3; cat four
cat < /nonexistent; echo $?
echo x > /nonexistent/f; echo $?
echo "in var" {fd}> v 1>&$fd; exec {fd}>&-; cat v
ls /nonexistent &> all; cat all
: > empty; [ -s empty ] || echo empty
cat f - <<< stdin
read a < f; echo "$a"
readlink /dev/fd/7 7< f
[ -e /dev/stdin ] && echo has stdin
echo direct > /dev/stdout
