# Mounts with util-linux and busybox: binds, propagation, moves, overlays, pivot_root, switch_root, chroot.
place=$(mktemp -d)
exec unshare -m --propagation private bash -c '
cd "$1"
mount -t tmpfs -o mode=755 scratch .
cd "$1"
mkdir a b c low up work merged new

mount -t tmpfs -o size=1m,mode=750,nosuid first a
mountpoint a
mountpoint b; echo "mountpoint: $?"
findmnt -n -o FSTYPE,SOURCE,OPTIONS "$PWD/a"
echo text > a/file
mount --bind a b
cat b/file
mount -o remount,bind,ro b
touch b/other; echo "touch: $?"
mount -o remount,size=2m a
findmnt -n -o OPTIONS "$PWD/a"
umount b

mount --make-shared a
findmnt -n -o PROPAGATION "$PWD/a"
mount --bind a b
mkdir a/in
mount -t tmpfs inner a/in
touch a/in/seen
ls b/in
mount --make-slave b
findmnt -n -o PROPAGATION "$PWD/b"
umount a/in
ls b/in | wc -l
mount --make-rprivate a
umount b
mount --move a c
cat c/file
ls a | wc -l
umount -l c
ls c | wc -l
umount c; echo "umount: $?"

mkdir low/d
echo lower > low/d/x
echo lower > low/f
mount -t overlay layers -o lowerdir=low,upperdir=up,workdir=work merged
cat merged/f
echo upper >> merged/f
rm merged/d/x
cat low/f up/f
stat -c "%F %t:%T" up/d/x
ls merged/d | wc -l
umount merged

unshare -m sh -c "mount -t tmpfs none b; touch b/inside; ls b"
ls b | wc -l

mount -t tmpfs newroot new
mkdir new/bin new/old new/proc new/lib64 new/lib new/usr
for directory in bin lib lib64 usr; do
	mount --bind "$(readlink -f /$directory)" new/$directory
done
mount -t proc proc new/proc
unshare -m sh -c "cd new && pivot_root . old && cd / && umount -l /old && ls / && mount | grep -c newroot && rmdir /old && ls /"
chroot new /bin/sh -c "ls /; pwd; cat /proc/self/mounts | head -1"
unshare -m busybox sh -c "cd new && mount --move . / && exec chroot . /bin/sh -c \"ls /old; head -n 1 /proc/self/mounts\""
busybox mount -t tmpfs busy b && busybox mount | grep -c "busy on .* type tmpfs"
busybox umount b
' sh "$place"
