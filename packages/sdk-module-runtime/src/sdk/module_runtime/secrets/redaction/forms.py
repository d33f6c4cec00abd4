"""The texts under which a secret may appear: as it is, and as common encodings write it."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote_from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

MINIMUM_LENGTH: Final = 4
"""Characters. Shorter secrets are not registered: they would redact ordinary words, and hide nothing from a guesser."""

MINIMUM_LINE: Final = 8
"""Characters of a line of a multi-line secret that is looked for alone; shorter ones are ``{`` or ``true``."""

ORDINARY: Final = frozenset({"true", "false", "null", "none"})
"""Values that are not registered whatever their case: every line has them, and they hide nothing."""

BASE64_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")

_URL_SAFE_SETS: Final = ("", "/", "!*'()")  # form encoding, paths, JavaScript's encodeURIComponent
_TO_BASE64URL: Final = str.maketrans("+/", "-_")


class Form(NamedTuple):
    """``text`` betrays the secret; ``left`` and ``right`` say that the base64 digit beside it holds bits of it too."""

    text: str
    left: bool = False
    right: bool = False


def forms_of(secret: str | bytes, *, minimum: int = MINIMUM_LENGTH) -> frozenset[Form]:
    """All forms of ``secret`` and of each of its lines; empty for one shorter than ``minimum`` characters or ordinary.

    It is found without the white space around it, which hides nothing: a file's last newline is rarely printed, and a
    secret that began with one would hold back every line. Bytes stand for the text they decode to; what is no UTF-8
    becomes surrogates (PEP 383), as in ``redact_value``.
    """
    given = (secret.decode("utf-8", "surrogateescape") if isinstance(secret, bytes) else secret).lstrip()
    text = given.rstrip()
    if len(text) < minimum or text.lower() in ORDINARY:
        return frozenset()
    found = {form for each in {text, given} for form in _forms(each, each.encode("utf-8", _errors_of(secret)))}
    lines = text.splitlines()
    if len(lines) > 1:
        for line in map(str.strip, lines):
            if len(line) >= max(minimum, MINIMUM_LINE) and not line.startswith("-----"):  # PEM's borders are no secret
                found.update(_forms(line, line.encode("utf-8", _errors_of(secret))))
    return frozenset(form for form in found if len(form.text) >= minimum)


def _errors_of(secret: str | bytes) -> str:
    return "surrogateescape" if isinstance(secret, bytes) else "surrogatepass"


def _forms(text: str, data: bytes) -> Iterator[Form]:
    yield from map(Form, {text, repr(text)[1:-1], repr(data)[2:-1], html.escape(text), html.escape(text, quote=False)})
    yield from map(Form, _json_forms(text))
    yield from map(Form, {data.hex(), data.hex().upper()})
    yield from map(Form, _url_forms(data))
    for form in _base64_forms(data):
        yield form
        yield form._replace(text=form.text.translate(_TO_BASE64URL))


def _json_forms(text: str) -> set[str]:
    """Inside a JSON string, and inside JSON that is itself a string of JSON."""
    once = {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    once |= {form.replace("/", "\\/") for form in once}
    return once | {json.dumps(form, ensure_ascii=False)[1:-1] for form in once}


def _url_forms(data: bytes) -> set[str]:
    upper = {quote_from_bytes(data, safe) for safe in _URL_SAFE_SETS}
    found = upper | {_lower_escapes(form) for form in upper}
    return found | {form.replace("%20", "+") for form in found}


def _lower_escapes(quoted: str) -> str:
    head, *rest = quoted.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)


def _base64_forms(data: bytes) -> Iterator[Form]:
    """The digits that depend on ``data`` alone, when it begins at byte 0, 1 or 2 of a group of three (RFC 4648)."""
    for offset in range(3):
        digits = b64encode(bytes(offset) + data).decode().rstrip("=")
        first = (offset * 8 + 5) // 6
        last = (offset + len(data)) * 8 // 6
        yield Form(digits[first:last], left=offset > 0, right=(offset + len(data)) % 3 > 0)
