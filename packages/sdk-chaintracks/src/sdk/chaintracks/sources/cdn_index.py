"""The index of a folder of header files, ``<chain>NetBlockHeaders.json`` (spec/wallet-stack.md §6.1). Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson

from sdk.chaintracks.consensus.compact import work_of
from sdk.chaintracks.consensus.fields import HEADER, ZERO_HASH, header_bits, header_hash, number_columns, previous_hash
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_INDEX: Final = 1024 * 1024
MAX_FILE: Final = 32 * 1024 * 1024
_MAX_FILES: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """Headers from height ``first`` on; hashes in wire order, ``digest`` the SHA-256 of the file, works in all."""

    name: str
    first: int
    count: int
    digest: bytes
    before: bytes
    tip: bytes
    work_before: int
    work: int

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    @property
    def size(self) -> int:
        return self.count * HEADER

    def fault(self, raw: bytes) -> str | None:
        """None, or how a file with the right digest differs from what the index says of it."""
        if previous_hash(raw) != self.before or header_hash(raw[-HEADER:]) != self.tip:
            return "does not begin and end with the hashes its index gives"
        _, _, bits = number_columns(raw)
        work = sum(work_of(each) * times for each, times in Counter(bits).items())
        said = self.work - self.work_before
        without_genesis = work - work_of(header_bits(raw))  # as go-chaintracks counts
        if said != work and (self.first or said != without_genesis):
            return f"has {work:x} of work, not {said:x} as its index says"
        return None


def index_name(chain: str) -> str:
    return f"{chain}NetBlockHeaders.json"


def parse_index(data: bytes, chain: str) -> list[IndexedFile]:
    """The files in order, without a gap from height 0 on. Raises ``ParseError``."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ParseError("index of header files", f"is no JSON ({data[:12]!r}): {error}") from error
    listed = document.get("files") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not 0 < len(listed) <= _MAX_FILES:
        raise ParseError("index of header files", f"lists no files, or over {_MAX_FILES}")
    found: list[IndexedFile] = []
    for each in listed:
        try:
            file = _file(each, chain)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise ParseError("index of header files", f"file {len(found)} makes no sense: {error!r:.160}") from error
        first = found[-1].last + 1 if found else 0
        before = found[-1].tip if found else ZERO_HASH
        if file.first != first or file.before != before:
            raise ParseError("index of header files", f"{file.name} does not go on from height {first - 1}")
        found.append(file)
    return found


def _file(each: Mapping[str, Any], chain: str) -> IndexedFile:
    name, first, count = each["fileName"], each["firstHeight"], each["count"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"file name {name!r:.60}")
    if each["chain"] != chain:
        raise ValueError(f"headers of {each['chain']!r:.20}, not of {chain}")
    if type(first) is not int or type(count) is not int or not 0 < count <= MAX_FILE // HEADER:
        raise ValueError(f"{count!r:.20} headers from {first!r:.20} on")
    digest = base64.b64decode(each["fileHash"], validate=True)
    before, tip = (bytes.fromhex(each[name])[::-1] for name in ("prevHash", "lastHash"))
    if not len(digest) == len(before) == len(tip) == sha256().digest_size:
        raise ValueError("a hash that is not 32 bytes long")
    work_before, work = (int.from_bytes(bytes.fromhex(each[name])) for name in ("prevChainWork", "lastChainWork"))
    return IndexedFile(name, first, count, digest, before, tip, work_before, work)
