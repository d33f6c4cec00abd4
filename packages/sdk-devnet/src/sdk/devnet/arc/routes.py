"""ARC's endpoints (spec/arc.md §1.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.devnet.arc.bodies import read_payloads
from sdk.devnet.arc.options import parse_options
from sdk.devnet.arc.problems import ArcProblem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.devnet.arc.service import ArcService

    Handler = Callable[[web.Request], Awaitable[web.Response]]

VERSION = "v1.4.2"  # of the ARC whose answers these are
_TXID = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class ArcRoutes:
    """Handlers over one ``ArcService``; route names are what faults are aimed at."""

    def __init__(self, service: ArcService) -> None:
        self._service = service

    def table(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/tx", self._guarded(self.submit), name="arc.submit"),
            web.post("/v1/txs", self._guarded(self.submit_batch), name="arc.submit-batch"),
            web.get("/v1/tx/{txid}", self._guarded(self.status), name="arc.status", allow_head=False),
            web.get("/v1/policy", self._guarded(self.policy), name="arc.policy", allow_head=False),
            web.get("/v1/health", self._guarded(self.health), name="arc.health", allow_head=False),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        options = parse_options(request.headers, self._service.settings.refused_callback_urls)
        payloads = read_payloads(request.headers.get("Content-Type", ""), await request.read(), batch=False)
        answer = (await self._service.submit(payloads, options))[0]  # ARC tells of the first only
        return web.json_response(answer, status=answer["status"])

    async def submit_batch(self, request: web.Request) -> web.Response:
        options = parse_options(request.headers, self._service.settings.refused_callback_urls)
        payloads = read_payloads(request.headers.get("Content-Type", ""), await request.read(), batch=True)
        most = self._service.settings.max_batch
        if not 1 <= len(payloads) <= most:
            raise ArcProblem(400, f"a batch has 1 to {most} transactions, not {len(payloads)}")
        return web.json_response(await self._service.submit(payloads, options))

    async def status(self, request: web.Request) -> web.Response:
        txid = request.match_info["txid"]
        record = self._service.registry.get(txid.lower()) if _TXID.fullmatch(txid) else None
        if record is None:
            raise ArcProblem(404, "transaction not found", txid[:64])
        return web.json_response(self._service.registry.answer(record))

    async def policy(self, _request: web.Request) -> web.Response:
        return web.json_response(self._service.policy())

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"healthy": True, "reason": None, "version": VERSION})

    def _guarded(self, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            try:
                self._authorize(request)
                return await handler(request)
            except ArcProblem as problem:
                return web.json_response(problem.to_wire(), status=problem.status)

        return answer

    def _authorize(self, request: web.Request) -> None:
        key = self._service.settings.api_key
        if key is None:
            return
        if f"Bearer {key}" != request.headers.get("Authorization") and key != request.headers.get("Api-Key"):
            raise ArcProblem(401, "the api key is missing or wrong")
