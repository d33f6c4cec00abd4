"""Parameters of each network (spec/consensus.md §1). Heights are compared as its §1.2 says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sdk.core.header import BlockHeader, decode_target

if TYPE_CHECKING:
    from collections.abc import Mapping

_GENESIS_MERKLE_ROOT = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"


def _genesis(time: int, bits: int, nonce: int) -> BlockHeader:
    return BlockHeader(1, "0" * 64, _GENESIS_MERKLE_ROOT, time, bits, nonce)


def _table(rows: str) -> Mapping[int, str]:
    words = rows.split()
    return MappingProxyType(
        {int(height): block_hash for height, block_hash in zip(words[::2], words[1::2], strict=True)}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainParameters:
    """One network. Times in seconds, hashes in display hex, heights of activation as in the node.

    ``height`` fields of rules that never apply are ``None``. ``strict_difficulty`` is false where the network's early
    blocks follow rules of their own, so that only proof of work and linkage can be checked.
    """

    name: str
    magic: bytes
    p2p_port: int
    genesis: BlockHeader
    pow_limit_bits: int
    allow_min_difficulty: bool
    no_retargeting: bool
    strict_difficulty: bool = True
    bip34_height: int | None
    bip34_hash: str | None = None
    bip65_height: int
    bip66_height: int
    csv_height: int
    p2sh_height: int
    uahf_height: int
    daa_height: int
    genesis_height: int
    chronicle_height: int
    halving_interval: int = 210_000
    coinbase_maturity: int = 100
    target_spacing: int = 600
    target_timespan: int = 1_209_600
    minimum_chain_work: int = 0
    assume_valid: str | None = None
    p2pkh_prefix: int
    p2sh_prefix: int
    wif_prefix: int
    extended_public_prefix: bytes
    extended_private_prefix: bytes
    dns_seeds: tuple[str, ...] = ()
    checkpoints: Mapping[int, str] = field(default_factory=dict)
    foreign_blocks: frozenset[str] = frozenset()
    """Blocks of other chains that share this one's genesis; they and their descendants are refused (§1.7)."""
    requires_standard: bool = False

    @property
    def pow_limit(self) -> int:
        """The easiest target: the node's limit has all ones below the digits that ``pow_limit_bits`` keeps."""
        target = decode_target(self.pow_limit_bits)
        if target is None:
            raise ValueError(f"{self.name}: bits {self.pow_limit_bits:08x} name no target")
        return (1 << target.bit_length()) - 1

    @property
    def retarget_interval(self) -> int:
        """Blocks between two adjustments before the DAA."""
        return self.target_timespan // self.target_spacing

    @property
    def wallet_network(self) -> str:
        """What BRC-100 ``getNetwork`` answers: ``mainnet`` or ``testnet``."""
        return "mainnet" if self.name == "main" else "testnet"

    def subsidy(self, height: int) -> int:
        """New satoshis in the block at ``height``."""
        halvings = height // self.halving_interval
        return 0 if halvings >= 64 else 5_000_000_000 >> halvings

    def is_genesis_active(self, height: int) -> bool:
        """Whether the Genesis rules hold in a block at ``height`` (for an output: the block that contains it)."""
        return height >= self.genesis_height

    def is_chronicle_active(self, height: int) -> bool:
        return height >= self.chronicle_height

    @classmethod
    def named(cls, name: str) -> ChainParameters:
        """Raises ``ValueError`` that lists the known networks."""
        try:
            return CHAINS[name]
        except KeyError:
            raise ValueError(f"no network is named {name!r} (known: {', '.join(CHAINS)})") from None


