seq 20000 > numbers; shuf --random-source=<(yes) numbers > mixed
sort -n --parallel=2 -S 100K mixed | cmp - numbers && echo sorted
sort -n --parallel=4 mixed | sha256sum; sort -rn --parallel=3 -S 50K mixed | head -n 3
python3 - <<'END'
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from subprocess import run

with ThreadPoolExecutor(3) as pool:
    print([done.returncode for done in pool.map(lambda code: run(["sh", "-c", f"exit {code}"]), range(6))])
barrier, seen = threading.Barrier(4), []
threads = [threading.Thread(target=lambda: seen.append(barrier.wait())) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(seen))
ready = threading.Condition()
with ready:
    print(ready.wait(0.01))
gone = []
signal.signal(signal.SIGUSR1, lambda *_: gone.append(threading.current_thread() is threading.main_thread()))
killer = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
killer.start()
while not gone:
    pass
killer.join()
print(gone, threading.active_count())
sys.stdout.flush()
threading.Thread(target=os.execv, args=("/bin/sh", ["sh", "-c", f"test $$ = {os.getpid()} && echo same process"])).start()
threading.Event().wait()
END
echo $?
