//! An orchestrator with one module. It does what its standard input says and tells on its standard output what it saw.
//!
//! In: `{"send": MESSAGE, "over": "stdio|tcp|unix"}`, `{"raw": TEXT, "over": …}`, `{"secret": NAME, "value": VALUE}`,
//! `{"heartbeats": SECONDS}`; the end of the input is the module's shutdown, and the module has ten seconds for it.
//! Out: `{"saw": MESSAGE, "over": …, "exact": …}`, `{"refused": WHY, "text": …}`, `{"open": …}`, `{"closed": …}`, `{"exited": STATUS}`.

use crate::services::{Cache, Database};
use crate::wire::{
    self, Encoded, Error, Format, InitBlob, Message, ModuleToOrchestrator, OrchestratorToModule, ServiceOperation,
    ServiceType,
};
use serde::Deserialize;
use serde_json::{json, Value};
use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{split, stdin, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

const ENDING_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    command: Vec<String>,
    #[serde(default)]
    secrets: HashMap<String, String>,
    /// Members of the InitBlob beside those below; it is read by the Rust type.
    #[serde(default)]
    init: serde_json::Map<String, Value>,
    #[serde(default)]
    tcp: bool,
    #[serde(default)]
    unix: Option<String>,
    #[serde(default)]
    database: Option<String>,
    /// Whether results carry the operation under `params`.
    #[serde(default = "yes")]
    echo: bool,
}

fn yes() -> bool {
    true
}

enum Event {
    Command(String),
    CommandsEnd,
    Said { over: &'static str, text: String },
    Opened { over: &'static str, writer: Box<dyn AsyncWrite + Unpin + Send> },
    Closed { over: &'static str, why: String },
    Beat,
}

enum Connection {
    Database(Database),
    Cache(Cache),
}

struct Orchestrator {
    options: Options,
    module_in: ChildStdin,
    channels: HashMap<&'static str, Box<dyn AsyncWrite + Unpin + Send>>,
    connections: HashMap<String, Connection>,
    events: UnboundedSender<Event>,
}

pub async fn run(options: &str) -> Result<(), Error> {
    let options: Options = serde_json::from_str(options)?;
    let (events, mut happened) = unbounded_channel();
    let mut init = json!({"orchestrator_api": "http://127.0.0.1:9", "module_id": "under-test", "env": {}, "listen": "127.0.0.1:0"});
    if options.tcp {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        init["tcp_channel"] = json!({"address": listener.local_addr()?, "tls_enabled": false, "required": true});
        let events = events.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(listen("tcp", stream, events.clone()));
            }
        });
    }
    if let Some(path) = &options.unix {
        let listener = UnixListener::bind(path)?;
        init["ipc_channel"] = json!({"socket_path": path, "required": true});
        let events = events.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(listen("unix", stream, events.clone()));
            }
        });
    }
    init.as_object_mut().ok_or("no object")?.extend(options.init.clone());
    let init: InitBlob = serde_json::from_value(init)?;

    let (program, arguments) = options.command.split_first().ok_or("no command")?;
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let (module_in, module_out) = (child.stdin.take().ok_or("no pipe")?, child.stdout.take().ok_or("no pipe")?);
    tokio::spawn(lines("stdio", module_out, events.clone()));
    tokio::spawn(commands(events.clone()));
    let mut orchestrator =
        Orchestrator { options, module_in, channels: HashMap::new(), connections: HashMap::new(), events };
    orchestrator.line(&serde_json::to_string(&init)?).await?;
    orchestrator.serve(&mut happened).await?;
    orchestrator.line(&serde_json::to_string(&OrchestratorToModule::Shutdown)?).await.unwrap_or_default();
    let status = timeout(ENDING_PATIENCE, child.wait()).await.map_err(|_| "the module does not end")??;
    while let Ok(event) = happened.try_recv() {
        orchestrator.take(event).await?;
    }
    tell(json!({"exited": status.code()}));
    Ok(())
}

async fn lines(over: &'static str, stream: impl AsyncRead + Unpin, events: UnboundedSender<Event>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let _ = events.send(Event::Said { over, text });
    }
    let _ = events.send(Event::Closed { over, why: "end".into() });
}

async fn commands(events: UnboundedSender<Event>) {
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let _ = events.send(Event::Command(text));
    }
    let _ = events.send(Event::CommandsEnd);
}

async fn listen(over: &'static str, stream: impl AsyncRead + AsyncWrite + Send + 'static, events: UnboundedSender<Event>) {
    let (reader, writer) = split(stream);
    let mut reader = Box::pin(reader);
    let _ = events.send(Event::Opened { over, writer: Box::new(Box::pin(writer)) });
    let why = loop {
        match wire::receive(&mut reader).await {
            Ok(Some(text)) => drop(events.send(Event::Said { over, text })),
            Ok(None) => break "end".to_string(),
            Err(error) => break error.to_string(),
        }
    };
    let _ = events.send(Event::Closed { over, why });
}

fn tell(event: Value) {
    println!("{event}");
}

impl Orchestrator {
    async fn serve(&mut self, happened: &mut UnboundedReceiver<Event>) -> Result<(), Error> {
        while let Some(event) = happened.recv().await {
            let is_end = matches!(event, Event::CommandsEnd | Event::Closed { over: "stdio", .. });
            self.take(event).await?;
            if is_end {
                break;
            }
        }
        Ok(())
    }

