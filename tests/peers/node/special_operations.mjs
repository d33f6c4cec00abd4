// Answers one JSON request a line: listOutputs and listActions of a new, empty wallet of @bsv/wallet-toolbox.
// SDK_PEER names the folder whose node_modules holds it.
import { answer, require } from './_driver.mjs'

const { KeyDeriver, PrivateKey } = require('@bsv/sdk')
const { sdk, StorageKnex, Wallet, WalletStorageManager } = require('@bsv/wallet-toolbox')
const { knex } = require('knex')

const wallet = (async () => {
  const keyDeriver = new KeyDeriver(new PrivateKey(7))
  const database = knex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
  const feeModel = { model: 'sat/kb', value: 1 }
  const storage = new StorageKnex({ chain: 'test', knex: database, commissionSatoshis: 0, feeModel })
  await storage.migrate('a test', keyDeriver.identityKey)
  await storage.makeAvailable()
  const manager = new WalletStorageManager(keyDeriver.identityKey, storage)
  await manager.makeAvailable()
  return new Wallet({ chain: 'test', keyDeriver, storage: manager })
})()

const operations = {
  names: async () => Object.fromEntries(Object.entries(sdk).filter(([name]) => name.startsWith('specOp'))),
  call: async ({ method, args }) => (await wallet)[method](args)
}

await answer(operations)
process.exit(0) // the database would keep it
