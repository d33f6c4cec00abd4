"""What only a local chain has: a faucet, blocks and reorgs on demand, faults, and its state in one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from aiohttp import web
from pydantic import Field, ValidationError

from sdk.core.encodings import MAX_SATOSHIS
from sdk.core.errors import BadRequest, InvalidParameter, MissingParameter
from sdk.core.script import Script
from sdk.core.wire import WireModel
from sdk.devnet.devnet import MAX_BLOCKS_AT_ONCE
from sdk.devnet.faults import Fault
from sdk.wallet.keys.address import Address
from sdk.wallet.script.templates import p2pkh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.devnet.chain.block import Block
    from sdk.devnet.devnet import Devnet

MAX_SCRIPT_HEX = 1_000_000
MAX_ADDRESS = 100
MAX_OUTPUTS = 1_000
Count = Annotated[int, Field(ge=0, le=MAX_BLOCKS_AT_ONCE, strict=True)]


class FaucetRequest(WireModel):
    """``count`` outputs of ``satoshis`` each to a locking script or an address; mined at once with ``mine``."""

    locking_script: str | None = Field(default=None, max_length=MAX_SCRIPT_HEX)
    address: str | None = Field(default=None, max_length=MAX_ADDRESS)
    satoshis: int = Field(ge=1, le=MAX_SATOSHIS, strict=True)
    count: int = Field(default=1, ge=1, le=MAX_OUTPUTS, strict=True)
    mine: bool = False

    def script(self) -> Script:
        """Raises ``MissingParameter``, ``InvalidParameter`` or ``ParseError``."""
        if self.locking_script is not None and self.address is not None:
            raise InvalidParameter("address", "left out where there is a lockingScript")
        if self.address is not None:
            address = Address.parse(self.address)
            if address.network != "test":
                raise InvalidParameter("address", "one of a test network: it begins with m or n")
            return p2pkh.lock(address.public_key_hash)
        if self.locking_script is None:
            raise MissingParameter("lockingScript", "Give a lockingScript (hex) or an address.")
        return Script.from_hex(self.locking_script)


class MineRequest(WireModel):
    blocks: Count = 1


class ReorgRequest(WireModel):
    """``remine`` puts what was removed into one more block."""

    depth: Annotated[int, Field(ge=1, le=MAX_BLOCKS_AT_ONCE, strict=True)] = 1
    remine: bool = False


Body = TypeVar("Body", bound=WireModel)


class AdminRoutes:
    def __init__(self, devnet: Devnet) -> None:
        self._devnet = devnet

    def table(self) -> list[web.RouteDef]:
        return [
            web.post("/faucet", self.faucet, name="admin.faucet"),
            web.post("/mine", self.mine, name="admin.mine"),
            web.post("/reorg", self.reorg, name="admin.reorg"),
            web.get("/status", self.status, name="admin.status", allow_head=False),
            web.post("/faults", self.add_fault, name="admin.add-fault"),
            web.get("/faults", self.list_faults, name="admin.list-faults", allow_head=False),
            web.delete("/faults", self.clear_faults, name="admin.clear-faults"),
        ]

    async def faucet(self, request: web.Request) -> web.Response:
        body = await _read(request, FaucetRequest)
        funding = self._devnet.fund(body.script(), body.satoshis, count=body.count, mine=body.mine)
        return web.json_response(
            {
                "txid": funding.txid,
                "outputIndex": funding.output_index,
                "satoshis": body.satoshis,
                "tx": funding.beef.hex(),
            }
        )

    async def mine(self, request: web.Request) -> web.Response:
        body = await _read(request, MineRequest)
        return self._moved(self._devnet.mine(body.blocks))

    async def reorg(self, request: web.Request) -> web.Response:
        body = await _read(request, ReorgRequest)
        return self._moved(self._devnet.reorg(body.depth, remine=body.remine))

    async def status(self, _request: web.Request) -> web.Response:
        return web.json_response(status_members(self._devnet))

    async def add_fault(self, request: web.Request) -> web.Response:
        self._devnet.faults.add(await _read(request, Fault))
        return await self.list_faults(request)

    async def list_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": [each.to_wire() for each in self._devnet.faults.armed()]})

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._devnet.faults.clear()
        return await self.list_faults(request)

    def _moved(self, blocks: Sequence[Block]) -> web.Response:
        return web.json_response({**status_members(self._devnet), "blocks": [each.hash for each in blocks]})


def status_members(devnet: Devnet) -> dict[str, Any]:
    chain = devnet.chain
    return {
        "chain": chain.policy.chain.name,
        "height": chain.height,
        "tip": chain.tip.hash,
        "chainWork": f"{chain.tip.chain_work:064x}",
        "mempool": {"transactions": len(chain.mempool), "bytes": chain.mempool.bytes},
        "orphans": len(chain.orphans),
        "fee": {"satoshis": chain.policy.fee_satoshis, "bytes": chain.policy.fee_bytes},
    }


async def _read(request: web.Request, model: type[Body]) -> Body:
    """An empty body takes the defaults. Raises ``InvalidParameter`` naming the member, or ``BadRequest``."""
    try:
        return model.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(map(str, first["loc"]))
        if not name:
            raise BadRequest(f"the body must be a JSON object: {first['msg']}") from None
        raise InvalidParameter(name, f"valid: {first['msg']}") from None
