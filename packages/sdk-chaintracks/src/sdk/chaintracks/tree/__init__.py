"""The live window: every branch near the tip, fork choice, reorganisations. Pure."""

from sdk.chaintracks.tree.node import Node
from sdk.chaintracks.tree.tree import HeaderTree, Rebased, TipChange

__all__ = ["HeaderTree", "Node", "Rebased", "TipChange"]
