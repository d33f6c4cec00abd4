"""Calls 1 to 7: actions and outputs (BRC-100, binary form)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.core.encodings import varint
from sdk.core.errors import InvalidParameter
from sdk.core.wallet_wire.codecs import (
    ABSENT,
    BOOLEAN,
    BYTES,
    DATA64,
    FLAG,
    KEY,
    NAMES,
    NUMBER,
    OUTPOINT,
    SCRIPT,
    SIGNED,
    STRING,
    TXID,
    ActionTxid,
    ListOf,
    MapOf,
    MaybeOneOf,
    OneOf,
    OrAbsent,
    OrEmpty,
    OrZero,
    Rest,
    UntilEnd,
)
from sdk.core.wallet_wire.forms import BASE64
from sdk.core.wallet_wire.layout import Choice, Part, Struct, members

if TYPE_CHECKING:
    from sdk.core.encodings import Reader
    from sdk.core.wallet import CreateActionInput, InternalizeOutput

_TXIDS, _OUTPOINTS = OrAbsent(ListOf(TXID, 32)), OrAbsent(ListOf(OUTPOINT, 33))


class _Unlocking(Part):
    """The unlocking script, or -1 and the length it will have."""

    def write(self, model: Any) -> bytes:
        given: CreateActionInput = model
        if given.unlocking_script is not None:
            return SCRIPT.write(given.unlocking_script, "unlockingScript")
        if given.unlocking_script_length is None:
            raise InvalidParameter("unlockingScript", "present, or unlockingScriptLength")
        return ABSENT + varint(given.unlocking_script_length)

    def read(self, reader: Reader, into: dict[str, Any]) -> None:
        script = OrAbsent(SCRIPT).read(reader, "unlockingScript")
        if script is None:
            into["unlocking_script_length"] = NUMBER.read(reader, "unlockingScriptLength")
        else:
            into["unlocking_script"] = script


CREATE_ACTION = members(
    description=STRING,
    input_beef=OrAbsent(BYTES),
    inputs=OrAbsent(
        ListOf(
            Struct(
                *members(outpoint=OUTPOINT),
                _Unlocking(),
                *members(input_description=STRING, sequence_number=OrAbsent(NUMBER)),
            ),
            36,
        )
    ),
    outputs=OrAbsent(
        ListOf(
            Struct(
                *members(
                    locking_script=SCRIPT,
                    satoshis=NUMBER,
                    output_description=STRING,
                    basket=OrAbsent(STRING),
                    custom_instructions=OrAbsent(STRING),
                    tags=OrAbsent(NAMES),
                )
            ),
            6,
        )
    ),
    lock_time=OrAbsent(NUMBER),
    version=OrAbsent(NUMBER),
    labels=OrAbsent(NAMES),
    options=OrZero(
        Struct(
            *members(
                sign_and_process=FLAG,
                accept_delayed_broadcast=FLAG,
                trust_self=MaybeOneOf({"known": 1}),
                known_txids=_TXIDS,
                return_txid_only=FLAG,
                no_send=FLAG,
                no_send_change=_OUTPOINTS,
                send_with=_TXIDS,
                randomize_outputs=FLAG,
            )
        )
    ),
)

_SEND_WITH_RESULTS = OrAbsent(
    ListOf(Struct(*members(txid=TXID, status=OneOf({"unproven": 1, "sending": 2, "failed": 3}))), 33)
)
CREATE_ACTION_RESULT = members(
    txid=OrZero(TXID),
    tx=OrZero(BYTES),
    no_send_change=_OUTPOINTS,
    send_with_results=_SEND_WITH_RESULTS,
    signable_transaction=OrZero(Struct(*members(tx=BYTES, reference=DATA64))),
)

SIGN_ACTION = members(
    spends=MapOf(NUMBER, Struct(*members(unlocking_script=SCRIPT, sequence_number=OrAbsent(NUMBER))), 100_000),
    reference=DATA64,
    options=OrZero(
        Struct(*members(accept_delayed_broadcast=FLAG, return_txid_only=FLAG, no_send=FLAG, send_with=_TXIDS))
    ),
)
SIGN_ACTION_RESULT = members(txid=OrZero(TXID), tx=OrZero(BYTES), send_with_results=_SEND_WITH_RESULTS)

ABORT_ACTION = members(reference=Rest(BASE64))

LIST_ACTIONS = members(
    labels=NAMES,
    label_query_mode=MaybeOneOf({"any": 1, "all": 2}),
    include_labels=FLAG,
    include_inputs=FLAG,
    include_input_source_locking_scripts=FLAG,
    include_input_unlocking_scripts=FLAG,
    include_outputs=FLAG,
    include_output_locking_scripts=FLAG,
    limit=OrAbsent(NUMBER),
    offset=OrAbsent(NUMBER),
    seek_permission=FLAG,
)
_STATUSES = ("completed", "unprocessed", "sending", "unproven", "unsigned", "nosend", "nonfinal", "failed")
_ACTION_INPUT = Struct(
    *members(
        source_outpoint=OUTPOINT,
        source_satoshis=NUMBER,
        source_locking_script=OrAbsent(SCRIPT),
        unlocking_script=OrAbsent(SCRIPT),
        input_description=STRING,
        sequence_number=NUMBER,
    )
)
_ACTION_OUTPUT = Struct(
    *members(
        output_index=NUMBER,
        satoshis=NUMBER,
        locking_script=OrAbsent(SCRIPT),
        spendable=BOOLEAN,
        output_description=STRING,
        basket=OrAbsent(STRING),
        tags=OrAbsent(NAMES),
        custom_instructions=OrAbsent(STRING),
    )
)
LIST_ACTIONS_RESULT = members(
    total_actions=NUMBER,
    actions=UntilEnd(
        Struct(
            *members(
                txid=ActionTxid(),
                satoshis=SIGNED,
                status=OneOf({status: code for code, status in enumerate(_STATUSES, 1)}),
                is_outgoing=BOOLEAN,
                description=STRING,
                labels=OrAbsent(NAMES),
                version=NUMBER,
                lock_time=NUMBER,
                inputs=OrAbsent(ListOf(_ACTION_INPUT, 38)),
                outputs=OrAbsent(ListOf(_ACTION_OUTPUT, 8)),
            )
        )
    ),
)


def _protocol(output: InternalizeOutput) -> int:
    return 1 if output.protocol == "wallet payment" else 2


_PAYMENT = Struct(*members(sender_identity_key=KEY, derivation_prefix=DATA64, derivation_suffix=DATA64))
_INSERTION = Struct(*members(basket=STRING, custom_instructions=OrAbsent(STRING), tags=OrEmpty(NAMES, ())))
INTERNALIZE_ACTION = members(
    tx=BYTES,
    outputs=ListOf(
        Struct(
            *members(output_index=NUMBER),
            Choice(
                "protocol",
                _protocol,
                {
                    1: ({"protocol": "wallet payment"}, members(payment_remittance=_PAYMENT)),
                    2: ({"protocol": "basket insertion"}, members(insertion_remittance=_INSERTION)),
                },
            ),
        ),
        5,
    ),
    labels=OrAbsent(NAMES),
    description=STRING,
    seek_permission=FLAG,
)

LIST_OUTPUTS = members(
    basket=STRING,
    tags=OrEmpty(NAMES, ()),
    tag_query_mode=MaybeOneOf({"all": 1, "any": 2}),
    include=MaybeOneOf({"locking scripts": 1, "entire transactions": 2}),
    include_custom_instructions=FLAG,
    include_tags=FLAG,
    include_labels=FLAG,
    limit=OrAbsent(NUMBER),
    offset=OrAbsent(SIGNED),
    seek_permission=FLAG,
)


class _Spendable(Part):
    """Not on the wire: what listOutputs gives is spendable."""

    def write(self, model: Any) -> bytes:
        return b""

    def read(self, reader: Reader, into: dict[str, Any]) -> None:
        into["spendable"] = True


LIST_OUTPUTS_RESULT = members(
    total_outputs=NUMBER,
    beef=OrAbsent(BYTES),
    outputs=UntilEnd(
        Struct(
            *members(
                outpoint=OUTPOINT,
                satoshis=NUMBER,
                locking_script=OrAbsent(SCRIPT),
                custom_instructions=OrAbsent(STRING),
                tags=OrAbsent(NAMES),
                labels=OrAbsent(NAMES),
            ),
            _Spendable(),
        )
    ),
)
RELINQUISH_OUTPUT = members(basket=STRING, output=OUTPOINT)
