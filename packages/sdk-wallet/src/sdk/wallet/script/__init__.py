"""Scripts: signature hashes, templates, the interpreter, and the proof that a transaction is good (SPV)."""

from sdk.wallet.script.errors import ScriptError, ScriptFailure, SpvError, SpvFailure
from sdk.wallet.script.flags import CONSENSUS, STANDARD, ScriptFlags
from sdk.wallet.script.interpreter import verify_script
from sdk.wallet.script.sighash import SignatureHasher, signature_hash

__all__ = [
    "CONSENSUS",
    "STANDARD",
    "ScriptError",
    "ScriptFailure",
    "ScriptFlags",
    "SignatureHasher",
    "SpvError",
    "SpvFailure",
    "signature_hash",
    "verify_script",
]
