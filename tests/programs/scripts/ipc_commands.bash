# System V objects by the commands of util-linux: made, shown and removed.
segment=$(ipcmk -M 5000 -p 0640 | sed 's/.*: //')
semaphores=$(ipcmk -S 3 -p 0600 | sed 's/.*: //')
queue=$(ipcmk -Q | sed 's/.*: //')
# What is shown, without the ids, keys, times and processes.
show() {
    sed -E 's/[A-Z][a-z]{2} [A-Z][a-z]{2} +[0-9]+ [0-9:]{8} [0-9]{4}/TIME/; s/(lpid|cpid|id)=[0-9]+/\1=N/g; s/ +$//'
}
ipcs -m -i "$segment" | show
ipcs -s -i "$semaphores" | show
ipcs -q -i "$queue" | show
ipcs -m | awk -v id="$segment" '$2 == id { print $3, $4, $5, $6 }'
ipcs -s | awk -v id="$semaphores" '$2 == id { print $3, $4, $5 }'
ipcs -q | awk -v id="$queue" '$2 == id { print $3, $4, $5, $6 }'
ipcs -m -c | awk -v id="$segment" '$1 == id { print $2, $3, $4, $5, $6 }'
ipcs -l
awk -v id="$segment" '$2 == id { print $3, $4, $7, NF }' /proc/sysvipc/shm
awk -v id="$semaphores" '$2 == id { print $3, $4, NF }' /proc/sysvipc/sem
awk -v id="$queue" '$2 == id { print $3, $4, $5, NF }' /proc/sysvipc/msg
ipcrm -m "$segment" -s "$semaphores" -q "$queue"
echo "removed: $?"
ipcrm -m "$segment" 2>&1 | sed 's/([0-9]*)/(N)/'
ipcs -m | awk -v id="$segment" '$2 == id'
cat /proc/sys/kernel/shmmni /proc/sys/kernel/msgmax /proc/sys/kernel/msgmnb /proc/sys/kernel/msgmni
cat /proc/sys/kernel/sem /proc/sys/fs/mqueue/msg_max /proc/sys/fs/mqueue/msgsize_max
