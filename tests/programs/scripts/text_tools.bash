printf '%s\n' 'one 1 x' 'two 2 y' 'three 3 z' > f
cut -d ' ' -f 2 f; cut -c 1-3 f; tr a-z A-Z < f; tr -d aeiou < f; tr -s o < f
head -n 1 f; tail -n 1 f; tail -n +2 f; head -c 5 f; echo; tail -c 4 f; head -n -1 f
wc f; wc -l < f; sort -k 3r f; sort -k 2n f | tac; nl f; rev f; fold -w 4 f | head -n 3; expand -t 4 <<< $'a\tb'
seq 5; seq 2 3 11; seq -s , 4; seq -w 8 10; seq 3 -1 1; seq 0.5 0.5 2
expr 2 + 3 '*' 4; expr length hello; expr substr hello 2 3; expr hello : 'h\(.*\)o'; expr 1 = 2; echo $?
od -A x -t x1z <<< 'hello, world'; od -t d4 -N 8 <<< abcdefgh; od -An -t o2 <<< hi; xxd f 2>/dev/null | head -n 1
md5sum f; sha1sum f; sha256sum f; sha512sum f; cksum f; b2sum f | cut -c 1-20; sum f
md5sum f > sums; md5sum -c sums; echo x >> f; md5sum -c sums 2>&1; echo $?
base64 <<< 'some text'; base64 -d <<< c29tZQ==; echo; base32 <<< x
join <(printf '1 a\n2 b\n') <(printf '1 x\n2 y\n'); paste -d: f f | head -n 1; split -l 2 f part; ls part*; csplit -s f 2; ls xx*
comm <(printf '1\n2\n') <(printf '2\n3\n'); tsort <<< 'a b b c'; factor 360 97 1000000007; numfmt --to=iec 1048576; shuf -i 1-5 | sort -n | xargs
uniq -d <<< $'a\na\nb'; uniq -u <<< $'a\na\nb'; printf 'x%.0s' {1..10}; echo; yes no | head -n 2; echo -e 'a\tb\\n' ; printf '%b' 'c\n'
echo hello | tee one two; cat one two; fmt -w 20 <<< 'a long line of words that must be folded'; pr -t -2 <<< $'a\nb' | tr -s ' '
tac f; cat -A <<< $'\t\x01'; cat -n f | head -n 1; echo abc | cmp - <(echo abd); dircolors -b > /dev/null; arch; nproc > /dev/null; true; logname 2>/dev/null; id -u; id -un; whoami; groups
