"""Rules a chain of headers must follow. Pure: values in, values out; no clock, no I/O."""

from sdk.chaintracks.consensus.batch import Batch, Unchecked, check_batch
from sdk.chaintracks.consensus.header import Checked, check_header
from sdk.chaintracks.consensus.rules import Rules
from sdk.chaintracks.consensus.window import WINDOW, Window

__all__ = ["WINDOW", "Batch", "Checked", "Rules", "Unchecked", "Window", "check_batch", "check_header"]