    async fn take(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::CommandsEnd => {}
            Event::Command(text) => self.command(serde_json::from_str(&text)?).await?,
            Event::Opened { over, writer } => {
                self.channels.insert(over, writer);
                tell(json!({ "open": over }));
            }
            Event::Closed { over, why } => {
                self.channels.remove(over);
                tell(json!({ "closed": over, "why": why }));
            }
            Event::Beat => {
                let text = serde_json::to_string(&OrchestratorToModule::Heartbeat)?;
                for writer in self.channels.values_mut() {
                    wire::send(writer, &text).await.unwrap_or_default(); // it is told as closed
                }
            }
            Event::Said { over, text } => match self.read(over, &text) {
                Ok((message, exact)) => {
                    let value: Value = serde_json::from_str(&text)?;
                    tell(json!({"saw": value, "over": over, "exact": exact}));
                    self.heard(over, message).await?;
                }
                Err(error) => tell(json!({"refused": error.to_string(), "text": text, "over": over})),
            },
        }
        Ok(())
    }

    fn read(&self, over: &str, text: &str) -> Result<(ModuleToOrchestrator, bool), serde_json::Error> {
        if over == "stdio" {
            return wire::read(text);
        }
        let (message, exact) = wire::read::<Message<ModuleToOrchestrator>>(text)?;
        Ok((message.content, exact))
    }

    async fn command(&mut self, command: Value) -> Result<(), Error> {
        let over = command["over"].as_str().unwrap_or("stdio").to_string();
        if let Some(seconds) = command["heartbeats"].as_f64() {
            let events = self.events.clone();
            tokio::spawn(async move {
                let mut beat = tokio::time::interval(Duration::from_secs_f64(seconds));
                loop {
                    beat.tick().await;
                    let _ = events.send(Event::Beat);
                }
            });
        } else if let Some(name) = command["secret"].as_str() {
            self.options.secrets.insert(name.into(), command["value"].as_str().ok_or("no value")?.into());
        } else if let Some(text) = command["raw"].as_str() {
            self.send_text(&over, text).await?;
        } else {
            let message: OrchestratorToModule = serde_json::from_value(command["send"].clone())?;
            self.send(&over, &message).await?;
        }
        Ok(())
    }

    async fn heard(&mut self, over: &'static str, message: ModuleToOrchestrator) -> Result<(), Error> {
        match message {
            ModuleToOrchestrator::GetSecret { name } => {
                // There is no word for a secret that is not there.
                if let Some(value) = self.options.secrets.get(&name).cloned() {
                    self.send(over, &OrchestratorToModule::Secret { name, value, rotation_id: None }).await?;
                }
            }
            ModuleToOrchestrator::ServiceRequest { id, service_type, .. } => {
                let opened = self.open(&service_type);
                let (error, connection_id) = (opened.as_ref().err().map(ToString::to_string), opened.ok());
                let success = error.is_none();
                self.send(over, &OrchestratorToModule::ServiceResponse { id, service_type, success, error, connection_id })
                    .await?;
            }
            ModuleToOrchestrator::ServiceOperation(operation) => {
                let done = self.operate(&operation);
                let (error, result) = (done.as_ref().err().map(ToString::to_string), done.ok());
                let success = error.is_none();
                let answer = OrchestratorToModule::ServiceOperationResult { success, result, error };
                let mut answer = serde_json::to_value(&answer)?;
                if self.options.echo {
                    answer["params"] = serde_json::to_value(&operation)?;
                }
                self.send_text(over, &answer.to_string()).await?;
            }
            ModuleToOrchestrator::PortRequest { request_id, specific_port } => {
                let port = specific_port.unwrap_or(21_999);
                self.send(over, &OrchestratorToModule::PortResponse { request_id, success: true, port, error_message: None })
                    .await?;
            }
            ModuleToOrchestrator::RouteToModule { target_module_id, target_endpoint, request_id, payload } => {
                // Every module there is answers at once, with what it was asked.
                let asked: Message<Value> = serde_json::from_slice(&payload.data)?;
                let data = serde_json::to_vec(&json!({"endpoint": target_endpoint, "asked": asked.content}))?;
                let payload = Encoded { data, format: Format::Json };
                let answer =
                    OrchestratorToModule::RoutedModuleResponse { source_module_id: target_module_id, request_id, payload };
                self.send(over, &answer).await?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, service_type: &ServiceType) -> Result<String, Error> {
        let connection = match (service_type, &self.options.database) {
            (ServiceType::Database, Some(file)) => Connection::Database(Database::open(file)?),
            (ServiceType::Cache, _) => Connection::Cache(Cache::default()),
            _ => return Err(format!("no such service: {service_type:?}").into()),
        };
        let id = format!("conn-{}", self.connections.len() + 1);
        self.connections.insert(id.clone(), connection);
        Ok(id)
    }

    fn operate(&mut self, wanted: &ServiceOperation) -> Result<Value, Error> {
        match self.connections.get_mut(&wanted.connection_id).ok_or("no such connection")? {
            Connection::Database(database) => database.operate(&wanted.operation, &wanted.params),
            Connection::Cache(cache) => cache.operate(&wanted.operation, &wanted.params),
        }
    }

    async fn send(&mut self, over: &str, message: &OrchestratorToModule) -> Result<(), Error> {
        self.send_text(over, &serde_json::to_string(message)?).await
    }

    async fn send_text(&mut self, over: &str, text: &str) -> Result<(), Error> {
        if over == "stdio" {
            return self.line(text).await;
        }
        wire::send(self.channels.get_mut(over).ok_or(format!("no channel {over}"))?, text).await
    }

    async fn line(&mut self, text: &str) -> Result<(), Error> {
        self.module_in.write_all(format!("{text}\n").as_bytes()).await?;
        Ok(self.module_in.flush().await?)
    }
}
