"""``stack.toml``: which modules run, and how.

    [modules.headers]
    command = ["sdk", "chaintracks", "serve", "--port", "8085"]
    ready_url = "http://127.0.0.1:8085/readyz"

That is a command, supervised as it is. A module of ``kind = "module"`` speaks the wire: its first line of input is an
InitBlob, and it is ready once it has announced itself (and ``ready_url``, if there is one, answers 200).

``${name.url}`` in a command or an environment is the base URL of another module that this one comes ``after``.

``${port}`` in a command's ``command``, ``environment`` and ``ready_url`` is a port that each instance has for itself.

A module gets a clean environment: a few variables every program needs (``KEPT``), what ``environment`` sets, and
those variables of the orchestrator that ``pass_environment`` names. It runs in ``directory``, which is relative to
the stack file, and by default where that file stands.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.orchestrator.hosts.scopes import CacheScope, DatabaseScope
from sdk.module_runtime.protocol.init import parse_socket_address

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
_LARGEST: Final = 1 << 20
PORT: Final = "${port}"
_REFERENCE: Final = re.compile(r"\$\{([a-z][a-z0-9-]{0,62})\.url\}")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Port = Annotated[int, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _address(text: str) -> str:
    if parse_socket_address(text) is None:
        raise ValueError("give ip:port, with IPv6 in brackets")
    return text


def _local_address(text: str) -> str:
    address = parse_socket_address(_address(text))
    if address is None or not ipaddress.ip_address(address.host).is_loopback:
        raise ValueError("give ip:port of this machine, as 127.0.0.1:8081")
    return text


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Restart(_Table):
    """How often a module that crashes is started again: ``limit`` times in any ``window`` seconds."""

    limit: Annotated[int, Field(ge=0, le=1000)] = 5
    window: Seconds = 60.0
    first_delay: Seconds = 0.5
    longest_delay: Seconds = 30.0


class SecretAccess(_Table):
    """Names of secrets, or beginnings of names that end in ``*``."""

    read: list[Text] = []
    write: list[Text] = []


class TokenAccess(_Table):
    """What the module may do at the Jwt service. It makes tokens for these audiences and subjects only."""

    validate_tokens: bool = Field(default=True, alias="validate")
    generate: bool = False
    audiences: list[Text] = []
    subjects: list[Text] = []
    longest: Seconds = 3600.0


class Module(_Table):
    """A program to supervise. A command is ready once a GET of ``ready_url`` answers 200."""

    kind: Literal["command", "module"] = "command"
    command: Annotated[list[Text], Field(min_length=1, max_length=256)]
    ready_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/\S*)?$")] | None = None
    listen: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "127.0.0.1:0"
    """Where a module of kind ``module`` serves: ``ip:port`` (0: one of its choice, which it announces), or a path."""
    inherit: bool = False
    """The orchestrator listens at ``listen`` (``ip:port``) and hands the socket on, as systemd does (``LISTEN_FDS``):
    who connects while no instance is there waits for the next one."""
    channels: list[Literal["unix", "tcp"]] = ["unix"]
    """What it may connect to besides its standard streams; ``tcp`` is TLS if the stack has ``tls``."""
    identify: Literal["token", "listener"] = "token"
    """How a channel is known to be this module's. One built with the Rust SDK knows no tokens: ``listener``."""
    mount: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~-]+)*$", max_length=255)] = ""
    """What its endpoints begin with at the gateway; the module hears the whole path."""
    secrets: SecretAccess = SecretAccess()
    tokens: TokenAccess | None = None
    databases: dict[Name, DatabaseScope] = {}
    """What the orchestrator lends it, by the name it asks for. SQLite files are relative to its directory."""
    caches: dict[Name, CacheScope] = {}
    directory: Path | None = None
    environment: dict[Variable, Text] = {}
    pass_environment: list[Variable] = []
    after: list[Name] = []
    start_timeout: Seconds = 60.0
    stop_timeout: Seconds = 10.0
    hung_after: Seconds = 40.0
    """Without an answer to heartbeats on its channels, or with its input unread, it is killed and started again."""
    restart: Restart = Restart()

    @model_validator(mode="after")
    def _urls_have_their_own_variables(self) -> Self:
        told = [scope for scope in self.databases.values() if scope.url_environment is not None]
        variables = [str(scope.url_environment) for scope in told]
        twice = sorted(each for each in variables if each in self.environment or variables.count(each) > 1)
        if twice:
            raise ValueError(f"url_environment {twice[0]} is given twice, or in environment too")
        if self.kind == "command" and any(scope.access == "proxied" for scope in told):
            raise ValueError("a command cannot be lent a database, for it is no module: say access = direct")
        return self

    @model_validator(mode="after")
    def _ready_somehow(self) -> Self:
        if self.kind == "command" and self.ready_url is None:
            raise ValueError("a command needs a ready_url, by which it is seen to be ready")
        if self.inherit and parse_socket_address(self.listen) is None:
            raise ValueError("inherit needs an ip:port in listen")
        if self.inherit and self.identify == "listener":
            raise ValueError("a module built with the Rust SDK takes no socket: leave out inherit")
        if self.kind == "module" and self.wants_port:
            raise ValueError("${port} is for commands; a module is told where to listen")
        return self

    @property
    def wants_port(self) -> bool:
        """Whether each instance of this command has a port for itself."""
        return any(PORT in text for text in (*self.command, *self.environment.values(), self.ready_url or ""))


