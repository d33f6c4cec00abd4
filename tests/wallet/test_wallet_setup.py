"""``open_wallet`` and the ``sdk wallet`` command: what is opened is closed, what is wrong is said in one line."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.errors import ConfigurationError, InvalidOperation, NetworkChainMismatch, NotMigrated, StorageError
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.service.database import Database
from sdk.wallet import open_wallet
from sdk.wallet.actions.errors import NoBackground
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.keys.errors import InvalidPrivateKey
from sdk.wallet.script.templates import brc29
from sdk.wallet.services.composition import build_services
from sdk.wallet.services.ports import Classification
from sdk.wallet.settings import WalletSettings
from support.fake_network import FakeNetwork, answer
from support.wallet_rig import pay

if TYPE_CHECKING:
    from pathlib import Path

ROOT = PrivateKey.from_int(7)
SENDER = KeyDeriver(PrivateKey.from_int(5))


def url(path: Path) -> str:
    return f"sqlite:///{path / 'wallet.sqlite'}"


async def receipt(network: FakeNetwork, satoshis: int = 50_000) -> dict[str, Any]:
    lock = brc29.lock(SENDER, ROOT.public_key.to_hex(), "cHJl", "c3Vm")
    source = TransactionInput(OutPoint("11" * 32, 0), Script(b"\x51"))
    transaction = Transaction(1, [source], [TransactionOutput(satoshis, lock)], 0)
    network.accept(transaction)
    network.mine([transaction.txid()])
    path = (await network.get_merkle_path(transaction.txid())).path
    assert path is not None
    beef = Beef()
    beef.merge_path(path)
    beef.merge_transaction(transaction)
    remittance = {"derivationPrefix": "cHJl", "derivationSuffix": "c3Vm", "senderIdentityKey": SENDER.identity_key}
    return {
        "tx": beef.to_atomic(transaction.txid()),
        "description": "a receipt",
        "outputs": [{"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": remittance}],
    }


async def test_a_wallet_opens_works_closes_and_opens_again(tmp_path: Path) -> None:
    network = FakeNetwork()
    for satoshis in (0, 50_000):
        async with open_wallet(
            root_key=ROOT, database=url(tmp_path), chain="mock", services=network, background="none"
        ) as wallet:
            assert wallet.identity_key == ROOT.public_key.to_hex()
            assert await wallet.balance() == satoshis
            if not satoshis:
                await wallet.internalize_action(await receipt(network))


async def test_r23_a_monitor_in_the_same_process_sends_what_was_delayed(tmp_path: Path) -> None:
    network = FakeNetwork()
    posted = asyncio.Event()

    def take(_beef: Beef, txids: Any) -> Any:
        posted.set()
        return [answer(each, Classification.SUCCESS, propagated=True) for each in txids]

    async with open_wallet(root_key=ROOT, database=url(tmp_path), chain="mock", services=network) as wallet:
        await wallet.internalize_action(await receipt(network))
        network.scripted.append(take)
        result = await wallet.create_action({"description": "send it later", "outputs": [pay(1000)]})
        assert [each.status for each in result.send_with_results or ()] == ["sending"]
        async with asyncio.timeout(60):
            await posted.wait()
        assert (result.txid,) in network.posts


async def test_r23_without_one_the_wallet_says_so(tmp_path: Path) -> None:
    async with open_wallet(
        root_key=ROOT, database=url(tmp_path), chain="mock", services=FakeNetwork(), background="none"
    ) as wallet:
        with pytest.raises(NoBackground):
            await wallet.create_action({"description": "send it later", "outputs": [pay(1000)]})


async def test_a_wallet_without_services_is_offline(tmp_path: Path) -> None:
    async with open_wallet(root_key=ROOT.to_hex(), database=url(tmp_path), chain="mock", background="none") as wallet:
        assert await wallet.balance() == 0
        with pytest.raises(InvalidOperation):
            await wallet.get_height()
        with pytest.raises(InvalidOperation):
            await wallet.internalize_action(await receipt(FakeNetwork()))
    with pytest.raises(InvalidOperation, match="network services"):
        async with open_wallet(root_key=ROOT, database=url(tmp_path), chain="mock", background="monitor"):
            pytest.fail("a monitor with nothing to send with must not open")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"root_key": None}, ConfigurationError),
        ({"root_key": "not a key"}, InvalidPrivateKey),
        ({"chain": "nowhere"}, ConfigurationError),
        ({"database": "sqlite:////nowhere/at/all/wallet.sqlite"}, StorageError),
        ({"migrate": False}, NotMigrated),
    ],
)
async def test_what_cannot_be_opened_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: type[Exception]
) -> None:
    for name in list(os.environ):
        if name.startswith("SDK_WALLET_"):
            monkeypatch.delenv(name)
    given = {"root_key": ROOT, "database": url(tmp_path), "chain": "mock", "background": "none", **options}
    with pytest.raises(error):
        async with open_wallet(**given):
            pytest.fail("it opened")


async def test_the_database_of_another_chain_is_refused(tmp_path: Path) -> None:
    async with open_wallet(root_key=ROOT, database=url(tmp_path), chain="mock", background="none"):
        pass
    with pytest.raises(NetworkChainMismatch):
        async with open_wallet(root_key=ROOT, database=url(tmp_path), chain="regtest", background="none"):
            pytest.fail("it opened")


async def test_a_database_that_was_given_stays_open(tmp_path: Path) -> None:
    async with await Database.open(url(tmp_path)) as database:
        for root in (ROOT, PrivateKey.from_int(8)):
            async with open_wallet(
                root_key=root, database=database, chain="mock", background="none", migrate=True
            ) as wallet:
                assert await wallet.balance() == 0


def test_settings_come_from_the_environment() -> None:
    settings = WalletSettings.load(
        environ={
            "SDK_WALLET_CHAIN": "mock",
            "SDK_WALLET_ROOT_KEY": "aa" * 32,
            "SDK_WALLET_ARC_URL": "http://127.0.0.1:1",
        }
    )
    assert settings.chain == "mock"
    assert "aaaa" not in repr(settings)
    with pytest.raises(ConfigurationError, match="SDK_WALLET_HEADERS_URL"):
        build_services(settings)
    assert build_services(WalletSettings.load(environ={"SDK_WALLET_CHAIN": "mock"})) is None


# the command


def run(home: Path, *arguments: str, ok: bool = True, **environment: str) -> str:
    """What ``sdk wallet`` prints; on failure its one line of complaint."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SDK_")}
    done = subprocess.run(
        [sys.executable, "-c", "from sdk.service.cli import main; main()", "wallet", "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        env={**clean, **environment},
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) is ok, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if ok else done.stderr


def test_the_command_makes_a_wallet_once_and_uses_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = run(home, "create", "--chain", "mock")
    key_file = home / "root.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    identity = PrivateKey.from_hex(key_file.read_text().strip()).public_key.to_hex()
    assert f"identity {identity}" in made
    assert key_file.read_text().strip() not in made
    assert run(home, "identity").strip() == identity
    assert run(home, "balance").strip() == "0"
    assert "0 of 0 actions" in run(home, "actions")
    assert "0 of 0 outputs" in run(home, "outputs")
    kept = key_file.read_text()
    assert "holds a wallet already" in run(home, "create", "--chain", "mock", ok=False)
    assert key_file.read_text() == kept


def test_the_command_gives_addresses_that_its_key_opens(tmp_path: Path) -> None:
    run(tmp_path / "home", "create", "--chain", "mock")
    given = json.loads(run(tmp_path / "home", "address"))
    root = PrivateKey.from_hex((tmp_path / "home" / "root.key").read_text().strip())
    names = (given["derivationPrefix"], given["derivationSuffix"])
    key = brc29.unlocking_key(KeyDeriver(root), given["senderIdentityKey"], *names)
    assert key.public_key.address("test") == given["address"]
    assert given["lockingScript"] == Script.from_hex(given["lockingScript"]).to_hex()


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["balance"], {"SDK_WALLET_CHAIN": "test"}, "chain"),
        (["balance"], {"SDK_WALLET_DATABASE": "sqlite:////nowhere/x.sqlite"}, "/nowhere"),
        (["balance"], {"SDK_WALLET_CHAYN": "mock"}, "SDK_WALLET_CHAIN"),
        (["pay", "02" + "ab" * 32, "5"], {}, ""),
        (["pay", "nobody", "5"], {}, "address"),
        (["pay", "mxVFsFW5N4mu1HPkxPttorvocvzeZ7KZyk", "0"], {}, "0"),
        (["pay", "mxVFsFW5N4mu1HPkxPttorvocvzeZ7KZyk", "5"], {}, "Insufficient funds"),
        (["receive", "/nowhere/tx", "--prefix", "AAAA", "--suffix", "AAAA"], {}, "nowhere"),
        (["receive", sys.executable, "--prefix", "AAAA", "--suffix", "AAAA"], {}, "tx"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, arguments: list[str], environment: dict[str, str], says: str
) -> None:
    home = tmp_path_factory.getbasetemp() / "shared home"
    if not home.exists():
        run(home, "create", "--chain", "mock")
    complaint = run(home, *arguments, ok=False, **environment)
    assert says in complaint
    assert len(complaint.strip().splitlines()) <= 4


def test_the_command_without_a_wallet_says_how_to_make_one(tmp_path: Path) -> None:
    assert "sdk wallet create" in run(tmp_path, "balance", ok=False)
