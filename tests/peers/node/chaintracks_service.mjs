// Answers one JSON request a line: runs a ChaintracksService of @bsv/wallet-toolbox on a real port. Its old headers come
// from the folder of files at `cdn`, the others are given.
// `storage` is "nodb" or "sqlite" (in memory). SDK_PEER names the folder whose node_modules holds the toolbox.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

console.log = console.error = () => {} // the toolbox writes to stdout, which here is the wire
const require = createRequire(process.env.SDK_PEER + '/')
const toolbox = require('@bsv/wallet-toolbox')
const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

class Given extends toolbox.BulkIngestorBase {
  constructor (chain, headers) {
    super({ chain, jsonResource: `${chain}NetBlockHeaders.json` })
    this.headers = headers
  }

  async getPresentHeight () { return this.headers.length - 1 }

  async fetchHeaders (before, range, bulkRange, prior) {
    const wanted = this.headers.slice(range.minHeight, range.maxHeight + 1)
    return await this.storage().addBulkHeaders(wanted, bulkRange, prior)
  }
}

class Fed extends toolbox.LiveIngestorBase {
  known = new Map()
  queue = undefined
  done = false

  async getHeaderByHash (hash) { return this.known.get(hash) }
  async startListening (queue) {
    this.queue = queue
    while (!this.done) await rest(20)
  }

  stopListening () { this.done = true }
  feed (headers) {
    for (const each of headers) this.known.set(each.hash, each)
    this.queue.push(...headers)
  }
}

const storages = {
  nodb: (options) => new toolbox.ChaintracksStorageNoDb(options),
  sqlite: (options) => {
    const { knex } = require('knex')
    const connection = { client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true }
    return new toolbox.ChaintracksStorageKnex({ ...options, knex: knex(connection) })
  }
}

let service, live
const operations = {
  start: async ({ storage, port, cdn, headers, threshold }) => {
    const chain = 'main'
    const fetch = new toolbox.ChaintracksFetch()
    const bulkFileDataManager = new toolbox.BulkFileDataManager({ chain, fetch, maxPerFile: 100000, maxRetained: 2 })
    const limits = { liveHeightThreshold: threshold, reorgHeightThreshold: 20, bulkMigrationChunkSize: 10, batchInsertLimit: 10 }
    live = new Fed({ chain })
    const chaintracks = new toolbox.Chaintracks({
      ...toolbox.Chaintracks.createOptions(chain),
      storage: storages[storage]({ chain, bulkFileDataManager, ...limits }),
      bulkIngestors: [
        new toolbox.BulkIngestorCDN(toolbox.BulkIngestorCDN.createBulkIngestorCDNOptions(chain, cdn, fetch, 100000)),
        new Given(chain, headers)
      ],
      liveIngestors: [live],
      logging: () => {}
    })
    service = new toolbox.ChaintracksService({ chain, routingPrefix: '', chaintracks, services: new toolbox.Services(chain), port })
    await service.startJsonRpcServer()
    return null
  },
  feed: async ({ headers }) => { live.feed(headers); return null },
  stop: async () => { live.stopListening(); await service.stopJsonRpcServer(); return null }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { op, ...request } = JSON.parse(line)
  let answer
  try {
    answer = { result: await operations[op](request) }
  } catch (error) {
    answer = { error: String(error.stack ?? error) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
process.exit(0)
