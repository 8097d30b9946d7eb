//! From flags to what the threads are given.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use super::args::{Args, Close, Spread, Stamps};
use crate::amount::Count;
use crate::client::course::{self, Course};
use crate::client::deal::Deal;
use crate::client::fleet::{Pack, Request, Slow, TopicName};
use crate::client::socket::{self, Setup};
use crate::client::source::Sources;
use crate::clock;
use crate::failure::Failure;
use crate::pace::Curve;
use crate::profile::{self, Recipe, Url};
use crate::schedule::{Outline, Schedule};
use crate::topics::Topics;

/// How long a wait may gather arrivals where the kernel stamps them: a harvest of some dozen
/// costs one wake-up, and the figures do not see the delay.
const GATHER_NS: u64 = 500_000;

/// Descriptors kept free of a ring's table, for everything that is no subscriber.
const SPARE_DESCRIPTORS: u64 = 64;

/// Sockets of one ring at most: the kernel's bound on a table is 2^20, and a smaller one keeps
/// the search for a request to cancel short.
const SLOTS_MAX: u64 = 65_536;

/// A run that is about to begin.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) urls: Vec<Url>,
    pub(super) recipe: Option<Recipe>,
    pub(super) outline: Outline,
    pub(super) schedule: Schedule,
    pub(super) sources: Arc<Sources>,
    pub(super) stamped: bool,
    request: Arc<Request>,
}

/// The measured window, from the start of the warm-up.
fn window_ns(args: &Args) -> Range<u64> {
    let warmup_ns = clock::ns(args.warmup.0);
    warmup_ns..warmup_ns + clock::ns(args.window())
}

impl Plan {
    /// Draws up the plan.
    ///
    /// # Errors
    ///
    /// What about the flags cannot be.
    pub(super) fn new(args: &Args) -> Result<Plan, Failure> {
        let urls: Vec<Url> =
            args.urls.iter().map(|url| Url::parse(url)).collect::<Result<_, _>>()?;
        let number = |count: Count| u32::try_from(count.0).expect("checked with the flags");
        let (topics, publishers) = (number(args.topics), number(args.publishers));
        let topic = TopicName { name: args.topic.clone(), numbered: topics > 1 };
        let recipe = match args.no_publish {
            true => None,
            false => Recipe::new(&args.profile, &urls[0], &args.wishes(), topic.clone())?,
        };
        let request =
            profile::subscribe_request(&args.profile, &urls[0], &args.wishes(), topic.clone())
                .map_err(Failure::Usage)?;
        let outline = Outline {
            curve: recipe.is_some().then(|| Curve::new(args.rate.clone(), window_ns(args))),
            arrival: args.arrival,
            size: args.size.clone(),
            topics,
            popularity: spread(args.publish_dist, topics),
            publishers,
            machines: args.seat.of,
            seed: args.seed,
        };
        let schedule = Schedule::new(&outline).map_err(Failure::Usage)?;
        let targets: Vec<SocketAddr> = urls.iter().map(|url| url.address).collect();
        let sources = Sources::new(args.subscribers.0 as usize, &targets, &args.source)
            .map_err(Failure::Usage)?;
        Ok(Plan {
            stamped: args.ts != Stamps::User,
            sources: Arc::new(sources),
            urls,
            recipe,
            outline,
            schedule,
            request: Arc::new(request),
        })
    }

    /// The state that all threads share.
    pub(super) fn course(&mut self, args: &Args, began_ns: u64) -> Arc<Course> {
        let empty = Outline { curve: None, ..self.outline.clone() };
        let empty = Schedule::new(&empty).expect("a plan without events");
        Arc::new(Course::new(course::Plan {
            schedule: std::mem::replace(&mut self.schedule, empty),
            // Every run gets a number of its own, whatever its seed: what an earlier run left
            // in a server's history must not be taken for this one's.
            run: args.seat.run.unwrap_or_else(|| fastrand::u32(..)),
            machine: args.seat.machine,
            window_ns: window_ns(args),
            guard_ns: clock::ns(args.settle.0) / 2,
            horizon_ns: clock::ns(args.horizon.0),
            began_ns,
            relative: self.recipe.is_none(),
        }))
    }

    /// What each reading thread is given.
    pub(super) fn packs(&self, args: &Args) -> Vec<Pack> {
        let (threads, probes) = (args.thread_count(), args.probe_count());
        let subscribers = args.subscribers.0 as usize;
        let limit = socket::raise_descriptor_limit().saturating_sub(SPARE_DESCRIPTORS);
        let slow = args.slow.map(|slow| Slow {
            count: slow.share.of(subscribers),
            of: subscribers,
            bytes_per_second: slow.bytes_per_second,
        });
        let pack = Pack {
            thread: 0,
            first: args.seat.first,
            deal: Deal::new(subscribers, threads, probes),
            slots_max: limit.clamp(1, SLOTS_MAX) as usize,
            targets: self.urls.iter().map(|url| url.address).collect(),
            sources: self.sources.clone(),
            setup: Setup {
                stamped: self.stamped,
                reset_on_close: args.close == Close::Rst,
                receive_bytes: slow.map(|_| args.slow_rcvbuf.0 as usize),
            },
            request: self.request.clone(),
            topics: spread(args.dist, self.outline.topics),
            connect_rate: args.connect_rate.map(|rate| rate.0),
            connect_timeout_ns: clock::ns(args.connect_timeout.0),
            retry: true,
            gather_ns: if self.stamped { GATHER_NS } else { 0 },
            event_bytes: args.size.max(),
            life: args.life,
            churn_every_ns: args.churn.map(|rate| (1e9 * threads as f64 / rate.0) as u64),
            slow,
            seed: args.seed,
        };
        let one = |thread: usize| Pack {
            thread,
            seed: args.seed.wrapping_add(thread as u64),
            // Probes are read at once, whatever that costs.
            gather_ns: if pack.deal.is_probing(thread) { 0 } else { pack.gather_ns },
            ..pack.clone()
        };
        (0..pack.deal.thread_count()).map(one).collect()
    }

    /// Subscribers by topic, the slow ones left out.
    pub(super) fn readers(&self, pack: &Pack, subscribers: usize) -> Vec<u64> {
        let mut readers = vec![0; self.outline.topics as usize];
        for order in (0..subscribers).filter(|&order| !pack.is_slow(order)) {
            readers[pack.topic(order) as usize] += 1;
        }
        readers
    }
}

fn spread(law: Spread, topics: u32) -> Topics {
    match law {
        Spread::Even => Topics::Even(topics),
        Spread::Zipf(exponent) => Topics::zipf(topics, exponent),
    }
}
