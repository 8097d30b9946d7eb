//! Carrying out a comparison: what has to be there is set up, then one run after the other.
//!
//! A run is a process of its own that starts its server and ends it. It gets a signal only from
//! here, in a process group of its own: so a comparison that is interrupted waits until the run
//! has ended its server and written its report.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::file::{Contest, Server};
use crate::report::comparison::{FLOOR, ROUND};
use crate::report::file;
use crate::report::model::Run;
use crate::serve::process::ServerProcess;

/// Pause between two looks at a run that is under way.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Lines of a failed run's log that are shown.
const LOG_LINES_SHOWN: usize = 12;

/// The label that says what a server is, in its own words.
const VERSION: &str = "version";

/// A comparison under way.
pub(super) struct Course<'a> {
    contest: &'a Contest,
    out: &'a Path,
    /// What each server says it is, in the order of the servers.
    versions: Vec<Option<String>>,
    program: PathBuf,
    /// The number of the signal that asked us to end; 0 until then.
    signal: Arc<AtomicUsize>,
}

impl<'a> Course<'a> {
    /// A comparison whose results go to a folder that is there.
    ///
    /// # Errors
    ///
    /// If this program cannot be found, or signals cannot be caught.
    pub(super) fn new(contest: &'a Contest, out: &'a Path) -> Result<Course<'a>, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register_usize(number, signal.clone(), number as usize)
                .map_err(|error| format!("signal {number}: {error}"))?;
        }
        Ok(Course { contest, out, versions: Vec::new(), program, signal })
    }

    /// The signal that asked us to end, if one did.
    pub(super) fn signal(&self) -> Option<i32> {
        // Relaxed: the number alone is passed, nothing that it would have to be seen with.
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number as i32),
        }
    }

    /// Installs and builds what the servers need, and asks each what it is.
    ///
    /// # Errors
    ///
    /// A command that failed.
    pub(super) fn set_up(&mut self) -> Result<(), String> {
        let servers = || self.contest.servers.iter();
        for line in self.contest.setup.iter().chain(servers().filter_map(|it| it.setup.as_ref())) {
            eprintln!("setup: {line}");
            // What it says goes to standard error: standard output is for the table.
            let status = self.shell(line).stdout(std::io::stderr()).status();
            match status {
                Ok(status) if status.success() => {}
                Ok(status) => return Err(format!("setup {line:?}: {status}")),
                Err(error) => return Err(format!("setup {line:?}: {error}")),
            }
        }
        self.versions = servers().map(|server| self.version(server)).collect();
        Ok(())
    }

    /// The first line that a server says of itself.
    fn version(&self, server: &Server) -> Option<String> {
        let output = self.shell(server.version.as_ref()?).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| !line.trim().is_empty())?;
        Some(line.trim().to_owned())
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &line.replace("{bin}", &self.bin())]).stdin(Stdio::null());
        command
    }

    /// The folder of this program, where its sister programs are.
    fn bin(&self) -> String {
        self.program.parent().unwrap_or(Path::new(".")).to_string_lossy().into_owned()
    }

    /// One run of one server; `None` if it was interrupted before it came to anything.
    ///
    /// # Errors
    ///
    /// A run that left no report, with what it said.
    pub(super) fn measure(
        &self,
        server: &Server,
        round: u32,
        place: usize,
    ) -> Result<Option<Run>, String> {
        let beside = |ending: &str| {
            let name = file_name(&server.name);
            self.out.join(format!("{round:02}-{place}-{name}.{ending}"))
        };
        let (saved, log) = (beside("json"), beside("log"));
        let output = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let words = self.words(server, round)?;
        let mut command = Command::new(&self.program);
        command.args(words).arg("--json").arg(&saved).stdin(Stdio::null()).stdout(Stdio::null());
        let child = ServerProcess::start(command.stderr(output))
            .map_err(|error| format!("downpour-load run: {error}"))?;
        self.wait(child)?;
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        if said.is_empty() {
            // Only a log that says something is worth a file.
            let _ = std::fs::remove_file(&log);
        }
        match file::read_one(&saved.to_string_lossy()) {
            Ok(run) if self.signal().is_some() && run.interrupted => Ok(None),
            Ok(run) => Ok(Some(run)),
            Err(_) if self.signal().is_some() => Ok(None),
            Err(error) => Err(format!("{}: {error}\n{}", server.name, last_lines(&said))),
        }
    }

    /// Waits for a run; asked to end, it asks the run to end and waits on.
    fn wait(&self, mut child: ServerProcess) -> Result<(), String> {
        while !child.has_ended() {
            if self.signal().is_some() {
                return child.end().map_err(|error| format!("downpour-load run: {error}"));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// The words of `run` for a server: the plan, then its own, then what only this knows.
    fn words(&self, server: &Server, round: u32) -> Result<Vec<String>, String> {
        let port = free_port()?.to_string();
        let filled = |text: &str| text.replace("{port}", &port).replace("{bin}", &self.bin());
        let mut words = vec!["run".to_owned(), "--quiet".to_owned(), filled(&server.url)];
        words.extend(self.contest.flags.iter().chain(&server.flags).map(|word| filled(word)));
        words.extend(["--name".to_owned(), server.name.clone()]);
        if let Some(line) = &server.spawn {
            words.extend(["--spawn".to_owned(), filled(line)]);
        }
        let mut labels = vec![format!("{ROUND}={round}")];
        if self.contest.floor.as_ref() == Some(&server.name) {
            labels.push(format!("{FLOOR}=yes"));
        }
        let at = self.contest.servers.iter().position(|one| one == server);
        let version = at.and_then(|at| self.versions.get(at)?.as_ref());
        labels.extend(version.map(|version| format!("{VERSION}={version}")));
        words.extend(labels.into_iter().flat_map(|label| ["--label".to_owned(), label]));
        Ok(words)
    }
}

/// A port that nobody listens at. Another process could take it before the server does; then the
/// run fails and says so.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("a port: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// A name as part of a file name.
fn file_name(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    name.chars().map(|letter| if plain(letter) { letter } else { '-' }).collect()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contest() -> Contest {
        let server = |name: &str| Server {
            name: name.to_owned(),
            spawn: Some(format!("{{bin}}/{name} --port {{port}}")),
            url: "http://127.0.0.1:{port}".to_owned(),
            flags: vec!["--profile=nchan".to_owned()],
            ..Server::default()
        };
        Contest {
            servers: vec![server("floor"), server("a b")],
            floor: Some("floor".to_owned()),
            rounds: None,
            setup: None,
            flags: vec!["-c".to_owned(), "5".to_owned()],
        }
    }

    #[test]
    fn a_run_gets_the_plan_then_what_is_its_own() {
        let contest = contest();
        let course = Course::new(&contest, Path::new("/nowhere")).unwrap();
        let words = course.words(&contest.servers[0], 2).unwrap();
        let port = words[2].strip_prefix("http://127.0.0.1:").unwrap().to_owned();
        let spawn = format!("{}/floor --port {port}", course.bin());
        let expected = ["-c", "5", "--profile=nchan", "--name", "floor", "--spawn", &spawn];
        assert_eq!(words[3..10], expected);
        assert_eq!(words[10..], ["--label", "round=2", "--label", "floor=yes"]);
        let other = course.words(&contest.servers[1], 2).unwrap();
        assert!(!other.contains(&"floor=yes".to_owned()), "{other:?}");
    }

    #[test]
    fn what_a_server_says_of_itself_is_kept_with_its_runs() {
        let mut contest = contest();
        contest.servers[0].version = Some("printf '\\n bare 1.0 \\nmore\\n'".to_owned());
        contest.servers[1].version = Some("exit 3".to_owned());
        let mut course = Course::new(&contest, Path::new("/nowhere")).unwrap();
        course.set_up().unwrap();
        assert_eq!(course.versions, [Some("bare 1.0".to_owned()), None]);
        let words = course.words(&contest.servers[0], 1).unwrap();
        assert_eq!(words.last().unwrap(), "version=bare 1.0");
    }

    #[test]
    fn a_setup_that_fails_is_named() {
        let contest = Contest { setup: Some("exit 7".to_owned()), ..contest() };
        let error = Course::new(&contest, Path::new("/nowhere")).unwrap().set_up().unwrap_err();
        assert!(error.contains("exit 7") && error.contains("status: 7"), "{error}");
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        assert_eq!(file_name("a/../b c"), "a-..-b-c");
    }
}
