//! Second opinion on texts, and the speed of the same work here.

use crate::wire::{self, Error, HttpTcpRequest, HttpTcpResponse, InitBlob, Message, ModuleToOrchestrator, OrchestratorToModule};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use std::io::{stdin, BufRead};
use std::time::{Duration, Instant};

fn again<T: Serialize + for<'a> Deserialize<'a>>(text: &str) -> Result<String, serde_json::Error> {
    serde_json::to_string(&serde_json::from_str::<T>(text)?)
}

/// `{"op": KIND, "text": TEXT}` is answered with `{"result": TEXT WRITTEN AGAIN}` or `{"error": WHY}`.
pub fn run() -> Result<(), Error> {
    for line in stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let text = request["text"].as_str().ok_or("no text")?;
        let outcome = match request["op"].as_str() {
            Some("module_to_orchestrator") => again::<ModuleToOrchestrator>(text),
            Some("orchestrator_to_module") => again::<OrchestratorToModule>(text),
            Some("wrapped_module_to_orchestrator") => again::<Message<ModuleToOrchestrator>>(text),
            Some("init") => again::<InitBlob>(text),
            Some("http_tcp_request") => again::<Message<HttpTcpRequest>>(text),
            Some("http_tcp_response") => again::<Message<HttpTcpResponse>>(text),
            other => return Err(format!("unknown kind {other:?}").into()),
        };
        println!("{}", outcome.map_or_else(|error| json!({"error": error.to_string()}), |text| json!({"result": text})));
    }
    Ok(())
}

/// Prints how many messages of each kind are written and read again in a second.
pub fn bench(seconds: &str) -> Result<(), Error> {
    let limit = Duration::from_secs_f64(seconds.parse()?);
    let operation = r#"{"op":"service_operation","connection_id":"conn-1","service_type":"Database","operation":"query","params":{"query":"SELECT 1","params":[]}}"#;
    let request = json!({"op": "http_request", "request_id": "r1", "method": "POST", "uri": "/items",
                         "headers": {"content-type": "application/json"}, "body": vec![120u8; 100]}).to_string();
    let mut rates = serde_json::Map::new();
    rates.insert("operation".into(), rate::<ModuleToOrchestrator>(operation, limit)?.into());
    let result = r#"{"op":"service_operation_result","success":true,"result":[{"data":{"id":1,"name":"a"}}],"error":null}"#;
    rates.insert("result".into(), rate::<OrchestratorToModule>(result, limit)?.into());
    rates.insert("body".into(), rate::<OrchestratorToModule>(&request, limit)?.into());
    println!("{}", Value::Object(rates));
    Ok(())
}

fn rate<T: Serialize + for<'a> Deserialize<'a>>(text: &str, limit: Duration) -> Result<f64, Error> {
    let (mut message, _) = wire::read::<T>(text)?;
    let (mut count, began) = (0u32, Instant::now());
    while began.elapsed() < limit {
        for _ in 0..1000 {
            message = serde_json::from_str(&serde_json::to_string(&message)?)?;
        }
        count += 1000;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}
