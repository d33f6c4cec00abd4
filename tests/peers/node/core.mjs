// Answers one JSON request a line, {"op", ...}, with {"result"} or {"error"}: @bsv/sdk as a second opinion on the
// protocol types. SDK_PEER names the folder whose node_modules holds it.
import { answer, bytes, hex, rate, require } from './_driver.mjs'

const { Transaction, MerklePath, Beef, Script, LockingScript, UnlockingScript } = require('@bsv/sdk')

// Rebuilt from its parts, so that nothing comes back only because it was kept.
function rebuilt (tx) {
  const inputs = tx.inputs.map((i) => ({
    sourceTXID: i.sourceTXID,
    sourceOutputIndex: i.sourceOutputIndex,
    unlockingScript: UnlockingScript.fromHex(i.unlockingScript.toHex()),
    sequence: i.sequence
  }))
  const outputs = tx.outputs.map((o) => ({ satoshis: o.satoshis, lockingScript: LockingScript.fromHex(o.lockingScript.toHex()) }))
  return new Transaction(tx.version, inputs, outputs, tx.lockTime)
}

const shown = (tx) => ({
  txid: tx.id('hex'),
  version: tx.version,
  lock_time: tx.lockTime,
  inputs: tx.inputs.map((i) => [i.sourceTXID, i.sourceOutputIndex, i.unlockingScript.toHex(), i.sequence]),
  outputs: tx.outputs.map((o) => [o.satoshis, o.lockingScript.toHex()]),
  hex: rebuilt(tx).toHex()
})

const operations = {
  transaction: ({ hex }) => shown(Transaction.fromHex(hex)),
  extended: ({ hex: text }) => {
    const tx = Transaction.fromHexEF(text)
    return {
      hex: tx.toHex(),
      extended: tx.toHexEF(),
      sources: tx.inputs.map((i) => {
        const output = i.sourceTransaction.outputs[i.sourceOutputIndex]
        return [output.satoshis, output.lockingScript.toHex()]
      })
    }
  },
  path: ({ hex }) => {
    const path = MerklePath.fromHex(hex)
    return { height: path.blockHeight, root: path.computeRoot(), hex: path.toHex() }
  },
  combine: ({ one, two }) => {
    const path = MerklePath.fromHex(one)
    path.combine(MerklePath.fromHex(two))
    return path.toHex()
  },
  extract: ({ hex, txids }) => MerklePath.fromHex(hex).extract(txids).toHex(),
  beef: ({ hex: text }) => {
    const beef = Beef.fromBinary(bytes(text))
    const { valid, roots } = beef.verifyValid(true)
    return {
      txids: beef.txs.map((t) => t.txid).sort(),
      atomic: beef.atomicTxid ?? null,
      valid,
      strictly: beef.clone().verifyValid(false).valid,
      roots,
      hex: hex(Beef.fromBinary(bytes(text)).toBinary())
    }
  },
  merge: ({ beefs, transactions, paths }) => {
    const beef = new Beef()
    for (const each of paths) beef.mergeBump(MerklePath.fromHex(each))
    for (const each of transactions) beef.mergeRawTx(bytes(each))
    for (const each of beefs) beef.mergeBeef(bytes(each))
    return hex(beef.toBinary())
  },
  atomic: ({ hex: text, txid }) => hex(Beef.fromBinary(bytes(text)).toBinaryAtomic(txid)),
  assembly: ({ hex }) => Script.fromHex(hex).toASM(),
  assemble: ({ asm }) => Script.fromASM(asm).toHex(),
  // Benchmarks: how many times a second `work` runs on `hex`, after a warm-up.
  rate: async ({ work, hex, txid, seconds }) => await rate(prepared(work, hex, txid), seconds)
}

const jobs = new Map()
const prepared = (work, hex, txid) => {
  const name = `${work} ${hex}`
  if (!jobs.has(name)) jobs.set(name, job(work, hex, txid))
  return jobs.get(name)
}

const job = (work, hex, txid) => {
  const data = Uint8Array.from(Buffer.from(hex, 'hex'))
  const path = work === 'path root' || work === 'path serialise' ? MerklePath.fromHex(hex) : null
  return {
    transaction: () => rebuildless(Transaction.fromBinary(Array.from(data))),
    beef: () => Beef.fromBinary(data).verifyValid(true),
    'path parse': () => MerklePath.fromBinary(data),
    'path root': () => path.computeRoot(txid),
    'path serialise': () => path.toBinary()
  }[work]
}

const rebuildless = (tx) => tx.toBinary()

await answer(operations)
