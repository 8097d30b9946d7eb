//! What is compared: the file of a comparison, and servers from the command line.
//!
//! The idea: the file holds flags of `run` under their own names, as `--scenario` does, so there
//! is nothing to learn but the servers. It knows nothing of how runs are made.

use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

use crate::scenario;

/// Rounds that one comparison may have: beyond it is a typing error rather than a plan.
const ROUNDS_MAX: u32 = 1_000;

/// Servers to compare, and what with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contest {
    pub(super) servers: Vec<Server>,
    /// Name of the server that the others are compared with.
    pub(super) floor: Option<String>,
    pub(super) rounds: Option<u32>,
    /// Shell command to be run once before everything else.
    pub(super) setup: Option<String>,
    /// Words of `run` for all servers.
    pub(super) flags: Vec<String>,
}

/// One server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Server {
    pub(super) name: String,
    /// Shell command that starts it; `None` if it runs already.
    pub(super) spawn: Option<String>,
    /// Where it is subscribed to.
    pub(super) url: String,
    /// Shell command to be run once before the first round: it installs or builds the server.
    pub(super) setup: Option<String>,
    /// Shell command that prints what the server is.
    pub(super) version: Option<String>,
    /// Words of `run` for this server alone.
    pub(super) flags: Vec<String>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    rounds: Option<u32>,
    floor: Option<String>,
    setup: Option<String>,
    #[serde(default)]
    plan: toml::Table,
    #[serde(default)]
    server: Vec<WrittenServer>,
}

/// A server as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenServer {
    name: String,
    spawn: Option<String>,
    url: Option<String>,
    setup: Option<String>,
    version: Option<String>,
    #[serde(default)]
    plan: toml::Table,
}

/// Where a server that is started here listens.
const SPAWNED_URL: &str = "http://127.0.0.1:{port}";

impl FromStr for Server {
    type Err = String;

    /// `NAME=COMMAND`, or `NAME=URL` for a server that runs already.
    fn from_str(text: &str) -> Result<Server, String> {
        let (name, what) = text
            .split_once('=')
            .filter(|(name, what)| !name.is_empty() && !what.trim().is_empty())
            .ok_or_else(|| format!("{text:?}: give NAME=COMMAND or NAME=URL"))?;
        let is_url = what.starts_with("http://");
        Ok(Server {
            name: name.to_owned(),
            spawn: (!is_url).then(|| what.to_owned()),
            url: if is_url { what } else { SPAWNED_URL }.to_owned(),
            ..Server::default()
        })
    }
}

impl Contest {
    /// The servers of the file, then those of the command line; one of the same name replaces.
    ///
    /// # Errors
    ///
    /// What about the file cannot be.
    pub(super) fn new(file: Option<&Path>, named: Vec<Server>) -> Result<Contest, String> {
        let mut contest = match file {
            None => Contest::of(Written::default(), "."),
            Some(path) => read(path).map_err(|error| format!("{}: {error}", path.display())),
        }?;
        for server in named {
            match contest.servers.iter_mut().find(|one| one.name == server.name) {
                Some(known) => {
                    let (spawn, url) = (server.spawn, server.url);
                    *known = Server { spawn, url, setup: None, version: None, ..known.clone() };
                }
                None => contest.servers.push(server),
            }
        }
        Ok(contest)
    }

    fn of(written: Written, folder: &str) -> Result<Contest, String> {
        let here = |text: String| text.replace("{here}", folder);
        let servers = written.server.into_iter().map(|server| {
            let flags = scenario::words(server.plan)
                .map_err(|error| format!("server {}: {error}", server.name))?;
            let spawn = server.spawn.map(here);
            let url = match (server.url, &spawn) {
                (Some(url), _) => url,
                (None, Some(_)) => SPAWNED_URL.to_owned(),
                (None, None) => {
                    return Err(format!("server {}: give it spawn or url", server.name));
                }
            };
            let (setup, version) = (server.setup.map(here), server.version.map(here));
            Ok(Server { name: server.name, spawn, url, setup, version, flags })
        });
        Ok(Contest {
            servers: servers.collect::<Result<_, String>>()?,
            floor: written.floor,
            rounds: written.rounds,
            setup: written.setup.map(here),
            flags: scenario::words(written.plan)?,
        })
    }

    /// The comparison with these servers and the floor only; with all, if none is named.
    ///
    /// # Errors
    ///
    /// If one is named that there is not.
    pub(super) fn only(mut self, names: &[String]) -> Result<Contest, String> {
        if let Some(unknown) = names.iter().find(|name| !self.has(name)) {
            return Err(format!("--only {unknown}: the servers are {}", self.names().join(", ")));
        }
        let floor = self.floor.clone();
        self.servers.retain(|one| {
            names.is_empty() || names.contains(&one.name) || floor.as_ref() == Some(&one.name)
        });
        Ok(self)
    }

    /// The comparison, if it can be made.
    ///
    /// # Errors
    ///
    /// What about it cannot be, and what can.
    pub(super) fn checked(self) -> Result<Contest, String> {
        if self.servers.is_empty() {
            return Err("nothing to compare: give a FILE, or --server NAME=COMMAND".to_owned());
        }
        let mut names = self.names();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two servers are called {:?}; give each its own name", twice[0]));
        }
        if let Some(floor) = self.floor.as_ref().filter(|floor| !self.has(floor)) {
            return Err(format!("floor {floor:?}: the servers are {}", self.names().join(", ")));
        }
        if let Some(rounds) = self.rounds.filter(|rounds| !(1..=ROUNDS_MAX).contains(rounds)) {
            return Err(format!("rounds {rounds}: give 1 to {ROUNDS_MAX}"));
        }
        Ok(self)
    }

    /// The servers in the order of a round. Without the floor, which is first and last, each one
    /// has every place once in as many rounds as there are servers.
    pub(super) fn order(&self, round: u32) -> Vec<&Server> {
        let (floor, mut others): (Vec<&Server>, Vec<&Server>) =
            self.servers.iter().partition(|one| Some(&one.name) == self.floor.as_ref());
        if !others.is_empty() {
            let count = others.len();
            others.rotate_left((round as usize - 1) % count);
        }
        [floor.clone(), others, floor].concat()
    }

    fn has(&self, name: &str) -> bool {
        self.servers.iter().any(|one| one.name == *name)
    }

    fn names(&self) -> Vec<&str> {
        self.servers.iter().map(|one| one.name.as_str()).collect()
    }
}

fn read(path: &Path) -> Result<Contest, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let folder = std::path::absolute(path.parent().unwrap_or(Path::new(".")));
    let folder = folder.map_err(|error| error.to_string())?;
    let written = toml::from_str(&text).map_err(|error| error.to_string())?;
    Contest::of(written, &folder.to_string_lossy())
}

#[cfg(test)]
mod tests;
