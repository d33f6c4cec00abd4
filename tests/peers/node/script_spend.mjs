// Answers one JSON request a line, {"op", ...}, with {"result"} or {"error"}: @bsv/sdk as a second opinion on scripts.
// SDK_PEER names the folder whose node_modules holds it.
import { answer, bytes, hex, rate, require } from './_driver.mjs'

const {
  PrivateKey, PublicKey, ProtoWallet, PushDrop, Spend, Transaction, TransactionSignature, Script, LockingScript, UnlockingScript, P2PKH, RPuzzle, BigNumber, Hash
} = require('@bsv/sdk')

const key = (text) => PrivateKey.fromHex(text)

function spendOf (raw, index, satoshis, locking, flags) {
  const tx = Transaction.fromHex(raw)
  const input = tx.inputs[index]
  return new Spend({
    sourceTXID: input.sourceTXID,
    sourceOutputIndex: input.sourceOutputIndex,
    sourceSatoshis: satoshis,
    lockingScript: LockingScript.fromHex(locking),
    transactionVersion: tx.version,
    otherInputs: tx.inputs.filter((_, i) => i !== index),
    outputs: tx.outputs,
    inputIndex: index,
    unlockingScript: input.unlockingScript,
    inputSequence: input.sequence,
    lockTime: tx.lockTime,
    verifyFlags: flags
  })
}

const operations = {
  spend: ({ raw, index, satoshis, locking, flags }) => spendOf(raw, index, satoshis, locking, flags).validate(),
  preimage: ({ raw, index, satoshis, code, type }) => {
    const tx = Transaction.fromHex(raw)
    const input = tx.inputs[index]
    return hex(TransactionSignature.format({
      sourceTXID: input.sourceTXID,
      sourceOutputIndex: input.sourceOutputIndex,
      sourceSatoshis: satoshis,
      transactionVersion: tx.version,
      otherInputs: tx.inputs.filter((_, i) => i !== index),
      inputIndex: index,
      outputs: tx.outputs,
      inputSequence: input.sequence,
      subscript: Script.fromHex(code),
      lockTime: tx.lockTime,
      scope: type
    }))
  },
  pushdrop_lock: async ({ root, fields, protocol, key_id: keyID, counterparty, for_self: forSelf, sign, position }) =>
    (await new PushDrop(new ProtoWallet(key(root))).lock(fields.map(bytes), protocol, keyID, counterparty, forSelf, sign, position)).toHex(),
  pushdrop_decode: ({ script, position }) => {
    const { lockingPublicKey, fields } = PushDrop.decode(LockingScript.fromHex(script), position)
    return { key: lockingPublicKey.toString(), fields: fields.map(hex) }
  },
  rpuzzle_lock: ({ value, type }) => new RPuzzle(type).lock(bytes(value)).toHex(),
  p2pkh_lock: ({ address }) => new P2PKH().lock(address).toHex(),
  rate: async ({ job, seconds, ...request }) => {
    const name = JSON.stringify([job, request])
    return await rate(prepared[name] ??= jobs[job](request), seconds)
  }
}

const prepared = {}
const jobs = {
  spend: ({ raw, satoshis, locking }) => () => {
    if (!spendOf(raw, 0, satoshis, locking).validate()) throw new Error('invalid')
  },
  pushdrop_lock: () => {
    const template = new PushDrop(new ProtoWallet(key('11'.repeat(32))))
    return async () => await template.lock([Array(40).fill(7), Array(40).fill(8)], [2, 'benchmarks'], '1', 'self')
  },
  pushdrop_decode: ({ script }) => () => PushDrop.decode(LockingScript.fromHex(script))
}

await answer(operations)
