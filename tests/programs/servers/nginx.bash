mkdir -p /tmp/www/sub /var/lib/nginx /var/log/nginx
echo 'hello from nginx' > /tmp/www/index.html
seq 100000 > /tmp/www/numbers
cat > /tmp/nginx.conf << 'CONF'
worker_processes 2;
error_log /tmp/error.log info;
pid /tmp/nginx.pid;
events { worker_connections 100; }
http {
    access_log /tmp/access.log;
    server {
        listen 127.0.0.1:18080;
        listen [::1]:18080;
        root /tmp/www;
        location /proxy/ { proxy_pass http://unix:/tmp/back.sock:/; }
        location /limited { limit_rate 100k; alias /tmp/www/numbers; }
    }
    server {
        listen unix:/tmp/back.sock;
        location / { return 200 "from behind: $request_uri\n"; }
    }
}
CONF
nginx -t -c /tmp/nginx.conf 2>&1 | tail -n 1
nginx -c /tmp/nginx.conf
curl -s http://127.0.0.1:18080/
curl -s -g 'http://[::1]:18080/index.html'
curl -s http://localhost:18080/numbers | cksum
curl -s http://127.0.0.1:18080/proxy/some/where
curl -s -o /dev/null -w '%{http_code} %{size_download}\n' http://127.0.0.1:18080/nothing
curl -s -r 100-119 http://127.0.0.1:18080/numbers | cksum
curl -s --unix-socket /tmp/back.sock http://localhost/direct
curl -s http://127.0.0.1:18080/{index.html,numbers,index.html} | cksum
for number in 1 2 3 4 5 6 7 8; do curl -s http://127.0.0.1:18080/numbers | cksum & done | sort | uniq -c
wait
old=$(pgrep -P "$(cat /tmp/nginx.pid)" | sort | head -n 1)
kill -HUP "$(cat /tmp/nginx.pid)"
while kill -0 "$old" 2> /dev/null; do sleep 0.1; done
curl -s http://127.0.0.1:18080/
nginx -c /tmp/nginx.conf -s quit 2> /dev/null
while [ -e /tmp/nginx.pid ]; do sleep 0.1; done
curl -s http://127.0.0.1:18080/ || echo "curl: $?"
cut -d' ' -f1,6- /tmp/access.log | sort | uniq -c
grep -c 'exited with code 0' /tmp/error.log
