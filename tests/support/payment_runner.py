"""A wallet that pays, and later the work of a monitor, in a child that may be killed.

``job``: *pay* sends one payment at once and queues a data output; *receive* takes one in; *recover* does what a monitor
does, ``minutes`` later than it really is. ``environ`` points the wallet at its database and its devnet.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from sdk.core.errors import SdkError
from sdk.service.database import Database, postgresql, sqlite
from sdk.service.http_client import HttpClient
from sdk.wallet import open_wallet
from sdk.wallet.monitoring import WalletBackend
from sdk.wallet.script.templates import data
from sdk.wallet.services.composition import build_services
from sdk.wallet.settings import WalletSettings
from support.forked import main

PRELOADED = (sqlite, postgresql, structlog)
"""Otherwise imported when a database is opened or something is logged: by each child."""


async def work(given: dict[str, Any]) -> None:
    await {"pay": _pay, "receive": _receive, "recover": _recover}[given["job"]](given)


async def _pay(given: dict[str, Any]) -> None:
    settings = WalletSettings.load(environ=given["environ"])
    async with open_wallet(root_key=given["key"], settings=settings, background="external", migrate=False) as wallet:
        output = {"lockingScript": given["script"], "satoshis": given["satoshis"], "outputDescription": "a payment"}
        options = {"acceptDelayedBroadcast": False, "randomizeOutputs": False}
        await wallet.create_action({"description": "pay somebody", "outputs": [output], "options": options})
        note = {"lockingScript": data.lock([b"hello"]).to_hex(), "satoshis": 0, "outputDescription": "a message"}
        await wallet.create_action({"description": "write a message", "outputs": [note]})


async def _receive(given: dict[str, Any]) -> None:
    settings = WalletSettings.load(environ=given["environ"])
    async with open_wallet(root_key=given["key"], settings=settings, background="external", migrate=False) as wallet:
        args = {"tx": bytes.fromhex(given["tx"]), "description": "funding", "outputs": given["outputs"]}
        await wallet.internalize_action(args)


async def _recover(given: dict[str, Any]) -> None:
    settings = WalletSettings.load(environ=given["environ"])
    services = build_services(settings)
    if services is None:
        raise SdkError("the environment names no services")
    later = timedelta(minutes=given["minutes"])
    try:
        async with (
            await Database.open(settings.database) as database,
            HttpClient(given["devnet"], service="devnet") as devnet,
        ):
            backend = WalletBackend(database, services, clock=lambda: datetime.now(UTC) + later)
            await backend.send_waiting(min_age=timedelta(0), limit=100)
            await devnet.post_json("/mine", {})
            tip = await backend.tip()
            await backend.follow_tip(tip)
            await backend.check_for_proofs(up_to_height=tip.height, limit=100)
            await backend.fail_abandoned(older_than=timedelta(minutes=5), limit=100)
    finally:
        await services.close()


if __name__ == "__main__":
    main(work)
