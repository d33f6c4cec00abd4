"""Special operations of listOutputs and listActions: named and answered as by @bsv/wallet-toolbox (§1.19)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sdk.core import wallet as names
from sdk.core.errors import InvalidParameter
from support.peers import Peer, PeerError
from support.wallet_rig import WalletRig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

OURS = {
    "specOpWalletBalance": names.WALLET_BALANCE,
    "specOpInvalidChange": names.INVALID_CHANGE,
    "specOpSetWalletChangeParams": names.SET_CHANGE_PARAMS,
    "specOpNoSendActions": names.NO_SEND_ACTIONS,
    "specOpFailedActions": names.FAILED_ACTIONS,
    "specOpThrowReviewActions": names.THROW_REVIEW_ACTIONS,
}


@pytest.fixture(scope="module")
def toolbox() -> Iterator[Peer]:
    with Peer.node("special_operations") as peer:
        yield peer


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[WalletRig]:
    rig = await WalletRig.open(tmp_path)
    yield rig
    await rig.close()


def test_there_are_no_others(toolbox: Peer) -> None:
    assert toolbox.call("names") == OURS


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("listOutputs", {"basket": names.WALLET_BALANCE}),
        ("listOutputs", {"basket": "default", "tags": [names.WALLET_BALANCE]}),
        ("listOutputs", {"basket": "balance default"}),
        ("listOutputs", {"basket": names.SET_CHANGE_PARAMS, "tags": ["5", "1000"]}),
        ("listActions", {"labels": [names.NO_SEND_ACTIONS]}),
        ("listActions", {"labels": [names.NO_SEND_ACTIONS, "abort"]}),
        ("listActions", {"labels": [names.FAILED_ACTIONS]}),
        ("listActions", {"labels": [names.FAILED_ACTIONS, "unfail"]}),
    ],
)
async def test_a_new_wallet_answers_as_the_toolbox_does(
    toolbox: Peer, rig: WalletRig, method: str, args: dict[str, Any]
) -> None:
    ours = {"listOutputs": rig.wallet.list_outputs, "listActions": rig.wallet.list_actions}[method]
    result = (await ours(args)).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert result == toolbox.call("call", method=method, args=args)


@pytest.mark.parametrize("tags", [["5"], ["5", "x"]])
async def test_both_refuse_change_that_is_no_two_numbers(toolbox: Peer, rig: WalletRig, tags: list[str]) -> None:
    args = {"basket": names.SET_CHANGE_PARAMS, "tags": tags}
    with pytest.raises(PeerError):
        toolbox.call("call", method="listOutputs", args=args)
    with pytest.raises(InvalidParameter):
        await rig.wallet.list_outputs(args)
