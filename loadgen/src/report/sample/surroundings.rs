//! What surrounds the figures of a made-up run: target, plan, connects, machines, objectives.

use std::collections::BTreeMap;

use super::{CONNECT, Recorded, SECOND, SETTLE, Sample, WARMUP, spread};
use crate::report::model::Run;
use crate::report::model::series::RampPoint;
use crate::report::model::verdict::{Reason, SloResult, Status};
use crate::report::model::{host, metric, plan};

impl Sample {
    pub(super) fn describe(&self, run: &mut Run) {
        let rate = self.events_per_second as f64;
        run.target = plan::Target {
            url: "http://127.0.0.1:8080/events/{topic}".to_owned(),
            profile: Some("downpour".to_owned()),
            publish_url: self.publisher.then(|| "http://127.0.0.1:8080/events/{topic}".to_owned()),
            http: "1.1".to_owned(),
            tls: None,
            loopback: true,
            hosts: Some(1),
        };
        run.plan = plan::Plan {
            scenario: "run".to_owned(),
            subscribers: self.subscribers as u64,
            connect_rate: Some(self.subscribers as f64 / 2.0),
            rate: if self.publisher { vec![[0.0, rate]] } else { Vec::new() },
            pace: None,
            arrival: self.publisher.then(|| "fixed".to_owned()),
            size: Some(plan::SizePlan {
                kind: "const".to_owned(),
                min_bytes: 100,
                max_bytes: 100,
                parts: Vec::new(),
            }),
            topics: 1,
            distribution: None,
            event_distribution: None,
            batch_ns: None,
            phases: plan::PhasePlan {
                connect_ns: CONNECT,
                settle_ns: SETTLE,
                warmup_ns: WARMUP,
                measure_ns: self.measure_seconds * SECOND,
                drain_ns: SECOND,
            },
            horizon_ns: 5 * SECOND,
            stamp: if self.publisher { "payload" } else { "relative" }.to_owned(),
            publishers: u32::from(self.publisher),
            sources: 1,
            threads: 1,
            probes: 0,
            injected: Vec::new(),
        };
        run.clock = plan::Clock {
            domain: "monotonic".to_owned(),
            rx: "user".to_owned(),
            mode: if self.publisher { "single" } else { "none" }.to_owned(),
            agents: Vec::new(),
        };
        run.verdict.add(Reason {
            code: "loopback".to_owned(),
            status: Status::Suspect,
            value: None,
            limit: None,
            text: "server and load generator share this machine: compare runs with each other, \
                   not with a network"
                .to_owned(),
        });
    }

    pub(super) fn connect(&self, run: &mut Run, random: &mut fastrand::Rng) {
        let n = self.subscribers as u64;
        run.connect.asked = n;
        run.connect.up = n;
        run.connect.min_up = Some(n);
        run.connect.length_ns = Some(CONNECT);
        run.connect.achieved_rate = Some(n as f64 / 2.0);
        run.connect.syn_retrans = Some(0);
        let mut connects = Recorded::new();
        for _ in 0..n {
            let tcp = 40_000 + spread(random, 60_000.0);
            connects.add(metric::CONNECT_TCP, tcp);
            connects.add(metric::CONNECT_TTFB, tcp + 50_000 + spread(random, 80_000.0));
            connects.add(metric::CONNECT_READY, tcp + 60_000 + spread(random, 120_000.0));
        }
        for (name, histogram) in &connects.0 {
            run.record(name, histogram, None);
        }
        for i in 0..=100 {
            let up = n * i / 100;
            let late = if (40..60).contains(&i) { n / 50 } else { 0 };
            let t_ns = CONNECT * i / 100;
            run.ramp.push(RampPoint { t_ns, planned: Some(up), up: up - late.min(up), failed: 0 });
        }
    }
}

pub(super) fn hosts(run: &mut Run, sample: &Sample, unique: u64) {
    let cpu = unique * sample.delivery_ns;
    run.server = sample.publisher.then(|| host::Server {
        pid: Some(912),
        command: Some(format!("{} --listen 127.0.0.1:8080", sample.name)),
        cpu_ns: host::CpuTime { user: cpu / 5, sys: cpu * 4 / 5 },
        cores: Some(cpu as f64 / (sample.measure_seconds * SECOND) as f64),
        cpu_per_delivery_ns: Some(sample.delivery_ns as f64),
        runqueue_wait_ns: Some(cpu / 50),
        neighbours_ns: Some(cpu / 25),
        softirq_cores: Some(0.21),
        pss_bytes: Some(4_000_000 + sample.subscribers as u64 * 80),
        mem_per_conn: host::MemoryPerConnection {
            pss: Some(80.0),
            kernel: Some(3_900.0),
            kernel_unknown: None,
        },
        fds: Some(sample.subscribers as u64 + 14),
        net: host::NetHealth {
            listen_overflows: Some(0),
            retrans: Some(0),
            backlog_drop: Some(0),
            abort_on_memory: Some(0),
        },
    });
    run.rig = host::Rig {
        cpu_model: Some("Example CPU 3.0 GHz".to_owned()),
        cpu_count: Some(2),
        cpus: vec![1],
        memory_bytes: Some(24 << 30),
        kernel: Some("6.18.0".to_owned()),
        governor: None,
        busiest_thread: Some(0.41),
        busiest_thread_waited: Some(0.02),
        runqueue_wait_ns: Some(8_400_000),
        softnet: host::Softnet { dropped: Some(0), squeezed: Some(2) },
        steal: Some(0.001),
        floor: Some(host::RigFloor { source: "floor.json".to_owned(), p99: 440_000 }),
        bandwidth_floor: None,
        limits: BTreeMap::from([("nofile".to_owned(), "20000".to_owned())]),
    };
}

pub(super) fn objectives(run: &mut Run) {
    let p99 = run.metrics.get(metric::DELIVERY).and_then(|delivery| delivery.percentile("99"));
    run.slo = vec![
        SloResult {
            expr: "delivery.p99<80ms".to_owned(),
            value: p99.map(|ns| ns as f64),
            ok: p99.map(|ns| ns < 80_000_000),
        },
        SloResult {
            expr: "lost==0".to_owned(),
            value: run.counts.lost.map(|lost| lost as f64),
            ok: run.counts.lost.map(|lost| lost == 0),
        },
    ];
}
