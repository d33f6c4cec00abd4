// What every driver here is: one JSON request a line, {"op", ...}, answered with {"result"} or {"error"}.
// SDK_PEER names the folder whose node_modules holds the peer.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

export const require = createRequire(process.env.SDK_PEER + '/')
export const hex = (bytes) => Buffer.from(bytes).toString('hex')
export const bytes = (text) => Array.from(Buffer.from(text, 'hex'))

console.log = (...words) => console.error(...words) // a peer that prints must not write on the wire

export async function answer (operations) {
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
}

// How often `run` is done in a second of processor time.
export async function rate (run, seconds) {
  let count = 0
  const start = process.cpuUsage()
  for (;;) {
    const running = run()
    if (running instanceof Promise) await running
    count++
    const used = process.cpuUsage(start)
    const spent = (used.user + used.system) / 1e6
    if (spent >= seconds) return count / spent
  }
}
