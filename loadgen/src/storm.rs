//! The `storm` command: drop a part of the subscribers and check that they come back without a
//! gap.
//!
//! The idea: a fleet of subscribers reads one topic under continuous publishing. In waves, some
//! of them are cut off at random bytes of their streams and come back with `Last-Event-ID`, as
//! browsers would. Events are numbered without holes, so each subscriber's stream proves itself:
//! nothing missing, nothing twice, or every hole announced in its place.
//!
//! Beside the proof stands the time in which the fleet was back. Latencies of single deliveries
//! are the business of `run`.

mod account;
mod dial;
mod fleet;
mod member;
mod outcome;
mod payload;
mod plan;
mod publisher;
mod reader;
mod target;
mod tracker;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::amount::{Bytes, Count, Rate, Share, Size, Span};
use crate::clock;
use crate::failure::Failure;
use crate::profile::field::Fields;
use crate::profile::{Profile, Recipe, Url};
use crate::report::{file, text};
use crate::serve::process::{ServerProcess, Signal};
use fleet::{CutBy, Fleet};
use member::Back;
use outcome::{Outcome, Wave};
use payload::Payloads;
use plan::Draws;
use publisher::{Publisher, Publishing};

/// Exit code when the proof fails, as for an objective that is not met.
const EXIT_BROKEN: u8 = 3;

/// Longest wait of one turn, so that the phases look at their conditions.
const TURN: Duration = Duration::from_millis(20);

/// Pause before a server that ended by itself is started again.
const RESTART_INTERVAL: Duration = Duration::from_millis(100);

/// Arguments of `downpour-load storm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 the proof holds, 1 could not run, 2 wrong usage, 3 the proof is broken.

The restart of a server, with everybody coming back as browsers would:
  downpour-load storm http://127.0.0.1:8080 --subscribers 10k --cut server \\
      --spawn 'downpour serve --listen 127.0.0.1:8080'")]
pub(crate) struct Args {
    /// Where to subscribe: http://host:port or http://host:port/path, where {topic} and
    /// {subscriber} are filled in; without a path, the profile's
    #[arg(value_name = "URL")]
    url: String,
    /// Subscribers
    #[arg(short = 'c', long, default_value = "1000", value_name = "N")]
    subscribers: Count,
    /// Events published per second, all the time
    #[arg(short, long, default_value = "50", value_name = "RATE")]
    rate: Rate,
    /// Bytes of an event's payload
    #[arg(short, long, default_value = "128", value_name = "BYTES")]
    size: Size,
    /// Server profile: where to subscribe and how to publish
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Name of the topic
    #[arg(long, default_value = "storm", value_name = "NAME")]
    topic: String,
    /// Publish elsewhere than the profile says: 'POST http://host/path/{topic}'
    #[arg(long, value_name = "METHOD URL")]
    publish: Option<String>,
    /// Body of a publish, with {data} in it
    #[arg(long, value_name = "TEMPLATE")]
    publish_body: Option<String>,
    /// Header field of the subscribe request, or @FILE with one on each line; may be given many times
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<Fields>,
    /// Header field of the publish request, or @FILE; may be given many times
    #[arg(long = "publish-header", value_name = "FIELD")]
    publish_headers: Vec<Fields>,
    /// How connections are cut off
    #[arg(long, value_enum, default_value = "rst", value_name = "HOW")]
    cut: CutBy,
    /// Part of the subscribers that each wave cuts off
    #[arg(long, default_value = "50%", value_name = "SHARE")]
    share: Share,
    /// Waves
    #[arg(long, default_value_t = 3, value_name = "N")]
    waves: u32,
    /// A subscriber is cut off after a random number of further bytes, at most this
    #[arg(long, default_value = "2KiB", value_name = "BYTES")]
    within: Bytes,
    /// When a subscriber comes back: `retry` (the server's `retry:`, or 3 s), `now`, or a time
    #[arg(long, default_value = "retry", value_parser = back, value_name = "WHEN")]
    back: Back,
    /// Pause between two waves, and of publishing behind the last
    #[arg(long, default_value = "1s", value_name = "TIME")]
    pause: Span,
    /// Longest wait for the fleet to be back, and for the last event to reach everybody
    #[arg(long, default_value = "60s", value_name = "TIME")]
    patience: Span,
    /// Start this server before the storm and end it behind it; needed for `--cut server`
    #[arg(long, value_name = "COMMAND")]
    spawn: Option<String>,
    /// Seed of all draws
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write the storm as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    let json = args.json.clone();
    let result = args.check().map_err(Failure::Usage);
    let result = result.and_then(|()| Storm::new(args)).and_then(|storm| {
        let outcome = storm.run()?;
        if json.as_deref() != Some("-") {
            print!("{}", text::shown(outcome.text()));
        }
        if let Some(path) = &json {
            file::write(&outcome.run(), path)?;
        }
        Ok(outcome.holds())
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_BROKEN),
        Err(failure) => failure.tell("storm"),
    }
}

