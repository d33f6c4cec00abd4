//! A module as the Rust SDK makes them, habits included, which the options switch on.

use crate::wire::{
    self, Encoded, Error, Format, HttpRequest, HttpResponse, InitBlob, Message, ModuleToOrchestrator,
    OrchestratorToModule, ServiceOperation, ServiceType,
};
use serde::Deserialize;
use serde_json::{json, Map, Value};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{split, stdin, AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, Lines, ReadHalf, Stdin, WriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;


#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Where what happens is written, one JSON object a line.
    record: String,
    #[serde(default)]
    secrets: Vec<String>,
    /// Seconds a secret may take.
    #[serde(default = "five")]
    patience: f64,
    #[serde(default)]
    endpoints: Vec<wire::Endpoint>,
    /// Each is opened after the one before has done its operations.
    #[serde(default)]
    services: VecDeque<Service>,
    #[serde(default)]
    route: Option<Route>,
    #[serde(default)]
    port_request: bool,
    /// A send on a channel waits until the peer has spoken.
    #[serde(default)]
    half_duplex: bool,
    /// The line after an acknowledged rotation is thrown away.
    #[serde(default)]
    loses_line: bool,
}

fn five() -> f64 {
    5.0
}

/// A parameter `"$"` stands for the last result that was a text.
#[derive(Deserialize)]
struct Service {
    service_type: ServiceType,
    config: Value,
    operations: VecDeque<(String, Value)>,
}

#[derive(Deserialize)]
struct Route {
    target: String,
    endpoint: String,
    body: Value,
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

struct Channel {
    reader: Mutex<ReadHalf<Box<dyn Stream>>>,
    writer: Mutex<WriteHalf<Box<dyn Stream>>>,
    /// The one lock of a half-duplex channel, held by whoever sends or waits for a frame.
    turn: Option<Mutex<()>>,
}

impl Channel {
    fn new(stream: Box<dyn Stream>, half_duplex: bool) -> Arc<Channel> {
        let (reader, writer) = split(stream);
        let turn = half_duplex.then(|| Mutex::new(()));
        Arc::new(Channel { reader: Mutex::new(reader), writer: Mutex::new(writer), turn })
    }

    async fn receive(&self) -> Result<Option<String>, Error> {
        let _turn = self.take_turn().await;
        wire::receive(&mut *self.reader.lock().await).await
    }

    async fn send(&self, message: ModuleToOrchestrator) -> Result<(), Error> {
        let text = serde_json::to_string(&Message::wrap(message))?;
        let _turn = self.take_turn().await;
        wire::send(&mut *self.writer.lock().await, &text).await
    }

    async fn take_turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match &self.turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }
}

struct Module {
    options: Options,
    record: std::fs::File,
    module_id: String,
    connection: Option<String>,
    last_text: Value,
}

pub async fn run(options: &str) -> Result<(), Error> {
    let options: Options = serde_json::from_str(options)?;
    let record = std::fs::OpenOptions::new().create(true).append(true).open(&options.record)?;
    let mut lines = BufReader::new(stdin()).lines();
    let line = lines.next_line().await?.ok_or("no InitBlob")?;
    let init: InitBlob = serde_json::from_str(&line)?;
    let module_id = init.module_id.clone();
    let mut module = Module { options, record, module_id, connection: None, last_text: Value::Null };
    module.note("init", serde_json::from_str(&line)?)?;
    module.fetch_secrets(&mut lines).await?;
    let channels = module.connect(&init).await?;
    let endpoints = std::mem::take(&mut module.options.endpoints);
    say(&ModuleToOrchestrator::Announce { listen: init.listen, endpoints })?;
    if module.options.port_request {
        say(&ModuleToOrchestrator::PortRequest { request_id: "port-1".into(), specific_port: None })?;
    }
    module.open_service()?;
    let route = module.options.route.take();
    let module = Arc::new(Mutex::new(module));
    // The module ends with whichever loop ends first.
    let (over, outcome) = tokio::select! {
        outcome = serve_lines(&module, &mut lines) => ("stdio", outcome),
        outcome = serve_channel(&module, channels.first().cloned(), route) => ("channel", outcome),
        outcome = serve_channel(&module, channels.get(1).cloned(), None) => ("channel", outcome),
    };
    module.lock().await.note("ended", json!(over))?;
    outcome
}

async fn serve_lines(module: &Mutex<Module>, lines: &mut Lines<BufReader<Stdin>>) -> Result<(), Error> {
    while let Some(line) = lines.next_line().await? {
        let mut module = module.lock().await;
        let Ok((message, exact)) = wire::read::<OrchestratorToModule>(&line) else {
            module.note("unreadable", json!(line))?;
            continue;
        };
        module.note("line", serde_json::from_str(&line)?)?;
        match message {
            OrchestratorToModule::Shutdown => return Ok(()),
            OrchestratorToModule::Rotated { keys, rotation_id } => {
                // Acknowledged before anything was fetched, as Rust does.
                say(&ModuleToOrchestrator::RotationAck { rotation_id, status: "success".into(), message: None })?;
                if module.options.loses_line {
                    let lost = lines.next_line().await?;
                    module.note("lost", json!(lost))?;
                }
                keys.into_iter().try_for_each(|name| say(&ModuleToOrchestrator::GetSecret { name }))?;
            }
            OrchestratorToModule::ServiceResponse { connection_id, .. } => {
                module.connection = connection_id;
                module.next_operation()?;
            }
            // Without the operation under `params` nobody is woken.
            OrchestratorToModule::ServiceOperationResult { result, .. } if !exact => {
                let done: ServiceOperation = serde_json::from_value(serde_json::from_str::<Value>(&line)?["params"].take())?;
                if Some(done.connection_id) == module.connection {
                    if let Some(text @ Value::String(_)) = result {
                        module.last_text = text;
                    }
                    module.next_operation()?;
                }
            }
            OrchestratorToModule::HttpRequest(request) => {
                write_line(&wire::untagged(answer(request), &module.module_id).to_string())?
            }
            _ => {}
        }
    }
    Ok(())
}

