"""What every driver here is: one JSON request a line, ``{"op", ...}``, answered with ``{"result"}`` or ``{"error"}``.

Run by the interpreter of the peers' environment.
"""

import json
import sys
import time


def answer(*functions):
    operations = {each.__name__: each for each in functions}
    output, sys.stdout = sys.stdout, sys.stderr  # a peer that prints must not write on the wire
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"result": operations[request.pop("op")](**request)}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            reply = {"error": f"{type(error).__name__}: {error}"}
        output.write(json.dumps(reply) + "\n")
        output.flush()


def rate_of(run, seconds, clock=time.process_time, most=None):
    """How often ``run`` is done in a second; ``most`` times if it can be done no more often."""
    count, start = 0, clock()
    while True:
        run()
        count += 1
        spent = clock() - start
        if spent >= seconds or count == most:
            return count / spent
