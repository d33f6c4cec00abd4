'use strict'
const make = (name, text, className) => {
  const found = document.createElement(name)
  found.textContent = text ?? ''
  if (className) found.className = className
  return found
}

function kindOf(schema) {
  if (!schema) return ''
  if (schema.$ref) return schema.$ref.split('/').pop()
  if (schema.pattern === '^[0-9a-f]{64}$') return '64 hex characters'
  if (schema.maximum !== undefined) return `${schema.type} up to ${schema.maximum}`
  return schema.type ?? ''
}

function show(path, method, operation) {
  const section = make('section')
  section.append(make('h2', `${method.toUpperCase()} ${path}`), make('p', operation.summary))
  if (operation.parameters?.length) {
    const table = make('table')
    for (const each of operation.parameters) {
      const row = make('tr')
      row.append(make('td', each.name), make('td', each.in), make('td', kindOf(each.schema)), make('td', each.required ? 'required' : ''))
      table.append(row)
    }
    section.append(table)
  }
  const [kind, content] = Object.entries(operation.responses['200']?.content ?? {})[0] ?? []
  if (kind) section.append(make('p', `Answers ${kind} ${kindOf(content.schema?.properties?.value)}`))
  return section
}

fetch('/openapi.json').then((answer) => answer.json()).then((api) => {
  document.getElementById('title').textContent = api.info.title
  document.getElementById('description').textContent = api.info.description
  const sections = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => show(path, method, operation)))
  document.getElementById('paths').replaceChildren(...sections)
}).catch((error) => { document.getElementById('description').textContent = `The service does not answer: ${error.message}` })
