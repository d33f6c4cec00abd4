"""What carries messages between the orchestrator and one module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sdk.module_runtime.channels.intake import Intake
from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.orchestrator.conversation import cost_of
from sdk.module_runtime.orchestrator.logs import LONGEST_LINE
from sdk.module_runtime.protocol.lines import MAX_LINE, LineDecoder

if TYPE_CHECKING:
    from sdk.module_runtime.orchestrator.conversation import Conversation
    from sdk.module_runtime.orchestrator.process import Process
    from sdk.module_runtime.protocol.model import WireStruct


class Transport(Protocol):
    """``label`` is ``stdio``, ``unix``, ``tcp`` or ``tls``."""

    label: str

    def send(self, message: WireStruct) -> None:
        """Queue a message. ``LinkClosed`` if it cannot be sent, or if too much waits already."""
        ...

    def hold(self, held: bool) -> None:
        """Stop reading while too much of what was read is still to be done."""
        ...


class StdioTransport:
    """A module's standard input and output. It is the ``Sink`` of the process, which it gets once that is started."""

    label = "stdio"

    def __init__(self, conversation: Conversation) -> None:
        self._conversation, self._process = conversation, None
        self._lines = LineDecoder()
        self._intake: Intake[bytes] = Intake(self._line, self._reading, conversation.allowance, cost_of)
        self._too_long = 0

    _process: Process | None

    def attach(self, process: Process) -> None:
        self._process = process

    def send(self, message: WireStruct) -> None:
        if self._process is None or self._process.input is None:
            raise LinkClosed("the module has not been started")
        self._process.input.write(message.to_json() + b"\n")

    def hold(self, held: bool) -> None:
        self._intake.hold(held)

    def feed(self, data: bytes) -> None:
        self._intake.put(self._lines.feed(data))
        if self._lines.too_long > self._too_long:
            self._too_long = self._lines.too_long
            self._conversation.note("warning", f"a line of more than {MAX_LINE} bytes was skipped")

    def finish(self) -> None:
        """A line that the module did not end is no message."""
        self._intake.flush()
        rest = self._lines.finish()
        if rest:
            self._conversation.note("info", rest[:LONGEST_LINE].decode("utf-8", "backslashreplace"))

    def close(self) -> None:
        self._intake.close()

    def _line(self, line: bytes) -> None:
        self._conversation.line(line, self)

    def _reading(self, wanted: bool) -> None:
        if self._process is not None:
            (self._process.output.resume if wanted else self._process.output.pause)()
