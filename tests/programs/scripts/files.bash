umask 022
mkdir -p a/b/c; echo one > a/f; cp -a a copy; diff -r a copy && echo same
chmod 640 a/f; stat -c '%a %F %s %h' a/f; stat -c '%a %F' a; touch -d '2001-02-03 04:05:06 UTC' a/f; TZ=UTC stat -c '%y %Y' a/f
cp -p a/f g; stat -c '%a %Y' g; cp a/f h; stat -c %a h
ln g hard; stat -c %h g; ln -s g soft; readlink soft; stat -c %F soft; stat -L -c %F soft
[ g -ef hard ] && echo same inode; [ g -nt h ] || echo not newer
mv g moved; cat hard; cat soft 2>&1; rm hard moved soft
mkfifo pipe; stat -c %F pipe; (echo through > pipe) & cat pipe; wait
t=$(mktemp); stat -c %a $t; [ ${#t} -eq 14 ] && echo name; d=$(mktemp -d); stat -c %a $d; rmdir $d; rm $t
dd if=/dev/zero of=z bs=1024 count=100 2>&1 | head -n 2; stat -c %s z
dd if=/dev/zero of=sparse bs=1 count=1 seek=1000000 2>/dev/null; stat -c %s sparse
echo 0123456789 | dd bs=1 skip=3 count=4 2>/dev/null; echo
printf abcdef > p; printf XY | dd of=p bs=1 seek=2 conv=notrunc 2>/dev/null; cat p; echo
truncate -s 10 p; od -c p; truncate -s 3 p; cat p; echo
rm -rf a copy; ls; rm nothing 2>&1; rm -f nothing; echo $?; rmdir / 2>&1
mkdir x; touch x/1 x/2; rmdir x 2>&1; rm -r x; ls -d x 2>&1
install -m 755 p installed; stat -c '%a %s' installed
touch -r p q; [ p -nt q ] || [ q -nt p ] || echo same time
ls -i p | awk '{print ($1 > 0)}'; ls -la p | cut -c 1-10; ls -1 -F; ls -R | wc -l
cp p /nonexistent/q 2>&1; mv p p 2>&1; ln p p 2>&1; mkdir p 2>&1; cd p 2>&1
realpath -m a/../b/./c; basename /x/y.txt .txt; dirname /x/y/z; pwd; cd /usr/bin/..; pwd; cd - >/dev/null; pwd -P
chmod u+s,g-w,o=r q; stat -c %A q; chmod 1777 .; stat -c %A .; chmod 000 q; cat q >/dev/null && echo root reads
du -s --apparent-size -b z | cut -f 1; du -k z | cut -f 1; sync; df . > /dev/null && echo df
test -d . -a -f z && echo test; [ -p pipe ] && echo fifo; [ -c /dev/null ] && echo device; [ -x installed ] && echo x
unlink z; link p r; cat r; echo; shred -u r 2>/dev/null; ls r 2>&1
