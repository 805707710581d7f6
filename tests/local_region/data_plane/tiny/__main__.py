"""A service of a few lines, for tests: the smallest thing that can be healthy, slow or broken.

GET /health            HEALTH_STATUS (default 200)
GET /slow/<ms>         200 after that many milliseconds
GET /burn/<ms>         200 after that many milliseconds of CPU
GET /status/<code>     that code
GET /work              200, or 500 when ERRORS is set
GET /about             what this process sees of its task, as JSON
"""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        _, kind, *rest = self.path.split("/")
        status = 200
        if kind == "health":
            status = int(os.environ.get("HEALTH_STATUS", "200"))
        elif kind == "slow":
            time.sleep(int(rest[0]) / 1000)
        elif kind == "burn":
            until = time.thread_time() + int(rest[0]) / 1000
            while time.thread_time() < until:
                pass
        elif kind == "work":
            status = 500 if "ERRORS" in os.environ else 200
        elif kind == "status":
            status = int(rest[0])
        body = json.dumps(about()).encode() if kind == "about" else b"ok\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def about():
    return {
        "pid": os.getpid(),
        "port": int(os.environ["PORT"]),
        "cwd": os.getcwd(),
        "environment": dict(os.environ),
        "data": sorted(os.listdir("data")) if os.path.isdir("data") else None,
    }


def main():
    server = ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler)
    server.daemon_threads = False
    server.block_on_close = False
    if os.path.isdir("data"):
        with open(f"data/{os.environ['PORT']}", "w") as file:
            file.write("here")

    def stop(number, frame):
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    print("tiny service listens on", os.environ["PORT"], flush=True)
    server.serve_forever(poll_interval=0.02)
    # Requests in flight are answered; connections that idle are dropped.
    time.sleep(0.05)
    os._exit(0)


main()
