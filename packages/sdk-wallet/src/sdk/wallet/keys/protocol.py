"""Protocol ids, key ids and the invoice number made of them (BRC-43)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from sdk.core.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    ProtocolID: TypeAlias = tuple[int, str] | Sequence[int | str]

_LINKAGE_PREFIX = "specific linkage revelation "
_NAME = re.compile(r"[a-z0-9]+(?: [a-z0-9]+)*", re.ASCII)
MAX_NAME = 400
MAX_LINKAGE_NAME = 430  # the only name that holds another one
MAX_KEY_ID = 800


def invoice_number(protocol_id: ProtocolID, key_id: str) -> str:
    """``<level>-<name>-<key id>``. Raises ``InvalidParameter`` naming ``protocolID`` or ``keyID``."""
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= MAX_KEY_ID or not _fits(key_id):
        raise InvalidParameter("keyID", f"a string of 1 to {MAX_KEY_ID} UTF-8 bytes")
    return protocol_prefix(protocol_id) + key_id


def _fits(key_id: str) -> bool:
    try:
        return key_id.isascii() or len(key_id.encode()) <= MAX_KEY_ID
    except UnicodeEncodeError:  # a lone surrogate
        return False


def protocol_prefix(protocol_id: ProtocolID) -> str:
    """``<level>-<name>-``. Raises ``InvalidParameter``."""
    if isinstance(protocol_id, (str, bytes)) or len(protocol_id) != 2:
        raise InvalidParameter("protocolID", "a pair of security level and protocol name")
    level, name = protocol_id
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 2:
        raise InvalidParameter("protocolID", "of security level 0, 1 or 2")
    if not isinstance(name, str) or len(name) > 2 * MAX_LINKAGE_NAME:
        raise InvalidParameter("protocolID", f"named by a string of 5 to {MAX_NAME} characters")
    return _prefix(level, name)


@lru_cache(maxsize=1024)
def _prefix(level: int, name: str) -> str:
    return f"{level}-{normalize_name(name)}-"


def normalize_name(name: str) -> str:
    """The protocol name in lower case, trimmed. Raises ``InvalidParameter``."""
    normal = name.lower().strip()
    limit = MAX_LINKAGE_NAME if normal.startswith(_LINKAGE_PREFIX) else MAX_NAME
    if not 5 <= len(normal) <= limit:
        raise InvalidParameter("protocolID", f"named by 5 to {limit} characters, not {len(normal)}")
    if "  " in normal:
        raise InvalidParameter("protocolID", "named without two spaces in a row")
    if _NAME.fullmatch(normal) is None:
        raise InvalidParameter("protocolID", "named by letters a to z, digits and single spaces")
    if normal.endswith(" protocol"):
        raise InvalidParameter("protocolID", 'named without the word "protocol" at the end')
    return normal


def linkage_protocol(protocol_id: ProtocolID) -> tuple[int, str]:
    """The protocol under which the linkage of a key of ``protocol_id`` is encrypted (BRC-72)."""
    level, name, _ = protocol_prefix(protocol_id).split("-", 2)
    return 2, f"{_LINKAGE_PREFIX}{level} {name}"
