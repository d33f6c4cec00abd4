"""ARC's error bodies (spec/arc.md §1.4)."""

from __future__ import annotations

from typing import Any

_TYPE = "https://bitcoin-sv.github.io/arc/#/errors?id=_"
_WORDS: dict[int, tuple[str, str]] = {
    400: ("Bad request", "The request seems to be malformed and cannot be processed"),
    401: ("Unauthorized", "The request is not authorized"),
    404: ("Not found", "The requested resource could not be found"),
    409: ("Generic error", "Transaction could not be processed"),
    460: ("Not extended format", "Transaction is not in extended format, missing input scripts"),
    461: ("Malformed transaction", "Transaction is malformed and cannot be processed"),
    462: ("Invalid inputs", "Transaction is invalid because the inputs are non-existent or spent"),
    463: ("Malformed transaction", "Transaction is malformed and cannot be processed"),
    464: ("Invalid outputs", "Transaction is invalid because the outputs are non-existent or invalid"),
    465: ("Fee too low", "Fees are insufficient"),
    466: ("Conflicting tx found", "Transaction is valid, but there is a conflicting tx in the block template"),
    468: ("Invalid BUMPs", "BEEF validation failed"),
    469: ("Merkle Roots validation failed", "Merkle roots in the BEEF are not those of the chain"),
    471: ("Input Frozen", "Input is frozen by policy"),
    472: ("Input Frozen", "Input is frozen by consensus"),
    473: ("Cumulative fee validation failed", "Fees of the unconfirmed ancestors are insufficient"),
    474: ("Transaction size validation failed", "Transaction is larger than the policy allows"),
    475: ("Mined ancestors not found in BUMPs", "An ancestor is neither mined nor in the BEEF"),
}


class ArcProblem(Exception):
    """An answer, not an accident: raised where a request ends, rendered by the routes."""

    def __init__(self, status: int, extra_info: str, txid: str | None = None) -> None:
        self.status, self.extra_info, self.txid = status, extra_info, txid
        super().__init__(status, extra_info, txid)

    def to_wire(self) -> dict[str, Any]:
        title, detail = _WORDS[self.status]
        return {
            "type": f"{_TYPE}{self.status}",
            "title": title,
            "status": self.status,
            "detail": detail,
            "instance": None,
            "txid": self.txid,
            "extraInfo": f"arc error {self.status}: {self.extra_info}",
        }
