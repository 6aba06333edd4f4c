# python3: threads, subprocess, multiprocessing, mmap, asyncio, sockets.
# timeout: 120
/usr/bin/python3 - <<'END'
import asyncio, hashlib, json, mmap, os, queue, select, signal, socket, subprocess, sys, tempfile
import threading, time, multiprocessing, selectors, tempfile, ctypes, zlib, fcntl

total = 0
lock = threading.Lock()
def add():
    global total
    for _ in range(1000):
        with lock:
            total += 1
threads = [threading.Thread(target=add) for _ in range(20)]
[t.start() for t in threads]
[t.join() for t in threads]
print("threads", total)

q = queue.Queue()
threading.Thread(target=lambda: [q.put(i) for i in range(5)]).start()
print("queue", [q.get(timeout=5) for _ in range(5)])

print("subprocess", subprocess.run(["tr", "a-z", "A-Z"], input=b"through a pipe",
                                   capture_output=True).stdout)
print("status", subprocess.run(["sh", "-c", "exit 5"]).returncode,
      subprocess.run(["sh", "-c", "kill -TERM $$"]).returncode)
p = subprocess.Popen(["sleep", "50"]); p.terminate(); print("terminate", p.wait())
try:
    subprocess.run(["sleep", "50"], timeout=0.2)
except subprocess.TimeoutExpired:
    print("timeout")

with tempfile.TemporaryFile() as f:
    f.truncate(65536)
    with mmap.mmap(f.fileno(), 65536) as m:
        m[100:105] = b"hello"; m.flush()
        f.seek(100); print("mmap", f.read(5), m.find(b"lo"))

async def main():
    proc = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    out, _ = await proc.communicate(b"async pipe")
    print(out)
    path = tempfile.mktemp()
    async def serve(r, w):
        w.write((await r.readline()).upper()); await w.drain(); w.close()
    server = await asyncio.start_unix_server(serve, path)
    r, w = await asyncio.open_unix_connection(path)
    w.write(b"unix socket\n"); print(await r.read()); w.close(); server.close()
    print(await asyncio.gather(*(asyncio.sleep(0.01 * (5 - i), i) for i in range(5))))
asyncio.run(main())

a, b = socket.socketpair()
a.sendmsg([b"fd"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, os.open("/etc/hostname", 0).to_bytes(4, "little"))])
data, anc, flags, addr = b.recvmsg(10, 100)
print("scm", data, len(anc), os.path.exists(f"/proc/self/fd/{int.from_bytes(anc[0][2], 'little')}"))

signal.signal(signal.SIGALRM, lambda *_: print("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()
r, w = os.pipe(); print("poll", select.select([r], [], [], 0.01)[0]); os.write(w, b"x"); print(select.select([r], [], [], 1)[0] == [r])
sel = selectors.DefaultSelector(); sel.register(r, selectors.EVENT_READ); print("epoll", len(sel.select(1)))
pid = os.fork()
if not pid:
    os._exit(3)
print("fork", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
fd = os.memfd_create("m"); os.write(fd, b"abc"); print("memfd", os.pread(fd, 3, 0))
with open("/proc/self/status") as f: print(f.readline().strip())
print(os.uname().sysname, len(os.listdir("/proc/self/task")), time.monotonic() > 0, len(os.urandom(8)))
print(ctypes.CDLL(None).getpid() == os.getpid(), hashlib.sha256(b"x" * 100000).hexdigest()[:16], zlib.crc32(b"x"))
END
/usr/bin/python3 - <<'END'
import multiprocessing, os
def square(x):
    return x * x
if __name__ == "__main__":
    with multiprocessing.Pool(4) as pool:
        print("pool", sum(pool.map(square, range(200))))
    q = multiprocessing.Queue()
    p = multiprocessing.Process(target=q.put, args=("from child",)); p.start(); print(q.get(timeout=20)); p.join(); print(p.exitcode)
    v = multiprocessing.Value("i", 0)
    def add():
        for _ in range(100):
            with v.get_lock(): v.value += 1
    ps = [multiprocessing.Process(target=add) for _ in range(4)]
    [p.start() for p in ps]; [p.join() for p in ps]; print("value", v.value)
    s = multiprocessing.Semaphore(2); print(s.acquire(timeout=1), s.acquire(timeout=1), s.acquire(timeout=0.05))
END