MAIN: Final = ChainParameters(
    name="main",
    magic=bytes.fromhex("e3e1f3e8"),
    p2p_port=8333,
    genesis=_genesis(1231006505, 0x1D00FFFF, 2083236893),
    pow_limit_bits=0x1D00FFFF,
    allow_min_difficulty=False,
    no_retargeting=False,
    bip34_height=227_931,
    bip34_hash="000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8",
    bip65_height=388_381,
    bip66_height=363_725,
    csv_height=419_328,
    p2sh_height=173_805,
    uahf_height=478_558,
    daa_height=504_031,
    genesis_height=620_538,
    chronicle_height=943_816,
    minimum_chain_work=0xA0F3064330647E2F6C4828,
    assume_valid="000000000000000000e45ad2fbcc5ff3e85f0868dd8f00ad4e92dffabe28f8d2",
    p2pkh_prefix=0x00,
    p2sh_prefix=0x05,
    wif_prefix=0x80,
    extended_public_prefix=bytes.fromhex("0488b21e"),
    extended_private_prefix=bytes.fromhex("0488ade4"),
    dns_seeds=("seed.bitcoinsv.io", "seed.satoshisvision.network", "seed.bitcoinseed.directory"),
    checkpoints=_table("""
        11111 0000000069e244f73d78e8fd29ba2fd2ed618bd6fa2ee92559f542fdb26e7c1d
        33333 000000002dd5588a74784eaa7ab0507a18ad16a236e7b1ce69f00d7ddfb5d0a6
        74000 0000000000573993a3c9e41ce34471c079dcf5f52a0e824a81e7f953b8661a20
        105000 00000000000291ce28027faea320c8d2b054b2e0fe44a773f3eefb151d6bdc97
        134444 00000000000005b12ffd4cd315cd34ffd4a594f430ac814c91184a0d42d2b0fe
        168000 000000000000099e61ea72015e79632f216fe6cb33d7899acb35b75c8303b763
        193000 000000000000059f452a5f7340de6682a977387c17010ff6e6c3bd83ca8b1317
        210000 000000000000048b95347e83192f69cf0366076336c639f9b7228e9ba171342e
        216116 00000000000001b4f4b433e81ee46494af945cf96014816a4e2370f11b23df4e
        225430 00000000000001c108384350f74090433e7fcf79a606b8e797f065b130575932
        250000 000000000000003887df1f29024b06fc2200b55f8af8f35453d7be294df2d214
        279000 0000000000000001ae8c72a0b0c301f67e3afca10e819efa9041e458e9bd7e40
        295000 00000000000000004d9b4ef50f0f9d686fd69db2e03af35a100370c64632a983
        478558 0000000000000000011865af4122fe3b144e2cbeea86142e8ff2fb4107352d43
        504031 0000000000000000011ebf65b60d0a3de80b8175be709d653b4c1a1beeb6ab9c
        530359 0000000000000000011ada8bd08f46074f44a8f155396f43e38acf9501c49103
        552979 0000000000000000015648768ac1b788a83187d706f858919fcc5c096b76fbf2
        556767 000000000000000001d956714215d96ffc00e0afda4cd0a96c96f8d802b1662b
        600000 00000000000000000866448ef293f900812d4af8e08cbe7ef62888eee9d29c4c
        650000 00000000000000000310c17bbb4f3f8e5371a41ec2cee36a39876042019b725b
        700000 00000000000000000e155235fd83a8757c44c6299e63104fb12632368f3f0cc9
        750000 000000000000000006296f1e5437dd6c01b9b5471691a89a9c7d8e9f06920da5
        800000 000000000000000000ad9056924410005d91b57f100bce345944e5caf56e8565
        850000 0000000000000000039302a65227ab75fd93904ebe2e62421d1c66b15808b23b
        868500 00000000000000000a4c8747ee369c2f4645cf7b55db534851fdc1a040f74de4
    """),
    foreign_blocks=frozenset(
        {
            "00000000000000000019f112ec0a9982926f1258cdcc558dd7c3b7e5dc7fa148",
            "0000000000000000004626ff6e3b936941d341c5932ece4357eeccac44e6d56c",
        }
    ),
    requires_standard=True,
)

