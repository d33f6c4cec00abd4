"""Where headers come from. A source is believed in nothing but the bytes it sends."""

from sdk.chaintracks.sources.ports import HeaderSource, RunSource, SourceTip

__all__ = ["HeaderSource", "RunSource", "SourceTip"]
