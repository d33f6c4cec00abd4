//! A database on SQLite and a cache in memory, as an orchestrator offers them.

use crate::wire::Error;
use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{params_from_iter, Connection, Statement};
use serde_json::{json, Map, Value};
use std::collections::HashMap;

/// One connection of a module: the database in its file, and a second handle for each open transaction.
pub struct Database {
    file: String,
    plain: Connection,
    transactions: HashMap<String, Connection>,
}

impl Database {
    pub fn open(file: &str) -> Result<Self, Error> {
        Ok(Database { file: file.into(), plain: connect(file)?, transactions: HashMap::new() })
    }

    pub fn operate(&mut self, operation: &str, params: &Value) -> Result<Value, Error> {
        let transaction = params["transaction_id"].as_str().unwrap_or_default();
        match operation {
            "ping" | "close" => Ok(Value::Null),
            "begin_transaction" => {
                let (id, handle) = (uuid::Uuid::new_v4().to_string(), connect(&self.file)?);
                handle.execute_batch("BEGIN IMMEDIATE")?;
                self.transactions.insert(id.clone(), handle);
                Ok(json!(id))
            }
            "transaction_commit" | "transaction_rollback" => {
                let handle = self.transactions.remove(transaction).ok_or("no such transaction")?;
                handle.execute_batch(if operation == "transaction_commit" { "COMMIT" } else { "ROLLBACK" })?;
                Ok(Value::Null)
            }
            _ => match operation.strip_prefix("transaction_") {
                Some(inner) => statement(self.transactions.get(transaction).ok_or("no such transaction")?, inner, params),
                None => statement(&self.plain, operation, params),
            },
        }
    }
}

fn connect(file: &str) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.execute_batch("PRAGMA journal_mode=WAL")?;
    Ok(connection)
}

fn statement(connection: &Connection, operation: &str, params: &Value) -> Result<Value, Error> {
    let mut prepared = connection.prepare(params["query"].as_str().ok_or("no query")?)?;
    let values: Vec<Sql> = params["params"].as_array().ok_or("no params")?.iter().map(bound).collect();
    match operation {
        "execute" => Ok(json!(prepared.execute(params_from_iter(values))?)),
        "query" => Ok(Value::Array(rows(&mut prepared, values)?)),
        "query_one" => Ok(rows(&mut prepared, values)?.into_iter().next().unwrap_or_default()),
        other => Err(format!("no such operation: {other}").into()),
    }
}

fn rows(prepared: &mut Statement, values: Vec<Sql>) -> Result<Vec<Value>, Error> {
    let names: Vec<String> = prepared.column_names().into_iter().map(String::from).collect();
    let mut found = prepared.query(params_from_iter(values))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut data = Map::new();
        for (index, name) in names.iter().enumerate() {
            data.insert(name.clone(), column(row.get_ref(index)?));
        }
        rows.push(json!({ "data": data }));
    }
    Ok(rows)
}

fn bound(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(flag) => Sql::Integer(i64::from(*flag)),
        Value::Number(number) => number.as_i64().map_or_else(|| Sql::Real(number.as_f64().unwrap_or(f64::NAN)), Sql::Integer),
        Value::String(text) => Sql::Text(text.clone()),
        other => Sql::Text(other.to_string()),
    }
}

fn column(value: ValueRef) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => json!(bytes),
    }
}

/// Values are the base64 texts of the wire. Nothing expires.
#[derive(Default)]
pub struct Cache(HashMap<String, Value>);

impl Cache {
    pub fn operate(&mut self, operation: &str, params: &Value) -> Result<Value, Error> {
        let key = params["key"].as_str().unwrap_or_default().to_string();
        Ok(match operation {
            "get" => self.0.get(&key).cloned().unwrap_or_default(),
            "set" => self.0.insert(key, params["value"].clone()).map_or(Value::Null, |_| Value::Null),
            "set_nx" if self.0.contains_key(&key) => json!(false),
            "set_nx" => json!(self.0.insert(key, params["value"].clone()).is_none()),
            "delete" => json!(self.0.remove(&key).is_some()),
            "exists" => json!(self.0.contains_key(&key)),
            "flush" => {
                self.0.clear();
                Value::Null
            }
            "ping" | "close" => Value::Null,
            other => return Err(format!("no such operation: {other}").into()),
        })
    }
}
