"""The folder of flat files: damage of any kind at its end, at any byte."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.chaintracks.consensus.fields import header_hash
from sdk.chaintracks.store import files
from sdk.chaintracks.store.files import FileBulk
from sdk.chaintracks.store.flat import hashes_of
from sdk.chaintracks.store.reading import FolderReader
from sdk.core.errors import ConfigurationError, StorageUnavailable
from support.header_rig import GENESIS, grown, raw

HEADERS = grown([GENESIS], 99)
RAW = raw(HEADERS)
PER_FILE = 40


def opened(folder: Path) -> FileBulk:
    return FileBulk(folder, "mock", per_file=PER_FILE)


def filled(folder: Path, count: int) -> FileBulk:
    bulk = opened(folder)
    bulk.append(RAW[: count * 80], hashes_of(RAW[: count * 80]))
    return bulk


def crashed(folder: Path, copy: Path) -> Path:
    """The folder as a power cut leaves it: what is on the disk, and nothing that a proper end would write."""
    shutil.copytree(folder, copy)
    (copy / "index").unlink(missing_ok=True)
    return copy


def holds(bulk: FileBulk, count: int) -> None:
    assert bulk.count == count
    assert bulk.read(0, 1000) == RAW[: count * 80]
    assert bulk.header(count) is None
    for height in range(count):
        header = RAW[height * 80 : (height + 1) * 80]
        assert bulk.header(height) == header
        assert bulk.find(header_hash(header)) == (height, header)
    assert bulk.work_at(count - 1) == 2 * count


def test_files_are_named_and_filled_as_header_cdns_do(tmp_path: Path) -> None:
    filled(tmp_path, 100).close()
    parts = [(tmp_path / f"mockNet_{number}.headers").read_bytes() for number in range(3)]
    assert [len(each) // 80 for each in parts] == [40, 40, 20]
    assert b"".join(parts) == RAW
    bulk = opened(tmp_path)
    holds(bulk, 100)
    bulk.truncate(80)
    assert not (tmp_path / "mockNet_2.headers").exists()
    bulk.append(RAW[80 * 80 : 90 * 80], hashes_of(RAW[80 * 80 : 90 * 80]))
    holds(bulk, 90)
    bulk.close()


def test_a_write_cut_off_at_any_byte_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """38 headers are acknowledged; the next write goes over the end of a file."""
    filled(tmp_path / "held", 38).close()
    base = crashed(tmp_path / "held", tmp_path / "base")
    rest = RAW[38 * 80 : 43 * 80]
    for cut in range(0, len(rest) + 1, 7):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(base, folder)
        with (folder / "mockNet_0.headers").open("ab") as file:
            file.write(rest[: min(cut, 160)])
        if cut > 160:
            (folder / "mockNet_1.headers").write_bytes(rest[160:cut])
        bulk = opened(folder)
        holds(bulk, 38)
        bulk.append(rest, hashes_of(rest))
        holds(bulk, 43)
        bulk.close()


def test_a_record_torn_at_any_byte_leaves_the_one_before_it(tmp_path: Path) -> None:
    bulk = filled(tmp_path / "held", 38)
    bulk.append(RAW[38 * 80 : 43 * 80], hashes_of(RAW[38 * 80 : 43 * 80]))
    base = crashed(tmp_path / "held", tmp_path / "base")
    bulk.close()
    record = (base / "committed").read_bytes()
    last = max((0, 64), key=lambda at: record[at + 8 : at + 16])
    for torn in range(60):
        folder = tmp_path / f"torn{torn}"
        shutil.copytree(base, folder)
        place = record[last : last + torn] + bytes(60 - torn)
        (folder / "committed").write_bytes(record[:last] + place + record[last + 60 :])
        bulk = opened(folder)
        holds(bulk, 43 if place == record[last : last + 60] else 38)
        bulk.close()


@pytest.mark.parametrize("with_index", [True, False])
def test_damage_at_any_byte_of_the_last_headers_is_found_and_cut_off(tmp_path: Path, with_index: bool) -> None:
    bulk = filled(tmp_path / "held", 50)
    bulk.close()
    for at in range(47 * 80, 50 * 80, 3):
        folder = tmp_path / f"at{at}"
        shutil.copytree(tmp_path / "held", folder)
        if not with_index:
            (folder / "index").unlink()
        with (folder / "mockNet_1.headers").open("r+b") as file:
            file.seek(at - PER_FILE * 80)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
        bulk = opened(folder)
        assert 46 <= bulk.count <= at // 80
        holds(bulk, bulk.count)
        bulk.close()


@pytest.mark.parametrize("name", ["index", "committed", "mockNet_1.headers", "mockNet_0.headers"])
def test_a_file_that_is_lost_costs_what_it_held_and_no_more(tmp_path: Path, name: str) -> None:
    filled(tmp_path, 100).close()
    (tmp_path / name).unlink()
    if name.endswith("0.headers") or name == "committed":
        bulk = opened(tmp_path)
        assert bulk.count == 0
    else:
        bulk = opened(tmp_path)
        holds(bulk, 100 if name == "index" else 39)
    bulk.append(RAW[bulk.count * 80 :], hashes_of(RAW[bulk.count * 80 :]))
    holds(bulk, 100)
    bulk.close()


def test_an_index_of_other_headers_or_torn_is_made_again(tmp_path: Path) -> None:
    filled(tmp_path, 100).close()
    index = (tmp_path / "index").read_bytes()
    for broken in (b"", index[:-1], index[:100] + b"\0" + index[101:], b"\0" * len(index)):
        (tmp_path / "index").write_bytes(broken)
        bulk = opened(tmp_path)
        holds(bulk, 100)
        bulk.close()
    bulk = opened(tmp_path)
    bulk.truncate(60)
    other = raw(grown(HEADERS[:60], 40, salt="other")[60:])
    bulk.append(other, hashes_of(other))
    bulk.close()
    (tmp_path / "index").write_bytes(index)
    bulk = opened(tmp_path)
    assert bulk.find(header_hash(other[:80])) == (60, other[:80])
    assert bulk.find(header_hash(RAW[60 * 80 : 61 * 80])) is None
    bulk.close()


def test_one_process_writes_and_others_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdk.chaintracks.store.reading.PER_FILE", PER_FILE)
    bulk = filled(tmp_path, 50)
    with pytest.raises(ConfigurationError, match="another process writes"):
        opened(tmp_path)
    reader = FolderReader(tmp_path, "mock")
    bulk.append(RAW[50 * 80 :], hashes_of(RAW[50 * 80 :]))
    assert b"".join(each.raw for each in reader.stretches(0, bytes(32))) == RAW[: 50 * 80]  # as it was then
    bulk.truncate(40)
    assert b"".join(each.raw for each in reader.stretches(0, bytes(32))) == RAW[: 40 * 80]  # cut off under the reader
    bulk.close()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 99), st.integers(0, 79), st.integers(0, 7), st.booleans())
def test_a_bit_that_turns_on_the_disk_is_found_at_the_next_start(height: int, at: int, bit: int, indexed: bool) -> None:
    """With the index as without it; what came before is kept, and the sources give the rest again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filled(folder, 100).close()
        if not indexed:
            (folder / "index").unlink()
        path = folder / f"mockNet_{height // PER_FILE}.headers"
        data = bytearray(path.read_bytes())
        data[height % PER_FILE * 80 + at] ^= 1 << bit
        path.write_bytes(data)
        bulk = opened(folder)
        assert height - 1 <= bulk.count <= height
        assert bulk.read(0, 1000) == RAW[: bulk.count * 80]
        bulk.append(RAW[bulk.count * 80 :], hashes_of(RAW[bulk.count * 80 :]))
        bulk.close()
        bulk = opened(folder)
        holds(bulk, 100)
        bulk.truncate(60)  # the checksum is made anew
        bulk.close()
        bulk = opened(folder)
        holds(bulk, 60)
        bulk.close()


