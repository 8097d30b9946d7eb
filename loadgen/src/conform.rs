//! The `conform` command: is a server's event stream what the standards and the field expect?
//!
//! The idea: a list of points, each one rule with its source, is put to a live server one after
//! the other over plain sockets. A failure shows the bytes; what needs a publisher is passed over
//! where none is described.
//!
//! | module | knows |
//! | --- | --- |
//! | `point` | what a rule is and what can become of it |
//! | `site` | the server: requests and publishing |
//! | `probe`, `stream` | a connection under observation; an open stream |
//! | `head`, `request`, `events`, `resume`, `life` | the rules |
//! | `report` | text, TAP, JUnit, Markdown |

mod events;
mod head;
mod life;
mod point;
mod probe;
mod report;
mod request;
mod resume;
mod site;
mod stream;

use std::cell::Cell;
use std::process::ExitCode;
use std::time::Instant;

use crate::amount::Span;
use crate::client::fleet::TopicName;
use crate::profile::{self, Profile, Recipe, Url, Wishes};
use crate::report::file;
use point::{Judged, Level, Outcome, Point};
use site::Site;

/// Exit code when a point fails.
const EXIT_FAILED: u8 = 5;

/// Arguments of `downpour-load conform`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
#[command(after_help = "\
Exit codes: 0 every MUST passes (with --strict also every SHOULD), 1 could not run, 2 wrong usage,
5 a point fails.

Placeholders: {topic} in URLs, bodies and header fields; {data} in --publish-body.")]
pub(crate) struct Args {
    /// Where to subscribe: http://host:port, or with a path and {topic}
    #[arg(value_name = "URL", required_unless_present = "list")]
    url: Option<String>,
    /// Server profile: where to subscribe and how to publish
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Publish nothing: points about events are not applicable
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
    /// An origin whose pages may read the stream; without it points about CORS are not applicable
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// How long what has to come may take
    #[arg(long, default_value = "5s", value_name = "TIME")]
    patience: Span,
    /// How long to listen to a quiet stream for a comment; 0 leaves that out
    #[arg(long, default_value = "20s", value_name = "TIME")]
    idle: Span,
    /// Only these points or groups of points: S2,R
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    only: Vec<String>,
    /// A SHOULD that fails counts like a MUST
    #[arg(long)]
    strict: bool,
    /// Print the points and their sources, and test nothing
    #[arg(long)]
    list: bool,
    /// Write TAP; `-` is standard output
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    tap: Option<String>,
    /// Write JUnit XML, for build servers
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    junit: Option<String>,
    /// Write GitHub Markdown, for instance to $GITHUB_STEP_SUMMARY
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    md: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> ExitCode {
    if args.list {
        list();
        return ExitCode::SUCCESS;
    }
    match judge_all(args) {
        Ok(judged) if fails(&judged, args.strict) => ExitCode::from(EXIT_FAILED),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("downpour-load conform: {error}");
            ExitCode::from(1)
        }
    }
}

fn list() {
    for point in point::all() {
        println!("{:<5} {:<7} {} ({})", point.id, point.level.name(), point.rule, point.source);
    }
}

fn fails(judged: &[Judged], strict: bool) -> bool {
    let counts = |one: &Judged| strict || one.point.level == Level::Must;
    judged.iter().any(|one| one.outcome() == Outcome::Fail && counts(one))
}

fn judge_all(args: &Args) -> Result<Vec<Judged>, String> {
    let url = args.url.as_deref().unwrap_or_default();
    let site = site(args, url)?;
    let wanted =
        |point: &&Point| args.only.is_empty() || args.only.iter().any(|name| names(name, point.id));
    let quiet = [&args.tap, &args.junit, &args.md].iter().any(|it| it.as_deref() == Some("-"));
    let mut judged = Vec::new();
    for point in point::all().filter(wanted) {
        let start = Instant::now();
        let checked = (point.check)(&site);
        let one = Judged { point, checked, took: start.elapsed() };
        if !quiet {
            print!("{}", report::row(&one));
        }
        judged.push(one);
    }
    if judged.is_empty() {
        return Err("--only names no point; --list shows them".to_owned());
    }
    eprintln!("{}", report::summary(&judged));
    let write = |path: &Option<String>, text: String| match path {
        Some(path) => file::write_text(&text, path),
        None => Ok(()),
    };
    write(&args.tap, report::tap(&judged))?;
    write(&args.junit, report::junit(&judged, url))?;
    write(&args.md, report::markdown(&judged, url))?;
    Ok(judged)
}

/// Whether a name means a point: `H13` means H13a and H13b, but `H1` does not mean H13a.
fn names(name: &str, id: &str) -> bool {
    let Some(rest) = id.strip_prefix(name) else { return false };
    let within_number = name.ends_with(|last: char| last.is_ascii_digit());
    !(within_number && rest.starts_with(|next: char| next.is_ascii_digit()))
}

fn site(args: &Args, url: &str) -> Result<Site, String> {
    let url = Url::parse(url)?;
    let topic = TopicName { name: args.topic.clone(), numbered: true };
    let wishes = Wishes {
        headers: args.header.clone(),
        publish: args.publish.clone(),
        publish_headers: args.publish_header.clone(),
        publish_body: args.publish_body.clone(),
        batch: false,
    };
    let recipe = match args.no_publish {
        true => None,
        false => Recipe::new(args.profile, &url, &wishes, topic.clone())?,
    };
    // A server that is not there is no server that fails every point.
    std::net::TcpStream::connect_timeout(&url.address, args.patience.0)
        .map_err(|error| format!("{}: {error}", url.address))?;
    Ok(Site {
        address: url.address,
        authority: url.authority.clone(),
        subscribe: profile::subscribe_request(args.profile, &url, &wishes, topic)?,
        recipe,
        patience: args.patience.0,
        idle: args.idle.0,
        origin: args.origin.clone(),
        next_topic: Cell::new(0),
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_name_means_a_point_or_a_group_and_never_half_a_number() {
        assert!(names("H1", "H1") && names("H13", "H13a") && names("H", "H13a"));
        assert!(!names("H1", "H13a") && !names("S", "H1") && !names("H13b", "H13a"));
    }
}
