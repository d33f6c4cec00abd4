"""What header validation needs to know of a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdk.chaintracks.consensus.fields import internal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.chain import ChainParameters

NEVER = 100_000_000


@dataclass(frozen=True, slots=True)
class Rules:
    """Header rules of one network. Hashes are 32 bytes in internal (wire) order."""

    chain: str
    genesis: bytes
    pow_limit: int
    pow_limit_bits: int
    target_spacing: int = 600
    target_timespan: int = 1_209_600
    allow_min_difficulty: bool = False
    no_retargeting: bool = False
    check_bits: bool = True
    bip34_height: int = NEVER
    bip65_height: int = NEVER
    bip66_height: int = NEVER
    daa_height: int = NEVER
    checkpoints: Mapping[int, bytes] = field(default_factory=dict)
    forbidden: frozenset[bytes] = frozenset()
    minimum_work: int = 0

    @classmethod
    def of(cls, parameters: ChainParameters) -> Rules:
        checkpoints = {height: internal(block_hash) for height, block_hash in parameters.checkpoints.items()}
        if parameters.bip34_height is not None and parameters.bip34_hash is not None:
            checkpoints[parameters.bip34_height] = internal(parameters.bip34_hash)
        return cls(
            chain=parameters.name,
            genesis=parameters.genesis.to_bytes(),
            pow_limit=parameters.pow_limit,
            pow_limit_bits=parameters.pow_limit_bits,
            target_spacing=parameters.target_spacing,
            target_timespan=parameters.target_timespan,
            allow_min_difficulty=parameters.allow_min_difficulty,
            no_retargeting=parameters.no_retargeting,
            check_bits=parameters.strict_difficulty,
            bip34_height=NEVER if parameters.bip34_height is None else parameters.bip34_height,
            bip65_height=parameters.bip65_height,
            bip66_height=parameters.bip66_height,
            daa_height=parameters.daa_height,
            checkpoints=checkpoints,
            forbidden=frozenset(map(internal, parameters.foreign_blocks)),
            minimum_work=parameters.minimum_chain_work,
        )

    def minimum_version(self, height: int) -> int:
        """The least (signed) version of a header at ``height``."""
        if height >= self.bip65_height:
            return 4
        if height >= self.bip66_height:
            return 3
        return 2 if height >= self.bip34_height else -(1 << 31)
