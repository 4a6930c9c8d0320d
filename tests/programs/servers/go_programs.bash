# Programs of Go's, whose runtime has threads, timers and preempting signals of its own.
gosu nobody id
gosu --version | grep -o 'linux/amd64; gc'
printf 'const f = (x: number): number => x ** 2; export { f }; console.log(f(4))\n' > a.ts
esbuild a.ts --target=es2015
for i in $(seq 30); do
    printf 'export const v%s: number = %s;\n' $i $i > m$i.ts
    echo "import { v$i } from './m$i'; console.log(v$i);"
done > main.ts
esbuild --bundle main.ts --minify --outfile=out.js --log-level=warning
md5sum < out.js
cat > Caddyfile <<'END'
{
	admin unix//tmp/admin.sock
	auto_https off
}
http://127.0.0.1:18081 {
	respond /hello "hello from caddy"
	reverse_proxy /back* 127.0.0.1:18082
	file_server {
		root /tmp
	}
	encode gzip
}
http://127.0.0.1:18082 {
	respond "behind {uri}"
}
END
HOME=/tmp caddy run > caddy.log 2>&1 &
caddy=$!
until curl -s http://127.0.0.1:18081/hello; do sleep 0.1; done; echo
curl -s http://127.0.0.1:18081/back/1; echo
curl -s --compressed http://127.0.0.1:18081/out.js | md5sum
clients=
for i in $(seq 20); do
    curl -s http://127.0.0.1:18081/back/$i > answer$i &
    clients="$clients $!"
done
wait $clients
cat answer? answer?? | md5sum
curl -s --unix-socket admin.sock http://x/config/
kill $caddy
wait $caddy; echo "caddy: $?"
