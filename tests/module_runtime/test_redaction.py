"""What the redactor finds, for how long, and what it costs. Property: no form of a registered secret is left."""

import base64
import gc
import hashlib
import html
import json
import string
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.module_runtime.secrets.redaction import SecretRegistry, StreamRedactor, redact_exception, redact_value
from sdk.module_runtime.secrets.redaction.forms import ORDINARY
from sdk.service.logging import REDACTED

# No character of the marker, so that a marker never completes a secret by chance.
secrets = st.text(st.characters(exclude_characters="[redacted]", exclude_categories=["Cs"]), min_size=4, max_size=40)
secrets = secrets.filter(lambda text: len(text.strip()) >= 4 and text.strip().lower() not in ORDINARY)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
narrow = st.text("ab+/", min_size=4, max_size=7)  # forms that overlap, repeat and begin one another


class Holder:
    pass


def registry_of(*values: str | bytes) -> SecretRegistry:
    registry = SecretRegistry()
    for value in values:
        assert registry.register(value)
    return registry


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "url": lambda value: quote(value, safe=""),
    "path": quote,
    "form": quote_plus,
    "lower": lambda value: "".join(f"%{byte:02x}" if part is None else part for part, byte in _quoted(value)),
    "json": lambda value: json.dumps(value)[1:-1],
    "unicode json": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json in json": lambda value: json.dumps(json.dumps(value))[1:-1],
    "repr": lambda value: repr(value)[1:-1],
    "bytes repr": lambda value: repr(value.encode())[2:-1],
    "html": html.escape,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64url": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
}


def _quoted(value: str) -> list[tuple[str | None, int]]:
    safe = string.ascii_letters + string.digits + "_.-~"
    return [(chr(byte) if chr(byte) in safe else None, byte) for byte in value.encode()]


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=20)
@given(secret=secrets, before=texts, after=texts)
def test_no_encoded_form_is_left(encoding: str, secret: str, before: str, after: str) -> None:
    form = ENCODINGS[encoding](secret)
    shown = registry_of(secret).redact(f"{before} {form} {after}")
    assert all(form not in part for part in shown.split(REDACTED))
    assert REDACTED in shown


@given(secret=st.binary(min_size=4, max_size=40), before=st.binary(max_size=5), after=st.binary(max_size=5))
def test_base64_of_a_larger_text_gives_no_bit_of_the_secret_away(secret: bytes, before: bytes, after: bytes) -> None:
    registry = SecretRegistry()
    core = secret.decode("utf-8", "surrogateescape").lstrip()
    if not registry.register(secret):
        assert len(core.rstrip()) < 4 or core.rstrip().lower() in ORDINARY
        return
    secret = core.encode("utf-8", "surrogateescape")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(before + secret + after).decode()
        first, last = len(before) * 8 // 6, -(-(len(before) + len(secret)) * 8 // 6)
        shown = registry.redact(whole)
        if shown == whole[:first] + REDACTED + whole[last:]:
            continue
        head, *_, tail = shown.split(REDACTED)  # more was hidden, where the neighbours repeat the secret
        assert REDACTED in shown
        assert len(head) <= first
        assert len(tail) <= len(whole) - last


@given(st.lists(narrow, min_size=1, max_size=5), st.text("ab+/ YWJi", max_size=60))
def test_each_character_of_each_occurrence_is_hidden(values: list[str], text: str) -> None:
    hidden = registry_of(*values).redact(text).split(REDACTED)
    for value in values:
        assert all(value not in part for part in hidden)
    longest = max(values, key=len)
    assert registry_of(*values).redact(f"<{longest}>") == f"<{REDACTED}>"


def test_of_overlapping_secrets_neither_end_stays() -> None:
    registry = registry_of("abcd", "abcdef", "cdefgh")
    assert registry.redact("x abcdef y") == f"x {REDACTED} y"
    assert registry.redact("x abcdefgh y") == f"x {REDACTED} y"


@given(
    st.lists(narrow, min_size=0, max_size=4),
    st.lists(st.text("ab+/ \nYWJi", max_size=12), max_size=10),
)
def test_chunks_are_redacted_as_the_whole(values: list[str], chunks: list[str]) -> None:
    registry = registry_of(*values)
    stream = StreamRedactor(registry)
    shown = "".join(map(stream.feed, chunks)) + stream.finish()
    assert shown == registry.redact("".join(chunks))


