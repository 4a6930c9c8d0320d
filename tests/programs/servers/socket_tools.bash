socat() { command socat -d0 "$@"; }
(echo 'from the server' | nc.openbsd -N -l 127.0.0.1 18201) > /tmp/got &
until ss -ltn 2> /dev/null | grep -q 127.0.0.1:18201; do sleep 0.1; done
echo 'from the client' | nc.openbsd -N 127.0.0.1 18201
wait
cat /tmp/got
nc.openbsd -z 127.0.0.1 18201 || echo 'closed'
(nc.openbsd -l -U /tmp/name > /tmp/got) &
until [ -S /tmp/name ]; do sleep 0.1; done
echo 'over a name' | nc.openbsd -N -U /tmp/name
wait
cat /tmp/got
socat TCP-LISTEN:18202,bind=127.0.0.1,fork,reuseaddr EXEC:'tr a-z A-Z' &
server=$!
until ss -ltn 2> /dev/null | grep -q 127.0.0.1:18202; do sleep 0.1; done
for number in 1 2 3; do echo "socat $number" | socat - TCP:127.0.0.1:18202; done
kill $server
wait $server 2> /dev/null
echo "socat: $?"
socat UNIX-LISTEN:/tmp/forward,fork TCP:127.0.0.1:18203 &
forward=$!
: > /tmp/forwarded
socat -u TCP-LISTEN:18203,bind=127.0.0.1 OPEN:/tmp/forwarded &
until [ -S /tmp/forward ] && ss -ltn 2> /dev/null | grep -q 127.0.0.1:18203; do sleep 0.1; done
seq 20000 | socat -u - UNIX-CONNECT:/tmp/forward
kill $forward
until [ "$(wc -l < /tmp/forwarded)" = 20000 ]; do sleep 0.1; done
cksum < /tmp/forwarded
socat -u UDP-RECV:18204,bind=127.0.0.1 - > /tmp/datagrams &
receiver=$!
until ss -lun 2> /dev/null | grep -q 127.0.0.1:18204; do sleep 0.1; done
echo 'a datagram' | socat -u - UDP-SENDTO:127.0.0.1:18204
until grep -q datagram /tmp/datagrams; do sleep 0.1; done
kill $receiver
cat /tmp/datagrams
socat UNIX-RECV:/tmp/local - > /tmp/locals &
receiver=$!
until [ -S /tmp/local ]; do sleep 0.1; done
echo 'a local datagram' | socat -u - UNIX-SENDTO:/tmp/local
until grep -q local /tmp/locals; do sleep 0.1; done
kill $receiver
cat /tmp/locals
ip -o addr show dev lo scope host | tr -s ' ' | cut -d' ' -f2-4
ip link show dev lo | head -n 1 | cut -d' ' -f2,4,5
ip route get 127.0.0.5 | head -n 1 | tr -s ' '
ip link show dev none9
echo "ip: $?"
