//! The Mercure hub's part of the start: its variables and files, read then, and again for new keys.
//!
//! `mercure::settings` says what they mean; this is where they come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::config::cli::{MercureChoice, ServeArgs};
use crate::mercure::Speaks;
use crate::mercure::directives::Lookup;
use crate::mercure::settings::{Settings, asked_for};

/// Bytes of a file of directives or of a key, at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The environment and the files of this process.
struct Process;

impl Lookup for Process {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn variables(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let failed = |error: std::io::Error| format!("{path} cannot be read: {error}");
        let length = std::fs::metadata(path).map_err(failed)?.len();
        if length > FILE_BYTES_MAX {
            return Err(format!("{path} has {length} bytes; {FILE_BYTES_MAX} are allowed"));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let end = text.strip_suffix('\n').unwrap_or(&text);
        Ok(end.strip_suffix('\r').unwrap_or(end).to_owned())
    }
}

/// Fills in what the flags leave to Mercure's own settings.
pub(super) fn read(args: &mut ServeArgs) -> Result<(), String> {
    let asked = asked_for(&Process);
    let speaks = match args.mercure {
        MercureChoice::Off => None,
        MercureChoice::Auto => asked.or(args.mercure_file.as_ref().map(|_| Speaks::V0)),
        MercureChoice::V8 => Some(Speaks::V0),
        MercureChoice::V1 => Some(Speaks::V1),
        MercureChoice::Both => Some(Speaks::Both),
    };
    let Some(speaks) = speaks else {
        if matches!(args.mercure, MercureChoice::Auto) {
            warn_of_strays();
        }
        return Ok(());
    };
    let mut settings = settings(speaks, args.mercure_file.as_deref())?;
    let bytes_max = settings.body_bytes_max.unwrap_or(0);
    if bytes_max > args.event_bytes_max.0 {
        settings.warnings.push(format!(
            "max_request_body_size {bytes_max} lets no larger data through than --event-bytes-max \
             {}; raise that as well",
            args.event_bytes_max.0
        ));
    }
    let server_name = Process.variable("SERVER_NAME").filter(|name| !name.trim().is_empty());
    match (args.listen_is_default, server_name) {
        (true, Some(name)) => args.listen = addresses(&name, &mut settings.warnings)?,
        (true, None) => settings.warnings.push(
            "neither SERVER_NAME nor --listen says where to listen, so only this machine, or this \
             container, reaches the hub; in a container set SERVER_NAME to :80"
                .into(),
        ),
        (false, _) => {}
    }
    args.mercure_settings = Some(Arc::new(settings));
    Ok(())
}

/// Says that a hub's variables are set, but none with which it could be one: a misspelt name, or an
/// empty value, would else be a native engine that nobody has asked for.
fn warn_of_strays() {
    let mut names = Process.variables();
    names.retain(|name| name.starts_with("MERCURE_"));
    names.sort();
    if !names.is_empty() {
        eprintln!(
            "downpour: warning: there is no Mercure hub, although {} is set: \
             MERCURE_PUBLISHER_JWT_KEY is missing, or empty",
            names.join(", ")
        );
    }
}

/// The settings as they are now, for their keys; none where there is no hub.
pub(super) fn read_again(config: &Config, file: Option<&Path>) -> Result<Option<Settings>, String> {
    config.mercure.as_ref().map(|hub| settings(hub.speaks, file)).transpose()
}

fn settings(speaks: Speaks, file: Option<&Path>) -> Result<Settings, String> {
    let name = file.map(|path| path.display().to_string());
    let file = name.as_ref().map(|name| Process.file(name).map(|text| (name, text))).transpose()?;
    let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    Settings::read(speaks, file, &Process).map_err(|error| error.to_string())
}

/// Where Caddy would listen for these names, without its TLS.
fn addresses(names: &str, warnings: &mut Vec<String>) -> Result<Vec<SocketAddr>, String> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    // Both families, as Caddy does, where this machine has both.
    let everywhere: IpAddr = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    };
    for name in names.split([',', ' ']).filter(|name| !name.is_empty()) {
        let (scheme, authority) = name.split_once("://").unwrap_or(("", name));
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        if scheme == "https" || (scheme.is_empty() && !host.is_empty() && port != "80") {
            warnings.push(format!(
                "SERVER_NAME {name} asks for TLS, which a proxy in front has to do; this is plain HTTP"
            ));
        }
        let port = match port {
            "" => 80,
            port => port.parse().map_err(|_| format!("SERVER_NAME has no port in {name}"))?,
        };
        let address = SocketAddr::from((everywhere, port));
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Says on stderr what the hub does, and which settings have no meaning.
pub(super) fn announce(config: &Config) {
    let Some(settings) = &config.mercure else { return };
    let speaks = match settings.speaks {
        Speaks::V0 => "protocol 8",
        Speaks::V1 => "version 1.0",
        Speaks::Both => "protocol 8 and version 1.0",
    };
    let who = if settings.anonymous { "everybody" } else { "those with a token" };
    eprintln!("downpour: Mercure hub at /.well-known/mercure ({speaks}), for {who} to subscribe");
    for warning in &settings.warnings {
        eprintln!("downpour: warning: {warning}");
    }
}
