redis-server --port 18379 --unixsocket /tmp/redis.sock --daemonize no --save '' > /tmp/log 2>&1 &
server=$!
until redis-cli -p 18379 ping > /tmp/pong 2> /dev/null && grep -q PONG /tmp/pong; do sleep 0.1; done
redis-cli -p 18379 set greeting hello
redis-cli -s /tmp/redis.sock get greeting
redis-cli -h ::1 -p 18379 incrby counter 42
for value in one two three; do redis-cli -p 18379 rpush list $value; done
redis-cli -p 18379 lrange list 0 -1
redis-cli -p 18379 eval 'return redis.call("get", KEYS[1]) .. " from lua"' 1 greeting
printf 'set a 1\nget a\nincr a\ntype list\n' | redis-cli -p 18379
redis-cli -p 18379 subscribe news > /tmp/news &
subscriber=$!
until redis-cli -p 18379 publish news 'something new' | grep -q 1; do sleep 0.1; done
until grep -q 'something new' /tmp/news; do sleep 0.1; done
kill $subscriber
cat /tmp/news
seq -f 'set key:%g value' 500 | redis-cli -p 18379 --pipe | tail -n 1
redis-cli -p 18379 dbsize
redis-cli -p 18379 config get maxclients
redis-cli -p 18379 client list | grep -c 'cmd=client'
redis-cli -p 18379 shutdown nosave
wait $server
echo "redis-server: $?"
grep -c 'Ready to accept connections' /tmp/log
