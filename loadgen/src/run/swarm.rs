//! A run that several machines carry out: the coordinator.
//!
//! The idea: **swarm**. Every agent has an equal share of the subscribers and publishes an equal
//! share of the events, as streams of its own in every topic. It times only the events that it
//! published itself, so no clocks are compared; what was lost, came twice or out of order, and how
//! far the arrivals of an event lie apart on a machine, it knows of the events of all, since all
//! have the same plan and tell each other at the end what became of it.
//!
//! The agents go from phase to phase together: the coordinator gives each word when all have
//! done what came before. Their starts lie apart by no more than it took to tell them all and to
//! hear that they had been told; what is within half of the settle time of a start is nobody's due.
//!
//! | module | knows |
//! | --- | --- |
//! | `crew` | the agents, and what each has said |
//! | `site` | the server's process and the view, meanwhile |
//! | `join` | from the parts to one report |
//!
//! Invariant: an agent that is lost on the way is named in the verdict, and the run is INVALID; the
//! figures of the others are kept.

mod crew;
mod join;
mod site;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Finished;
use super::args::Args;
use super::phases::{self, LEAD_NS, LOOK_NS};
use crate::agent::plan;
use crate::agent::protocol::Order;
use crate::clock;
use crate::failure::Failure;
use crate::profile::Url;
use crate::serve::process::ServerProcess;
use crew::{Crew, Member};
use join::Course;
use site::Site;

/// Carries out a run.
///
/// # Errors
///
/// Why nothing could be measured.
pub(super) fn carry_out(args: &Args) -> Result<Finished, Failure> {
    let signal = phases::signals()?;
    let plans = plan::divide(args, args.agents.len())?;
    let mut crew = Crew::call(args, &plans)?;
    let server = spawn(args)?;
    crew.prepare(&plans)?;
    let pid = args.pid.or(server.as_ref().map(ServerProcess::id));
    let mut swarm =
        Swarm { site: Site::new(args, pid)?, crew, signal, is_stopping: false, begun: None };
    swarm.go_through(args)?;
    let Swarm { mut site, crew, signal, begun, .. } = swarm;
    let finished = site.finish();
    if let Some(server) = server {
        server.end().map_err(|error| format!("--spawn: {error}"))?;
    }
    let signal = Some(signal.load(Ordering::Relaxed) as i32).filter(|&signal| signal > 0);
    let run = join::join(args, crew.members, &Course { begun, finished, signal })?;
    Ok(Finished { run, signal })
}

/// Starts the server on this machine, if it is to be started. Whether another one is there, the
/// agents find out: it need not be reachable from here.
fn spawn(args: &Args) -> Result<Option<ServerProcess>, Failure> {
    if args.spawn.is_none() {
        return Ok(None);
    }
    let urls = args.urls.iter().map(|url| Url::parse(url)).collect::<Result<Vec<_>, _>>()?;
    Ok(phases::spawn(args, &urls)?)
}

/// A run on its way.
struct Swarm<'a> {
    crew: Crew,
    site: Site<'a>,
    signal: Arc<AtomicUsize>,
    is_stopping: bool,
    /// When the word to start was given.
    begun: Option<u64>,
}

impl Swarm<'_> {
    /// From the first connect to the last report.
    fn go_through(&mut self, args: &Args) -> Result<(), Failure> {
        self.crew.order(&Order::Connect);
        self.gather(|member| member.up.is_some());
        if let Some(why) = self.crew.first_lost().filter(|_| !self.is_stopping) {
            return Err(Failure::Broken(why));
        }
        let begun_ns = clock::now_ns();
        self.begun = Some(begun_ns);
        self.crew.order(&Order::Start);
        self.site.start_ns = Some(begun_ns + clock::ns(args.settle.0) + LEAD_NS);
        self.gather(|member| member.is_drained);
        self.crew.order(&Order::Finish);
        self.gather_all(|member| member.tally.is_some());
        let tallies = self.crew.members.iter().map(|member| member.tally.clone()).collect();
        self.crew.order(&Order::Tallies(tallies));
        self.gather_all(|member| member.part.is_some());
        Ok(())
    }

    /// Waits until all agents that are left have come so far, or the run is to end early.
    fn gather(&mut self, here: fn(&Member) -> bool) {
        while !self.is_stopping && !self.crew.is_all(here) {
            self.look();
        }
    }

    /// Waits until all agents that are left have come so far.
    fn gather_all(&mut self, here: fn(&Member) -> bool) {
        while !self.crew.is_all(here) {
            self.look();
        }
    }

    fn look(&mut self) {
        self.crew.hear(std::time::Duration::from_nanos(LOOK_NS));
        for why in self.crew.newly_lost() {
            self.site.say(&why);
        }
        while let Some(rows) = self.crew.next_rows() {
            self.site.show(&rows);
        }
        self.site.look();
        if !self.is_stopping && self.signal.load(Ordering::Relaxed) != 0 {
            self.is_stopping = true;
            self.site.say("interrupted: the report covers what was measured");
            self.crew.order(&Order::Stop);
        }
    }
}
