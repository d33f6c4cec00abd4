"""What bytes of the BRC-100 binary wire are in the models: bytes, hex, base64 or text."""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from sdk.core.errors import InvalidParameter

if TYPE_CHECKING:
    from sdk.core.encodings import Reader


class Form(ABC):
    """``bytes`` on the wire, something else in the model."""

    @abstractmethod
    def to_bytes(self, value: Any, name: str) -> bytes: ...

    @abstractmethod
    def from_bytes(self, data: bytes, reader: Reader, name: str) -> Any: ...


class _Plain(Form):
    def to_bytes(self, value: Any, name: str) -> bytes:
        return bytes(value)

    def from_bytes(self, data: bytes, reader: Reader, name: str) -> Any:
        return data


class _Hex(Form):
    def to_bytes(self, value: Any, name: str) -> bytes:
        try:
            return binascii.unhexlify(value)
        except ValueError:
            raise InvalidParameter(name, "hexadecimal digits") from None

    def from_bytes(self, data: bytes, reader: Reader, name: str) -> Any:
        return data.hex()


class _Base64(Form):
    def to_bytes(self, value: Any, name: str) -> bytes:
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise InvalidParameter(name, "base64") from None

    def from_bytes(self, data: bytes, reader: Reader, name: str) -> Any:
        return base64.b64encode(data).decode()


class _Text(Form):
    def to_bytes(self, value: Any, name: str) -> bytes:
        if not isinstance(value, str):
            raise InvalidParameter(name, "text")
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise InvalidParameter(name, "text without lone surrogates") from None

    def from_bytes(self, data: bytes, reader: Reader, name: str) -> Any:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise reader.fail(f"{name} is not UTF-8", reader.offset - len(data) + error.start) from None


PLAIN, HEX, BASE64, TEXT = _Plain(), _Hex(), _Base64(), _Text()