impl Args {
    /// Refuses what cannot be meant.
    fn check(&self) -> Result<(), String> {
        if self.cut == CutBy::Server && self.spawn.is_none() {
            return Err("--cut server needs --spawn: only then can it be started again".to_owned());
        }
        if self.size.min() != self.size.max() {
            return Err("a storm has one --size; ranges are for run".to_owned());
        }
        if self.waves == 0 {
            return Err("--waves 0 cuts nobody off; give 1 or more".to_owned());
        }
        if matches!(self.share, Share::Count(0)) || self.share == Share::Part(0.0) {
            return Err("--share 0 cuts nobody off; give a part, as 50%, or a number".to_owned());
        }
        if self.subscribers.0 == 0 {
            return Err("--subscribers 0 leaves nobody to cut off; give 1 or more".to_owned());
        }
        target::check(self)
    }
}

/// A storm in progress.
#[derive(Debug)]
struct Storm {
    args: Args,
    fleet: Fleet,
    recipe: Recipe,
    server: Option<ServerProcess>,
    server_started: Instant,
    publisher: Option<Publisher>,
    loopback: bool,
    started_unix_ns: u64,
    start: Instant,
}

impl Storm {
    fn new(args: Args) -> Result<Self, Failure> {
        let subscribers = usize::try_from(args.subscribers.0).unwrap_or(usize::MAX);
        let (target, recipe) = target::of(&args, Payloads::new())?;
        let url = Url::parse(&args.url)?;
        let server = match &args.spawn {
            None => url.is_there().map(|()| None)?,
            Some(line) => {
                url.is_free_for(line)?;
                let explain = |error| format!("--spawn {line:?}: {error}");
                let mut server = ServerProcess::shell(line).map_err(explain)?;
                server.wait_for(target.address).map_err(explain)?;
                Some(server)
            }
        };
        let loopback = target.address.ip().is_loopback();
        let fleet = Fleet::new(target, subscribers, args.cut).map_err(|it| it.to_string())?;
        Ok(Self {
            args,
            fleet,
            recipe,
            server,
            server_started: Instant::now(),
            publisher: None,
            loopback,
            started_unix_ns: clock::now_ns(),
            start: Instant::now(),
        })
    }

    fn run(mut self) -> Result<Outcome, String> {
        if !self.turn_until(|storm| storm.fleet.is_settled())? {
            let up = self.fleet.open_count();
            return Err(format!(
                "only {up} of {} subscribers had a stream within {:?}{}",
                self.args.subscribers.0,
                self.args.patience.0,
                self.fleet.account.gone_reason.as_ref().map_or_else(String::new, |reason| {
                    format!("; the server answered: {reason}")
                })
            ));
        }
        let up = self.fleet.open_count() as u64;
        if up == 0 {
            let reason = self.fleet.account.gone_reason.take().unwrap_or_default();
            return Err(format!("the server refuses every subscriber: {reason}"));
        }
        self.publisher = Some(self.publish());
        // Everybody has a first event, from which on none may be missing.
        if !self.turn_until(|storm| storm.fleet.members.iter().all(member::Member::has_begun))? {
            return Err("no event reached every subscriber; does --publish feed the topic?".into());
        }
        let subscribers = self.fleet.members.len();
        let cut_count = self.args.share.of(subscribers).max(1);
        let mut draws = Draws::new(self.args.seed, subscribers, cut_count, self.args.within.0);
        self.fleet.release_herd();
        let mut waves = Vec::new();
        for _ in 0..self.args.waves {
            waves.push(self.wave(&mut draws)?);
            self.turn_for(self.args.pause.0)?;
        }
        self.finish(up, waves)
    }

