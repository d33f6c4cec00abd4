from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.chain import CHAINS, MAIN, MOCK, REGTEST, ChainParameters
from sdk.core.errors import ParseError
from sdk.core.header import BlockHeader, decode_compact, decode_target, encode_compact, work_of_bits
from support.codecs import assert_round_trip, assert_strict
from support.requirements import vectors
from support.strategies import headers

LIMIT = (1 << 256) - 1
MAIN_GENESIS = (
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f61"
    "7fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)
GENESIS_HASHES = {
    "main": "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    "test": "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
    "stn": "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
    "regtest": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
    "teratest": "000000000499eabba0a88f5b3747231c74b9191c1a4a04b2c2ea817976b7776d",
    "mock": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
}


@given(headers)
def test_headers_round_trip(header: BlockHeader) -> None:
    assert_round_trip(BlockHeader, header)
    assert_strict(BlockHeader.from_bytes, header.to_bytes())


def test_main_genesis() -> None:
    header = BlockHeader.from_hex(MAIN_GENESIS)
    assert header == MAIN.genesis
    assert (header.version, header.time, header.bits, header.nonce) == (1, 1231006505, 0x1D00FFFF, 2083236893)
    assert header.work() == 0x100010001
    assert header.meets_target(MAIN.pow_limit)


@pytest.mark.parametrize("name", CHAINS)
def test_genesis_blocks(name: str) -> None:
    chain = ChainParameters.named(name)
    assert chain.name == name
    assert chain.genesis.hash() == GENESIS_HASHES[name]
    assert chain.genesis.meets_target(chain.pow_limit)
    assert chain.checkpoints.get(0, chain.genesis.hash()) == chain.genesis.hash()
    assert encode_compact(chain.pow_limit) == chain.pow_limit_bits
    assert chain.retarget_interval == 2016


def test_devnet_has_todays_rules_from_the_first_block() -> None:
    assert MOCK.is_genesis_active(1)
    assert MOCK.is_chronicle_active(1)
    assert not REGTEST.is_genesis_active(9_999)
    assert (MOCK.wallet_network, MAIN.wallet_network) == ("testnet", "mainnet")


def test_unknown_networks_are_named() -> None:
    with pytest.raises(ValueError, match=r"no network is named 'live'.*main, test"):
        ChainParameters.named("live")


@pytest.mark.parametrize(
    ("height", "satoshis"),
    [(0, 5_000_000_000), (209_999, 5_000_000_000), (210_000, 2_500_000_000), (840_000, 312_500_000),
     (1_049_999, 312_500_000), (33 * 210_000, 0), (64 * 210_000, 0)],
)  # fmt: skip
def test_subsidy(height: int, satoshis: int) -> None:
    assert MAIN.subsidy(height) == satoshis


@pytest.mark.parametrize(
    ("bits", "value", "negative", "overflow", "again"),
    [
        (0x00000000, 0, False, False, 0),
        (0x00123456, 0, False, False, 0),
        (0x01003456, 0, False, False, 0),
        (0x01123456, 0x12, False, False, 0x01120000),
        (0x02123456, 0x1234, False, False, 0x02123400),
        (0x04123456, 0x12345600, False, False, 0x04123456),
        (0x04923456, 0x12345600, True, False, None),
        (0x01FEDCBA, 0x7E, True, False, None),
        (0x05009234, 0x92340000, False, False, 0x05009234),
        (0x04800000, 0, False, False, 0),
        (0x20123456, 0x123456 << 232, False, False, 0x20123456),
        (0x22000001, 1 << 248, False, False, 0x20010000),
        (0x23000001, None, False, True, None),
        (0x21010000, None, False, True, None),
        (0xFF123456, None, False, True, None),
        (0x1B0404CB, 0x404CB << 192, False, False, 0x1B0404CB),
    ],
)
def test_compact_numbers(bits: int, value: int | None, negative: bool, overflow: bool, again: int | None) -> None:
    decoded, is_negative, is_overflow = decode_compact(bits)
    assert (is_negative, is_overflow) == (negative, overflow)
    if value is not None:
        assert decoded == value
    assert decode_target(bits) == (None if negative or overflow or not value else value)
    if again is not None:
        assert encode_compact(decoded) == again


@given(st.integers(1, LIMIT))
def test_compact_form_cuts_low_bytes_only(target: int) -> None:
    decoded = decode_target(encode_compact(target))
    assert decoded is not None
    assert decoded <= target
    assert target - decoded < max(1, target >> 15)
    assert encode_compact(decoded) == encode_compact(target)


@pytest.mark.parametrize("target", [-1, LIMIT + 1])
def test_targets_have_256_bits(target: int) -> None:
    with pytest.raises(ValueError, match="256 bits"):
        encode_compact(target)


@pytest.mark.parametrize(
    ("bits", "work"),
    [
        (0x1D00FFFF, 0x100010001),
        (0x207FFFFF, 2),
        (0x1B0404CB, 0x3FB3AB764C00),
        (0x18057E0C, 0x2E9C30311D13C7C063),
        (0, 0),
        (0x04923456, 0),
    ],
)
def test_work(bits: int, work: int) -> None:
    assert work_of_bits(bits) == work


def test_a_flipped_bit_breaks_the_proof_of_work() -> None:
    data = bytearray(bytes.fromhex(MAIN_GENESIS))
    data[10] ^= 1
    assert not BlockHeader.from_bytes(data).meets_target()


def test_a_target_above_the_limit_proves_nothing() -> None:
    assert REGTEST.genesis.meets_target(REGTEST.pow_limit)
    assert not REGTEST.genesis.meets_target(MAIN.pow_limit)


@pytest.mark.parametrize("change", [{"version": 1 << 31}, {"time": -1}, {"bits": 1 << 32}, {"nonce": 1 << 32}])
def test_numbers_too_wide_are_refused(change: dict[str, int]) -> None:
    fields = {"version": 1, "previous_hash": "0" * 64, "merkle_root": "0" * 64, "time": 0, "bits": 0, "nonce": 0}
    with pytest.raises(ValueError, match=next(iter(change))):
        BlockHeader(**{**fields, **change})  # type: ignore[arg-type]


def test_hashes_must_be_hashes() -> None:
    with pytest.raises(ParseError):
        BlockHeader(1, "00", "0" * 64, 0, 0, 0)


def test_real_main_headers_link_and_prove_their_work() -> None:
    data = vectors("headers", "main_900000_907999.headers").read_bytes()
    previous = None
    for offset in range(0, len(data), 80):
        header = BlockHeader.from_bytes(data[offset : offset + 80])
        assert previous is None or header.previous_hash == previous
        assert header.meets_target(MAIN.pow_limit)
        assert header.to_bytes() == data[offset : offset + 80]
        previous = header.hash()
    assert len(data) == 8000 * 80
