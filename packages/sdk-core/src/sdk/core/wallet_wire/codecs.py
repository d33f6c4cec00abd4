"""How single values stand on the BRC-100 binary wire.

Lengths, counts and numbers are compact integers; what is absent is the number -1 (nine bytes ``ff``) or, where a single
byte tells, ``ff``. Hashes stand as they are displayed. A count is bounded by the bytes that are left and by ``most``
before anything is allocated. Reading raises ``ParseError`` with the offset, writing ``InvalidParameter``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from sdk.core.encodings import varint
from sdk.core.errors import InvalidParameter
from sdk.core.wallet.fields import MAX_ITEMS, MAX_NAMES, MAX_UINT32
from sdk.core.wallet_wire.forms import BASE64, HEX, PLAIN, TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.encodings import Reader
    from sdk.core.wallet_wire.forms import Form

ABSENT = b"\xff" * 9
_MODULUS = 1 << 64
_MAX_REASON = 127


class Codec(ABC):
    """One value. ``optional`` ones have a form for its absence, which is ``None`` here."""

    optional: ClassVar[bool] = False

    @abstractmethod
    def write(self, value: Any, name: str) -> bytes: ...

    @abstractmethod
    def read(self, reader: Reader, name: str) -> Any: ...


class Sized(Codec):
    """A length and that many bytes."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def write(self, value: Any, name: str) -> bytes:
        data = self._form.to_bytes(value, name)
        return varint(len(data)) + data

    def read(self, reader: Reader, name: str) -> Any:
        return self._form.from_bytes(reader.sized(name), reader, name)


class Fixed(Codec):
    def __init__(self, size: int, form: Form) -> None:
        self._size, self._form = size, form

    def write(self, value: Any, name: str) -> bytes:
        data = self._form.to_bytes(value, name)
        if len(data) != self._size:
            raise InvalidParameter(name, f"{self._size} bytes on the binary wire, not {len(data)}")
        return data

    def read(self, reader: Reader, name: str) -> Any:
        return self._form.from_bytes(reader.read(self._size, name), reader, name)


class Rest(Codec):
    """All that is left of the frame."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def write(self, value: Any, name: str) -> bytes:
        return self._form.to_bytes(value, name)

    def read(self, reader: Reader, name: str) -> Any:
        return self._form.from_bytes(reader.read(reader.remaining(), name), reader, name)


class ActionTxid(Codec):
    """32 bytes; zeros for an action that is not signed, whose txid is empty."""

    def write(self, value: Any, name: str) -> bytes:
        return TXID.write(value or "00" * 32, name)

    def read(self, reader: Reader, name: str) -> Any:
        data = reader.read(32, name)
        return data.hex() if any(data) else ""


class OutPointForm(Codec):
    """The txid as it is displayed, and the output's number."""

    def write(self, value: Any, name: str) -> bytes:
        txid, _, vout = str(value).partition(".")
        if not (vout.isascii() and vout.isdigit() and len(vout) <= 10 and int(vout) <= MAX_UINT32):
            raise InvalidParameter(name, "an outpoint, '<txid>.<output index>'")
        return TXID.write(txid, name) + varint(int(vout))

    def read(self, reader: Reader, name: str) -> Any:
        txid, start = reader.read(32, name), reader.offset
        vout = reader.varint(name)
        if vout > MAX_UINT32:
            raise reader.fail(f"{name} has an output number of more than 32 bits", start)
        return f"{txid.hex()}.{vout}"


# numbers


class Number(Codec):
    def write(self, value: Any, name: str) -> bytes:
        if not 0 <= value < _MODULUS // 2:
            raise InvalidParameter(name, "between 0 and 2^63-1")
        return varint(value)

    def read(self, reader: Reader, name: str) -> Any:
        start = reader.offset
        value = reader.varint(name)
        if value >= _MODULUS // 2:
            raise reader.fail(f"{name} is negative or beyond 2^63-1", start)
        return value


