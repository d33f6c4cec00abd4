"""Killed at any moment of setting secrets and rotating keys, a store loses nothing that it has confirmed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sdk.module_runtime.orchestrator.secrets.key_sources import create_key, load_keys
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.secrets.redaction import SecretRegistry
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from support.databases import empty_database

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("SDK_KILLS", "3"))
PROGRAM = """
import asyncio, sys
from sdk.module_runtime.orchestrator.secrets.key_sources import load_keys
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.secrets.redaction import SecretRegistry
from sdk.service.database import Database

async def main(url, schema, source, number):
    async with await Database.open(url, schema=schema or None) as database:
        store = await SecretStore.open(database, load_keys(source), registry=SecretRegistry())
        while True:
            number += 1
            await store.set({"A": f"value {number}", "B": f"value {number}"}, actor="operator:test")
            print(number, flush=True)
            await store.rekey(source, actor="operator:test")

url, schema, source, number = sys.argv[1:]
asyncio.run(main(url, schema, source, int(number)))
"""


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_a_killed_store_opens_with_its_key_file_and_has_what_was_confirmed(dialect: str, tmp_path: Path) -> None:
    source, chance, confirmed = f"file:{tmp_path}/key", random.Random(dialect), 0
    create_key(source)
    with empty_database(dialect, tmp_path) as (url, schema):
        async with await Database.open(url, schema=schema) as database:
            await upgrade(database, [MIGRATIONS])
        for _ in range(KILLS):
            confirmed = _killed([url, schema or "", source, str(confirmed)], chance) or confirmed
            async with await Database.open(url, schema=schema) as database:
                store = await SecretStore.open(database, load_keys(source), registry=SecretRegistry())
                values = {await store.read(name, actor="operator:test") for name in await store.names()}
                assert len(values) == 1, "both or neither"
                assert int(values.pop().split()[1]) in (confirmed, confirmed + 1)
                await store.rekey(source, actor="operator:test")
                assert len((tmp_path / "key").read_text().split()) == 1


def _killed(arguments: list[str], chance: random.Random) -> int:
    """The last number that the program has confirmed before it was killed."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = 0
        for _ in range(chance.randint(2, 6)):
            last = int(process.stdout.readline())
        for _ in range(chance.randint(0, 200_000)):  # some part of what comes next, without a clock
            pass
        process.kill()
        rest = process.stdout.read().split()
        return int(rest[-1]) if rest else last
