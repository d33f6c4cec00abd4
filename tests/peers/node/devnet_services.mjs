// Answers one JSON request a line, {"op", ...}, with {"result"} or {"error"}: the service clients of @bsv/sdk, pointed
// at a devnet. SDK_PEER names the folder whose node_modules holds it.
import { answer, require } from './_driver.mjs'

const { ARC, Beef, LockingScript, MerklePath, P2PKH, PrivateKey, Transaction, WhatsOnChain, WhatsOnChainBroadcaster } =
  require('@bsv/sdk')

const tracker = (url) => Object.assign(new WhatsOnChain('test'), { URL: url })
const key = (hex) => PrivateKey.fromHex(hex)

// Spends one output of an AtomicBEEF to `lock`, with change and a fee of 1 satoshi for 1000 bytes or more.
async function payment ({ beef, vout, key: secret, lock, satoshis }) {
  const source = Transaction.fromAtomicBEEF(Array.from(Buffer.from(beef, 'hex')))
  const tx = new Transaction()
  tx.addInput({
    sourceTransaction: source,
    sourceOutputIndex: vout,
    unlockingScriptTemplate: new P2PKH().unlock(key(secret))
  })
  tx.addOutput({ lockingScript: LockingScript.fromHex(lock), satoshis })
  tx.addOutput({ lockingScript: new P2PKH().lock(key(secret).toPublicKey().toAddress()), change: true })
  await tx.fee()
  await tx.sign()
  return tx
}

const shown = (tx) => ({ txid: tx.id('hex'), hex: tx.toHex(), beef: Buffer.from(tx.toAtomicBEEF()).toString('hex') })

const operations = {
  lock: ({ key: secret }) => new P2PKH().lock(key(secret).toPublicKey().toAddress()).toHex(),
  async pay ({ arc, headers, ...request }) {
    const tx = await payment(request)
    const verified = await tx.verify(tracker(headers))
    return { ...shown(tx), verified, answer: await tx.broadcast(new ARC(arc)) }
  },
  async payTogether ({ arc, payments }) {
    const txs = await Promise.all(payments.map(payment))
    return { txs: txs.map(shown), answers: await new ARC(arc).broadcastMany(txs) }
  },
  async payByWhatsOnChain ({ url, ...request }) {
    const tx = await payment(request)
    const broadcaster = Object.assign(new WhatsOnChainBroadcaster('test'), { URL: url + '/tx/raw' })
    return { ...shown(tx), answer: await tx.broadcast(broadcaster) }
  },
  height: ({ headers }) => tracker(headers).currentHeight(),
  proves: async ({ headers, path, txid }) => await MerklePath.fromHex(path).verify(txid, tracker(headers)),
  beefIsValid: async ({ headers, beef }) => await Beef.fromString(beef, 'hex').verify(tracker(headers), false)
}

await answer(operations)
