// Answers one JSON request a line: @bsv/sdk's WalletWireTransceiver, WalletWireProcessor and HTTP substrates.
// SDK_PEER names the folder whose node_modules holds it. A frame travels as hex.
import { answer, bytes, hex, require } from './_driver.mjs'

const { WalletWireTransceiver, WalletWireProcessor, HTTPWalletJSON, HTTPWalletWire } = require('@bsv/sdk')

// A wallet that notes what it was asked, and gives the answer it was told to, or throws it.
const scripted = (answer, error) => {
  const asked = []
  const wallet = new Proxy({}, {
    get: (_, method) => async (args, originator) => {
      asked.push({ method, args, originator })
      if (error !== undefined) throw Object.assign(new Error(error.message), error)
      return answer
    }
  })
  return { wallet, asked }
}

const failure = (error) => ({ name: error.name, code: error.code, message: error.message, parameter: error.parameter, ...error })

const outcome = async (call) => {
  try {
    return { result: await call() }
  } catch (error) {
    return { failed: failure(error) }
  }
}

const operations = {
  // its transceiver writes a request
  write: async ({ method, args, originator }) => {
    let frame
    const wire = { transmitToWallet: async (message) => { frame = hex(message); throw new Error('no answer') } }
    await outcome(async () => await new WalletWireTransceiver(wire)[method](args, originator))
    return frame
  },
  // its transceiver reads our answer
  read: async ({ method, args, frame }) => {
    const wire = { transmitToWallet: async () => bytes(frame) }
    return await outcome(async () => await new WalletWireTransceiver(wire)[method](args, 'app.example'))
  },
  // its processor reads our request and writes an answer
  process: async ({ frame, answer, error }) => {
    const { wallet, asked } = scripted(answer, error)
    const reply = await new WalletWireProcessor(wallet).transmitToWallet(bytes(frame))
    return { frame: hex(reply), asked: asked[0] }
  },
  // its HTTP substrates ask our server
  http: async ({ url, speaks, method, args, originator }) => {
    const wallet = speaks === 'json'
      ? new HTTPWalletJSON(originator, url)
      : new WalletWireTransceiver(new HTTPWalletWire(originator, url))
    return await outcome(async () => await wallet[method](args, originator))
  }
}

await answer(operations)
