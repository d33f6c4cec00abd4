"""Where headers come from. A source is believed in nothing but the bytes it sends."""

from sdk.chaintracks.sources.ports import Announcing, HeaderSource, RunSource, SourceTip

__all__ = ["Announcing", "HeaderSource", "RunSource", "SourceTip"]