class SignedNumber(Codec):
    """Negative numbers as two's complement of 64 bits."""

    def write(self, value: Any, name: str) -> bytes:
        if not -_MODULUS // 2 <= value < _MODULUS // 2:
            raise InvalidParameter(name, "between -2^63 and 2^63-1")
        return varint(value % _MODULUS)

    def read(self, reader: Reader, name: str) -> Any:
        value = reader.varint(name)
        return value - _MODULUS if value >= _MODULUS // 2 else value


class Byte(Codec):
    def write(self, value: Any, name: str) -> bytes:
        if not 0 <= value <= 255:
            raise InvalidParameter(name, "between 0 and 255 on the binary wire")
        return bytes((value,))

    def read(self, reader: Reader, name: str) -> Any:
        return reader.u8(name)


class OneOf(Codec):
    """A byte for each of a few values."""

    def __init__(self, codes: Mapping[Any, int]) -> None:
        self._codes = dict(codes)
        self._values = {code: value for value, code in codes.items()}

    def write(self, value: Any, name: str) -> bytes:
        if value not in self._codes:
            raise InvalidParameter(name, f"one of {', '.join(map(str, self._codes))} on the binary wire")
        return bytes((self._codes[value],))

    def read(self, reader: Reader, name: str) -> Any:
        start = reader.offset
        code = reader.u8(name)
        if code not in self._values:
            raise reader.fail(f"{name} has no value {code}", start)
        return self._values[code]


class MaybeOneOf(OneOf):
    optional = True

    def write(self, value: Any, name: str) -> bytes:
        return b"\xff" if value is None else super().write(value, name)

    def read(self, reader: Reader, name: str) -> Any:
        if reader.data[reader.offset : min(reader.offset + 1, reader.end)] == b"\xff":
            reader.offset += 1
            return None
        return super().read(reader, name)


class Reason(Codec):
    """Text behind one signed byte of length, so of 127 bytes at most."""

    optional = True

    def write(self, value: Any, name: str) -> bytes:
        if value is None:
            return b"\xff"
        data = TEXT.to_bytes(value, name)
        if len(data) > _MAX_REASON:
            raise InvalidParameter(name, f"at most {_MAX_REASON} bytes on the binary wire, not {len(data)}")
        return bytes((len(data),)) + data

    def read(self, reader: Reader, name: str) -> Any:
        start = reader.offset
        size = reader.u8(f"length of {name}")
        if size == 0xFF:
            return None
        if size > _MAX_REASON:
            raise reader.fail(f"length {size - 256} of {name} is negative", start)
        return TEXT.from_bytes(reader.read(size, name), reader, name)


class Counterparty(Codec):
    """``self`` 11, ``anyone`` 12, absent 0; anything else is the first byte of a public key."""

    optional = True
    _BYTES: ClassVar[Mapping[Any, bytes]] = {None: b"\0", "self": b"\x0b", "anyone": b"\x0c"}
    _VALUES: ClassVar[Mapping[int, Any]] = {0: None, 11: "self", 12: "anyone"}

    def write(self, value: Any, name: str) -> bytes:
        known = self._BYTES.get(value)
        return KEY.write(value, name) if known is None else known

    def read(self, reader: Reader, name: str) -> Any:
        first = reader.u8(name)
        if first in self._VALUES:
            return self._VALUES[first]
        reader.offset -= 1
        return KEY.read(reader, name)


class Revealer(Codec):
    """``certifier`` 11, else a public key."""

    def write(self, value: Any, name: str) -> bytes:
        return b"\x0b" if value == "certifier" else KEY.write(value, name)

    def read(self, reader: Reader, name: str) -> Any:
        if reader.u8(name) == 11:
            return "certifier"
        reader.offset -= 1
        return KEY.read(reader, name)


class ProtocolID(Codec):
    def write(self, value: Any, name: str) -> bytes:
        return Byte().write(value[0], name) + STRING.write(value[1], name)

    def read(self, reader: Reader, name: str) -> Any:
        return reader.u8(name), STRING.read(reader, name)


# absence and repetition