async fn serve_channel(module: &Mutex<Module>, channel: Option<Arc<Channel>>, route: Option<Route>) -> Result<(), Error> {
    let Some(channel) = channel else { return std::future::pending().await };
    let routing = async {
        tokio::task::yield_now().await; // the loop waits for a frame first
        if let Some(route) = route {
            channel.send(route.message()?).await?;
            module.lock().await.note("routed", Value::Null)?;
        }
        std::future::pending().await
    };
    let receiving = async {
        while let Some(text) = channel.receive().await? {
            module.lock().await.note("frame", serde_json::from_str(&text)?)?;
            match serde_json::from_str(&text)? {
                OrchestratorToModule::Shutdown => break,
                OrchestratorToModule::Heartbeat => channel.send(ModuleToOrchestrator::HeartbeatAck).await?,
                OrchestratorToModule::HttpRequest(request) => {
                    channel.send(ModuleToOrchestrator::HttpResponse(answer(request))).await?
                }
                _ => {}
            }
        }
        Ok(())
    };
    tokio::select! { outcome = receiving => outcome, outcome = routing => outcome }
}

impl Route {
    fn message(self) -> Result<ModuleToOrchestrator, Error> {
        let payload = Encoded { data: serde_json::to_vec(&Message::wrap(self.body))?, format: Format::Json };
        let request_id = uuid::Uuid::new_v4();
        let (target_module_id, target_endpoint) = (self.target, self.endpoint);
        Ok(ModuleToOrchestrator::RouteToModule { target_module_id, target_endpoint, request_id, payload })
    }
}

impl Module {
    fn note(&mut self, event: &str, value: Value) -> Result<(), Error> {
        Ok(self.record.write_all(format!("{}\n", json!({ event: value })).as_bytes())?)
    }

    /// The answer has to be the very next line, but for what is known already.
    async fn fetch_secrets(&mut self, lines: &mut Lines<BufReader<Stdin>>) -> Result<(), Error> {
        let patience = Duration::from_secs_f64(self.options.patience);
        let mut known = Vec::new();
        for name in self.options.secrets.clone() {
            say(&ModuleToOrchestrator::GetSecret { name: name.clone() })?;
            loop {
                let line = timeout(patience, lines.next_line()).await.map_err(|_| format!("no secret {name}"))??;
                let line = line.ok_or("standard input ended")?;
                match serde_json::from_str(&line)? {
                    OrchestratorToModule::Secret { name: given, .. } if known.contains(&given) => continue,
                    OrchestratorToModule::Secret { name: given, .. } if given == name => {
                        self.note("line", serde_json::from_str(&line)?)?;
                        break known.push(given);
                    }
                    other => return Err(format!("{other:?} instead of the secret {name}").into()),
                }
            }
        }
        Ok(())
    }

    async fn connect(&mut self, init: &InitBlob) -> Result<Vec<Arc<Channel>>, Error> {
        let mut channels = Vec::new();
        if let Some(wanted) = &init.tcp_channel {
            match TcpStream::connect(wanted.address).await {
                Ok(stream) => channels.push(Channel::new(Box::new(stream), self.options.half_duplex)),
                Err(error) if wanted.required => return Err(error.into()),
                Err(error) => self.note("not_connected", json!(error.to_string()))?,
            }
        }
        if let Some(wanted) = &init.ipc_channel {
            match UnixStream::connect(&wanted.socket_path).await {
                Ok(stream) => channels.push(Channel::new(Box::new(stream), self.options.half_duplex)),
                Err(error) if wanted.required => return Err(error.into()),
                Err(error) => self.note("not_connected", json!(error.to_string()))?,
            }
        }
        Ok(channels)
    }

    fn open_service(&mut self) -> Result<(), Error> {
        let Some(service) = self.options.services.front() else { return Ok(()) };
        let id = format!("service_request_{}", uuid::Uuid::new_v4());
        let (service_type, config) = (service.service_type.clone(), Some(service.config.clone()));
        say(&ModuleToOrchestrator::ServiceRequest { id, service_type, config })
    }

    fn next_operation(&mut self) -> Result<(), Error> {
        let (Some(connection_id), Some(service)) = (self.connection.clone(), self.options.services.front_mut()) else {
            return self.note("services", json!("refused"));
        };
        let Some((operation, mut params)) = service.operations.pop_front() else {
            self.options.services.pop_front();
            self.connection = None;
            return if self.options.services.is_empty() { self.note("services", json!("done")) } else { self.open_service() };
        };
        for value in params.as_object_mut().map(Map::values_mut).into_iter().flatten() {
            if value == "$" {
                *value = self.last_text.clone();
            }
        }
        let service_type = service.service_type.clone();
        say(&ModuleToOrchestrator::ServiceOperation(ServiceOperation { connection_id, service_type, operation, params }))
    }
}

fn answer(request: HttpRequest) -> HttpResponse {
    let text = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default());
    let body = json!({"method": request.method, "uri": request.uri, "body": text, "by": "rust"}).to_string();
    let headers = [("content-type".into(), "application/json".into())].into();
    HttpResponse { request_id: request.request_id, status_code: 200, headers, body: Some(body.into_bytes()) }
}

fn say(message: &ModuleToOrchestrator) -> Result<(), Error> {
    write_line(&serde_json::to_string(message)?)
}

fn write_line(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{text}\n").as_bytes())?;
    Ok(out.flush()?)
}
