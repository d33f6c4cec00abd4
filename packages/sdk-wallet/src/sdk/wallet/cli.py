"""``sdk wallet``: one wallet in a folder, and single commands on it.

A command is over when it ends, so it sends at once; nothing is left for a monitor. The folder (``--home``,
``SDK_WALLET_HOME``) holds ``root.key`` (64 hex digits, readable by its owner only), ``wallet.toml`` and the database.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from base64 import b64encode
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdk.core.errors import ConfigurationError, InvalidOperation, ParseError, ReviewActions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sdk.core.wallet import CreateActionResult
    from sdk.wallet.keys import PrivateKey
    from sdk.wallet.settings import WalletSettings
    from sdk.wallet.wallet import Wallet

KEY_FILE, SETTINGS_FILE, DATABASE_FILE = "root.key", "wallet.toml", "wallet.sqlite"
CHAINS = ("main", "test", "stn", "regtest", "teratest", "mock")
_OUTPOINT = re.compile(rb"[0-9a-f]{64}\.([0-9]{1,10})")
_ANYONE = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


@click.group(name="wallet", help="Create a wallet and use it.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SDK_WALLET_HOME",
    default=lambda: Path.home() / ".local" / "share" / "sdk-wallet",
    show_default="~/.local/share/sdk-wallet",
    help="The wallet's folder.",
)
@click.pass_context
def command(context: click.Context, home: Path) -> None:
    context.obj = home


@command.command(name="create", help="Make a new wallet. An existing one is never overwritten.")
@click.option("--chain", type=click.Choice(CHAINS), default="main", show_default=True)
@click.option("--arc-url", help="Broadcaster; the chain's public one if not given.")
@click.option("--whatsonchain-url", help="With the network: https://…/v1/bsv/main.")
@click.option("--headers-url", help="Header service to check proofs with.")
@click.option("--fee-rate", "satoshis_per_kilobyte", help="Satoshis per 1,000 bytes.")
@click.option("--root-key-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Use this key.")
@click.pass_obj
def create(home: Path, /, root_key_file: Path | None, **chosen: str | None) -> None:
    from sdk.wallet.keys import PrivateKey

    if (home / KEY_FILE).exists():
        raise ConfigurationError(f"{home} holds a wallet already: choose another folder with --home")
    key = _read_key(root_key_file) if root_key_file else PrivateKey.generate()
    with _new_home(home, key, {name: value for name, value in chosen.items() if value is not None}):
        identity = _with_wallet(home, _identity)
    click.echo(f"identity {identity}")
    click.echo(f"The key is in {home / KEY_FILE}: whoever has it has the money. Keep a copy in a safe place.")


@command.command(name="identity", help="Print the identity key, which others pay to.")
@click.pass_obj
def identity(home: Path) -> None:
    click.echo(_with_wallet(home, _identity))


@command.command(name="balance", help="Satoshis that can be spent.")
@click.option("--basket", default="default", show_default=True)
@click.pass_obj
def balance(home: Path, basket: str) -> None:
    click.echo(_with_wallet(home, lambda wallet: wallet.balance(basket)))


@command.command(
    name="address", help="A fresh address for a payer who knows no identity keys, with its derivation (JSON)."
)
@click.pass_obj
def address(home: Path) -> None:
    _echo(_with_wallet(home, _fresh_address))


@command.command(
    name="receive",
    help="Take in a payment: a file with what `sdk wallet pay` or `sdk devnet faucet` printed, or AtomicBEEF (bytes or "
    "hex). How it was derived stands in the first; otherwise say it.",
)
@click.argument("payment", type=click.File("rb"))
@click.option("--address", "paid_to", type=click.File("rb"), help="File with what `sdk wallet address` printed.")
@click.option("--prefix", help="Derivation prefix, base64.")
@click.option("--suffix", help="Derivation suffix, base64.")
@click.option("--sender", help="The payer's identity key; by default nobody's, as for an address.")
@click.option("--output", "output_index", type=click.IntRange(0), help="Which output is the payment; by default 0.")
@click.pass_obj
def receive(home: Path, /, payment: Any, paid_to: Any, output_index: int | None, **given: str | None) -> None:
    transaction, said = _payment(payment.read())
    if paid_to is not None:
        said |= _json_object(paid_to.read(), "--address")
    names = {"prefix": "derivationPrefix", "suffix": "derivationSuffix", "sender": "senderIdentityKey"}
    said |= {names[name]: value for name, value in given.items() if value is not None}
    if not {"derivationPrefix", "derivationSuffix"} <= said.keys():
        raise click.UsageError("how was it derived? Give --address, or --prefix and --suffix")
    said.setdefault("senderIdentityKey", _ANYONE)
    output = {
        "outputIndex": said.get("outputIndex", 0) if output_index is None else output_index,
        "protocol": "wallet payment",
        "paymentRemittance": {name: said[name] for name in names.values()},
    }
    args = {"tx": transaction, "description": "received on the command line", "outputs": [output]}
    result = _with_wallet(home, lambda wallet: wallet.internalize_action(args))
    click.echo(f"received {result.satoshis} satoshis in {result.txid}")


@command.command(name="pay", help="Pay SATOSHIS to an identity key or an address. Prints the payment as JSON.")
@click.argument("payee")
@click.argument("satoshis", type=click.IntRange(1))
@click.option("--description", default="paid on the command line", show_default=True)
@click.pass_obj
def pay(home: Path, payee: str, satoshis: int, description: str) -> None:
    payment, complaint = _with_wallet(home, lambda wallet: _pay(wallet, payee, satoshis, description))
    _echo(payment)
    if complaint:
        raise InvalidOperation(complaint)


@command.command(name="update", help="Send what waits and fetch proofs, once. A monitor does this all the time.")
@click.pass_obj
def update(home: Path) -> None:
    for name, report in asyncio.run(_update(_load(home))).items():
        found = ", ".join(f"{count} {word}" for word, count in report.items()) or "nothing to do"
        click.echo(f"{name}: {found}")


@command.command(name="actions", help="What this wallet did, oldest first.")
@click.option("--label", "labels", multiple=True, help="Only actions with this label; may be repeated.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--offset", default=0, type=click.IntRange(0))
@click.pass_obj
def actions(home: Path, labels: tuple[str, ...], limit: int, offset: int) -> None:
    args = {"labels": list(labels), "limit": limit, "offset": offset}
    result = _with_wallet(home, lambda wallet: wallet.list_actions(args))
    for each in result.actions:
        click.echo(f"{each.status:<12} {each.satoshis:>16} {each.txid or '-':<64} {each.description}")
    click.echo(f"{len(result.actions)} of {result.total_actions} actions")


@command.command(name="outputs", help="Outputs of a basket.")
@click.option("--basket", default="default", show_default=True)
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--offset", default=0)
@click.pass_obj
def outputs(home: Path, basket: str, limit: int, offset: int) -> None:
    args = {"basket": basket, "limit": limit, "offset": offset}
    result = _with_wallet(home, lambda wallet: wallet.list_outputs(args))
    for each in result.outputs:
        click.echo(f"{each.satoshis:>16} {each.outpoint}")
    click.echo(f"{len(result.outputs)} of {result.total_outputs} outputs")


# what the commands do


async def _identity(wallet: Wallet) -> str:
    return wallet.identity_key


async def _fresh_address(wallet: Wallet) -> dict[str, str]:
    from sdk.wallet.keys import Address, PublicKey
    from sdk.wallet.script.templates import brc29, p2pkh

    prefix, suffix = _random_text(), _random_text()
    derived = await wallet.get_public_key(
        {
            "protocolID": brc29.PROTOCOL,
            "keyID": brc29.key_id(prefix, suffix),
            "counterparty": "anyone",
            "forSelf": True,
        }
    )
    key = PublicKey.from_hex(derived.public_key)
    network = "main" if (await wallet.get_network()).network == "mainnet" else "test"
    return {
        "address": str(Address(network, key.hash160())),
        "lockingScript": p2pkh.lock_to_key(key).to_hex(),
        "derivationPrefix": prefix,
        "derivationSuffix": suffix,
        "senderIdentityKey": _ANYONE,
    }


async def _pay(wallet: Wallet, payee: str, satoshis: int, description: str) -> tuple[dict[str, Any], str | None]:
    """The payment, which exists from here on, and what is wrong with it."""
    script, remittance = await _lock_to(wallet, payee)
    args = {
        "description": description,
        "outputs": [{"lockingScript": script, "satoshis": satoshis, "outputDescription": "payment"}],
        "options": {"acceptDelayedBroadcast": False, "randomizeOutputs": False},
    }
    complaint = None
    made: CreateActionResult | ReviewActions
    try:
        made = await wallet.create_action(args)
    except ReviewActions as review:
        made, complaint = review, _complaint(review)
    return {"txid": made.txid, "tx": (made.tx or b"").hex(), "outputIndex": 0, **remittance}, complaint


def _complaint(review: ReviewActions) -> str:
    outcome = next((each for each in review.review_action_results if each.get("txid") == review.txid), {})
    if outcome.get("status") == "serviceError":
        return "the network could not be reached; the payment waits: run `sdk wallet update` later"
    status = outcome.get("status", "no reason given")
    return f"the network refused the payment ({status}); its coins come back as the network shows them unspent"


async def _update(settings: WalletSettings) -> dict[str, dict[str, int]]:
    from sdk.wallet.monitoring import open_backend

    backend = await open_backend(settings)
    try:
        sent = await backend.send_waiting(min_age=timedelta(), limit=1000)
        proven = await backend.check_for_proofs(up_to_height=(await backend.tip()).height, limit=1000)
        return {"sending": dict(sent.detail), "proofs": dict(proven.detail)}
    finally:
        await backend.close()


async def _lock_to(wallet: Wallet, payee: str) -> tuple[str, dict[str, str]]:
    """Locking script, and what an identity needs to find its key."""
    from sdk.wallet.keys import PublicKey
    from sdk.wallet.script.templates import brc29, p2pkh

    if len(payee) != 66:
        try:
            return p2pkh.lock_to_address(payee).to_hex(), {}
        except ParseError as error:
            raise click.BadParameter(f"neither an identity key (66 hex digits) nor an address: {error}") from None
    prefix, suffix = _random_text(), _random_text()
    derived = await wallet.get_public_key(
        {"protocolID": brc29.PROTOCOL, "keyID": brc29.key_id(prefix, suffix), "counterparty": payee}
    )
    remittance = {
        "derivationPrefix": prefix,
        "derivationSuffix": suffix,
        "senderIdentityKey": wallet.identity_key,
    }
    return p2pkh.lock_to_key(PublicKey.from_hex(derived.public_key)).to_hex(), remittance


# the folder


def _with_wallet(home: Path, work: Callable[[Wallet], Awaitable[Any]]) -> Any:
    from sdk.wallet.setup import open_wallet

    settings = _load(home)

    async def run() -> Any:
        async with open_wallet(settings=settings, background="none") as wallet:
            return await work(wallet)

    return asyncio.run(run())


def _load(home: Path) -> WalletSettings:
    from sdk.wallet.settings import WalletSettings

    if not (home / KEY_FILE).is_file():
        raise ConfigurationError(f"there is no wallet in {home}: make one with `sdk wallet create`")
    environ = {f"SDK_WALLET_{name}": value for name, value in _own_environment().items()}
    if not {"SDK_WALLET_ROOT_KEY", "SDK_WALLET_ROOT_KEY_FILE"} & environ.keys():
        environ["SDK_WALLET_ROOT_KEY_FILE"] = str(home / KEY_FILE)
    environ.setdefault("SDK_WALLET_DATABASE", f"sqlite:///{home / DATABASE_FILE}")
    return WalletSettings.load(environ=environ, file=home / SETTINGS_FILE)


def _own_environment() -> dict[str, str]:
    prefix = "SDK_WALLET_"
    return {
        name.removeprefix(prefix): value
        for name, value in os.environ.items()
        if name.startswith(prefix) and name != "SDK_WALLET_HOME"
    }


@contextmanager
def _new_home(home: Path, key: PrivateKey, chosen: dict[str, str]) -> Iterator[None]:
    """A folder with key and settings. If the block fails, what was made goes again: nobody has seen the key."""
    folders = [each for each in (home, *home.parents) if not each.exists()]
    made: list[Path] = []
    try:
        _make_folder(home)
        _write_secret(home / KEY_FILE, key.to_hex())  # from here on nobody else makes a wallet in this folder
        others = [SETTINGS_FILE, DATABASE_FILE, f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm"]
        made = [home / KEY_FILE, *(each for each in map(home.joinpath, others) if not each.exists())]
        _write_settings(home / SETTINGS_FILE, chosen)
        yield
    except BaseException:
        for file in made:
            file.unlink(missing_ok=True)
        for folder in folders:
            with suppress(OSError):  # it was never made, or somebody put something there
                folder.rmdir()
        raise


def _read_key(path: Path) -> PrivateKey:
    from sdk.wallet.keys import PrivateKey

    try:
        with path.open(encoding="ascii") as file:
            return PrivateKey.from_hex(file.read(1000).strip())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} holds no root key, which is 64 hex digits") from None


def _make_folder(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the folder {home}: {error.strerror}") from error


def _write_settings(path: Path, chosen: dict[str, str]) -> None:
    lines = ["[wallet]", *(f"{name} = {json.dumps(value)}" for name, value in chosen.items())]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def _write_secret(path: Path, text: str) -> None:
    """Whole or not at all, never over an existing file, and never readable by others, not for a moment."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
    except OSError as error:
        path.unlink()
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def _payment(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """AtomicBEEF, and what else the file says: the JSON of ``pay``, the faucet's outpoint and hex, hex, or bytes."""
    text = data.strip()
    if text.startswith(b"{"):
        said = _json_object(text, "PAYMENT")
        text = str(said.pop("tx", "")).encode()
        if not text:
            raise click.BadParameter("the JSON has no member tx in hex")
    else:
        outpoint, _, rest = text.partition(b"\n")
        match = _OUTPOINT.fullmatch(outpoint.strip())
        said, text = ({"outputIndex": int(match[1])}, rest) if match else ({}, text)
    try:
        return bytes.fromhex(text.decode("ascii")), said
    except (UnicodeDecodeError, ValueError):
        return data, said


def _json_object(data: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise click.BadParameter(f"{what}: the file holds no JSON object")
    return found


def _random_text() -> str:
    return b64encode(os.urandom(16)).decode()


def _echo(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))
