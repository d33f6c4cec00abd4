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

// What an answer looks like: members and their kinds, as deep as they go.
function shapeOf(schema, api) {
  if (!schema) return undefined
  if (schema.$ref) return shapeOf(api.components.schemas[schema.$ref.split('/').pop()], api)
  if (schema.const !== undefined) return schema.const
  if (schema.enum) return schema.enum.join(' | ')
  if (schema.anyOf) return schema.anyOf.map((each) => each.type === 'null' ? 'null' : shapeOf(each, api)).join(' | ')
  if (schema.type === 'array') return [shapeOf(schema.items, api)]
  if (!schema.properties) return kindOf(schema)
  return Object.fromEntries(Object.entries(schema.properties).map(([name, each]) =>
    [schema.required?.includes(name) ? name : `${name}?`, shapeOf(each, api)]))
}

function show(path, method, operation, api) {
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
  const body = operation.requestBody?.content['application/json'].schema
  if (body) section.append(make('p', 'Takes'), make('pre', JSON.stringify(shapeOf(body, api), null, 2)))
  const [kind, content] = Object.entries(operation.responses['200']?.content ?? {})[0] ?? []
  if (!kind) return section
  section.append(make('p', `Answers ${kind}`))
  if (kind === 'application/json') section.append(make('pre', JSON.stringify(shapeOf(content.schema, api), null, 2)))
  return section
}

fetch('/openapi.json').then((answer) => answer.json()).then((api) => {
  document.getElementById('title').textContent = api.info.title
  document.getElementById('description').textContent = api.info.description
  const sections = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => show(path, method, operation, api)))
  document.getElementById('paths').replaceChildren(...sections)
}).catch((error) => { document.getElementById('description').textContent = `The service does not answer: ${error.message}` })
