mkdir /tmp/www
echo 'hello from httpd' > /tmp/www/index.html
seq 20000 > /tmp/www/numbers
busybox httpd -f -p 127.0.0.1:18127 -h /tmp/www &
server=$!
until (exec 3<> /dev/tcp/127.0.0.1/18127) 2> /dev/null; do sleep 0.05; done
busybox wget -q -O - http://127.0.0.1:18127/
busybox wget -q -O - http://127.0.0.1:18127/numbers | cksum
exec 3<> /dev/tcp/localhost/18127
printf 'GET /index.html HTTP/1.0\r\n\r\n' >&3
read -r status <&3
echo "${status%$'\r'}"
exec 3>&-
busybox wget -q -O - http://127.0.0.1:18127/missing || echo "wget: $?"
kill $server
wait $server
echo "httpd: $?"
# What each sends lies ready before they meet: nc ends at the other's end, whatever it hasn't read by then.
busybox nc -l -p 18128 <<< 'from the server' > /tmp/got &
until grep -q ':46D0 .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done
busybox nc 127.0.0.1 18128 <<< 'from the client'
wait
cat /tmp/got
exec 4> /dev/udp/127.0.0.1/18129 && echo 'opened udp'
(: < /dev/tcp/127.0.0.1/1) 2> /dev/null || echo 'refused'
