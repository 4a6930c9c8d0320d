# Locks by flock and by other programs, and who has them.
: > whole; : > shared; : > state; printf 0123456789 > records
# One process that holds all kinds.
python3 -c '
import fcntl, os, struct, sys, time
whole, shared = os.open("whole", os.O_RDWR), os.open("shared", os.O_RDONLY)
fcntl.flock(whole, fcntl.LOCK_EX)
fcntl.flock(shared, fcntl.LOCK_SH)
fd = os.open("records", os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX, 3, 2)
fcntl.lockf(fd, fcntl.LOCK_SH, 0, 7)
other = os.open("records", os.O_RDWR)
fcntl.fcntl(other, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 1, 0))
print("locked", flush=True)
time.sleep(1000)
' > state &
holder=$!
until grep -q locked state; do sleep 0.05; done
flock -n whole echo never; echo "busy: $?"
flock -n -E 42 whole true; echo "busy: $?"
flock -w 0.1 whole echo never; echo "timed out: $?"
flock -n -s shared echo 'shared by another'
flock -n -x shared echo never; echo "exclusive: $?"
# What /proc says of each lock, without the process and the file.
show() {
    sed -E "s/[0-9]+: (-> )?(FLOCK|POSIX|OFDLCK)/N: \\1\\2/; s/ $holder [0-9a-f:]+ / HOLDER FILE /; s/ -1 [0-9a-f:]+ / -1 FILE /; s/ [0-9]+ [0-9a-f:]+:[0-9a-f]+ / OTHER FILE /" | sort
}
for fd in 3 4 5 6; do
    grep '^lock' /proc/$holder/fdinfo/$fd | show
done
lslocks -n -o TYPE,SIZE,MODE,M,START,END,PATH | grep /tmp/ | sort
lslocks -n -p $holder -o COMMAND,TYPE,MODE,START,END,PATH | sort
lslocks -n -p $$ -o COMMAND
# Who waits is shown with the one that blocks it.
python3 -c '
import fcntl, os
fd = os.open("records", os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX, 1, 3)
print("got it")
' > got &
waiter=$!
flock whole echo 'at last' > last &
queued=$!
until [ "$(lslocks -n -o MODE | grep -c '\*')" = 2 ]; do sleep 0.05; done
lslocks -n -o TYPE,MODE,START,END,PATH | grep '\*' | sort
lslocks -n -p $waiter -o BLOCKER | grep -c "^ *$holder$"
grep -v OFDLCK /proc/locks | show
kill $holder
wait $waiter; echo "waiter: $?"
wait $queued; echo "queued: $?"
cat got last
flock -n -x shared echo 'free'
lslocks -n | grep -c /tmp/
# A lock ends with the last descriptor of its open file, in whatever process.
(flock 7; sleep 0.2 & echo inherited) 7> whole
flock -n whole true; echo "held by a child: $?"
flock whole echo 'child gone'
flock -o whole sh -c 'flock -n whole true; echo "not passed on: $?"'
flock -F whole echo 'no fork'
flock --verbose -n whole true 2>&1 | sed -E 's/[0-9.]+ seconds/N seconds/'
mkdir dir; flock dir echo 'a directory'
