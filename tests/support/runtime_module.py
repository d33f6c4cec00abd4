"""A small real module that answers its health URL, and misbehaves as it is told.

``python runtime_module.py PORT MODE [FILE]``
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503 if sys.argv[2] == "unwell" else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


if __name__ == "__main__":
    port, mode = int(sys.argv[1]), sys.argv[2]
    if mode == "crash":
        sys.exit(3)
    server = HTTPServer(("127.0.0.1", port), Handler)
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children = []
    if mode == "forking":
        children.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    if len(sys.argv) > 3:
        with open(sys.argv[3] + ".new", "w") as file:
            json.dump({"pid": os.getpid(), "children": children, "environ": dict(os.environ), "at": time.time()}, file)
        os.rename(sys.argv[3] + ".new", sys.argv[3])
    server.serve_forever()
