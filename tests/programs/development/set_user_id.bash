echo 'ann:x:1001:1001:Ann:/tmp:/bin/bash' >>/etc/passwd
echo 'ann:x:1001:
staff2:x:2001:ann
others:x:2002:' >>/etc/group
ls -l /usr/bin/newgrp /usr/bin/passwd | awk '{ print $1, $3, $4 }'
as_ann() { setpriv --reuid 1001 --regid 1001 --clear-groups env -i HOME=/tmp USER=ann PATH=/usr/bin LC_ALL=C "$@"; }
as_ann id
echo 'id -gn; id -G; grep -E "^(Uid|Gid|CapEff)" /proc/self/status; exit 5' >/tmp/show
as_ann newgrp staff2 </tmp/show
echo "status $?"
as_ann newgrp others </tmp/show
echo "status $?"
for kind in auth account password session; do
    echo "$kind required pam_permit.so" >/etc/pam.d/common-$kind
done
su -s /bin/bash ann -c 'id; echo "$HOME $USER"; exit 6'
echo "status $?"
as_ann su -c 'id; grep -E "^Uid" /proc/self/status; exit 7' </dev/null
echo "status $?"
su -s /bin/sh ann -c 'kill -TERM $$'
echo "status $?"
cp /usr/bin/id /tmp/id && chown 1001:2001 /tmp/id && chmod 6755 /tmp/id
/tmp/id
setpriv --reuid 65534 --regid 65534 --clear-groups /tmp/id
setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs /tmp/id
cp /usr/bin/bash /tmp/bash && chmod 4755 /tmp/bash
as_ann /tmp/bash -c 'id -un'
as_ann /tmp/bash -p -c 'id -un; echo "$EUID"'
as_ann perl -e 'print "$< $>\n"'
