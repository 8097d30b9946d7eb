//! The flags of `conform`, and the server they describe.

use std::cell::Cell;

use super::inside::{Gauge, Hooks};
use super::point::{self, Point};
use super::site::Site;
use crate::amount::{Count, Span};
use crate::client::fleet::TopicName;
use crate::failure::Failure;
use crate::profile::{self, Profile, Recipe, Url, Wishes};

/// Arguments of `downpour-load conform`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[command(after_help = "\
Exit codes: 0 every MUST that was checked passes (with --strict also every SHOULD), 1 could not
run, 2 wrong usage, 5 a point fails.

Placeholders: {topic} in URLs, bodies and header fields; {data} in --publish-body.

A point that needs what was not given says so and is not counted: --list shows all of them.
Everything that can be checked of a Downpour on this machine:
  downpour-load conform http://127.0.0.1:8080 --pid $(pgrep -x downpour) \\
    --gauge http://127.0.0.1:9090/metrics#downpour_subscribers --head-timeout 30s \\
    --stall-timeout 40s --restart 'systemctl restart downpour' --md conform.md")]
pub(crate) struct Args {
    /// Where to subscribe: http://host:port, or with a path and {topic}
    #[arg(value_name = "URL", required_unless_present = "list")]
    pub(super) url: Option<String>,
    /// Server profile: where to subscribe and how to publish
    #[arg(long, value_enum, default_value_t)]
    pub(super) profile: Profile,
    /// Publish nothing: points about events are not checked
    #[arg(long)]
    no_publish: bool,
    /// Publish elsewhere than the profile says: 'POST http://host/path/{topic}'
    #[arg(long, value_name = "METHOD URL")]
    publish: Option<String>,
    /// Body of a publish, with {data} in it
    #[arg(long, value_name = "TEMPLATE")]
    publish_body: Option<String>,
    /// Header field of the publish request; may be given many times
    #[arg(long, value_name = "FIELD")]
    publish_header: Vec<String>,
    /// Header field of the subscribe request; may be given many times
    #[arg(short = 'H', long, value_name = "FIELD")]
    header: Vec<String>,
    /// What the names of topics begin with
    #[arg(long, default_value = "conform", value_name = "NAME")]
    topic: String,
    /// How long what has to come may take
    #[arg(long, default_value = "5s", value_name = "TIME")]
    patience: Span,
    /// What counts as at once
    #[arg(long, default_value = "1s", value_name = "TIME")]
    prompt: Span,
    /// How long to wait before publishing to a stream that begins with nothing but its head
    #[arg(long, default_value = "50ms", value_name = "TIME")]
    settle: Span,
    /// How long to listen to a quiet stream for a comment (S10); 0 leaves that out
    #[arg(long, default_value = "20s", value_name = "TIME")]
    idle: Span,
    /// Only these points or groups of points: S2,R
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    only: Vec<String>,
    /// A SHOULD that fails counts like a MUST
    #[arg(long)]
    pub(super) strict: bool,
    /// Print the points and their sources, and test nothing
    #[arg(long)]
    pub(super) list: bool,
    #[command(flatten)]
    known: Known,
    #[command(flatten)]
    pub(super) results: Results,
}

/// What the user knows of the server: each lets further points be checked.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is known of the server")]
struct Known {
    /// An origin whose pages may read the stream (H9, H10a)
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Within what time it ends a request head that trickles in (H17a)
    #[arg(long, value_name = "TIME")]
    head_timeout: Option<Span>,
    /// Its limit on connections (H17b), of which no others are open
    #[arg(long, value_name = "N")]
    connections_max: Option<Count>,
    /// An address whose stream is over for good (H18a)
    #[arg(long, value_name = "URL")]
    ended: Option<String>,
    /// An address whose stream has moved (H18b)
    #[arg(long, value_name = "URL")]
    moved: Option<String>,
    /// Header field of somebody who may not read the topics (R9); it takes the place of --header
    #[arg(long, value_name = "FIELD")]
    stranger: Vec<String>,
    /// Its process on this machine, for memory and descriptors (L1b, L2b, L3b)
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Its figure of open streams, in Prometheus text: http://host:port/metrics#name (L1b)
    #[arg(long, value_name = "URL#NAME")]
    gauge: Option<String>,
    /// Within what time it cuts off a reader that takes nothing (L2c)
    #[arg(long, value_name = "TIME")]
    stall_timeout: Option<Span>,
    /// The same server through a proxy (L8); may be given many times
    #[arg(long, value_name = "URL")]
    via: Vec<String>,
    /// Shell command that restarts it and returns (R5, R6)
    #[arg(long, value_name = "COMMAND")]
    restart: Option<String>,
}

