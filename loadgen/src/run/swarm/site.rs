//! What the coordinator's own machine does while agents measure: it looks at the server, if that
//! runs here, puts faults upon it, and shows how the run goes on.

use hdrhistogram::Histogram;

use super::super::args::Args;
use super::super::inject::Injector;
use super::super::observe::{Load, Observer};
use super::super::phases::LEAD_NS;
use super::super::show::Show;
use crate::client::tally::add;
use crate::clock;
use crate::report::merge;
use crate::report::model::host::Server;
use crate::report::model::metric::{self, new_histogram};
use crate::report::model::plan::Phase;
use crate::report::model::series::Interval;
use crate::report::model::{Mark, Run};
use crate::report::snapshot::Snapshot;

/// The coordinator's machine during a run.
pub(super) struct Site<'a> {
    args: &'a Args,
    observer: Option<Observer>,
    injector: Injector,
    show: Option<Show>,
    total: Total,
    began_ns: u64,
    /// When the warm-up begins, once that is known.
    pub(super) start_ns: Option<u64>,
}

/// What has been shown so far.
struct Total {
    events: u64,
    deliveries: u64,
    wire_bytes: u64,
    connect_errors: u64,
    duplicate: u64,
    out_of_order: u64,
    delivery: Histogram<u64>,
    phase: (Phase, u64),
}

/// What this machine knows of a run that is over.
pub(super) struct Finished {
    observer: Option<Observer>,
    pub(super) marks: Vec<Mark>,
    pub(super) began_ns: u64,
}

impl<'a> Site<'a> {
    /// Before the first connect.
    ///
    /// # Errors
    ///
    /// If the progress cannot be shown where it is wanted.
    pub(super) fn new(args: &'a Args, pid: Option<u32>) -> Result<Site<'a>, String> {
        let mut observer = pid.map(|pid| Observer::new(Some(pid)));
        if let Some(observer) = &mut observer {
            observer.before = Some(observer.look(0));
        }
        let began_ns = clock::now_ns();
        Ok(Site {
            args,
            observer,
            injector: Injector::new(pid, &args.inject),
            show: Some(Show::new(args)?),
            total: Total {
                events: 0,
                deliveries: 0,
                wire_bytes: 0,
                connect_errors: 0,
                duplicate: 0,
                out_of_order: 0,
                delivery: new_histogram(),
                phase: (Phase::Connect, began_ns),
            },
            began_ns,
            start_ns: None,
        })
    }

    /// Looks at the server when it is time to, and does to it what is due.
    pub(super) fn look(&mut self) {
        let (Some(observer), Some(start_ns)) = (&mut self.observer, self.start_ns) else { return };
        let now_ns = clock::now_ns();
        let window_ns = start_ns + clock::ns(self.args.warmup.0);
        if observer.idle.is_none() && now_ns >= start_ns - LEAD_NS {
            observer.idle = Some(observer.look(0));
        }
        if observer.window.0.is_none() && now_ns >= window_ns {
            observer.window.0 = Some(observer.look(0));
        }
        if observer.window.1.is_none() && now_ns >= window_ns + clock::ns(self.args.window()) {
            observer.window.1 = Some(observer.look(0));
        }
        self.injector.look(now_ns, window_ns, self.began_ns);
    }

    /// Says something that is not to be lost.
    pub(super) fn say(&mut self, text: &str) {
        if let Some(show) = &mut self.show {
            show.say(text);
        }
    }

    /// Shows the rows of all agents of the same second.
    pub(super) fn show(&mut self, rows: &[Interval]) {
        let Some(show) = &mut self.show else { return };
        // What cannot be added up is not shown; the report will say why.
        let Ok(row) = merge::row(rows) else { return };
        let delivery = row.histograms.get(metric::DELIVERY);
        let recent = delivery.and_then(|blob| blob.decode().ok()).unwrap_or_else(new_histogram);
        let now_ns = clock::now_ns();
        let total = &mut self.total;
        total.events += row.events;
        total.deliveries += row.deliveries;
        total.wire_bytes += row.wire_bytes.unwrap_or(0);
        total.connect_errors += row.connect_errors;
        total.duplicate += row.duplicate.unwrap_or(0);
        total.out_of_order += row.out_of_order.unwrap_or(0);
        add(&mut total.delivery, &recent);
        if total.phase.0 != row.phase {
            total.phase = (row.phase, now_ns);
        }
        show.row(&row);
        show.snapshot(Snapshot {
            label: self.args.name.clone().unwrap_or_else(|| self.args.urls.join(" ")),
            phase: row.phase,
            // As the rows count, which come by the second.
            elapsed_ns: row.t_ns + row.length_ns,
            phase_elapsed_ns: now_ns - total.phase.1,
            phase_length_ns: None,
            asked: self.args.subscribers.0,
            up: row.up,
            connecting: 0,
            connect_errors: total.connect_errors,
            disconnects: 0,
            events: total.events,
            events_planned_rate: None,
            deliveries: total.deliveries,
            wire_bytes: total.wire_bytes,
            lost: None,
            duplicate: Some(total.duplicate),
            out_of_order: Some(total.out_of_order),
            client_cpu: row.client_cpu,
            server_cpu: None,
            server_cpu_waited: None,
            server_pss_bytes: None,
            metrics: [(metric::DELIVERY, total.delivery.clone())].into_iter().collect(),
            recent,
        });
    }

    /// Ends the view, and what was put upon the server.
    pub(super) fn finish(&mut self) -> Finished {
        if let Some(show) = self.show.take() {
            show.finish();
        }
        Finished {
            observer: self.observer.take(),
            marks: self.injector.finish(clock::now_ns(), self.began_ns),
            began_ns: self.began_ns,
        }
    }
}

impl Finished {
    /// What the run cost the server, as far as it was seen.
    pub(super) fn server(&self, run: &Run) -> Option<Server> {
        let mut server = self.observer.as_ref()?.server(&Load {
            up: run.connect.up,
            publishers: u64::from(run.plan.publishers),
            loopback: run.target.loopback,
        })?;
        let busy_ns = server.cpu_ns.user + server.cpu_ns.sys;
        let deliveries = run.counts.unique;
        server.cpu_per_delivery_ns = (deliveries > 0).then(|| busy_ns as f64 / deliveries as f64);
        Some(server)
    }
}
