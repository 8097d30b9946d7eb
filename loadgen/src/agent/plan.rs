//! A plan on its way to an agent: the flags of `run` as data.
//!
//! The idea: the words of the coordinator's command line, so that an agent reads them with the same
//! parser, defaults and messages as if they had been typed there. What is divided has other values
//! for each agent; what concerns the server's machine, results and verdict stays behind.
//!
//! Invariant: an agent takes only the flags that are listed here, and no file of its own is ever
//! read for a plan: what a flag reads from a file comes along.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::amount::Count;
use crate::cli;
use crate::profile::Profile;
use crate::run::{Args, Seat};

/// Agents of one run at most: each costs every subscriber a ledger for each of its streams.
pub(crate) const AGENTS_MAX: u32 = 256;

/// How the value of a flag gets to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carry {
    /// As it is.
    Text,
    /// With the file that it names, if it is `@FILE`.
    AtFile,
    /// With the file that it names.
    File,
    /// With the file that it names, if it is no name of a profile.
    Profile,
}

/// The flags that are the same for every agent.
const CARRIED: &[(&str, Carry)] = &[
    ("rate", Carry::AtFile),
    ("duration", Carry::Text),
    ("warmup", Carry::Text),
    ("settle", Carry::Text),
    ("horizon", Carry::Text),
    ("size", Carry::Text),
    ("topics", Carry::Text),
    ("dist", Carry::Text),
    ("publish-dist", Carry::Text),
    ("topic", Carry::Text),
    ("arrival", Carry::Text),
    ("seed", Carry::Text),
    ("connect-timeout", Carry::Text),
    ("header", Carry::AtFile),
    ("close", Carry::Text),
    ("slow-rcvbuf", Carry::Text),
    ("profile", Carry::Profile),
    ("token-file", Carry::File),
    ("life", Carry::Text),
    ("publish", Carry::Text),
    ("publish-body", Carry::Text),
    ("publish-header", Carry::AtFile),
    ("publish-batch", Carry::Text),
    ("threads", Carry::Text),
    ("probes", Carry::Text),
    ("ts", Carry::Text),
    ("link", Carry::Text),
];

/// The flags that have a value for each agent, and the one switch; all follow from [`Args`].
const DIVIDED: &[&str] =
    &["subscribers", "connect-rate", "churn", "slow", "publishers", "no-publish"];

/// A plan for one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// What kind of run it is (`run`, `connect`).
    scenario: String,
    /// Where to subscribe.
    urls: Vec<String>,
    /// Flags and their values.
    flags: Vec<(String, String)>,
    /// What the files hold that flags name, by name.
    files: BTreeMap<String, String>,
    /// Which of the machines it is for.
    seat: Seat,
}

/// The plans for so many agents.
///
/// # Errors
///
/// If a file that a flag names cannot be read any more.
pub(crate) fn divide(args: &Args, agents: usize) -> Result<Vec<Plan>, String> {
    let names: Vec<&str> = CARRIED.iter().map(|(name, _)| *name).collect();
    let given = cli::given(std::env::args_os().collect(), &names)?;
    let files = files(&given)?;
    let run = fastrand::u32(..);
    let (all, of) = (args.subscribers.0, agents as u64);
    let slow_of_all = args.slow.map_or(0, |slow| slow.share.of(all as usize) as u64);
    let mut first = 0;
    let plans = (0..of).map(|machine| {
        let subscribers = share(all, machine, of);
        let mut flags = vec![("subscribers".to_owned(), subscribers.to_string())];
        let mut flag = |name: &str, value: String| flags.push((name.to_owned(), value));
        if let Some(rate) = args.connect_rate {
            flag("connect-rate", (rate.0 / of as f64).to_string());
        }
        if let Some(rate) = args.churn {
            flag("churn", (rate.0 / of as f64).to_string());
        }
        let slow = share(slow_of_all, machine, of);
        if let Some(plan) = args.slow.filter(|_| slow > 0) {
            flag("slow", format!("{slow}:{}", plan.bytes_per_second));
        }
        // As many for each: the streams of a plan follow from it.
        let Count(publishers) = args.publishers;
        flag("publishers", publishers.div_ceil(of).to_string());
        if args.no_publish {
            flag("no-publish", String::new());
        }
        flags.extend(given.iter().cloned());
        let seat = Seat { machine: machine as u32, of: of as u32, first, run: Some(run) };
        first += subscribers as u32;
        let (scenario, urls) = (args.scenario_kind.to_owned(), args.urls.clone());
        Plan { scenario, urls, flags, files: files.clone(), seat }
    });
    Ok(plans.collect())
}

