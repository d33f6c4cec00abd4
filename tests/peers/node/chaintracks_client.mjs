// Answers one JSON request a line: ChaintracksServiceClient of @bsv/wallet-toolbox calls the server at `url`.
// SDK_PEER names the folder whose node_modules holds it.
import { answer, require } from './_driver.mjs'

const { ChaintracksServiceClient, ChaintracksChainTracker } = require('@bsv/wallet-toolbox')

const operations = {
  call: async ({ url, method, args }) => {
    const value = await new ChaintracksServiceClient('mock', url)[method](...args)
    return value === undefined ? null : value
  },
  methods: async () => Object.getOwnPropertyNames(ChaintracksServiceClient.prototype),
  tracker: async ({ url, root, height }) => {
    const tracker = new ChaintracksChainTracker('test', new ChaintracksServiceClient('test', url))
    return { valid: await tracker.isValidRootForHeight(root, height), height: await tracker.currentHeight() }
  },
  get: async ({ url }) => {
    const answer = await fetch(url)
    return { status: answer.status, text: await answer.text() }
  }
}

await answer(operations)
