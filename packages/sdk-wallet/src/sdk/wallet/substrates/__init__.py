"""How applications reach a wallet: the BRC-100 binary wire and HTTP JSON, client and server."""

from sdk.wallet.substrates.client import USUAL_PLACES, Place, WalletClient
from sdk.wallet.substrates.http_client import HttpWalletJson, HttpWalletWire, HttpWire
from sdk.wallet.substrates.http_server import wallet_app
from sdk.wallet.substrates.processor import WalletWireProcessor
from sdk.wallet.substrates.remote import RemoteWallet
from sdk.wallet.substrates.transceiver import WalletWireTransceiver

__all__ = [
    "USUAL_PLACES",
    "HttpWalletJson",
    "HttpWalletWire",
    "HttpWire",
    "Place",
    "RemoteWallet",
    "WalletClient",
    "WalletWireProcessor",
    "WalletWireTransceiver",
    "wallet_app",
]
