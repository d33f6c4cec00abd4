"""The tables of spec/consensus.md §2, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sdk.chaintracks.consensus import Rules, Window, check_batch, check_header
from sdk.chaintracks.consensus.compact import target_of, work_of
from sdk.chaintracks.consensus.difficulty import required_bits, suitable
from sdk.chaintracks.consensus.fields import header_hash, header_json, internal
from sdk.chaintracks.consensus.window import MissingHistory
from sdk.chaintracks.errors import InvalidHeader
from sdk.core.chain import CHAINS, MAIN, MOCK, REGTEST, STN, TEST
from sdk.core.header import BlockHeader, decode_compact, encode_compact
from support.header_rig import GENESIS, grown, mined, raw

RULES = {name: Rules.of(parameters) for name, parameters in CHAINS.items()}
LIMIT = 0x1D00FFFF


# §2.1


@pytest.mark.parametrize(
    ("bits", "value", "again"),
    [
        (0x00000000, 0, 0), (0x00123456, 0, 0), (0x01003456, 0, 0), (0x01123456, 0x12, 0x01120000),
        (0x02123456, 0x1234, 0x02123400), (0x04123456, 0x12345600, 0x04123456), (0x05009234, 0x92340000, 0x05009234),
        (0x04800000, 0, 0), (0x20123456, 0x123456 << 232, 0x20123456), (0x22000001, 1 << 248, 0x20010000),
        (0x1B0404CB, 0x404CB << 192, 0x1B0404CB),
    ],
)  # fmt: skip
def test_compact_bits_decode_and_encode(bits: int, value: int, again: int) -> None:
    assert decode_compact(bits) == (value, False, False)
    assert encode_compact(value) == again


@pytest.mark.parametrize("bits", [0x04923456, 0x01FEDCBA, 0x23000001, 0x21010000, 0xFF123456, 0, 0x04800000])
def test_bits_that_are_negative_overflow_or_zero_are_no_target(bits: int) -> None:
    assert target_of(bits) == 0
    assert work_of(bits) == 0


# §2.2


@pytest.mark.parametrize(
    ("bits", "work"),
    [(0x1D00FFFF, 0x100010001), (0x207FFFFF, 2), (0x1B0404CB, 0x3FB3AB764C00), (0x18057E0C, 0x2E9C30311D13C7C063)],
)
def test_work_of_bits(bits: int, work: int) -> None:
    assert work_of(bits) == work


# §2.4


@pytest.mark.parametrize(
    ("bits", "height", "first", "last", "expected"),
    [
        (0x1D00FFFF, 32256, 1261130161, 1262152739, 0x1D00D86A),
        (0x1D00FFFF, 2016, 1231006505, 1233061996, 0x1D00FFFF),
        (0x1C05A3F4, 68544, 1279008237, 1279297671, 0x1C0168FD),
        (0x1C387F6F, 46368, 1263163443, 1269211443, 0x1D00E1FD),
    ],
)
def test_the_2016_retarget(bits: int, height: int, first: int, last: int, expected: int) -> None:
    window = Window(height - 2016, [first, *[first] * 2014, last], [bits] * 2016)
    assert required_bits(RULES["main"], height, last + 600, window) == expected
    short = Window(height - 2015, window.times[1:], window.bits[1:])
    with pytest.raises(MissingHistory):
        required_bits(RULES["main"], height, last + 600, short)


# §2.5


def test_the_emergency_adjustment() -> None:
    times = [1269211443 + 600 * each for each in range(100)]
    bits = [0x1C7FFFFF] * 100
    found = []
    for _ in range(15):
        times.append(times[-1] + 7200)
        bits.append(required_bits(RULES["main"], len(bits), times[-1], Window(0, times[:-1], bits)))
        found.append(required_bits(RULES["main"], len(bits), times[-1] + 7200, Window(0, times, bits)))
    assert found == [0x1C7FFFFF] * 10 + [0x1D009FFF, 0x1D00C7FE, 0x1D00F9FD, LIMIT, LIMIT]


def test_minimum_difficulty_on_the_test_network() -> None:
    rules = RULES["test"]
    times, bits = [1_300_000_000 + 600 * each for each in range(5)], [LIMIT, 0x1C0FFFFF, LIMIT, LIMIT, LIMIT]
    window = Window(0, times, bits)
    assert required_bits(rules, 5, times[-1] + 1201, window) == LIMIT
    assert required_bits(rules, 5, times[-1] + 1200, window) == 0x1C0FFFFF  # walks back over the exceptions
    assert required_bits(rules, 2019, 1 + 600, Window(2016, [0, 0, 1], [LIMIT] * 3)) == LIMIT  # stops at the interval
    assert required_bits(RULES["main"], 5, times[-1] + 1201, window) == LIMIT  # limit bits stay, §2.5


def test_networks_without_retargeting_keep_their_bits() -> None:
    for name in ("regtest", "mock"):
        assert required_bits(RULES[name], 2016, 9, Window(2015, [0], [0x207FFFFF])) == 0x207FFFFF


# §2.6


@pytest.mark.parametrize(
    ("times", "index"),
    [
        ((1, 2, 3), 1), ((3, 2, 1), 1), ((2, 1, 3), 0), ((1, 3, 2), 2), ((2, 3, 1), 0), ((3, 1, 2), 2),
        ((1, 1, 1), 1), ((2, 1, 1), 1), ((1, 1, 2), 1), ((1, 2, 1), 2), ((2, 2, 1), 1), ((2, 1, 2), 0),
    ],
)  # fmt: skip
def test_the_suitable_block_with_the_nodes_ties(times: tuple[int, int, int], index: int) -> None:
    rows = [(each, at) for at, each in enumerate(times)]
    for left, right in ((0, 2), (0, 1), (1, 2)):
        if rows[left][0] > rows[right][0]:
            rows[left], rows[right] = rows[right], rows[left]
    assert suitable(times, 2) == rows[1][1] == index


def test_the_144_block_adjustment() -> None:
    rules = replace(RULES["main"], daa_height=0)
    times, bits = [1269211443], [0x1C0FFFFF]

    def add(count: int, seconds: int, fixed: int | None = None) -> int:
        for _ in range(count):
            bits.append(fixed or following())
            times.append(times[-1] + seconds)
        return following()

    def following() -> int:
        return required_bits(rules, len(bits), times[-1] + 600, Window(0, times, bits))

    add(2049, 600, 0x1C0FFFFF)
    for _ in range(10):
        assert add(1, 600) == 0x1C0FFFFF
    assert add(1, 6000) == 0x1C0FFFFF
    assert add(1, 2 * 600 - 6000) == 0x1C0FFFFF
    for _ in range(20):
        assert add(1, 600) == 0x1C0FFFFF
    assert add(1, 550) == 0x1C0FFFFF
    assert add(10, 550) == 0x1C0FE7B1
    assert add(20, 10) == 0x1C0DB19F
    assert add(1, 6000) == 0x1C0D9222
    assert add(93, 6000) == 0x1C2F13B9
    assert add(1, 6000) == 0x1C2EE9BF
    assert add(192, 6000) == LIMIT
    assert add(5, 6000) == LIMIT


def test_the_first_block_of_the_daa_is_the_one_after_its_height() -> None:
    """§1.2: 504031 is the last before it, and carries the bits of its parent."""
    times, bits = [1_510_000_000 + 300 * each for each in range(200)], [0x18021FDB] * 200
    assert required_bits(RULES["main"], 504_031, times[-1] + 300, Window(504_031 - 200, times, bits)) == 0x18021FDB
    assert required_bits(RULES["main"], 504_032, times[-1] + 300, Window(504_032 - 200, times, bits)) != 0x18021FDB


# §2.7


def test_time_is_after_the_median_of_eleven_and_at_most_two_hours_ahead() -> None:
    chain = grown([GENESIS], 20)
    times = [each.time for each in chain]
    window = Window(0, times, [each.bits for each in chain])
    assert window.median_time(20) == sorted(times[10:21])[5]
    assert window.median_time(1) == times[1]
    assert window.median_time(3) == times[2]
    for time, now, rule in (
        (window.median_time(20), None, "time-too-old"),
        (window.median_time(20) + 1, None, None),
        (5_000, None, "time-too-old"),
        (times[-1], times[-1] - 7200, None),
        (times[-1] + 1, times[-1] - 7200, "time-too-new"),
    ):
        header = mined(chain[-1], time=time).to_bytes()
        assert _rule(header, 21, internal(chain[-1].hash()), window, now) == rule


@pytest.mark.parametrize(
    ("name", "height", "least"),
    [
        ("main", 227_930, None), ("main", 227_931, 2), ("main", 363_724, 2), ("main", 363_725, 3),
        ("main", 388_380, 3), ("main", 388_381, 4), ("test", 21_110, None), ("test", 21_111, 2),
        ("test", 330_776, 3), ("test", 581_885, 4), ("regtest", 1250, None), ("regtest", 1251, 3), ("regtest", 1351, 4),
    ],
)  # fmt: skip
def test_versions_by_height(name: str, height: int, least: int | None) -> None:
    rules = RULES[name]
    assert rules.minimum_version(height) == (least if least is not None else -(1 << 31))


def test_versions_are_signed_and_checked() -> None:
    chain = grown([GENESIS], 15)
    window, parent = Window(1340, [each.time for each in chain], [each.bits for each in chain]), chain[-1]
    height = window.last + 1
    for version, rule in ((-1, "bad-version"), (3, "bad-version"), (4, None), (0x20000000, None)):
        header = mined(parent, version=version).to_bytes()
        assert _rule(header, height, internal(parent.hash()), window, None) == rule


# §2.8, §1.3, §1.6, §1.7


@pytest.mark.parametrize("name", sorted(CHAINS))
def test_every_network_starts_with_its_genesis_and_no_other(name: str) -> None:
    rules = RULES[name]
    assert check_header(rules, rules.genesis, 0, None, Window(0), 0).work == work_of(rules.pow_limit_bits)
    assert check_batch(rules, rules.genesis, 0, None, Window(0), 0).hashes == [header_hash(rules.genesis)]
    other = mined(GENESIS).to_bytes()
    with pytest.raises(InvalidHeader, match="bad-genesis" if rules.no_retargeting else "high-hash"):
        check_header(rules, other, 0, None, Window(0), None)


@pytest.mark.parametrize("parameters", [MAIN, TEST, STN, REGTEST])
def test_checkpoints_are_held(parameters: object) -> None:
    rules = Rules.of(parameters)  # type: ignore[arg-type]
    assert rules.checkpoints
    chain = grown([GENESIS], 12)
    fixed = replace(RULES["mock"], checkpoints={0: internal(GENESIS.hash()), 7: internal(chain[7].hash())})
    check_batch(fixed, raw(chain), 0, None, Window(0), None)
    other = grown(chain[:5], 8, salt="x")
    with pytest.raises(InvalidHeader, match="checkpoint mismatch") as caught:
        check_batch(fixed, raw(other), 0, None, Window(0), None)
    assert caught.value.height == 7


def test_checkpoints_of_the_spec() -> None:
    main = RULES["main"].checkpoints
    assert main[478558] == internal("0000000000000000011865af4122fe3b144e2cbeea86142e8ff2fb4107352d43")
    assert main[227931] == internal("000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8")
    assert RULES["test"].checkpoints[546].hex().endswith("00" * 4)


def test_blocks_of_foreign_chains_are_refused() -> None:
    assert len(RULES["main"].forbidden) == 2
    chain = grown([GENESIS], 6)
    rules = replace(RULES["mock"], forbidden=frozenset({internal(chain[4].hash())}))
    with pytest.raises(InvalidHeader, match="foreign-fork") as caught:
        check_batch(rules, raw(chain), 0, None, Window(0), None)
    assert caught.value.height == 4


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"bits": 0x1D00FFFF, "nonce": 0}, "high-hash"),
        ({"bits": 0x217FFFFF}, "high-hash"),
        ({"bits": 0x04923456}, "high-hash"),
        ({"bits": 0}, "high-hash"),
        ({"previous_hash": "12" * 32}, "prev-blk-not-found"),
        ({"bits": 0x207FFFFE}, "bad-diffbits"),
    ],
)
def test_headers_that_break_a_rule(change: dict[str, int | str], rule: str) -> None:
    chain = grown([GENESIS], 3)
    window = Window(0, [each.time for each in chain], [each.bits for each in chain])
    made: dict[str, Any] = {} if rule == "high-hash" else dict(change)
    header = replace(mined(chain[-1], **made), **change)  # type: ignore[arg-type]
    assert _rule(header.to_bytes(), 4, internal(chain[-1].hash()), window, None) == rule


def test_teratest_checks_work_and_linkage_only() -> None:
    checked = check_header(
        replace(RULES["mock"], check_bits=False), mined(GENESIS, bits=0x207FFFFE).to_bytes(), 1,
        internal(GENESIS.hash()), Window(0, [GENESIS.time], [GENESIS.bits]), 2_000_000_000,
    )  # fmt: skip
    assert checked.unchecked == ("required bits",)
    assert not RULES["teratest"].check_bits


def test_the_header_object_has_unsigned_versions() -> None:
    header = BlockHeader(-1, "00" * 32, "11" * 32, 5, 6, 7)
    value = header_json(header.to_bytes(), 9)
    assert (value["version"], value["hash"], value["height"]) == (0xFFFFFFFF, header.hash(), 9)


def _rule(header: bytes, height: int, parent: bytes, window: Window, now: int | None) -> str | None:
    """What ``check_header`` says, having made sure that a batch says the same."""
    rules = Rules.of(MOCK)
    verdicts: list[str | None] = []
    for check in (check_header, check_batch):
        try:
            check(rules, header, height, parent, window, now)
            verdicts.append(None)
        except InvalidHeader as error:
            verdicts.append(error.rule)
    assert verdicts[0] == verdicts[1]
    return verdicts[0]