class Gateway(_Table):
    """One HTTP address for all endpoints that modules announce."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:0"
    http_tcp: Annotated[str, AfterValidator(_local_address)] | None = None
    """``ip:port`` on this machine where HTTP in frames is answered too."""
    timeout: Seconds = 30.0
    """Until a module begins its answer, and between parts of it."""
    largest_body: Annotated[int, Field(gt=0, le=1 << 40)] = 64 * 1024 * 1024
    in_flight: Annotated[int, Field(gt=0, le=10_000)] = 256
    """Requests to one module at a time."""
    streams: Annotated[int, Field(gt=0, le=100_000)] = 1024
    """WebSockets and event streams of one module at a time, which are no requests in flight."""
    streams_per_client: Annotated[int, Field(gt=0, le=100_000)] = 64
    """The same, of one client's address."""
    idle: Seconds = 300.0
    """Without a frame of either side a WebSocket ends, and without anything of the module an event stream."""
    largest_message: Annotated[int, Field(gt=0, le=64 * 1024 * 1024)] = 4 * 1024 * 1024
    """Bytes, on a WebSocket."""


class Tls(_Table):
    """PEM files for the TCP channels of modules. With ``is_mutual`` modules show a certificate too."""

    ca: Path
    certificate: Path
    key: Path
    server_name: str | None = None
    module_certificate: Path | None = None
    module_key: Path | None = None
    is_mutual: bool = Field(default=False, alias="mutual")


class Orchestration(_Table):
    """Of the orchestrator itself."""

    state: Path = Path(".runtime")
    """A folder for its database, logs and admin socket, relative to the stack file."""
    database: Text | None = None
    """URL of another database than the SQLite file in ``state``."""
    database_environment: Variable | None = None
    """The variable that has this URL, if there is a password in it."""
    database_schema: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")] | None = None
    """Its tables stand in this PostgreSQL schema, which is made if it is missing, or in this MySQL database."""
    admin: Annotated[str, AfterValidator(_address)] | None = None
    """``ip:port`` for the admin API besides its unix socket; asked with the token in ``state/admin-token``."""
    ports: tuple[Port, Port] = (21_000, 21_999)
    """The range that modules are lent ports from."""

    @model_validator(mode="after")
    def _one_database(self) -> Self:
        if self.database is not None and self.database_environment is not None:
            raise ValueError("give one of database and database_environment")
        if self.database_schema is not None and self.database is None and self.database_environment is None:
            raise ValueError("database_schema is of a server: give its URL in database or database_environment")
        return self

    def database_url(self, environ: Mapping[str, str]) -> str:
        """``ConfigurationError`` if the variable is not set."""
        if self.database_environment is None:
            return self.database or f"sqlite:///{self.state / 'runtime.sqlite'}"
        if not environ.get(self.database_environment):
            raise ConfigurationError(
                f"orchestrator.database_environment names {self.database_environment}, which is not set"
            )
        return environ[self.database_environment]