/// The part of `all` that falls to one of so many, none of which has two more than another.
fn share(all: u64, machine: u64, of: u64) -> u64 {
    all / of + u64::from(machine < all % of)
}

/// What the files hold that flags name.
fn files(given: &[(String, String)]) -> Result<BTreeMap<String, String>, String> {
    let paths = given.iter().filter_map(|(name, value)| Some((name, path(name, value)?)));
    paths
        .map(|(name, path)| match std::fs::read_to_string(path) {
            Ok(text) => Ok((path.to_owned(), text)),
            Err(error) => Err(format!("--{name} {path}: {error}")),
        })
        .collect()
}

fn carry(name: &str) -> Option<Carry> {
    CARRIED.iter().find(|(carried, _)| *carried == name).map(|(_, carry)| *carry)
}

/// The file that the value of a flag names, which is the end of the value.
fn path<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    match carry(name)? {
        Carry::Text => None,
        Carry::AtFile => value.strip_prefix('@'),
        Carry::File => Some(value),
        Carry::Profile => Profile::is_file(value).then_some(value),
    }
}

impl Plan {
    /// Subscribers asked for.
    pub(crate) fn subscribers(&self) -> u64 {
        let mut flags = self.flags.iter();
        let given = flags.find(|(name, _)| name == "subscribers");
        given.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    }

    /// What it is for an agent that was started with further flags of `run`.
    ///
    /// # Errors
    ///
    /// What in it is no plan.
    pub(crate) fn args(&self, own: &[String]) -> Result<Args, String> {
        if let Some(url) = self.urls.iter().find(|url| url.starts_with('-')) {
            return Err(format!("{url:?} is no URL"));
        }
        let folder = tempfile::tempdir().map_err(|error| format!("a folder: {error}"))?;
        let mut words = own.to_vec();
        for (number, (name, value)) in self.flags.iter().enumerate() {
            if carry(name).is_none() && !DIVIDED.contains(&name.as_str()) {
                return Err(format!("--{name} is not for agents"));
            }
            let value = match path(name, value) {
                Some(path) => {
                    let copy = self.copy(path, &folder.path().join(number.to_string()));
                    let copy = copy.map_err(|error| format!("--{name} {path}: {error}"))?;
                    format!("{}{copy}", value.strip_suffix(path).unwrap_or_default())
                }
                None => value.clone(),
            };
            words.push(match value.is_empty() && DIVIDED.contains(&name.as_str()) {
                true => format!("--{name}"),
                false => format!("--{name}={value}"),
            });
        }
        words.extend(self.urls.iter().cloned());
        let mut args = cli::parse_run(words.into_iter().map(OsString::from))?;
        let Seat { machine, of, first, .. } = self.seat;
        let last = u64::from(first).saturating_add(args.subscribers.0);
        if machine >= of || of > AGENTS_MAX || last > u64::from(u32::MAX) {
            return Err(format!("machine {machine} of {of}, subscribers {first} to {last}"));
        }
        args.seat = self.seat;
        args.scenario_kind = if self.scenario == "connect" { "connect" } else { "run" };
        // Its progress is shown by the coordinator.
        args.quiet = true;
        Ok(args)
    }

