// Answers one JSON request a line: WebSockets by npm's ws, as a client of `url` and as an echoing server.
// SDK_PEER names the folder whose node_modules holds it.
import { createHash, randomBytes } from 'node:crypto'
import { answer, require } from './_driver.mjs'

const { WebSocket, WebSocketServer } = require('ws')
const heard = []
let closed
const ended = new Promise((resolve) => { closed = resolve })

const operations = {
  serve: async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: (offered) => [...offered].at(-1) })
    server.on('connection', (socket) => {
      socket.on('message', (data, isBinary) => {
        const text = data.toString()
        if (!isBinary && text.startsWith('close ')) socket.close(Number(text.split(' ')[1]), text.split(' ')[2])
        else socket.send(data, { binary: isBinary })
      })
      socket.on('ping', (data) => heard.push(`ping ${data}`))
      socket.on('close', (code, reason) => { heard.push(`close ${code} ${reason}`); closed() })
    })
    await new Promise((resolve) => server.once('listening', resolve))
    return server.address().port
  },
  // what came beside messages, once a connection has ended
  heard: async () => { await ended; return heard },
  // sends everything at once, fragmented and compressed as it may be, and answers what came back, and how it ended
  talk: async ({ url, protocols, sizes, close }) => {
    const socket = new WebSocket(url, protocols)
    const sums = []
    const pongs = []
    socket.on('pong', (data) => pongs.push(data.toString()))
    const over = new Promise((resolve, reject) => {
      socket.on('close', (code, reason) => resolve([code, reason.toString()]))
      socket.on('error', reject)
    })
    const messages = sizes.map((size) => randomBytes(size))
    await new Promise((resolve, reject) => { socket.once('open', resolve); socket.once('error', reject) })
    const back = new Promise((resolve) => socket.on('message', (data, isBinary) => {
      if (isBinary) sums.push(sum(data))
      if (sums.length === messages.length) resolve()
    }))
    socket.ping('from node')
    for (const message of messages) {
      const middle = message.length >> 1
      socket.send(message.subarray(0, middle), { binary: true, fin: false })
      socket.send(message.subarray(middle), { binary: true, fin: true })
    }
    await back
    if (close.by === 'client') socket.close(close.code, close.reason)
    else socket.send(`close ${close.code} ${close.reason}`)
    const [code, reason] = await over
    return { same: messages.every((each, at) => sum(each) === sums[at]), pongs, code, reason, protocol: socket.protocol, extensions: socket.extensions }
  }
}

const sum = (data) => createHash('sha256').update(data).digest('hex')

await answer(operations)
process.exit(0) // the server would listen on
