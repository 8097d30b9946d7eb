//! What cannot be meant although every flag can be read: found before anything is started.
//!
//! The idea: each refusal names the flag and the value, and what would do. Nothing here asks the
//! network; a host that is not known, or a server that is not there, is no wrong usage.

use std::path::Path;
use std::time::Duration;

use super::{Args, Cpus};
use crate::agent::plan::AGENTS_MAX;
use crate::amount::{Count, Span};
use crate::clock;
use crate::profile::{Url, recipe};
use crate::report::unit;
use crate::run::{breach, procfs, repeat};

/// A publisher that gathers for longer than this is no live one.
const GATHER_MAX: Duration = Duration::from_secs(1);

/// What names of topics are made of: they stand in paths, queries, forms and JSON as they are.
const TOPIC_MARKS: &str = "-._~:/@";

impl Args {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    ///
    /// The flag, and what it takes.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.urls.iter().try_for_each(|url| Url::check(url))?;
        if let Some(publish) = &self.publish {
            recipe::destination(publish)?;
        }
        self.counts()?;
        self.times()?;
        self.processors()?;
        self.server()?;
        self.addresses()?;
        self.breach()?;
        self.repeats()?;
        self.folders()?;
        self.machines()?;
        let sound = |c: char| c.is_ascii_alphanumeric() || TOPIC_MARKS.contains(c);
        if self.topic.is_empty() || !self.topic.chars().all(sound) {
            let topic = &self.topic;
            return Err(format!("--topic {topic:?}: use letters, digits and {TOPIC_MARKS}"));
        }
        Ok(())
    }

    fn counts(&self) -> Result<(), String> {
        let counts = [
            ("subscribers", Some(self.subscribers)),
            ("topics", Some(self.topics)),
            ("publishers", Some(self.publishers)),
            ("threads", self.threads.map(|threads| Count(threads as u64))),
        ];
        let most = u64::from(u32::MAX);
        for (name, count) in counts {
            if let Some(Count(count)) = count.filter(|count| !(1..=most).contains(&count.0)) {
                return Err(format!("--{name} {count}: give 1 to {most}"));
            }
        }
        if self.link == Some(Count(0)) {
            return Err("--link 0 carries nothing; give bits per second, as 25G".to_owned());
        }
        Ok(())
    }

    fn times(&self) -> Result<(), String> {
        let times = [
            ("duration", Span(self.window())),
            ("horizon", self.horizon),
            ("connect-timeout", self.connect_timeout),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.0.is_zero()) {
            return Err(format!("--{name} 0: give a time above 0, as 10s"));
        }
        match self.publish_batch.filter(|gather| gather.0 > GATHER_MAX) {
            Some(gather) => Err(format!(
                "--publish-batch {}: an event waits at most {} for others",
                unit::length(clock::ns(gather.0)),
                unit::length(clock::ns(GATHER_MAX))
            )),
            None => self.trace(),
        }
    }

    /// Whether there is something to replay all the time.
    fn trace(&self) -> Result<(), String> {
        let length = self.rate.length().filter(|_| self.rate.is_trace() && !self.no_publish);
        match length.filter(|length| *length < self.window()) {
            Some(length) => Err(format!(
                "--duration {:?}: the trace of --rate is over after {length:?}; leave --duration \
                 out, or make it shorter",
                self.window()
            )),
            None => Ok(()),
        }
    }

    fn processors(&self) -> Result<(), String> {
        let cpus = self.cpus.iter().flat_map(|cpus| &cpus.0).map(|cpu| ("cpus", cpu));
        let of_server = self.server_cpus.iter().flat_map(|cpus| &cpus.0);
        let all = cpus
            .chain(self.publisher_cpu.iter().map(|cpu| ("publisher-cpu", cpu)))
            .chain(of_server.map(|cpu| ("server-cpus", cpu)));
        let Some(list) = procfs::allowed_cpus() else { return Ok(()) };
        let Ok(Cpus(allowed)) = list.parse() else { return Ok(()) };
        for (name, cpu) in all {
            if !allowed.contains(cpu) {
                return Err(format!("--{name} {cpu}: this process may run on {list}"));
            }
        }
        Ok(())
    }

    fn server(&self) -> Result<(), String> {
        if self.server_cpus.is_some() && self.spawn.is_none() {
            return Err("--server-cpus is for a server that --spawn starts; place another one \
                        with taskset"
                .to_owned());
        }
        if let Some(pid) = self.pid.filter(|&pid| !procfs::exists(pid)) {
            return Err(format!("--pid {pid}: there is no such process on this machine"));
        }
        if !self.inject.is_empty() && self.pid.is_none() && self.spawn.is_none() {
            return Err("--inject needs the server's process: give --pid or --spawn".to_owned());
        }
        self.inject.iter().try_for_each(|injection| injection.check(self.window()))
    }

    fn repeats(&self) -> Result<(), String> {
        let most = repeat::RUNS_COUNT_MAX;
        if !(1..=most).contains(&self.runs) {
            return Err(format!("--runs {}: give 1 to {most}", self.runs));
        }
        if self.between.is_some() && self.runs == 1 {
            return Err(
                "--between is for what comes between two runs: give --runs 2 or more".into()
            );
        }
        Ok(())
    }

    fn breach(&self) -> Result<(), String> {
        if self.abort_on_breach && !self.slo.iter().any(breach::is_known_early) {
            return Err(format!(
                "--abort-on-breach: no --slo is of those that can be given up before the end: {}",
                breach::known_early()
            ));
        }
        Ok(())
    }

    fn addresses(&self) -> Result<(), String> {
        for source in &self.source {
            // Only what is an address of this machine can be bound to (EADDRNOTAVAIL, ip(7)).
            std::net::UdpSocket::bind((*source, 0))
                .map_err(|error| format!("--source {source} is none of this machine's: {error}"))?;
        }
        let has_port = |address: &str| {
            address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        };
        match self.prom.as_deref().filter(|address| !has_port(address)) {
            Some(prom) => Err(format!(
                "--prom {prom}: give an address and a port, as 127.0.0.1:9464, or :9464 for all \
                 interfaces"
            )),
            None => Ok(()),
        }
    }

    /// Whether the agents can be called, and have what is theirs alone.
    fn machines(&self) -> Result<(), String> {
        if self.agents.is_empty() {
            return Ok(());
        }
        for (place, agent) in self.agents.iter().enumerate() {
            let port = agent.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if !port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0)) {
                return Err(format!("--agents {agent}: give a host and a port, as 10.0.0.7:7000"));
            }
            if self.agents[..place].contains(agent) {
                return Err(format!("--agents {agent} is named twice; one agent runs one plan"));
            }
        }
        let (subscribers, agents) = (self.subscribers.0, self.agents.len());
        if agents > AGENTS_MAX as usize {
            return Err(format!("--agents: {agents} are more than {AGENTS_MAX}"));
        }
        if subscribers < agents as u64 {
            return Err(format!(
                "--subscribers {subscribers}: give one to each of {agents} agents at least"
            ));
        }
        let own = [
            ("source", !self.source.is_empty()),
            ("cpus", self.cpus.is_some()),
            ("publisher-cpu", self.publisher_cpu.is_some()),
        ];
        if let Some((name, _)) = own.iter().find(|(_, given)| *given) {
            return Err(format!(
                "--{name} is of one machine: start each agent with its own ('agent --{name}')"
            ));
        }
        let alone = [("abort-on-breach", self.abort_on_breach), ("runs", self.runs > 1)];
        match alone.iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                Err(format!("--{name} is for runs of one machine; leave it out with --agents"))
            }
            None => Ok(()),
        }
    }

    /// Whether results can be written where they are wanted: found out before the measurement,
    /// which may take long.
    fn folders(&self) -> Result<(), String> {
        let output = &self.output;
        let files = [
            ("json", &output.json),
            ("html", &output.html),
            ("hgrm", &output.hgrm),
            ("hlog", &output.hlog),
            ("junit", &output.junit),
            ("md", &output.md),
            ("ndjson", &self.ndjson),
        ];
        for (name, path) in files {
            let Some(path) = path.as_deref().filter(|path| *path != "-") else { continue };
            let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                let folder = folder.display();
                return Err(format!("--{name} {path}: there is no folder {folder}"));
            }
            if Path::new(path).is_dir() {
                return Err(format!("--{name} {path} is a folder; give the name of a file in it"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn check(flags: &str) -> Result<(), String> {
        let words = ["run", "http://127.0.0.1:1"].into_iter().chain(flags.split(' '));
        let words = words.filter(|word| !word.is_empty());
        Line::try_parse_from(words).expect(flags).args.check()
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_flag_and_value() {
        for (flags, words) in [
            ("--subscribers 0", ["--subscribers 0", "1 to"]),
            ("--publishers 5g", ["--publishers 5000000000", "1 to"]),
            ("--threads 0", ["--threads 0", "1 to"]),
            ("--link 0", ["--link 0", "25G"]),
            ("--duration 0", ["--duration 0", "10s"]),
            ("--horizon 0s", ["--horizon 0", "10s"]),
            ("--rate 5/1s,9/2s --inject sigkill@3s --spawn true", ["sigkill@3s", "--duration"]),
            ("--cpus 1023", ["--cpus 1023", "may run on"]),
            ("--publisher-cpu 1023", ["--publisher-cpu 1023", "may run on"]),
            ("--server-cpus 1023 --spawn true", ["--server-cpus 1023", "may run on"]),
            ("--server-cpus 0", ["--server-cpus", "--spawn"]),
            ("--pid 4194305", ["--pid 4194305", "no such process"]),
            ("--inject sigkill@1s", ["--inject", "--spawn"]),
            ("--inject sigkill@10s --spawn true", ["--inject sigkill@10", "--duration"]),
            ("--abort-on-breach --slo last.p99<1ms", ["--abort-on-breach", "last: max"]),
            ("--runs 0", ["--runs 0", "1 to"]),
            ("--between true", ["--between", "--runs 2"]),
            ("--agents a:1,b:2 --runs 2", ["--runs", "--agents"]),
            ("--agents a:1,b:2 --slo lost==0 --abort-on-breach", ["--abort-on", "--agents"]),
            ("--json /nonexistent/x", ["--json /nonexistent/x", "no folder"]),
            ("--ndjson /", ["--ndjson /", "is a folder"]),
            ("--source 192.0.2.1", ["--source 192.0.2.1", "this machine"]),
            ("--prom foo", ["--prom foo", ":9464"]),
            ("--topic a?b", ["--topic \"a?b\"", "letters"]),
            ("--publish x:0", ["--publish", "1 to 65535"]),
            ("ftp://x", ["ftp", "not http"]),
            ("--agents a", ["--agents a", "10.0.0.7:7000"]),
            ("--agents a:0", ["--agents a:0", "10.0.0.7:7000"]),
            ("--agents a:1,b:1,a:1", ["--agents a:1", "twice"]),
            ("--agents a:1,b:1 -c 1", ["--subscribers 1", "2 agents"]),
            ("--agents a:1 --cpus 0", ["--cpus", "agent --cpus"]),
        ] {
            let error = check(flags).expect_err(flags);
            assert!(words.iter().all(|word| error.contains(word)), "{flags}: {error}");
        }
    }

    #[test]
    fn what_can_be_meant_is_not_refused() {
        for flags in [
            "",
            "--json - --html run.html",
            "--rate 1:5 --connect-rate 5 --churn 1",
            "--rate 5/1s,9/20s --inject sigkill@20s --spawn true",
            "--rate 5/1s,9/2s --duration 1m",
            "--inject sigstop:1s@9s --inject sigkill@9.9s --spawn true",
            "--source 127.1.2.3 --prom :9464",
            "--topic https://example.com/books/1",
            "--warmup 0 --settle 0",
            "--life exp:2m",
            "--runs 3 --between true",
            "--agents [::1]:7000,b:7000 -c 2",
        ] {
            assert_eq!(check(flags), Ok(()), "{flags}");
        }
    }
}
