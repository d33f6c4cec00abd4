'use strict'
// Everything that comes from the service is put in as text, never as markup.
const at = (id) => document.getElementById(id)
const SVG = 'http://www.w3.org/2000/svg'
const OLD = { main: 7200, test: 7200 } // seconds after which a tip is old where miners never rest
const SHOWN = 16 // blocks, where there is room
let tip = null
let network = ''
let newest = [] // the last headers, oldest first

function age(seconds) {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86400).toLocaleString('en')} days`
}

const since = (time) => Math.max(0, Math.floor(Date.now() / 1000) - time)
const clock = (time) => `${time.slice(0, 19).replace('T', ' ')} UTC`

function showTip(header) {
  tip = header
  at('height').textContent = tip.height.toLocaleString('en')
  at('tip').textContent = tip.hash
  document.title = `${tip.height} · block headers`
  showAge()
}

function showAge() {
  if (!tip) return
  at('lag').textContent = age(since(tip.time))
  at('lag').className = since(tip.time) > (OLD[network] ?? Infinity) ? 'warn' : ''
}

function span(text, className) {
  const found = document.createElement('span')
  found.textContent = text
  found.className = className
  return found
}

function element(name, attributes, text) {
  const found = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value)
  if (text !== undefined) found.textContent = text
  return found
}

// The newest blocks with the minutes between them: a pause or a burst is seen at a glance. As many as are legible.
function showBlocks() {
  const room = Math.max(3, Math.min(SHOWN, Math.floor(at('blocks').clientWidth / 56)))
  const shown = newest.slice(-room)
  const svg = element('svg', { viewBox: `0 0 ${room * 60 - 20} 64`, role: 'img' })
  svg.append(element('title', {}, `the newest ${shown.length} blocks`))
  shown.forEach((header, index) => {
    const x = 4 + 60 * index
    if (index) {
      const gap = Math.round((header.time - shown[index - 1].time) / 60)
      svg.append(element('line', { x1: x - 26, y1: 24, x2: x, y2: 24 }))
      svg.append(element('text', { x: x - 13, y: 18, 'text-anchor': 'middle' }, gap > 99 ? '99+' : `${gap}′`))
    }
    const block = element('rect', { x, y: 10, width: 34, height: 28, rx: 5, class: index === shown.length - 1 ? 'newest' : 'block' })
    block.append(element('title', {}, `${header.height} ${header.hash}`))
    svg.append(block)
    const name = String(header.height)
    svg.append(element('text', { x: x + 17, y: 54, 'text-anchor': 'middle' }, name.length > 6 ? `…${name.slice(-5)}` : name))
  })
  at('blocks').replaceChildren(svg)
}

// One reorganisation: the branch that was left above, the one that is followed below, from the block they share.
function picture(reorg) {
  const shown = Math.max(3, Math.min(16, Math.floor((at('reorgs').clientWidth - 210) / 26)))
  const added = reorg.newTip.height - reorg.fork
  const [gone, kept] = [Math.min(reorg.depth, shown), Math.min(added, shown)]
  const width = 230 + 26 * Math.max(gone, kept)
  const svg = element('svg', { viewBox: `0 0 ${width} 92`, width, height: 92, role: 'img' })
  svg.append(element('title', {}, `${reorg.depth} removed above height ${reorg.fork}`))
  const block = (x, y, name) => svg.append(element('rect', { x, y, width: 18, height: 18, rx: 3, class: name }))
  block(8, 37, 'shared')
  svg.append(element('text', { x: 8, y: 70 }, reorg.fork.toLocaleString('en')))
  for (const [count, total, tipHeight, y, name, word] of [
    [gone, reorg.depth, reorg.oldTip.height, 10, 'gone', 'left'], [kept, added, reorg.newTip.height, 64, 'kept', 'followed']
  ]) {
    svg.append(element('line', { x1: 26, y1: 46, x2: 60, y2: y + 9 }))
    if (count > 1) svg.append(element('line', { x1: 60, y1: y + 9, x2: 60 + 26 * (count - 1), y2: y + 9 }))
    for (let index = 0; index < count; index++) block(60 + 26 * index, y, name)
    const more = total > count ? `… ${total.toLocaleString('en')} blocks ` : ''
    svg.append(element('text', { x: 66 + 26 * count, y: y + 13 }, `${more}${word}, tip ${tipHeight.toLocaleString('en')}`))
  }
  return svg
}

async function get(path) {
  const answer = await fetch(path, { headers: { Accept: 'application/json' } })
  return await answer.json()
}

function showState(words, kind, reason) {
  at('state').textContent = words
  at('state').className = `badge ${kind}`
  at('reason').textContent = reason ?? ''
  at('reason').hidden = !reason
}

function stateOf(source, current) {
  if (source.state !== 'ok') return [source.state.replace('_', ' '), source.state === 'quarantined' ? 'bad' : 'warn']
  if (!source.lastSeen && source.claimed !== null && !current) return ['syncing', 'busy']
  return source.lastSeen ? ['ok', 'good'] : ['waiting', 'warn']
}

const heightOf = (source) => source.lastSeen === null ? source.claimed : Math.max(source.lastHeight, source.claimed ?? 0)

function showSources(sources, current) {
  const telling = sources.some((source) => source.tells) ? sources.filter((source) => source.tells) : sources
  const heights = telling.filter((source) => source.state === 'ok' && heightOf(source) !== null).map(heightOf)
  const ahead = heights.length ? Math.max(...heights) - tip.height : null
  at('behind').textContent = ahead === null ? 'none answers' : ahead > 0 ? `${ahead.toLocaleString('en')} ahead` : 'in step'
  at('behind').className = ahead === null ? 'bad' : ahead > 0 ? 'warn' : ''
  at('nosources').hidden = sources.length > 0
  at('sources').replaceChildren(...sources.map((source) => {
    const row = document.createElement('li')
    const height = heightOf(source)
    const seen = source.lastSeen ? `answered ${age(since(Math.floor(Date.parse(source.lastSeen) / 1000)))} ago` : 'never answered in full'
    row.append(
      span(source.name, 'name'), span(...stateOf(source, current)),
      span([height === null ? null : `height ${height.toLocaleString('en')}`, seen].filter(Boolean).join(' · '), 'quiet'))
    if (source.lastSeen) row.lastChild.title = clock(source.lastSeen)
    if (source.lastError) row.append(span(source.lastError, 'error'))
    return row
  }))
  return ahead
}

// While it fetches what a source is ahead: how far it is, and not in red.
function showProgress(value, ahead) {
  const syncing = !value.current && ahead !== null && ahead > 0
  at('syncing').hidden = !syncing
  if (syncing) {
    const goal = tip.height + ahead
    at('progress').max = goal
    at('progress').value = tip.height
    at('part').textContent = `${tip.height.toLocaleString('en')} of ${goal.toLocaleString('en')} headers, ${Math.floor(100 * tip.height / goal)} %`
    showState('syncing', 'busy', null)
  } else {
    showState(value.current ? 'current' : 'not current', value.current ? 'good' : 'bad', value.reason)
  }
}

function showReorgs(reorgs) {
  if (!reorgs.length) return
  at('reorgs').className = ''
  at('reorgs').replaceChildren(...reorgs.slice(-5).reverse().map((reorg) => {
    const figure = document.createElement('figure')
    const caption = document.createElement('figcaption')
    caption.textContent = `${clock(reorg.at)}: ${reorg.depth} block${reorg.depth > 1 ? 's' : ''} left above height ${reorg.fork.toLocaleString('en')}`
    figure.append(caption, picture(reorg))
    return figure
  }))
}

// What is wrong is said at the top: whatever else stands on the page may be old.
async function refresh() {
  let value
  try {
    value = (await get('/v2/status')).value
    const first = Math.max(0, value.tip.height - SHOWN + 1)
    const heights = Array.from({ length: value.tip.height - first + 1 }, (_, index) => first + index)
    const known = new Map(newest.map((header) => [header.hash, header]))
    const kept = newest.at(-1)?.hash === value.tip.hash
    if (!kept) newest = await chainTo(value.tip, heights.length, known)
  } catch (error) {
    showState('no answer', 'bad', `The service does not answer: ${error.message}. What is shown here may be old.`)
    return
  }
  network = value.network
  at('network').textContent = network
  showTip(value.tip)
  showBlocks()
  const { websocket = 0, sse = 0 } = value.subscribers
  at('subscribers').textContent = (websocket + sse).toLocaleString('en')
  at('subscribers').title = `${websocket} over WebSocket, ${sse} over server-sent events`
  showProgress(value, showSources(value.sources, value.current))
  showReorgs(value.reorgs)
}

// The headers that end at `header`, oldest first; those that are known are not asked for again.
async function chainTo(header, count, known) {
  const chain = [header]
  while (chain.length < count) {
    const wanted = chain[0].previousHash
    chain.unshift(known.get(wanted) ?? (await get(`/v2/header/hash/${wanted}`)).value)
  }
  return chain
}

at('search').addEventListener('submit', async (event) => {
  event.preventDefault()
  const wanted = at('wanted').value.trim().replaceAll(',', '')
  const kind = /^[0-9]{1,10}$/.test(wanted) ? 'height' : 'hash'
  at('found').hidden = false
  try {
    const answer = await get(`/v2/header/${kind}/${encodeURIComponent(wanted)}`)
    at('found').textContent = answer.status === 'success' ? JSON.stringify(answer.value, null, 2) : answer.description
  } catch (error) {
    at('found').textContent = `The service does not answer: ${error.message}`
  }
})

const stream = new EventSource('/v2/tip/stream')
stream.onmessage = (event) => {
  showTip(JSON.parse(event.data))
  refresh()
}
stream.addEventListener('gap', refresh)
stream.onerror = refresh
addEventListener('resize', () => tip && showBlocks())
setInterval(refresh, 10000)
setInterval(showAge, 1000)
refresh()