class Registration(_Table):
    """Where modules that nobody starts here may register; over TLS if the stack has ``tls``."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:9900"
    key: Text | None = None
    """The name of a secret that they must show as ``metadata.registration_key``."""
    http_over_tcp: bool = False
    """Whether each is told a port of its own, over which it may answer HTTP in frames, as Rust's servers do. Whoever
    connects there first is taken for the module, so it is for this machine alone."""


class SecretKeeping(_Table):
    """Where the key is that secrets are encrypted with: ``file:PATH``, ``environment:VARIABLE``, ``keyring:…``."""

    key: Annotated[str, StringConstraints(pattern=r"^(file|environment|keyring):.+$")]
    audit_days: Annotated[int, Field(gt=0, le=36_500)] = 90
    """How long it is kept who asked for what."""


class Jwt(_Table):
    """How tokens are judged, at the gateway and for modules: by one of ``secret``, ``pem`` and ``jwks``."""

    secret: Text | None = None
    """The name of a secret of the store: a shared key (``algorithm``), or a private key in PEM."""
    pem: Path | None = None
    """A public or private key."""
    jwks: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = None
    algorithm: Text | None = None
    issuer: Text | None = None
    audience: list[Text] = []
    leeway: Annotated[float, Field(ge=0, le=3600)] = 60.0
    lifetime: Seconds = 3600.0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(each is not None for each in (self.secret, self.pem, self.jwks)) != 1:
            raise ValueError("give one of secret, pem and jwks")
        return self


class Stack(_Table):
    modules: Annotated[dict[Name, Module], Field(min_length=1, max_length=256)]
    orchestrator: Orchestration = Orchestration()
    gateway: Gateway | None = None
    secrets: SecretKeeping | None = None
    jwt: Jwt | None = None
    registration: Registration | None = None
    tls: Tls | None = None


def read_stack(path: Path) -> Stack:
    """The stack of a file; ``ConfigurationError`` says what is wrong, and where, and never repeats a value."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(f"the stack file {path} cannot be read: {error.strerror}") from error
    if len(text) > _LARGEST:
        raise ConfigurationError(f"{path} is larger than 1 MiB: that is no stack file")
    try:
        document = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the stack file {path} is not TOML: {error}") from error
    return _placed(parse_stack(document, str(path)), path.parent.absolute())


def _placed(stack: Stack, base: Path) -> Stack:
    """Paths of the file are relative to where it stands."""
    modules = {
        name: module.model_copy(update={"directory": base / (module.directory or "")})
        for name, module in stack.modules.items()
    }
    tls = stack.tls and stack.tls.model_copy(
        update={name: base / value for name, value in stack.tls if isinstance(value, Path)}
    )
    jwt = stack.jwt and stack.jwt.model_copy(update={"pem": stack.jwt.pem and base / stack.jwt.pem})
    secrets = stack.secrets
    if secrets is not None and secrets.key.startswith("file:"):
        secrets = SecretKeeping(key=f"file:{base / secrets.key.removeprefix('file:')}")
    own = stack.orchestrator.model_copy(update={"state": base / stack.orchestrator.state})
    return stack.model_copy(
        update={"modules": modules, "tls": tls, "jwt": jwt, "secrets": secrets, "orchestrator": own}
    )


def parse_stack(document: Mapping[str, Any], source: str) -> Stack:
    """A parsed TOML document as a stack whose order of starting is possible."""
    try:
        stack = Stack.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        lines = (
            f"{'.'.join(map(str, each['loc'])) or 'document'}: {each['msg'].removeprefix('Value error, ')}"
            for each in found
        )
        raise ConfigurationError(f"{source}: {'; '.join(lines)}") from None
    for name, module in stack.modules.items():
        unknown = [each for each in module.after if each not in stack.modules]
        if unknown:
            raise ConfigurationError(f"{source}: modules.{name}.after names {unknown[0]!r}, which is no module of it")
        beyond = [each for each in references(module) if each not in module.after]
        if beyond:
            raise ConfigurationError(
                f"{source}: modules.{name} refers to ${{{beyond[0]}.url}}: name {beyond[0]!r} in its after, too"
            )
    _check_services(stack, source)
    try:
        TopologicalSorter({name: module.after for name, module in stack.modules.items()}).prepare()
    except CycleError as error:
        raise ConfigurationError(f"{source}: modules wait for one another: {' after '.join(error.args[1])}") from None
    return stack