@settings(max_examples=40)
@given(secret=secrets, encoding=st.sampled_from(sorted(ENCODINGS)), before=texts, after=texts)
def test_a_secret_that_arrives_character_by_character_is_found(
    secret: str, encoding: str, before: str, after: str
) -> None:
    registry = registry_of(secret)
    text = f"{before} {ENCODINGS[encoding](secret)} {after}"
    stream = StreamRedactor(registry)
    assert "".join(map(stream.feed, text)) + stream.finish() == registry.redact(text)


def test_a_whole_line_is_not_held_back() -> None:
    stream = StreamRedactor(registry_of("hunter22", "x" * 5_000))
    assert stream.feed("password hunter22\n") == f"password {REDACTED}\n"
    assert stream.feed("hunt") == ""
    assert stream.feed("ing season\n") == "hunting season\n"


@pytest.mark.parametrize("secret", ["\nhunter22", " \t\nhunter22\r\n", "\x85hunter22"])
def test_white_space_around_a_secret_is_no_part_of_it_and_holds_no_line_back(secret: str) -> None:
    stream = StreamRedactor(registry_of(secret))
    assert stream.feed("a line\n") == "a line\n"
    assert stream.feed("hunter22\n") == f"{REDACTED}\n"
    assert not SecretRegistry().register("\n \t\r\n")


PEM = "\n".join(
    [
        "-----BEGIN PRIVATE KEY-----",
        *(base64.b64encode(hashlib.sha512(bytes([line])).digest()[:48]).decode() for line in range(26)),
        "-----END PRIVATE KEY-----",
    ]
)


@pytest.mark.parametrize("end", [*string.ascii_letters, *string.digits, "}", "=", "/", "+", "-"])
def test_a_long_key_holds_no_ordinary_line_back(end: str) -> None:
    stream = StreamRedactor(registry_of(PEM))
    assert stream.feed(f"an ordinary line {end}\n") == f"an ordinary line {end}\n"


@given(st.lists(st.integers(1, 200), max_size=30), st.sampled_from(sorted(ENCODINGS)))
def test_a_long_key_is_hidden_however_it_is_cut(cuts: list[int], encoding: str) -> None:
    text = f"key {ENCODINGS[encoding](PEM)} end\n"
    registry = registry_of(PEM)
    stream, shown, at = StreamRedactor(registry), "", 0
    for cut in cuts:
        shown += stream.feed(text[at : at + cut])
        at += cut
    assert shown + stream.feed(text[at:]) + stream.finish() == registry.redact(text)
    assert PEM.partition("\n")[2][:20] not in registry.redact(text)


KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\r\n  9w0BAQEFAASCBKcwggSj  \nAg==\n-----END KEY-----\n"


def test_each_line_of_a_multi_line_secret_is_found_alone_and_borders_are_not() -> None:
    registry = registry_of(KEY)
    assert registry.redact(f"key={KEY}!") == f"key={REDACTED}!"
    assert registry.redact("> MIIEvQIBADANBgkqhkiG") == f"> {REDACTED}"
    assert registry.redact("\t9w0BAQEFAASCBKcwggSj;") == f"\t{REDACTED};"
    assert registry.redact(json.dumps({"key": KEY})) == json.dumps({"key": REDACTED})
    assert registry.redact("-----BEGIN KEY-----") == "-----BEGIN KEY-----"


def test_what_is_too_short_is_refused_and_said_so() -> None:
    registry = SecretRegistry()
    assert not registry.register("abc")
    assert not registry.register(b"abc")
    assert not registry.register("")
    assert registry.redact("abc") == "abc"
    assert SecretRegistry(minimum=3).register("abc")
    for word in ("true", "False", " NULL\n", "None"):
        assert not registry.register(word)
    with pytest.raises(ValueError, match="minimum is 0"):
        SecretRegistry(minimum=0)