    /// Writes a file that came along into a folder of its own, under its own name.
    fn copy(&self, path: &str, folder: &Path) -> Result<String, String> {
        let text = self.files.get(path).ok_or("the file did not come along")?;
        let name = Path::new(path).file_name().ok_or("it is no file")?;
        let copy = folder.join(name);
        std::fs::create_dir(folder)
            .and_then(|()| std::fs::write(&copy, text))
            .map_err(|error| format!("{}: {error}", copy.display()))?;
        Ok(copy.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(flags: &[(&str, &str)]) -> Plan {
        let text = |text: &str| text.to_owned();
        Plan {
            scenario: text("run"),
            urls: vec![text("http://127.0.0.1:9")],
            flags: flags.iter().map(|(name, value)| (text(name), text(value))).collect(),
            files: BTreeMap::from([
                (text("/their/fields"), text("X-One: 1\nX-Two: 2\n")),
                (text("/their/tokens"), text("aa\nbb\n")),
                (text("/their/server.toml"), text("[subscribe]\nurl = '/live'\n")),
            ]),
            seat: Seat { machine: 1, of: 2, first: 500, run: Some(7) },
        }
    }

    /// The flags of `run` that stay with the coordinator.
    const KEPT: &[&str] = &[
        "scenario",
        "isolation",
        "floor",
        "spawn",
        "server-cpus",
        "pid",
        "inject",
        "slo",
        "strict",
        "name",
        "label",
        "latency",
        "ndjson",
        "prom",
        "quiet",
        "json",
        "html",
        "md",
        "junit",
        "hgrm",
        "hlog",
        "agents",
        "agents-key",
        "abort-on-breach",
        "runs",
        "between",
        // Of one machine: an agent is started with its own.
        "source",
        "cpus",
        "publisher-cpu",
    ];

    #[test]
    fn every_flag_of_a_run_is_carried_or_divided_or_stays_behind() {
        let names = cli::run_flags();
        for name in &names {
            let (carried, divided) = (carry(name).is_some(), DIVIDED.contains(&name.as_str()));
            let kept = KEPT.contains(&name.as_str());
            let times = usize::from(carried) + usize::from(divided) + usize::from(kept);
            assert_eq!(times, 1, "--{name}: say in agent/plan.rs what agents do with it");
        }
        let known = CARRIED.iter().map(|(name, _)| *name).chain(DIVIDED.iter().copied());
        for name in known.chain(KEPT.iter().copied()) {
            assert!(names.iter().any(|known| known == name), "run has no --{name} any more");
        }
    }

    #[test]
    fn shares_are_even_and_add_up() {
        for all in 0..50 {
            for of in 1..9 {
                let shares: Vec<u64> = (0..of).map(|machine| share(all, machine, of)).collect();
                assert_eq!(shares.iter().sum::<u64>(), all);
                assert!(
                    shares.is_sorted_by(|a, b| a >= b) && shares[0] - shares[shares.len() - 1] <= 1
                );
            }
        }
    }

    #[test]
    fn a_plan_is_read_as_a_command_line_would_be() {
        let flags = [
            ("subscribers", "500"),
            ("no-publish", ""),
            ("header", "@/their/fields"),
            ("token-file", "/their/tokens"),
            ("profile", "/their/server.toml"),
        ];
        let own = ["--threads=2".to_owned()];
        let args = plan(&flags).args(&own).unwrap();
        assert_eq!((args.subscribers.0, args.no_publish, args.threads), (500, true, Some(2)));
        assert_eq!(args.wishes().headers, ["X-One: 1", "X-Two: 2"]);
        assert_eq!(args.token_file.map(|tokens| tokens.count()), Some(2));
        assert_eq!(args.profile.name(), "server");
        assert_eq!((args.seat.machine, args.seat.first), (1, 500));
    }

    #[test]
    fn what_is_no_plan_is_refused_and_no_file_of_the_agent_read() {
        for (flags, word) in [
            (&[("header", "@/etc/passwd")][..], "did not come along"),
            (&[("token-file", "/etc/passwd")], "did not come along"),
            (&[("profile", "/etc/passwd")], "did not come along"),
            (&[("spawn", "true")], "--spawn is not for agents"),
            (&[("json", "/tmp/x")], "--json is not for agents"),
            (&[("scenario", "/tmp/x")], "--scenario is not for agents"),
            (&[("json=/tmp/x --rate", "1")], "is not for agents"),
            (&[("rate", "fast")], "fast"),
            (&[("size", "1")], "64"),
        ] {
            let error = plan(flags).args(&[]).unwrap_err();
            assert!(error.contains(word), "{flags:?}: {error}");
        }
        let with = |url: &str| Plan { urls: vec![url.to_owned()], ..plan(&[]) };
        assert!(with("--json=/tmp/x").args(&[]).unwrap_err().contains("no URL"));
        let seat = Seat { machine: 2, of: 2, first: 0, run: None };
        assert!(Plan { seat, ..plan(&[]) }.args(&[]).unwrap_err().contains("2 of 2"));
        let seat = Seat { machine: 0, of: 257, first: 0, run: None };
        assert!(Plan { seat, ..plan(&[]) }.args(&[]).unwrap_err().contains("0 of 257"));
        let seat = Seat { machine: 0, of: 2, first: u32::MAX, run: None };
        let many = plan(&[("subscribers", "1")]);
        assert!(Plan { seat, ..many }.args(&[]).unwrap_err().contains("4294967295 to"));
    }
}