class OrAbsent(Codec):
    """``inner``, which starts with a compact integer, or -1."""

    optional = True

    def __init__(self, inner: Codec) -> None:
        self._inner = inner

    def write(self, value: Any, name: str) -> bytes:
        if value is None:
            return ABSENT
        data = self._inner.write(value, name)
        if data == ABSENT:
            raise InvalidParameter(name, "other than -1, which says on the binary wire that it is absent")
        return data

    def read(self, reader: Reader, name: str) -> Any:
        if reader.data.startswith(ABSENT, reader.offset, reader.end):
            reader.offset += len(ABSENT)
            return None
        return self._inner.read(reader, name)


class OrEmpty(Codec):
    """``inner``, whose empty value says that it is absent."""

    optional = True

    def __init__(self, inner: Codec, empty: Any) -> None:
        self._inner, self._empty = inner, empty

    def write(self, value: Any, name: str) -> bytes:
        return self._inner.write(self._empty if value is None else value, name)

    def read(self, reader: Reader, name: str) -> Any:
        return self._inner.read(reader, name) or None


class OrZero(Codec):
    """1 and ``inner``, or 0."""

    optional = True

    def __init__(self, inner: Codec) -> None:
        self._inner = inner

    def write(self, value: Any, name: str) -> bytes:
        return b"\0" if value is None else b"\1" + self._inner.write(value, name)

    def read(self, reader: Reader, name: str) -> Any:
        return self._inner.read(reader, name) if BOOLEAN.read(reader, name) else None


class ListOf(Codec):
    """A count and the items, each of ``least`` bytes or more."""

    def __init__(self, item: Codec, least: int = 1, most: int = MAX_ITEMS) -> None:
        self._item, self._least, self._most = item, least, most

    def write(self, value: Any, name: str) -> bytes:
        return varint(len(value)) + b"".join([self._item.write(each, name) for each in value])

    def read(self, reader: Reader, name: str) -> Any:
        return [self._item.read(reader, name) for _ in range(read_count(reader, name, self._least, self._most))]


class UntilEnd(Codec):
    """Items up to the end of the frame: the number before them counts the whole list, not this page of it (R74)."""

    def __init__(self, item: Codec, most: int = MAX_ITEMS) -> None:
        self._item, self._most = item, most

    def write(self, value: Any, name: str) -> bytes:
        return b"".join([self._item.write(each, name) for each in value])

    def read(self, reader: Reader, name: str) -> Any:
        items: list[Any] = []
        while reader.remaining():
            if len(items) == self._most:
                raise reader.fail(f"more than {self._most} {name}")
            items.append(self._item.read(reader, name))
        return items


class MapOf(Codec):
    """A count, and key and value by turns, in the order of the mapping or of the names' bytes."""

    def __init__(self, key: Codec, value: Codec, most: int = MAX_NAMES, *, ordered: bool = False) -> None:
        self._key, self._value, self._most, self._ordered = key, value, most, ordered

    def write(self, value: Any, name: str) -> bytes:
        keys = sorted(value, key=str.encode) if self._ordered else value
        pairs = [self._key.write(key, name) + self._value.write(value[key], name) for key in keys]
        return varint(len(pairs)) + b"".join(pairs)

    def read(self, reader: Reader, name: str) -> Any:
        found: dict[Any, Any] = {}
        for _ in range(read_count(reader, name, 2, self._most)):
            start = reader.offset
            key = self._key.read(reader, name)
            if key in found:
                raise reader.fail(f"the same key stands in {name} twice", start)
            found[key] = self._value.read(reader, name)
        return found


def read_count(reader: Reader, name: str, least: int, most: int) -> int:
    start = reader.offset
    count = reader.count(least, name)
    if count > most:
        raise reader.fail(f"{count} {name} are more than {most}", start)
    return count


STRING, BYTES, SCRIPT, DATA64 = Sized(TEXT), Sized(PLAIN), Sized(HEX), Sized(BASE64)
TXID, KEY, ID64 = Fixed(32, HEX), Fixed(33, HEX), Fixed(32, BASE64)
NUMBER, SIGNED, BYTE, OUTPOINT = Number(), SignedNumber(), Byte(), OutPointForm()
BOOLEAN, FLAG = OneOf({False: 0, True: 1}), MaybeOneOf({False: 0, True: 1})
NAMES = ListOf(STRING, most=MAX_NAMES)
TEXTS, KEYRING = MapOf(STRING, STRING), MapOf(STRING, DATA64)
