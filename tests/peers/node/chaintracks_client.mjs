// Answers one JSON request a line: ChaintracksServiceClient of @bsv/wallet-toolbox calls the server at `url`.
// SDK_PEER names the folder whose node_modules holds it.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

console.log = () => {} // the toolbox writes to stdout, which here is the wire
const require = createRequire(process.env.SDK_PEER + '/')
const { ChaintracksServiceClient, ChaintracksChainTracker } = require('@bsv/wallet-toolbox')

const operations = {
  call: async ({ url, method, args }) => {
    const value = await new ChaintracksServiceClient('mock', url)[method](...args)
    return value === undefined ? null : value
  },
  tracker: async ({ url, root, height }) => {
    const tracker = new ChaintracksChainTracker('test', new ChaintracksServiceClient('test', url))
    return { valid: await tracker.isValidRootForHeight(root, height), height: await tracker.currentHeight() }
  },
  get: async ({ url }) => {
    const answer = await fetch(url)
    return { status: answer.status, text: await answer.text() }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { op, ...request } = JSON.parse(line)
  let answer
  try {
    answer = { result: await operations[op](request) }
  } catch (error) {
    answer = { error: String(error.message ?? error) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