def test_a_folder_of_another_network_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """One mistyped option must not cost a chain."""
    filled(tmp_path, 50).close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="holds headers of mock, not of main"):
            FileBulk(tmp_path, "main", per_file=PER_FILE)
    with pytest.raises(ConfigurationError, match="holds headers of mock, not of main"):
        FolderReader(tmp_path, "main")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    bulk = opened(tmp_path)
    holds(bulk, 50)
    bulk.close()


def test_a_full_disk_is_an_error_that_says_so_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk = filled(tmp_path, 50)
    real, left = os.pwrite, [600]

    def full(file: int, data: bytes, offset: int) -> int:
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        size = min(len(data), left[0])
        left[0] -= size
        return real(file, data[:size], offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageUnavailable, match="No space left on device; make room"):
        bulk.append(RAW[50 * 80 :], hashes_of(RAW[50 * 80 :]))
    monkeypatch.undo()
    holds(bulk, 50)
    assert sum(each.stat().st_size for each in tmp_path.glob("*.headers")) == 50 * 80
    bulk.append(RAW[50 * 80 :], hashes_of(RAW[50 * 80 :]))
    holds(bulk, 100)
    bulk.close()


def test_the_index_is_saved_as_headers_come_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SAVE_EVERY", 30)
    bulk = filled(tmp_path, 29)
    assert not (tmp_path / "index").exists()
    bulk.append(RAW[29 * 80 : 31 * 80], hashes_of(RAW[29 * 80 : 31 * 80]))
    assert (tmp_path / "index").exists()
    bulk.close()
