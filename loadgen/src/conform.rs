//! The `conform` command: is a server's event stream what the standards and the field expect?
//!
//! The idea: a list of points, each one rule with its source, is put to a live server one after
//! the other over plain sockets. A failure shows the bytes; what needs more than the server's
//! address says what it needs, and is never counted as passed.
//!
//! | module | knows |
//! | --- | --- |
//! | `args` | the flags |
//! | `point` | what a rule is and what can become of it |
//! | `site`, `inside` | the server: requests and publishing; its process, sockets, restart |
//! | `asked`, `probe`, `stream` | a request; a connection under observation; an open stream |
//! | `head`, `request`, `http2`, `limits` | the rules of HTTP |
//! | `events`, `resume`, `restart` | the rules of event streams and of coming back |
//! | `life`, `churn`, `slow` | the rules of many streams, and of long ones |
//! | `report`, `json` | text, TAP, JUnit, Markdown; JSON |

mod args;
mod asked;
mod churn;
mod events;
mod head;
mod http2;
mod inside;
mod json;
mod life;
mod limits;
mod point;
mod probe;
mod report;
mod request;
mod restart;
mod resume;
mod site;
mod slow;
mod stream;

use std::process::ExitCode;
use std::time::Instant;

pub(crate) use args::Args;

use crate::clock;
use crate::failure::Failure;
use crate::report::file;
use point::{Judged, Level, Outcome};

/// Exit code when a point fails.
const EXIT_FAILED: u8 = 5;

/// Runs the command.
pub(crate) fn run(args: &Args) -> ExitCode {
    if args.list {
        list();
        return ExitCode::SUCCESS;
    }
    match judge_all(args) {
        Ok(judged) if fails(&judged, args.strict) => ExitCode::from(EXIT_FAILED),
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => failure.tell("conform"),
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

fn judge_all(args: &Args) -> Result<Vec<Judged>, Failure> {
    let points = args.points()?;
    let site = args.site()?;
    let url = args.url.as_deref().unwrap_or_default();
    let results = &args.results;
    let files = [&results.json, &results.tap, &results.junit, &results.md];
    let quiet = files.iter().any(|path| path.as_deref() == Some("-"));
    let started_unix_ns = clock::now_ns();
    let mut judged = Vec::new();
    for point in points {
        let start = Instant::now();
        let checked = (point.check)(&site);
        let one = Judged { point, checked, took: start.elapsed() };
        if !quiet {
            print!("{}", report::row(&one));
        }
        judged.push(one);
    }
    let summary = report::summary(&judged);
    if quiet {
        eprintln!("{summary}");
    } else {
        println!("\n{summary}");
    }
    let [json, tap, junit, md] = files;
    let write = |path: &Option<String>, text: &dyn Fn() -> String| match path {
        Some(path) => file::write_text(&text(), path).map_err(Failure::Broken),
        None => Ok(()),
    };
    write(json, &|| json::text(&judged, url, args.profile.name(), started_unix_ns))?;
    write(tap, &|| report::tap(&judged))?;
    write(junit, &|| report::junit(&judged, url))?;
    write(md, &|| report::markdown(&judged, url))?;
    Ok(judged)
}
