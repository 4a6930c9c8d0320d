# Node.js: event loop, worker threads, children, sockets, a pool for slow calls, a just-in-time compiler.
cat > main.js <<'END'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const children = require('child_process'), crypto = require('crypto'), fs = require('fs');
const http = require('http'), net = require('net');
const promised = begin => new Promise(begin);

async function main() {
    const shared = new SharedArrayBuffer(4);
    await Promise.all([1, 2, 3].map(() => promised((resolve, reject) => {
        const worker = new Worker(__filename, { workerData: shared });
        worker.on('exit', resolve);
        worker.on('error', reject);
    })));
    console.log('workers', new Int32Array(shared)[0]);

    console.log(children.execSync('echo hello').toString().trim(), children.spawnSync('sh', ['-c', 'exit 7']).status);
    console.log('cat', await promised(resolve => {
        const child = children.spawn('cat');
        let length = 0;
        child.stdout.on('data', data => length += data.length);
        child.on('close', code => resolve([length, code]));
        child.stdin.end('x'.repeat(100000));
    }));
    const sleeper = children.spawn('sleep', ['100']);
    sleeper.kill('SIGTERM');
    console.log('killed by', await promised(resolve => sleeper.on('exit', (code, signal) => resolve(signal))));
    const other = children.fork('child.js');
    other.send({ number: 20 });
    console.log(await promised(resolve => other.on('message', resolve)));

    const web = http.createServer((request, answer) => answer.end('you asked ' + request.url));
    await promised(resolve => web.listen(18090, '127.0.0.1', resolve));
    const urls = [0, 1, 2, 3, 4].map(number => 'http://127.0.0.1:18090/' + number);
    console.log(await Promise.all(urls.map(async url => (await fetch(url)).text())));
    web.close();
    web.closeAllConnections();
    const echo = net.createServer(socket => socket.pipe(socket));
    await promised(resolve => echo.listen('/tmp/node.sock', resolve));
    console.log(await promised(resolve => {
        const client = net.connect('/tmp/node.sock', () => client.end('echo'));
        let text = '';
        client.on('data', data => text += data);
        client.on('end', () => resolve(text));
    }));
    echo.close();

    const keys = await Promise.all([1, 2, 3, 4].map(() => promised(resolve =>
        crypto.pbkdf2('password', 'salt', 1000, 8, 'sha256', (error, key) => resolve(key.toString('hex'))))));
    console.log(new Set(keys).size, keys[0]);
    fs.writeFileSync('watched', 'a');
    const watcher = fs.watch('watched');
    const event = promised(resolve => watcher.once('change', resolve));
    fs.appendFileSync('watched', 'b');
    console.log('watched', await event);
    watcher.close();
    process.once('SIGUSR2', () => console.log('signal'));
    process.kill(process.pid, 'SIGUSR2');
    await promised(resolve => setTimeout(resolve, 50));
    const fibonacci = number => number < 2 ? number : fibonacci(number - 1) + fibonacci(number - 2);
    console.log(fibonacci(22));
}

if (isMainThread) {
    main();
} else {
    const counter = new Int32Array(workerData);
    for (let count = 0; count < 1000; count++)
        Atomics.add(counter, 0, 1);
    parentPort.postMessage('done');
}
END
cat > child.js <<'END'
process.on('message', message => {
    process.send({ number: message.number + 1 });
    process.disconnect();
});
END
node main.js; echo "status $?"
node -e 'process.exitCode = 3; setInterval(() => {}, 10).unref()'; echo "status $?"
