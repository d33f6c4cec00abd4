"""How much a script may use (spec/consensus.md §4.1)."""

from __future__ import annotations

from dataclasses import dataclass

ELEMENT_OVERHEAD = 32
"""Bytes that each stack item costs beside its own."""

# For outputs of before Genesis, whatever else is configured.
OLD_SCRIPT_SIZE = 10_000
OLD_ELEMENT_SIZE = 520
OLD_STACK_ITEMS = 1_000
OLD_OPERATIONS = 500
OLD_MULTISIG_KEYS = 20
OLD_NUMBER_LENGTH = 4


@dataclass(frozen=True, slots=True)
class ScriptLimits:
    """For outputs of Genesis and later. Sizes in bytes.

    ``work`` bounds the time an input may take, in units of about one nanosecond on the machine it was measured on; the
    node has a clock instead, which no verdict should hang on. ``None`` is no bound.
    """

    script_size: int
    number_length: int
    chronicle_number_length: int
    stack_memory: int
    operations: int
    multisig_keys: int
    work: int | None


POLICY_LIMITS = ScriptLimits(
    script_size=500_000,
    number_length=10_000,
    chronicle_number_length=10_000,
    stack_memory=100_000_000,
    operations=2**32 - 1,
    multisig_keys=2**32 - 1,
    work=2_000_000_000,
)
"""What a node takes from its peers by default."""

CONSENSUS_LIMITS = ScriptLimits(
    script_size=2**32 - 1,
    number_length=750_000,
    chronicle_number_length=32_000_000,
    stack_memory=2**63 - 1,
    operations=2**32 - 1,
    multisig_keys=2**32 - 1,
    work=None,
)
"""What a block may hold; for mined history, never for input from strangers."""
