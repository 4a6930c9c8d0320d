mkdir modules; for i in $(seq 40); do echo $i > modules/$((i * i)).pm; done
work() {
    case $(($1 % 12)) in
    0) seq $1 $(($1 + 300)) | sort -r | head -n 2 | md5sum ;;
    1) awk -v n=$1 'BEGIN {for (i = 0; i < 200; i++) s += i * n; print s}' ;;
    2) seq 60 600 | sed -n "$1{p;q}" | tr 0-9 a-j ;;
    3) x=$(echo $1 | cat | cat | cat); echo "<$x>" ;;
    4) find modules -name '*.pm' | sort | head -n $(($1 % 5 + 1)) | wc -c ;;
    5) perl -e 'my $p = fork; if (!$p) { exit $ARGV[0] % 256 } waitpid $p, 0; print $? >> 8, "\n"' $1 ;;
    6) printf '%s\n' c b a "$1" | sort | paste -s -d, ;;
    7) dash -c 'for i in 1 2 3; do (exit $i); echo -n "$?"; done; echo' ;;
    8) seq $1 | gzip -c | gzip -d | sha1sum ;;
    9) mawk 'BEGIN {"echo $((6*7))" | getline x; print x}' ;;
    10) busybox seq $1 | busybox tail -n 1; grep -c root /etc/passwd ;;
    11) diff <(seq $1) <(seq $(($1 - 1))); od -An -tx1 <<< "$1" ;;
    esac
}
for round in 1 2 3; do
    for i in $(seq 60); do work $((round * 60 + i)) > out.$i 2>&1 & (( i % 6 == 0 )) && wait; done
    wait
    for i in $(seq 60); do cat out.$i; done | tee all | sha256sum
    mapfile -t lines < <(cat all); echo ${#lines[@]}
done
cat all
