// Answers one JSON request a line: @bsv/sdk as judge of the transactions the wallet makes.
// SDK_PEER names the folder whose node_modules holds it.
import { answer, bytes, require } from './_driver.mjs'

const { Beef, Transaction, Spend } = require('@bsv/sdk')

const tracker = (roots, height) => ({
  isValidRootForHeight: async (root, at) => roots[at] === root,
  currentHeight: async () => height
})

const operations = {
  verify: async ({ beef, roots, height, fee }) => {
    const tx = Transaction.fromAtomicBEEF(bytes(beef))
    // A rate in satoshis per kilobyte is judged through the fee it pays: @bsv/sdk compares with a fee model of its own.
    const verified = await tx.verify(tracker(roots, height))
    const paid = tx.inputs.reduce((sum, input) => sum + input.sourceTransaction.outputs[input.sourceOutputIndex].satoshis, 0) -
      tx.outputs.reduce((sum, output) => sum + output.satoshis, 0)
    return { verified, txid: tx.id('hex'), fee: paid, raw: tx.toHex() }
  },
  beef: async ({ beef, roots, height }) => {
    const parsed = Beef.fromBinary(bytes(beef))
    return { verified: await parsed.verify(tracker(roots, height)), atomic: parsed.atomicTxid }
  },
  spends: ({ beef }) => {
    const tx = Transaction.fromAtomicBEEF(bytes(beef))
    return tx.inputs.map((input, inputIndex) => new Spend({
      sourceTXID: input.sourceTransaction.id('hex'),
      sourceOutputIndex: input.sourceOutputIndex,
      sourceSatoshis: input.sourceTransaction.outputs[input.sourceOutputIndex].satoshis,
      lockingScript: input.sourceTransaction.outputs[input.sourceOutputIndex].lockingScript,
      transactionVersion: tx.version,
      otherInputs: tx.inputs.filter((_, i) => i !== inputIndex),
      outputs: tx.outputs,
      inputIndex,
      unlockingScript: input.unlockingScript,
      inputSequence: input.sequence,
      lockTime: tx.lockTime
    }).validate())
  }
}

await answer(operations)
