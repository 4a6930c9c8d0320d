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
(echo 'from the server' | busybox nc -l -p 18128) > /tmp/got &
sleep 0.3
echo 'from the client' | busybox nc 127.0.0.1 18128
wait
cat /tmp/got
exec 4> /dev/udp/127.0.0.1/18129 && echo 'opened udp'
(: < /dev/tcp/127.0.0.1/1) 2> /dev/null || echo 'refused'
