"""Which channels a module opens, and which it would rather use (spec/module-runtime.md §1.12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sdk.module_runtime.channels.routing import Rule
    from sdk.module_runtime.protocol.init import InitBlob

ChannelKind = Literal["ipc", "tcp"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """An orchestrator that is reached over a unix socket is local; one reached over TCP may be anywhere."""

    use_tcp: bool = True
    use_ipc: bool = True
    prefer_ipc_for_local: bool = True
    prefer_tcp_for_remote: bool = True
    enable_fallback: bool = True

    TCP_ONLY: ClassVar[Preferences]
    IPC_ONLY: ClassVar[Preferences]
    PREFER_IPC: ClassVar[Preferences]
    PREFER_TCP: ClassVar[Preferences]

    def to_open(self, init: InitBlob) -> list[ChannelKind]:
        """Those the orchestrator offers and this module uses, the preferred one first."""
        offered: list[ChannelKind] = []
        if init.ipc_channel is not None and self.use_ipc:
            offered.append("ipc")
        if init.tcp_channel is not None and self.use_tcp:
            offered.append("tcp")
        return offered if self.prefer_ipc_for_local else offered[::-1]

    def order(self, rule: Rule, opened: Collection[ChannelKind]) -> list[ChannelKind]:
        """Those of ``opened`` as the rule wants them; a rule about places is turned where the preference is other."""
        order: tuple[ChannelKind, ...] = rule.order
        if rule.is_local is True and not self.prefer_ipc_for_local:
            order = ("tcp", "ipc")
        elif rule.is_local is False and not self.prefer_tcp_for_remote:
            order = ("ipc", "tcp")
        return [kind for kind in order if kind in opened]

    def to_try(self, order: Sequence[ChannelKind], connected: Collection[ChannelKind]) -> list[ChannelKind]:
        """The channels for one message, in turn. Without fallback that is the first of ``order``, or none."""
        if self.enable_fallback:
            return [kind for kind in order if kind in connected]
        return [kind for kind in order[:1] if kind in connected]


Preferences.TCP_ONLY = Preferences(use_ipc=False, prefer_ipc_for_local=False, enable_fallback=False)
Preferences.IPC_ONLY = Preferences(use_tcp=False, prefer_tcp_for_remote=False, enable_fallback=False)
Preferences.PREFER_IPC = Preferences(prefer_tcp_for_remote=False)
Preferences.PREFER_TCP = Preferences(prefer_ipc_for_local=False)
