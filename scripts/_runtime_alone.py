"""In an environment with nothing but sdk-module-runtime: a module of its own runs under ``sdk runtime up``.

Run by _wheels_alone.py, in an empty folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

MODULE = """
import sys
from aiohttp import web
from sdk.module_runtime.module.program import module

@module()
async def hello(context):
    async def greet(request):
        return web.json_response({"hello": context.module_id})
    app = web.Application()
    app.router.add_get("/hello", greet)
    return app

if __name__ == "__main__":
    sys.exit(hello.run())
"""
STACK = f"""
[modules.hello]
kind = "module"
command = [{json.dumps(sys.executable)}, "hello.py"]
"""

sdk = os.path.join(os.path.dirname(sys.executable), "sdk")
Path("hello.py").write_text(MODULE)
Path("stack.toml").write_text(STACK)
with subprocess.Popen([sdk, "runtime", "up"], stderr=subprocess.PIPE, text=True) as process:
    assert process.stderr is not None
    log = []
    while '"ready"' not in "".join(log):
        log.append(process.stderr.readline())
        assert log[-1], f"it ended before its module was ready: {log}"
    listed = subprocess.run([sdk, "runtime", "ps", "--json"], check=True, capture_output=True, text=True).stdout
    (found,) = json.loads(listed)
    assert (found["name"], found["state"]) == ("hello", "ready"), found
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0, process.returncode
