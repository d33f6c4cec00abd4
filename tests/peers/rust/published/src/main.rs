//! The crate `pywatt_sdk` itself: a module made with it, and its types as second opinion.
//!
//!     published module [SECRET…]      started by the orchestrator under test; serves GET /status and POST /echo
//!     published check                 as `counterpart check`, with the crate's types
//!     published ask                   makes HTTP requests over TCP, one for each line
//!     published serve HOST PORT NAME  registers there and answers HTTP over TCP: GET /status and POST /add

use axum::routing::{get, post};
use axum::{Json, Router};
use pywatt_sdk::http_tcp::{self, HttpTcpClient, HttpTcpRequest, HttpTcpResponse, HttpTcpRouter};
use pywatt_sdk::ipc_types::{ModuleToOrchestrator, OrchestratorToModule};
use pywatt_sdk::message::Message;
use pywatt_sdk::registration::{register_module, ModuleInfo};
use pywatt_sdk::tcp_types::ConnectionConfig;
use pywatt_sdk::{AnnouncedEndpoint, AppState, OrchestratorInit};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use std::collections::HashMap;
use std::error::Error;
use std::io::{stdin, BufRead};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((mode, secrets)) if mode == "module" => module(secrets.to_vec()).await,
        Some((mode, _)) if mode == "check" => check(),
        Some((mode, _)) if mode == "ask" => ask().await,
        Some((mode, [host, port, name])) if mode == "serve" => serve(host, port, name).await,
        _ => Err("published module|check|ask|serve".into()),
    };
    if let Err(error) = &outcome {
        eprintln!("published: {error}");
    }
    // A thread of the crate may still wait for standard input: do not wait for it.
    std::process::exit(if outcome.is_ok() { 0 } else { 1 });
}

async fn module(secrets: Vec<String>) -> Result<(), Box<dyn Error>> {
    let endpoint = |path: &str, method: &str| AnnouncedEndpoint { path: path.into(), methods: vec![method.into()], auth: None };
    let endpoints = vec![endpoint("/status", "GET"), endpoint("/echo", "POST")];
    let state = |_: &OrchestratorInit, secrets: Vec<SecretString>| -> Vec<String> {
        secrets.iter().map(|secret| secret.expose_secret().to_string()).collect()
    };
    let router = |state: AppState<Vec<String>>| {
        let lengths: Vec<usize> = state.user_state.iter().map(String::len).collect();
        let module_id = state.module_id().to_string();
        Router::new()
            .route("/status", get(move || async move { Json(json!({"module": module_id, "secrets": lengths})) }))
            .route("/echo", post(|body: String| async move { Json(json!({ "body": body })) }))
    };
    Ok(pywatt_sdk::server::serve_module_full(secrets, endpoints, state, router).await?)
}

/// `{"address": …, "method": …, "uri": …, "query": {…}, "body": TEXT}` is answered with `{"result": {status, body}}`.
async fn ask() -> Result<(), Box<dyn Error>> {
    let mut clients: HashMap<String, HttpTcpClient> = HashMap::new();
    for line in stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_string();
        let address = text("address");
        if !clients.contains_key(&address) {
            let (host, port) = address.split_once(':').ok_or("no address")?;
            clients.insert(address.clone(), HttpTcpClient::new(ConnectionConfig::new(host, port.parse::<u16>()?)).await?);
        }
        let client = &clients[&address];
        let mut asked = match text("method").as_str() {
            "GET" => client.get(text("uri")),
            "POST" => client.post(text("uri")),
            other => return Err(format!("unknown method {other}").into()),
        };
        for (name, value) in request["query"].as_object().into_iter().flatten() {
            asked = asked.query(name, value.as_str().unwrap_or_default());
        }
        if let Some(body) = request["body"].as_str() {
            asked = asked.header("X-By", "rust").body(body.as_bytes());
        }
        let outcome = asked.send().await;
        println!("{}", match outcome {
            Ok(answer) => json!({"result": {"status": answer.status_code, "body": answer.body, "headers": answer.headers}}),
            Err(error) => json!({"error": error.to_string()}),
        });
    }
    Ok(())
}

async fn serve(host: &str, port: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let router = HttpTcpRouter::<()>::new()
        .route("GET", "/status", |request, _| async move { Ok(http_tcp::success(&request.request_id, "well")) })
        .route("POST", "/add", |request, _| async move {
            let numbers: Vec<i64> = serde_json::from_slice(request.body.as_deref().unwrap_or_default())?;
            Ok(http_tcp::success(&request.request_id, json!({"sum": numbers.iter().sum::<i64>(), "uri": request.uri})))
        });
    let info = ModuleInfo::new(name, "1.0.0", "the published crate");
    let module = register_module(ConnectionConfig::new(host, port.parse::<u16>()?), info).await?;
    Ok(http_tcp::serve(router, module, (), None).await?.await?)
}

fn again<T: Serialize + for<'a> Deserialize<'a>>(text: &str) -> Result<String, serde_json::Error> {
    serde_json::to_string(&serde_json::from_str::<T>(text)?)
}

fn check() -> Result<(), Box<dyn Error>> {
    for line in stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let text = request["text"].as_str().ok_or("no text")?;
        let outcome = match request["op"].as_str() {
            Some("module_to_orchestrator") => again::<ModuleToOrchestrator>(text),
            Some("orchestrator_to_module") => again::<OrchestratorToModule>(text),
            Some("wrapped_module_to_orchestrator") => again::<Message<ModuleToOrchestrator>>(text),
            Some("init") => again::<OrchestratorInit>(text),
            Some("http_tcp_request") => again::<Message<HttpTcpRequest>>(text),
            Some("http_tcp_response") => again::<Message<HttpTcpResponse>>(text),
            other => return Err(format!("unknown kind {other:?}").into()),
        };
        println!("{}", outcome.map_or_else(|error| json!({"error": error.to_string()}), |text| json!({"result": text})));
    }
    Ok(())
}
