printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' 'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin' 'user:x:1000:1000::/home/user:/bin/sh' > passwd
grep root passwd; grep -c sbin passwd; grep -v sbin passwd; grep -n daemon passwd; grep -o 'x:[0-9]*' passwd; grep -E '^(root|user)' passwd
grep -q nothing passwd; echo $?; grep x /nonexistent; echo $?; grep -r root . | sort; grep -w bin passwd; grep -i ROOT passwd; grep -F '.' passwd; echo $?; grep -P '\d{4}' passwd; grep -A1 root passwd; grep -l root *
sed 's/:/ /g' passwd; sed -n 2p passwd; sed '/daemon/d' passwd; sed -E 's/^([a-z]+):.*:(.*)$/\2 \1/' passwd; sed -n '/root/,/daemon/p' passwd; sed '1i\first' passwd | head -n 1; sed '$a last' passwd | tail -n 1; sed = passwd | sed 'N;s/\n/ /' | head -n 1; sed 's/a/A/2' passwd; sed y/abc/xyz/ passwd
cp passwd p2; sed -i 's/bash/zsh/' p2; cat p2; sed -i.bak '1d' p2; wc -l < p2; wc -l < p2.bak; ls p2*; sed -n '$=' passwd; sed -e '1!G;h;$!d' passwd
for awk in gawk mawk; do
echo "== $awk"
$awk -F: '{print $1, $3}' passwd; $awk -F: '$3 > 0 {n++} END {print n}' passwd; $awk 'BEGIN {for (i = 0; i < 5; i++) printf "%d ", i*i; print ""}'
$awk -F: '{a[$7]++} END {for (k in a) print k, a[k]}' passwd | sort; $awk 'BEGIN {print length("hello"), substr("hello", 2, 3), index("hello", "l"), toupper("abc"), 2^10, 7%3, int(3.9)}'
$awk 'BEGIN {"echo command" | getline x; print x; print "to sort b" | "sort"; print "to sort a" | "sort"; close("sort"); system("echo system; exit 3")}'
$awk 'BEGIN {while ((getline line < "passwd") > 0) n++; print n}'; $awk 'function f(n) {return n < 2 ? n : f(n-1) + f(n-2)} BEGIN {print f(15)}'
$awk 'BEGIN {printf "%5.2f|%-5s|%05d|%x|%c|%e\n", 3.14159, "ab", 42, 255, 65, 12345.678}'; $awk '{gsub(/o/, "0"); print}' <<< foo; $awk 'BEGIN {n = split("a,b,c", p, ","); print n, p[3]; print match("foobar", /o+/), RSTART, RLENGTH}'
$awk 'BEGIN {srand(1); x = rand(); print (x >= 0 && x < 1)}'; $awk 'BEGIN {exit 4}'; echo $?; $awk -v x=5 'BEGIN {print x, ENVIRON["HOME"]}'; seq 10 | $awk 'NR % 2 {s += $1} END {print s, s / 3}'; $awk 'BEGIN { print sin(1), cos(1), atan2(1, 2), exp(1), log(10), sqrt(2) }'
done
gawk 'BEGIN {print strftime("%F", 0, 1); print systime() > 0; a["x"]; print length(a); print gensub(/(a)(b)/, "\\2\\1", "g", "abab"); PROCINFO["sorted_in"] = "@ind_num_asc"; b[10]; b[9]; for (k in b) print k}'
gawk 'BEGIN { cmd = "cat"; print "to coprocess" |& cmd; close(cmd, "to"); cmd |& getline x; print x }'