    fn publish(&self) -> Publisher {
        let (recipe, size) = (self.recipe.clone(), self.args.size.min());
        let payloads = self.fleet.payloads().clone();
        let publishing =
            Publishing { address: recipe.address, events_per_second: self.args.rate.0 };
        let request = move |number| {
            let (mut out, mut places) = (Vec::new(), Vec::new());
            recipe.write(&[(0, size)], &mut out, &mut places);
            payloads.write(number, &mut out[places.remove(0)]);
            out
        };
        Publisher::start(publishing, request)
    }

    fn wave(&mut self, draws: &mut Draws) -> Result<Wave, String> {
        let at = Instant::now();
        if self.args.cut == CutBy::Server {
            self.fleet.expect_all_lost();
            self.restart_server()?;
        } else {
            self.fleet.arm(&draws.wave()).map_err(|error| error.to_string())?;
        }
        self.turn_until(|storm| storm.fleet.wave.pending == 0)?;
        let account = self.fleet.end_wave();
        let mut back: Vec<Duration> = account.back.iter().map(|back| *back - at).collect();
        back.sort_unstable();
        Ok(Wave { at: at - self.start, dropped: account.dropped, back })
    }

    fn restart_server(&mut self) -> Result<(), String> {
        let line = self.args.spawn.as_deref().expect("checked at the start");
        // Gone already is as good; dropping it waits for its end.
        if let Some(server) = self.server.take() {
            let _ = server.signal(Signal::Kill);
        }
        self.server_started = Instant::now();
        let server = ServerProcess::shell(line).map_err(|it| format!("--spawn {line:?}: {it}"))?;
        self.server = Some(server);
        Ok(())
    }

    fn finish(mut self, up: u64, waves: Vec<Wave>) -> Result<Outcome, String> {
        let publisher = self.publisher.take().expect("started before the first wave");
        let last = publisher.stop()?;
        self.fleet.published = last;
        self.turn_until(|storm| {
            let behind = storm.fleet.members.iter().any(|member| member.is_behind(last));
            storm.fleet.is_settled() && !behind
        })?;
        let mut away = 0;
        for member in &mut self.fleet.members {
            match &mut member.tracker {
                Some(tracker) if member.state == member::State::Open => {
                    tracker.finish(last, &mut self.fleet.account.proof);
                }
                _ => away += 1,
            }
        }
        if let Some(server) = self.server.take() {
            server.end().map_err(|error| format!("--spawn: {error}"))?;
        }
        Ok(Outcome {
            publish_url: self.recipe.url,
            args: self.args,
            up,
            away,
            loopback: self.loopback,
            published: last,
            waves,
            length: self.start.elapsed(),
            started_unix_ns: self.started_unix_ns,
            account: self.fleet.account,
        })
    }

    /// Turns until the condition holds; false if the patience ends first.
    fn turn_until(&mut self, condition: impl Fn(&Self) -> bool) -> Result<bool, String> {
        let deadline = Instant::now() + self.args.patience.0;
        while !condition(self) {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.turn()?;
        }
        Ok(true)
    }

    fn turn_for(&mut self, length: Duration) -> Result<(), String> {
        let deadline = Instant::now() + length;
        while Instant::now() < deadline {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), String> {
        // As a supervisor would: the address of a killed server may be taken for some moments.
        let ended = self.server.as_mut().is_some_and(ServerProcess::has_ended);
        if ended && self.server_started.elapsed() > RESTART_INTERVAL {
            self.restart_server()?;
        }
        if let Some(publisher) = &self.publisher {
            self.fleet.published = publisher.accepted();
            publisher.copy_again(&mut self.fleet.again);
            if publisher.failed() {
                let publisher = self.publisher.take().expect("just seen");
                return Err(publisher.stop().err().unwrap_or_else(|| "publishing ended".into()));
            }
        }
        self.fleet.turn(Instant::now() + TURN).map_err(|error| error.to_string())
    }
}

fn back(text: &str) -> Result<Back, String> {
    match text {
        "retry" => Ok(Back::Retry),
        "now" => Ok(Back::After(Duration::ZERO)),
        _ => text.parse::<Span>().map(|span| Back::After(span.0)),
    }
}
