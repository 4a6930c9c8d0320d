# A package with scripts of its own and a file of settings is built, installed, upgraded, removed and purged by
# dpkg; one whose script fails is left half configured; one that serves is started and stopped with its file.
cd /tmp; mkdir -p /var/lib/dpkg/{info,updates,triggers,parts}; : > /var/lib/dpkg/status; : > /var/lib/dpkg/available
: > /var/lib/dpkg/diversions; : > /var/lib/dpkg/statoverride
export DPKG_COLORS=never DEBIAN_FRONTEND=noninteractive DPKG_FRONTEND_LOCKED=

build() { # NAME VERSION
	mkdir -p "$1/DEBIAN" "$1/usr/lib/$1" "$1/etc"
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: A <a@b>\nDescription: d\n' "$1" "$2" > "$1/DEBIAN/control"
	for each in preinst postinst prerm postrm; do
		printf '#!/bin/sh\necho "%s %s %s: $*"\n' "$1" "$2" $each > "$1/DEBIAN/$each"
		chmod 755 "$1/DEBIAN/$each"
	done
	echo "of $2" > "$1/usr/lib/$1/data"; ln -sf data "$1/usr/lib/$1/link"; ln -f "$1/usr/lib/$1/data" "$1/usr/lib/$1/hard"
	echo "setting of $2" > "$1/etc/$1.conf"; echo "/etc/$1.conf" > "$1/DEBIAN/conffiles"
	dpkg-deb --root-owner-group --build "$1" "$1_$2.deb" > /dev/null
}
state() { dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' 2>&1; }

build one 1; build one 2; build two 1
printf '#!/bin/sh\nexit 3\n' > two/DEBIAN/postinst; dpkg-deb --root-owner-group --build two two_1.deb > /dev/null
dpkg-deb --contents one_1.deb | sed 's/[0-9]*-[0-9]*-[0-9]* [0-9:]* //'

echo installed; dpkg -i one_1.deb 2>&1 | grep -v Reading; state; dpkg -L one; dpkg -S /etc/one.conf; cat /usr/lib/one/link
[ /usr/lib/one/data -ef /usr/lib/one/hard ] && echo linked
echo changed > /etc/one.conf
echo upgraded; dpkg --force-confold -i one_2.deb 2>&1 | grep -v Reading; state; cat /etc/one.conf /usr/lib/one/data; ls /etc/one.conf*
dpkg --verify one
echo failed; dpkg -i two_1.deb 2>&1 | grep -v Reading; echo "${PIPESTATUS[0]}"; state; dpkg --audit | grep two
echo removed; dpkg -r one 2>&1 | grep -v Reading; state; ls /etc/one.conf /usr/lib/one 2>&1
echo purged; dpkg -P one two 2>&1 | grep -v Reading; state; ls /etc/one.conf 2>&1

printf '#!/bin/sh\ntrap "echo stopping; exit 0" TERM\nwhile :; do sleep 0.1; done\n' > /tmp/server; chmod 755 /tmp/server
start-stop-daemon --start --background --make-pidfile --pidfile /tmp/pid --startas /tmp/server --output /tmp/log
start-stop-daemon --status --pidfile /tmp/pid; echo "status $?"
start-stop-daemon --start --pidfile /tmp/pid --startas /tmp/server | sed 's/[0-9][0-9]*/N/'
sleep 0.5; start-stop-daemon --stop --retry 5 --remove-pidfile --pidfile /tmp/pid; echo "stopped $?"
cat /tmp/log; start-stop-daemon --status --pidfile /tmp/pid; echo "status $?"
