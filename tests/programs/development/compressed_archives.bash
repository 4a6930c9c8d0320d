mkdir tree && for number in $(seq 30); do seq $number 2000 >tree/$number; done
tar -cf - --sort=name tree | gzip | gzip -d | tar -tf - | md5sum
tar -czf tree.tgz tree
tar -cJf tree.txz tree
tar -cjf tree.tbz tree
tar --zstd -cf tree.zst tree
tar -I 'xz -T2 --block-size=64KiB' -cf threads.txz tree
for archive in tree.tgz tree.txz tree.tbz tree.zst threads.txz; do
    mkdir out && tar -xf $archive -C out && diff -r tree out/tree && echo "$archive is whole"
    rm -r out
done
xz -l threads.txz | awk 'END { print $2, "blocks" }'
xz -T2 -dc threads.txz | tar -tf - | sort | head -n 3
head -c 3000 tree.tgz | tar -tzf - >/dev/null
echo "status $?"
head -c 300000 /dev/zero | xz -T2 | xz -dc | cksum
seq 20000 | gzip -1 | zcat | tail -n 1
