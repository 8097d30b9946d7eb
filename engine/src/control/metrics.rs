//! The engine's figures in Prometheus' text format (version 0.0.4).
//!
//! Every metric stands in `docs/OPERATIONS.md` with what it means and what to alert on; a test keeps
//! the two lists the same.

use std::fmt::Write;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use crate::backend::Backend;
use crate::close::CloseReason;
use crate::config::memory::Side;
use crate::control::admin::Admin;
use crate::stats::{TIME_BOUNDS_NS, TimeHistogram, WorkerStats};

/// All metrics of the engine.
pub(super) fn render(admin: &Admin) -> String {
    let mut text = Text(String::with_capacity(16 << 10));
    about(&mut text, admin);
    connections(&mut text, admin);
    events(&mut text, admin);
    subscribers(&mut text, admin);
    hub(&mut text, admin);
    memory(&mut text, admin);
    times(&mut text, admin);
    text.0
}

/// The text being written.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.sample(name, "", value);
    }

    /// One sample for each worker.
    fn each(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        admin: &Admin,
        value: impl Fn(&WorkerStats) -> u64,
    ) {
        self.head(name, kind, help);
        for (worker, stats) in admin.stats.workers.iter().enumerate() {
            self.sample(name, &format!("worker=\"{worker}\""), value(stats));
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        admin: &Admin,
        histogram: impl Fn(&WorkerStats) -> &TimeHistogram,
    ) {
        self.head(name, "histogram", help);
        for (worker, stats) in admin.stats.workers.iter().enumerate() {
            let histogram = histogram(stats);
            let mut count = 0;
            for (index, bucket) in histogram.buckets.iter().enumerate() {
                count += bucket.get();
                let bound = match TIME_BOUNDS_NS.get(index) {
                    Some(ns) => seconds(*ns).to_string(),
                    None => "+Inf".to_owned(),
                };
                let labels = format!("worker=\"{worker}\",le=\"{bound}\"");
                self.sample(&format!("{name}_bucket"), &labels, count);
            }
            let labels = format!("worker=\"{worker}\"");
            self.sample(&format!("{name}_sum"), &labels, seconds(histogram.sum_ns.get()));
            self.sample(&format!("{name}_count"), &labels, count);
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn about(text: &mut Text, admin: &Admin) {
    text.head("downpour_info", "gauge", "Version, delivery backend and kernel features; always 1.");
    let labels = format!(
        "version=\"{}\",backend=\"{}\",features=\"{}\",epoch=\"{}\"",
        env!("CARGO_PKG_VERSION"),
        admin.backend.name(),
        admin.backend.features(),
        admin.epoch
    );
    text.sample("downpour_info", &labels, 1);
    let uptime = seconds(admin.stats.now_ns());
    text.one("downpour_uptime_seconds", "gauge", "Time since the engine started.", uptime);
    let workers = admin.stats.workers.len();
    text.one("downpour_workers", "gauge", "Worker threads.", workers);
    text.one(
        "downpour_draining",
        "gauge",
        "1 from the moment that no more connections and events are taken.",
        u8::from(admin.is_draining()),
    );
    text.head("downpour_limit", "gauge", "Configured limits, by flag.");
    let config = &admin.config;
    for (flag, value) in [
        ("connections-max", config.connections_max),
        ("connections-per-address-max", config.connections_per_address_max.unwrap_or(0)),
        ("requests-per-address-max", config.rates.requests_per_address_max),
        ("requests-per-token-max", config.rates.requests_per_token_max),
        ("streams-per-token-max", config.streams_per_token_max.unwrap_or(0)),
        ("topics-max", config.topics_max),
        ("event-bytes-max", config.event_bytes_max),
        ("history-events", config.history_events),
        ("history-bytes", config.history_bytes),
        ("history-bytes-total", config.history_bytes_total),
        ("ring-events", config.ring_events),
    ] {
        text.sample("downpour_limit", &format!("flag=\"{flag}\""), value);
    }
    if let Backend::Uring { table, .. } = admin.backend {
        let help = "Sockets that one ring's table of fixed files holds.";
        text.one("downpour_ring_sockets", "gauge", help, table);
    }
}

fn connections(text: &mut Text, admin: &Admin) {
    let help = "Connections accepted.";
    text.each("downpour_accepted_total", "counter", help, admin, |s| s.accepted.get());
    let help = "Connections that are not streams: in the handshake, or publishing.";
    text.each("downpour_requests", "gauge", help, admin, |s| s.connections.get());
    let help = "Connections of all kinds, as --connections-max counts them.";
    text.one("downpour_connections", "gauge", help, admin.limits.connections());
    let help = "Connections ended, by reason.";
    text.head("downpour_closed_total", "counter", help);
    for reason in CloseReason::ALL {
        let count: u64 =
            admin.stats.workers.iter().map(|stats| stats.closed[reason as usize].get()).sum();
        text.sample("downpour_closed_total", &format!("reason=\"{}\"", reason.name()), count);
    }
    let help = "Requests refused with a 4xx or 5xx.";
    text.each("downpour_refused_total", "counter", help, admin, |s| s.refused.get());
    let help = "Requests that came too soon after others of their address or token.";
    text.head("downpour_too_soon_total", "counter", help);
    for (by, value) in [
        ("address", (|s| s.too_soon_by_address.get()) as fn(&WorkerStats) -> u64),
        ("token", |s| s.too_soon_by_token.get()),
    ] {
        let count: u64 = admin.stats.workers.iter().map(value).sum();
        text.sample("downpour_too_soon_total", &format!("by=\"{by}\""), count);
    }
    let help = "Accepts or hand-overs that failed for want of descriptors or memory.";
    text.each("downpour_accept_failures_total", "counter", help, admin, |s| {
        s.accept_failures.get()
    });
}

fn events(text: &mut Text, admin: &Admin) {
    let help = "Events numbered.";
    text.one("downpour_events_total", "counter", help, admin.stats.sequence.get());
    let help = "Events accepted from publishers, by the worker that took them.";
    text.each("downpour_published_total", "counter", help, admin, |s| s.published.get());
    let help = "Publishes refused with 503: a worker was too far behind, the engine was draining, \
                or --topics-max was reached.";
    text.each("downpour_overloads_total", "counter", help, admin, |s| s.overloads.get());
    let help = "Events admitted that the worker has not taken off its ring.";
    text.head("downpour_ring_depth", "gauge", help);
    for worker in 0..admin.stats.workers.len() {
        let depth = admin.room.events.depth(worker);
        text.sample("downpour_ring_depth", &format!("worker=\"{worker}\""), depth);
    }
    let help = "Times that events waited because healthy subscribers had not got older ones.";
    text.each("downpour_stalls_total", "counter", help, admin, |s| s.stalls.get());
}

fn subscribers(text: &mut Text, admin: &Admin) {
    let help = "Open streams.";
    text.each("downpour_subscribers", "gauge", help, admin, |s| s.subscribers.get());
    let help = "Streams begun.";
    text.each("downpour_streams_total", "counter", help, admin, |s| s.streams.get());
    let help = "Open streams whose socket is full.";
    text.each("downpour_subscribers_blocked", "gauge", help, admin, |s| s.blocked.get());
    let help = "Events written: one for each event and subscriber.";
    text.each("downpour_deliveries_total", "counter", help, admin, |s| s.deliveries.get());
    let help = "Bytes written to subscribers.";
    text.each("downpour_delivered_bytes_total", "counter", help, admin, |s| s.bytes.get());
    let help = "Sends that carried events; deliveries by sends is the mean batch.";
    text.each("downpour_sends_total", "counter", help, admin, |s| s.sends.get());
    let help = "Sends that met a full socket or were taken in part.";
    text.each("downpour_sends_short_total", "counter", help, admin, |s| s.sends_short.get());
    let help = "Events written to subscribers that were catching up.";
    text.each("downpour_replayed_total", "counter", help, admin, |s| s.replayed.get());
    let help = "Heartbeats written.";
    text.each("downpour_heartbeats_total", "counter", help, admin, |s| s.heartbeats.get());
    let help = "Gaps announced to subscribers.";
    text.each("downpour_gaps_total", "counter", help, admin, |s| s.gaps.get());
    let help = "Events that subscribers missed by these gaps, where the number is known.";
    text.each("downpour_missed_total", "counter", help, admin, |s| s.missed.get());
}

/// What dashboards of Mercure's own hub look for, under its names.
fn hub(text: &mut Text, admin: &Admin) {
    if admin.config.mercure.is_none() {
        return;
    }
    let open: u64 = admin.stats.workers.iter().map(|worker| worker.subscribers.get()).sum();
    text.one(
        "mercure_subscribers_connected",
        "gauge",
        "As downpour_subscribers, of all workers.",
        open,
    );
    let begun: u64 = admin.stats.workers.iter().map(|worker| worker.streams.get()).sum();
    let help = "As downpour_streams_total, of all workers.";
    text.one("mercure_subscribers_total", "counter", help, begun);
    let help = "As downpour_events_total.";
    text.one("mercure_updates_total", "counter", help, admin.stats.sequence.get());
}

fn memory(text: &mut Text, admin: &Admin) {
    let help = "Topics that are kept or listened to.";
    text.each("downpour_topics", "gauge", help, admin, |s| s.topics.get());
    let help = "Distinct sets of topics with subscribers.";
    text.each("downpour_topic_sets", "gauge", help, admin, |s| s.topic_sets.get());
    let help = "Events kept for replay; every worker keeps the same ones.";
    text.each("downpour_history_events", "gauge", help, admin, |s| s.history_events.get());
    let help = "Bytes of the events kept for replay; workers share the text of an event.";
    text.each("downpour_history_bytes", "gauge", help, admin, |s| s.history_bytes.get());
    let help = "Bytes of events that half-sent writes hold.";
    text.each("downpour_pinned_bytes", "gauge", help, admin, |s| s.pinned_bytes.get());
    let help = "Bytes of the tables of slots, topics and sets.";
    text.each("downpour_table_bytes", "gauge", help, admin, |s| s.table_bytes.get());
    let help = "Bytes of bodies that are being read.";
    text.each("downpour_body_bytes", "gauge", help, admin, |s| s.body_bytes.get());
    let bound = admin.config.memory_bound().total(Side::User);
    let help = "Bound of the process's user memory under this configuration.";
    text.one("downpour_memory_bound_bytes", "gauge", help, bound);
    let help = "Resident memory of the process.";
    text.one("downpour_resident_bytes", "gauge", help, resident_bytes());
}

fn times(text: &mut Text, admin: &Admin) {
    let help = "Time of one turn of the delivery lane, at most 256 sends.";
    text.histogram("downpour_turn_seconds", help, admin, |s| &s.turn_time);
    let help = "Time from an event's number to its write, once for each delivery.";
    text.histogram("downpour_publish_to_written_seconds", help, admin, |s| &s.publish_to_written);
}

/// Resident set of this process, from `/proc/self/statm` (proc(5)); 0 where that is hidden. The file is
/// opened once, so that the figure is there when descriptors are not.
pub(super) fn resident_bytes() -> u64 {
    static STATM: LazyLock<Option<File>> = LazyLock::new(|| File::open("/proc/self/statm").ok());
    let mut text = [0; 128];
    let count = STATM.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
    let pages = str::from_utf8(&text[..count]).ok().and_then(|text| text.split(' ').nth(1));
    let pages: u64 = pages.and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