def test_a_value_outlives_its_holders_by_the_grace_time() -> None:
    now = 0.0
    registry = SecretRegistry(grace=60, clock=lambda: now)
    first, second = Holder(), Holder()
    registry.register("hunter22", holder=first)
    registry.register("hunter22", holder=second)
    del first
    gc.collect()
    now = 1_000.0
    assert registry.redact("hunter22") == REDACTED, "another holder lives"
    del second
    gc.collect()
    now = 1_059.0
    assert registry.redact("hunter22") == REDACTED, "the grace time runs"
    now = 1_060.0
    assert registry.redact("hunter22") == "hunter22"
    assert len(registry) == 0


def test_a_rotated_value_is_kept_for_the_grace_time_and_anew_when_registered_again() -> None:
    now = 0.0
    registry = SecretRegistry(grace=60, clock=lambda: now)
    registry.register("hunter22")
    registry.register("hunter23")
    now = 5_000.0
    assert registry.redact("hunter22") == REDACTED
    registry.retire("hunter22")
    registry.retire("hunter23")
    registry.retire("never seen")
    now = 5_030.0
    registry.register("hunter23")
    now = 5_060.0
    assert registry.redact("hunter22 hunter23") == f"hunter22 {REDACTED}"


def test_the_grace_time_begins_when_the_last_hold_ends() -> None:
    now = 0.0
    registry = SecretRegistry(grace=60, clock=lambda: now)
    holder = Holder()
    registry.register("hunter22", holder=holder)
    registry.register("hunter22")
    del holder
    gc.collect()
    now = 50.0
    registry.retire("hunter22")
    now = 109.0
    assert registry.redact("hunter22") == REDACTED
    now = 110.0
    assert registry.redact("hunter22") == "hunter22"


def test_a_holder_that_lives_keeps_a_retired_value() -> None:
    now = 0.0
    registry = SecretRegistry(grace=60, clock=lambda: now)
    holder = Holder()
    registry.register("hunter22")
    registry.register("hunter22", holder=holder)
    registry.retire("hunter22")
    now = 100.0
    assert registry.redact("hunter22") == REDACTED
    with pytest.raises(TypeError):
        registry.register("hunter24", holder=7)
    assert registry.redact("hunter24") == "hunter24"


def test_structures_are_redacted_and_what_is_clean_is_the_same_object() -> None:
    registry = registry_of("hunter22", "123456")

    class Clean:
        pass

    class Telling:
        def __repr__(self) -> str:
            return "<Telling hunter22>"

    clean = Clean()
    value = {"hunter22": ["a hunter22", ("x", b"hunter22", b"x")], "pin": 123456, "n": 7, "o": clean, "t": Telling()}
    shown = redact_value(value, registry)
    assert shown == {
        REDACTED: [f"a {REDACTED}", ("x", REDACTED.encode(), b"x")],
        "pin": REDACTED,
        "n": 7,
        "o": clean,
        "t": f"<Telling {REDACTED}>",
    }
    deep: list[object] = []
    deep.append(deep)
    assert "hunter22" not in repr(redact_value(deep, registry))


def test_a_traceback_with_causes_and_notes_is_redacted() -> None:
    registry = registry_of('it\'s "hunter22"\n')
    try:
        try:
            raise KeyError('it\'s "hunter22"\n')
        except KeyError as cause:
            cause.add_note('tried it\'s "hunter22"\n')
            raise RuntimeError("no luck") from cause
    except RuntimeError as error:
        shown = redact_exception(error, registry)
    assert "no luck" in shown
    assert "KeyError: " in shown
    assert f"tried {REDACTED}" in shown.replace("\n", "")


def test_a_line_with_a_thousand_secrets_takes_less_than_fifty_microseconds() -> None:
    registry = registry_of(*(f"{index:04}/{index * 7919:032x}+" for index in range(1_000)))
    line = (
        '{"event": "payment sent", "wallet": "f00dcafe", "url": "https://user:0042/'
        f'{42 * 7919:032x}+@db.example/wallet", "txid": "{"ab" * 32}", "level": "info", "at": "2026-01-01T00:00Z"}}'
    )
    assert "user:[redacted]@db" in registry.redact(line)
    rounds = []
    for _ in range(20):
        begin = time.process_time()
        for _ in range(50):
            registry.redact(line)
        rounds.append((time.process_time() - begin) / 50)
    assert min(rounds) < 50e-6, f"{min(rounds) * 1e6:.1f} microseconds"