def references(module: Module) -> list[str]:
    """The modules whose addresses this one is told."""
    texts = (*module.command, *module.environment.values())
    return sorted({match[1] for text in texts for match in _REFERENCE.finditer(text)})


def resolved(module: Module, urls: Mapping[str, str], port: int | None = None) -> Module:
    """The module with the addresses of others put in, and its port. ``ConfigurationError`` if one has none."""

    def put_in(text: str) -> str:
        text = text if port is None else text.replace(PORT, str(port))
        return _REFERENCE.sub(lambda match: _url_of(match[1], urls), text)

    command = [put_in(text) for text in module.command]
    environment = {name: put_in(value) for name, value in module.environment.items()}
    ready_url = module.ready_url and put_in(module.ready_url)
    return module.model_copy(update={"command": command, "environment": environment, "ready_url": ready_url})


def _url_of(name: str, urls: Mapping[str, str]) -> str:
    if name not in urls:
        raise ConfigurationError(f"${{{name}.url}}: {name} serves at no address")
    return urls[name]


def _check_services(stack: Stack, source: str) -> None:
    for name, module in stack.modules.items():
        if stack.secrets is None and (module.secrets.read or module.secrets.write):
            raise ConfigurationError(f"{source}: modules.{name}.secrets needs a table [secrets] with a key")
        lent = (*module.databases.values(), *module.caches.values())
        if stack.secrets is None and any(each.password_secret is not None for each in lent):
            raise ConfigurationError(f"{source}: password_secret of modules.{name} needs a table [secrets] with a key")
        if stack.jwt is None and module.tokens is not None:
            raise ConfigurationError(f"{source}: modules.{name}.tokens needs a table [jwt]")
    registration = stack.registration
    if registration is not None:
        address = parse_socket_address(registration.listen)
        is_local = address is not None and ipaddress.ip_address(address.host).is_loopback
        if not is_local and (registration.key is None or stack.tls is None):
            raise ConfigurationError(f"{source}: registration beyond this machine needs registration.key and [tls]")
        if registration.http_over_tcp and (not is_local or stack.tls is not None):
            raise ConfigurationError(f"{source}: registration.http_over_tcp is for this machine, without [tls]")
        if registration.key is not None and stack.secrets is None:
            raise ConfigurationError(f"{source}: registration.key needs a table [secrets] with a key")
    if stack.jwt is not None and stack.jwt.secret is not None and stack.secrets is None:
        raise ConfigurationError(f"{source}: jwt.secret needs a table [secrets] with a key")


def environment_of(name: str, module: Module, environ: Mapping[str, str]) -> dict[str, str]:
    """What the module will find in its environment."""
    missing = [variable for variable in module.pass_environment if variable not in environ]
    if missing:
        raise ConfigurationError(
            f"modules.{name}.pass_environment names {missing[0]}, which is not set: set it before starting the stack"
        )
    kept = {variable: environ[variable] for variable in (*KEPT, *module.pass_environment) if variable in environ}
    return kept | module.environment


def program_of(name: str, module: Module, environment: Mapping[str, str]) -> str:
    """The path of the module's program, looked up on the PATH the module itself will have."""
    if module.directory is not None and not module.directory.is_dir():
        raise ConfigurationError(f"modules.{name}.directory: {module.directory} is no directory")
    given = module.command[0]
    if os.sep in given and module.directory is not None:
        given = str(module.directory / given)
    found = shutil.which(given, path=environment.get("PATH", os.defpath))
    if found is None:
        raise ConfigurationError(
            f"modules.{name}.command: {module.command[0]!r} is no program on its PATH; give its path"
        )
    return os.path.abspath(found)
