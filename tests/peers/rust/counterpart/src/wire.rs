//! The messages and frames, as serde reads and writes them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use uuid::Uuid;

pub type Error = Box<dyn std::error::Error>;
pub const LARGEST_FRAME: u32 = 64 << 20;
const JSON: u8 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub struct TcpChannel {
    pub address: std::net::SocketAddr,
    pub tls_enabled: bool,
    pub required: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct IpcChannel {
    pub socket_path: String,
    pub required: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub enum SecurityLevel {
    #[default]
    None,
    Token,
    Mtls,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct InitBlob {
    pub orchestrator_api: String,
    pub module_id: String,
    pub env: BTreeMap<String, String>,
    pub listen: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_channel: Option<TcpChannel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc_channel: Option<IpcChannel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    #[serde(default)]
    pub security_level: SecurityLevel,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServiceType {
    Database,
    Cache,
    Jwt,
    Custom(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Endpoint {
    pub path: String,
    pub methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ServiceProvider {
    pub provider_id: String,
    pub module_id: String,
    pub service_type: ServiceType,
    pub name: String,
    pub version: Option<String>,
    pub address: String,
    pub metadata: BTreeMap<String, String>,
    pub is_healthy: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Format {
    Json,
    Binary,
    Base64,
    Auto,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Encoded {
    pub data: Vec<u8>,
    pub format: Format,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceOperation {
    pub connection_id: String,
    pub service_type: ServiceType,
    pub operation: String,
    pub params: Value,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct HttpRequest {
    pub request_id: String,
    pub method: String,
    pub uri: String,
    pub headers: BTreeMap<String, String>,
    pub body: Option<Vec<u8>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct HttpResponse {
    pub request_id: String,
    pub status_code: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Option<Vec<u8>>,
}

/// In frames of their own: a body that is absent is left out.
#[derive(Debug, Serialize, Deserialize)]
pub struct HttpTcpRequest {
    pub request_id: String,
    pub method: String,
    pub uri: String,
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Vec<u8>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct HttpTcpResponse {
    pub request_id: String,
    pub status_code: u16,
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Vec<u8>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ModuleToOrchestrator {
    Announce { listen: String, endpoints: Vec<Endpoint> },
    GetSecret { name: String },
    RotationAck {
        rotation_id: String,
        status: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    RegisterServiceProvider {
        service_type: ServiceType,
        name: String,
        version: Option<String>,
        address: String,
        metadata: Option<BTreeMap<String, String>>,
    },
    DiscoverServiceProviders { service_type: ServiceType, all_providers: Option<bool> },
    ServiceRequest { id: String, service_type: ServiceType, config: Option<Value> },
    ServiceOperation(ServiceOperation),
    HttpResponse(HttpResponse),
    PortRequest { request_id: String, specific_port: Option<u16> },
    RouteToModule { target_module_id: String, target_endpoint: String, request_id: Uuid, payload: Encoded },
    HeartbeatAck,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum OrchestratorToModule {
    Init(InitBlob),
    Secret {
        name: String,
        value: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rotation_id: Option<String>,
    },
    Rotated { keys: Vec<String>, rotation_id: String },
    Shutdown,
    RegisterServiceProviderResponse { success: bool, provider_id: Option<String>, error: Option<String> },
    DiscoverServiceProvidersResponse { success: bool, providers: Vec<ServiceProvider>, error: Option<String> },
    ServiceResponse {
        id: String,
        service_type: ServiceType,
        success: bool,
        error: Option<String>,
        connection_id: Option<String>,
    },
    ServiceOperationResult { success: bool, result: Option<Value>, error: Option<String> },
    HttpRequest(HttpRequest),
    PortResponse { request_id: String, success: bool, port: u16, error_message: Option<String> },
    RoutedModuleMessage { source_module_id: String, original_request_id: Uuid, payload: Encoded },
    RoutedModuleResponse { source_module_id: String, request_id: Uuid, payload: Encoded },
    Heartbeat,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Message<T> {
    pub id: Uuid,
    pub content: T,
    #[serde(default)]
    pub metadata: Metadata,
}

impl<T> Message<T> {
    pub fn wrap(content: T) -> Self {
        Message { id: Uuid::new_v4(), content, metadata: Metadata::default() }
    }
}

/// How a module answers HTTP on its standard output: without tag and without id.
pub fn untagged(answer: HttpResponse, module_id: &str) -> Value {
    serde_json::json!({
        "content": { "body": answer.body, "headers": answer.headers, "request_id": answer.request_id,
                     "status_code": answer.status_code },
        "metadata": { "id": Uuid::new_v4(), "properties": { "correlation_id": answer.request_id },
                      "source": module_id },
    })
}

/// Reads `text` as `T`; true if writing it again gives the same value, so that nothing in it was unknown.
pub fn read<T: Serialize + for<'a> Deserialize<'a>>(text: &str) -> Result<(T, bool), serde_json::Error> {
    let parsed: T = serde_json::from_str(text)?;
    let exact = serde_json::to_value(&parsed)? == serde_json::from_str::<Value>(text)?;
    Ok((parsed, exact))
}

/// The JSON text in the next frame; `None` at a clean end.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<String>, Error> {
    let mut header = [0u8; 5];
    if stream.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut header[1..]).await?;
    let length = u32::from_be_bytes(header[..4].try_into()?);
    if header[4] != JSON || length > LARGEST_FRAME {
        return Err(format!("a frame of {length} bytes in format {}", header[4]).into());
    }
    let mut payload = vec![0u8; length as usize];
    stream.read_exact(&mut payload).await?;
    Ok(Some(String::from_utf8(payload)?))
}

pub async fn send(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> Result<(), Error> {
    let mut frame = (text.len() as u32).to_be_bytes().to_vec();
    frame.push(JSON);
    frame.extend(text.as_bytes());
    stream.write_all(&frame).await?;
    Ok(stream.flush().await?)
}
