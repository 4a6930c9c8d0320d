touch p; chown 1000:100 p; stat -c '%u %g' p; chown nobody p; stat -c %U p; chgrp daemon p; stat -c %G p
chmod 4755 p; chown 5 p; stat -c '%a %u' p; mkdir d; chown -R 7:8 d; chmod g+s d; touch d/f; stat -c '%u %g' d/f
chown daemon: p; stat -c %U:%G p; ln -s p l; chown -h 9 l; stat -c %u l p; find . -user daemon; find . -nouser | sort
setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'id; touch mine; stat -c %u:%g mine; cat /etc/shadow; rm p; kill -0 1; chown 0 mine; mkdir /x; echo $?'
chmod 600 mine; setpriv --reuid 1001 --regid 1001 --clear-groups sh -c 'cat mine; cd /root; rm mine; test -r mine; echo $?'
chmod 755 .; setpriv --reuid 1001 --regid 1001 --clear-groups touch new; chmod 1777 .; setpriv --reuid 1001 --regid 1001 --clear-groups sh -c 'touch new; mv mine other; nice -n -5 true; ulimit -Hn 10; ulimit -Hn 20; echo $?'
