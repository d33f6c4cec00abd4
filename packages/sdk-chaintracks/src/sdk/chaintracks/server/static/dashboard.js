'use strict'
// Everything that comes from the service is put in as text, never as markup.
const at = (id) => document.getElementById(id)
const SVG = 'http://www.w3.org/2000/svg'
let tipTime = 0

function age(seconds) {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86400)} days`
}

function showTip(tip) {
  at('height').textContent = tip.height.toLocaleString('en')
  at('tip').textContent = tip.hash
  document.title = `${tip.height} · block headers`
  tipTime = tip.time
  showAge()
}

function showAge() {
  if (tipTime) at('lag').textContent = age(Math.max(0, Math.floor(Date.now() / 1000) - tipTime))
}

function cell(text, className) {
  const found = document.createElement('td')
  found.textContent = text ?? ''
  if (className) found.className = className
  return found
}

function element(name, attributes, text) {
  const found = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value)
  if (text !== undefined) found.textContent = text
  return found
}

// One reorganisation: the branch that was left above, the one that is followed below, from the block they share.
function picture(reorg) {
  const shown = 12
  const gone = Math.min(reorg.depth, shown)
  const kept = Math.min(reorg.newTip.height - reorg.fork, shown)
  const svg = element('svg', { viewBox: `0 0 ${Math.max(260, 90 + 28 * Math.max(gone, kept))} 92`, role: 'img' })
  svg.append(element('title', {}, `${reorg.depth} removed above height ${reorg.fork}`))
  const block = (x, y, name) => svg.append(element('rect', { x, y, width: 18, height: 18, rx: 3, class: name }))
  block(8, 38, 'kept')
  for (const [count, y, name] of [[gone, 14, 'gone'], [kept, 62, 'kept']]) {
    svg.append(element('line', { x1: 26, y1: 47, x2: 44, y2: y + 9 }))
    if (count > 1) svg.append(element('line', { x1: 44, y1: y + 9, x2: 44 + 28 * (count - 1), y2: y + 9 }))
    for (let index = 0; index < count; index++) block(44 + 28 * index, y, name)
  }
  const label = (y, text) => svg.append(element('text', { x: 50, y }, text))
  label(10, `left: ${reorg.depth} to height ${reorg.oldTip.height}`)
  label(90, `followed: ${reorg.newTip.height - reorg.fork} to height ${reorg.newTip.height}`)
  return svg
}

async function get(path) {
  const answer = await fetch(path, { headers: { Accept: 'application/json' } })
  return await answer.json()
}

async function refresh() {
  let value
  try {
    value = (await get('/v2/status')).value
  } catch (error) {
    at('state').textContent = 'no answer'
    at('state').className = 'bad'
    return
  }
  at('network').textContent = value.network
  showTip(value.tip)
  at('state').textContent = value.current ? 'current' : 'not current'
  at('state').className = value.current ? 'good' : 'bad'
  at('reason').textContent = value.reason ?? ''
  at('subscribers').textContent = Object.values(value.subscribers).reduce((sum, each) => sum + each, 0)
  at('sources').replaceChildren(...value.sources.map((source) => {
    const row = document.createElement('tr')
    const state = cell(source.state, source.state === 'ok' ? 'good' : 'bad')
    row.append(cell(source.name), state, cell(source.lastHeight), cell(source.lastError))
    return row
  }))
  if (value.reorgs.length) at('reorgs').replaceChildren(...value.reorgs.slice(-5).reverse().map((reorg) => {
    const figure = document.createElement('figure')
    const caption = document.createElement('figcaption')
    caption.textContent = `${reorg.at.slice(0, 19).replace('T', ' ')} UTC, depth ${reorg.depth}`
    figure.append(caption, picture(reorg))
    return figure
  }))
}

at('search').addEventListener('submit', async (event) => {
  event.preventDefault()
  const wanted = at('wanted').value.trim()
  const kind = /^[0-9]{1,10}$/.test(wanted) ? 'height' : 'hash'
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
setInterval(refresh, 10000)
setInterval(showAge, 1000)
refresh()