TEST: Final = ChainParameters(
    name="test",
    magic=bytes.fromhex("f4e5f3f4"),
    p2p_port=18333,
    genesis=_genesis(1296688602, 0x1D00FFFF, 414098458),
    pow_limit_bits=0x1D00FFFF,
    allow_min_difficulty=True,
    no_retargeting=False,
    bip34_height=21_111,
    bip34_hash="0000000023b3a96d3484e5abb3755c413e7d41500f8e2a5c3f0dd01299cd8ef8",
    bip65_height=581_885,
    bip66_height=330_776,
    csv_height=770_112,
    p2sh_height=519,
    uahf_height=1_155_875,
    daa_height=1_188_697,
    genesis_height=1_344_302,
    chronicle_height=1_713_168,
    minimum_chain_work=0x2A650F6FF7649485DA,
    assume_valid="0000000000327972b8470c11755adf8f4319796bafae01f5a6650490b98a17db",
    p2pkh_prefix=0x6F,
    p2sh_prefix=0xC4,
    wif_prefix=0xEF,
    extended_public_prefix=bytes.fromhex("043587cf"),
    extended_private_prefix=bytes.fromhex("04358394"),
    dns_seeds=("testnet-seed.bitcoinsv.io", "testnet-seed.bitcoincloud.net", "testnet-seed.bitcoinseed.directory"),
    checkpoints=_table("""
        546 000000002a936ca763904c3c35fce2f3556c559c0214345d31b1bcebf76acb70
        1155875 00000000f17c850672894b9a75b63a1e72830bbd5f4c8889b5c1a80e7faef138
        1188697 0000000000170ed0918077bde7b4d36cc4c91be69fa09211f748240dabe047fb
        1200000 00000000d91bdbb5394bcf457c0f0b7a7e43eb978e2d881b6c2a4c2756abc558
        1300000 00000000000000f7569d4d0af19d8d0b59bb0b1a989caf0f552afb5c00d38fbf
        1400000 000000000000008f84faa5afa3e30bce81599108f932eabdf9ee3d39bb225e5b
        1500000 00000000000005a00d805e3555e53f18c6276cb5ddc90a3ceeaeaf03bb2fdbea
        1600000 000000000000133137efc60aab38163c0d032d651826ccbda90b169f3bcec6dd
    """),
)

STN: Final = replace(
    TEST,
    name="stn",
    magic=bytes.fromhex("fbcec4f9"),
    p2p_port=9333,
    allow_min_difficulty=False,
    bip34_height=None,
    bip34_hash=None,
    bip65_height=0,  # the node leaves these three unset
    bip66_height=0,
    csv_height=0,
    p2sh_height=1,
    uahf_height=15,
    daa_height=2200,
    genesis_height=100,
    chronicle_height=250,
    minimum_chain_work=0,
    assume_valid=None,
    dns_seeds=("stn-seed.bitcoinsv.io", "stn-seed.bitcoinseed.directory"),
    checkpoints=_table("""
        0 000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943
        1 00000000e23f9436cc8a6d6aaaa515a7b84e7a1720fc9f92805c0007c77420c4
        2 0000000040f8f40b5111d037b8b7ff69130de676327bcbd76ca0e0498a06c44a
        11 00000000e1ad0ed45011a4c7fe5afde3211b4bdcf60370234355338afbf70e2d
    """),
)

REGTEST: Final = replace(
    TEST,
    name="regtest",
    magic=bytes.fromhex("dab5bffa"),
    p2p_port=18444,
    genesis=_genesis(1296688602, 0x207FFFFF, 2),
    pow_limit_bits=0x207FFFFF,
    no_retargeting=True,
    bip34_height=None,
    bip34_hash=None,
    bip65_height=1351,
    bip66_height=1251,
    csv_height=576,
    p2sh_height=1,
    uahf_height=0,
    daa_height=0,
    genesis_height=10_000,
    chronicle_height=15_000,
    halving_interval=150,
    minimum_chain_work=0,
    assume_valid=None,
    dns_seeds=(),
    checkpoints=_table("0 0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"),
)

TERATEST: Final = replace(
    TEST,
    name="teratest",
    magic=b"",  # not known (§1.4): it cannot be reached over P2P
    genesis=_genesis(1755606836, 0x1D00FFFF, 1092578460),
    strict_difficulty=False,
    bip34_height=None,
    bip34_hash=None,
    bip65_height=1351,
    bip66_height=1251,
    csv_height=0,
    p2sh_height=0,
    uahf_height=0,
    daa_height=0,
    genesis_height=1,
    chronicle_height=2,
    minimum_chain_work=0,
    assume_valid=None,
    dns_seeds=(),
    checkpoints=_table("0 000000000499eabba0a88f5b3747231c74b9191c1a4a04b2c2ea817976b7776d"),
)

MOCK: Final = replace(REGTEST, name="mock", genesis_height=1, chronicle_height=1)
"""The devnet: regtest on which today's rules hold from the first block (§5.4)."""

CHAINS: Final[Mapping[str, ChainParameters]] = MappingProxyType(
    {each.name: each for each in (MAIN, TEST, STN, REGTEST, TERATEST, MOCK)}
)