/// Where results go besides the text.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Results")]
pub(super) struct Results {
    /// Write everything as JSON (schema/conform.schema.json); `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<String>,
    /// Write TAP
    #[arg(long, value_name = "FILE")]
    pub(super) tap: Option<String>,
    /// Write JUnit XML, for build servers
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<String>,
    /// Write GitHub Markdown, for instance to $GITHUB_STEP_SUMMARY
    #[arg(long, value_name = "FILE")]
    pub(super) md: Option<String>,
}

impl Args {
    /// The points that are asked for, in order.
    ///
    /// # Errors
    ///
    /// If a name is that of no point.
    pub(super) fn points(&self) -> Result<Vec<&'static Point>, Failure> {
        for name in &self.only {
            if !point::all().any(|point| names(name, point.id)) {
                let error = format!("--only {name}: there is no such point; --list shows them");
                return Err(Failure::Usage(error));
            }
        }
        let wanted = |point: &&Point| {
            self.only.is_empty() || self.only.iter().any(|name| names(name, point.id))
        };
        Ok(point::all().filter(wanted).collect())
    }

    /// The server, once it is seen to be there.
    ///
    /// # Errors
    ///
    /// If what is said of it cannot be, or if it does not accept connections.
    pub(super) fn site(&self) -> Result<Site, Failure> {
        let text = self.url.as_deref().unwrap_or_default();
        let url = parsed(text, "URL")?;
        let topic = TopicName { name: self.topic.clone(), numbered: true };
        let wishes = Wishes {
            headers: self.header.clone(),
            publish: self.publish.clone(),
            publish_headers: self.publish_header.clone(),
            publish_body: self.publish_body.clone(),
            batch: None,
        };
        let recipe = match self.no_publish {
            true => None,
            false => Recipe::new(self.profile, &url, &wishes, topic.clone())?,
        };
        let subscribe = profile::subscribe_request(self.profile, &url, &wishes, topic.clone());
        let subscribe = subscribe.map_err(Failure::Usage)?;
        let hooks = self.known.hooks()?;
        // A server that is not there is no server that fails every point.
        std::net::TcpStream::connect_timeout(&url.address, self.patience.0).map_err(|error| {
            Failure::Broken(format!("{}: {error}; is it running?", url.address))
        })?;
        Ok(Site {
            url,
            subscribe,
            recipe,
            profile: self.profile,
            wishes,
            topic,
            patience: self.patience.0,
            prompt: self.prompt.0,
            settle: self.settle.0,
            idle: self.idle.0,
            origin: self.known.origin.clone(),
            hooks,
            next_topic: Cell::new(0),
        })
    }
}

impl Known {
    fn hooks(&self) -> Result<Hooks, Failure> {
        for field in &self.stranger {
            if !field.contains(':') || field.contains(['\r', '\n']) {
                let error = format!("--stranger {field:?}: write it as 'Name: value'");
                return Err(Failure::Usage(error));
            }
        }
        if let Some(pid) =
            self.pid.filter(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
        {
            return Err(Failure::Usage(format!(
                "--pid {pid}: there is no such process on this machine"
            )));
        }
        if self.connections_max.is_some_and(|most| most.0 == 0) {
            return Err(Failure::Usage(
                "--connections-max 0 lets nobody in; give 1 or more".to_owned(),
            ));
        }
        let one =
            |text: &Option<String>, flag| text.as_ref().map(|text| parsed(text, flag)).transpose();
        Ok(Hooks {
            pid: self.pid,
            gauge: self.gauge.as_deref().map(Gauge::parse).transpose().map_err(Failure::Usage)?,
            restart: self.restart.clone(),
            connections_max: self.connections_max.map(|count| count.0 as usize),
            head_timeout: self.head_timeout.map(|span| span.0),
            stall_timeout: self.stall_timeout.map(|span| span.0),
            ended: one(&self.ended, "--ended")?,
            moved: one(&self.moved, "--moved")?,
            via: self.via.iter().map(|text| parsed(text, "--via")).collect::<Result<_, _>>()?,
            stranger: self.stranger.clone(),
        })
    }
}

/// An address. A wrong scheme is wrong usage; a host that nobody knows is not.
fn parsed(text: &str, flag: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|failure| match failure {
        Failure::Usage(error) => Failure::Usage(format!("{flag} {error}")),
        other => Failure::Broken(format!("{flag} {other}")),
    })
}

/// Whether a name means a point: `H13` means H13a and H13b, but `H1` does not mean H13a.
fn names(name: &str, id: &str) -> bool {
    let Some(rest) = id.strip_prefix(name).filter(|_| !name.is_empty()) else { return false };
    let within_number = name.ends_with(|last: char| last.is_ascii_digit());
    !(within_number && rest.starts_with(|next: char| next.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_name_means_a_point_or_a_group_and_never_half_a_number() {
        assert!(names("H1", "H1") && names("H13", "H13a") && names("H", "H13a"));
        assert!(!names("H1", "H13a") && !names("S", "H1") && !names("H13b", "H13a"));
        assert!(!names("", "H1"));
    }
}
