//! Runs that several machines carry out, which are processes here: what is proved of the events of
//! all, and what is said when one of them is not there, not free, or gone.

mod scripted;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use scripted::{Server, own_address};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_downpour-load");

/// A plan of 200 measured events in a second. A settle time of a second lets the agents of a busy
/// machine start half a second apart.
const PLAN: &str = "-c 20 --rate 200 --duration 1s --warmup 200ms --settle 1s --quiet";

/// Conditions that a loaded machine meets at some time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `downpour-load agent` on a port of its own.
struct Agent {
    child: Child,
    said: BufReader<ChildStdout>,
    name: String,
}

impl Agent {
    fn start(arguments: &[&str]) -> Agent {
        let mut child = Command::new(PROGRAM)
            .args(["agent", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary under test starts");
        let said = BufReader::new(child.stdout.take().expect("piped"));
        let mut agent = Agent { child, said, name: String::new() };
        let first = agent.line();
        agent.name = first.strip_prefix("listening on ").expect("where it listens").to_owned();
        agent
    }

    /// The next line that it says.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    /// Waits for a line with this word in it.
    fn says(&mut self, word: &str) -> String {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "it ended before it said {word:?}");
            if line.contains(word) {
                return line;
            }
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn two() -> [Agent; 2] {
    [Agent::start(&[]), Agent::start(&[])]
}

/// The command line of a run over agents.
fn command(words: &str, agents: &[&Agent], json: &Path) -> Command {
    let names: Vec<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
    over(words, &names.join(","), json)
}

fn over(words: &str, agents: &str, json: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    // Connects have no rate.
    let plan = match words.starts_with("connect") {
        true => PLAN.replace(" --rate 200", ""),
        false => PLAN.to_owned(),
    };
    command
        .args(words.split(' ').chain(plan.split(' ')))
        .args(["--agents", agents, "--json", json.to_str().expect("UTF-8")])
        // No floor of the machine's user, whose note would be one of ours.
        .env("XDG_STATE_HOME", "/nonexistent");
    command
}

fn saved(json: &Path, output: &Output) -> Value {
    let text = std::fs::read_to_string(json)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(&text).expect("JSON")
}

/// Carries a run out; its exit code and what it saved.
fn run(words: &str, agents: &[&Agent], more: &[&str]) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("run.json");
    let output = command(words, agents, &json).args(more).output().expect("it starts");
    (output.status.code(), saved(&json, &output))
}

/// What a run says that cannot be carried out; its exit code is 1.
fn failure(mut command: Command) -> String {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

fn codes(run: &Value) -> Vec<&str> {
    let reasons = run["verdict"]["reasons"].as_array().expect("a list").iter();
    reasons.map(|reason| reason["code"].as_str().expect("text")).collect()
}

fn offending(run: &Value) -> Vec<u64> {
    let offences = run["counts"]["offences"].as_array().expect("a list").iter();
    let mut all: Vec<u64> = offences.map(|one| one["subscriber"].as_u64().unwrap()).collect();
    all.sort_unstable();
    all
}

#[test]
fn every_delivery_of_the_events_of_both_is_proved_and_each_times_its_own() {
    let agents = two();
    let address = own_address(20);
    let spawn = format!("exec {PROGRAM} serve --listen {address}");
    let words = format!("run http://{address}");
    let more = ["--spawn", &spawn, "--slo", "lost==0", "--name", "both"];
    let (code, run) = run(&words, &[&agents[0], &agents[1]], &more);
    // 4: a short run on a busy machine is no good measurement, and a report all the same.
    assert!(matches!(code, Some(0 | 4)), "{}", run["verdict"]);
    assert!(!codes(&run).iter().any(|code| code.starts_with("agent")), "{}", run["verdict"]);
    let (counts, publish) = (&run["counts"], &run["publish"]);
    assert_eq!((&publish["planned"], &publish["acked"]), (&json!(200), &json!(200)));
    assert_eq!((&counts["events"], &counts["expected"]), (&json!(200), &json!(200 * 20)));
    assert_eq!((&counts["unique"], &counts["lost"]), (&json!(200 * 20), &json!(0)));
    for fault in ["duplicate", "out_of_order", "corrupt", "foreign", "malformed", "ambiguous"] {
        assert_eq!(counts[fault], 0, "{fault}");
    }
    // Half of what an agent's subscribers receive is of the other one, whose clock is not its own.
    let n = |name: &str| run["metrics"][name]["n"].as_u64().expect("samples");
    assert_eq!((n("delivery"), n("last"), n("spread")), (200 * 10, 200, 2 * 200));
    assert_eq!((n("publish.ack"), n("publish.slip")), (200, 200));
    assert_eq!((&run["plan"]["subscribers"], &run["plan"]["publishers"]), (&json!(20), &json!(2)));
    assert_eq!((&run["connect"]["asked"], &run["connect"]["up"]), (&json!(20), &json!(20)));
    let rows = run["series"].as_array().expect("rows").iter();
    let events: u64 = rows.map(|row| row["events"].as_u64().expect("a count")).sum();
    assert!((1..=240).contains(&events), "those of the warm-up as well, each once: {events}");
    let clock = &run["clock"];
    assert_eq!(clock["mode"], "swarm");
    for (agent, told) in agents.iter().zip(clock["agents"].as_array().expect("a list")) {
        assert_eq!(told["host"], agent.name.as_str());
        assert_eq!((&told["subscribers"], &told["up"]), (&json!(10), &json!(10)));
        assert_eq!((&told["unique"], &told["lost"]), (&json!(2_000), &json!(0)));
        assert!(told["start_within_ns"].is_u64() && told["missing"].is_null(), "{told}");
    }
    assert_eq!((&run["name"], &run["slo"][0]["ok"]), (&json!("both"), &json!(true)));
    assert_eq!((&run["runs"], &run["interrupted"]), (&json!([]), &json!(false)));
    assert!(run["server"]["cpu_per_delivery_ns"].as_f64().expect("it was metered") > 0.0);
}

#[test]
fn an_event_of_one_that_the_subscribers_of_both_miss_is_lost_to_all_of_them() {
    let agents = two();
    let server = Server::start(&["--fault", "drop:event=60"]);
    let words = format!("run http://{}", server.address);
    let (_, run) = run(&words, &[&agents[0], &agents[1]], &[]);
    let counts = &run["counts"];
    assert_eq!((&counts["lost"], &counts["incomplete_events"]), (&json!(20), &json!(1)));
    assert_eq!(counts["unique"], 199 * 20);
    // It had one publisher; the other ten lost an event of a stranger.
    assert_eq!(run["clock"]["agents"][0]["lost"], 10);
    assert_eq!(run["clock"]["agents"][1]["lost"], 10);
    assert_eq!(offending(&run), (0..20).collect::<Vec<u64>>(), "numbered over both");
    // Only the ten who know its time enter it, with the horizon.
    let delivery = &run["metrics"]["delivery"];
    assert_eq!((&delivery["n"], &delivery["censored"]), (&json!(2_000), &json!(10)));
}

#[test]
fn topics_publishers_and_slow_readers_are_divided_and_the_report_is_whole() {
    let agents = [Agent::start(&[]), Agent::start(&[]), Agent::start(&[])];
    let server = Server::start(&[]);
    let words = format!("run http://{}", server.address);
    let folder = tempfile::tempdir().expect("a folder");
    let fields = folder.path().join("fields");
    std::fs::write(&fields, "X-One: 1\nX-Two: 2\n").expect("room on the disk");
    let (fields, html) = (format!("@{}", fields.display()), folder.path().join("run.html"));
    let hlog = folder.path().join("run.hlog");
    let flags = "--topics 5 --publishers 4 --slow 2:1k --connect-rate 300 --arrival poisson -H";
    let mut more: Vec<&str> = flags.split(' ').collect();
    more.extend([fields.as_str(), "--html", html.to_str().unwrap()]);
    more.extend(["--hlog", hlog.to_str().unwrap()]);
    let (code, run) = run(&words, &[&agents[0], &agents[1], &agents[2]], &more);
    assert!(matches!(code, Some(0 | 4)), "{}", run["verdict"]);
    let counts = &run["counts"];
    assert_eq!((&counts["lost"], &counts["foreign"]), (&json!(0), &json!(0)));
    assert_eq!(counts["unique"], counts["expected"]);
    assert!(counts["unique"].as_u64().expect("a count") > 500, "{counts}");
    let shares = run["clock"]["agents"].as_array().expect("a list").iter();
    let shares: Vec<&Value> = shares.map(|agent| &agent["subscribers"]).collect();
    assert_eq!(shares, [7, 7, 6]);
    assert_eq!((&run["plan"]["publishers"], &run["slow"]["subscribers"]), (&json!(6), &json!(2)));
    let connect_rate = run["plan"]["connect_rate"].as_f64().expect("a rate");
    assert!((connect_rate - 300.0).abs() < 1e-6, "{connect_rate}");
    let page = std::fs::read_to_string(html).expect("the page");
    assert!(page.contains(&agents[2].name), "the page names the agents");
    assert!(std::fs::read_to_string(hlog).expect("the log").contains("delivery"));
}

/// A run that lasts until it is ended, and the file with its rows.
fn long(server: &Server, agents: &[&Agent], folder: &Path) -> Child {
    let words = format!("run http://{}", server.address);
    let rows = folder.join("rows");
    let more = ["--duration", "1m", "--ndjson", rows.to_str().expect("UTF-8")];
    let mut command = command(&words, agents, &folder.join("run.json"));
    command.args(more).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn wait_for_row(folder: &Path, word: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(folder.join("rows")).is_ok_and(|rows| rows.contains(word)) {
        assert!(Instant::now() < deadline, "no row with {word}");
        std::thread::yield_now();
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().expect("kill runs").success());
}

#[test]
fn a_run_that_loses_an_agent_is_invalid_names_it_and_keeps_the_figures_of_the_other() {
    let [stays, mut goes] = two();
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut coordinator = long(&server, &[&stays, &goes], folder.path());
    wait_for_row(folder.path(), r#""phase":"measure""#);
    goes.child.kill().expect("it runs");
    // What is left goes on; it is asked to end before its minute is over, and reports.
    let mut said = BufReader::new(coordinator.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains(&goes.name) {
        line.clear();
        assert!(said.read_line(&mut line).expect("text") > 0, "it ended without a word");
    }
    signal(&coordinator, "-INT");
    let output = coordinator.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let run = saved(&folder.path().join("run.json"), &output);
    assert_eq!((&run["verdict"]["status"], &run["interrupted"]), (&json!("invalid"), &json!(true)));
    let reasons = run["verdict"]["reasons"].as_array().expect("a list");
    let lost = reasons.iter().find(|reason| reason["code"] == "agent_lost").expect("why");
    let text = lost["text"].as_str().expect("text");
    assert!(text.contains(&goes.name) && !text.contains(&stays.name), "{text}");
    let told = &run["clock"]["agents"];
    assert!(told[0]["missing"].is_null() && told[0]["unique"].as_u64().expect("a count") > 0);
    assert!(told[1]["missing"].is_string() && told[1]["verdict"].is_null(), "{told}");
    // Of the events of who is gone nobody knows; those that came, came to everybody.
    assert_eq!(run["counts"]["lost"], 0);
    assert_eq!(run["connect"]["asked"], 20);
}

#[test]
fn an_agent_carries_out_one_run_at_a_time_and_is_free_when_its_coordinator_is_gone() {
    let mut agent = Agent::start(&[]);
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = long(&server, &[&agent], folder.path());
    wait_for_row(folder.path(), r#""phase""#);
    let words = format!("run http://{}", server.address);
    let other = folder.path().join("other.json");
    let said = failure(command(&words, &[&agent], &other));
    assert!(said.contains(&agent.name) && said.contains("busy with a run of 127.0.0.1:"), "{said}");
    agent.says("refused: busy");
    first.kill().expect("it runs");
    first.wait().expect("it ends");
    agent.says("the coordinator is gone");
    let (code, run) = run(&words, &[&agent], &[]);
    assert!(matches!(code, Some(0 | 4)), "{}", run["verdict"]);
    assert_eq!((&run["counts"]["unique"], &run["counts"]["lost"]), (&json!(4_000), &json!(0)));
    assert_eq!(run["counts"]["foreign"], 0, "the first run's events went with it");
    agent.says("done: ");
}

#[test]
fn runs_follow_each_other_at_once() {
    let agents = two();
    let server = Server::start(&[]);
    let words = format!("run http://{}", server.address);
    // With --isolation there are two, one right behind the other.
    let (code, run) = run(&words, &[&agents[0], &agents[1]], &["--slow", "4:0", "--isolation"]);
    assert!(matches!(code, Some(0 | 4)), "{}", run["verdict"]);
    let slow = &run["slow"];
    assert_eq!((&slow["subscribers"], &run["counts"]["lost"]), (&json!(4), &json!(0)));
    assert!(slow["isolation"].is_f64() && slow["p99_without_ns"].is_u64(), "{slow}");
}

#[test]
fn an_agent_that_is_interrupted_says_so_and_ends() {
    let mut agent = Agent::start(&[]);
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let coordinator = long(&server, &[&agent], folder.path());
    wait_for_row(folder.path(), r#""phase":"measure""#);
    signal(&agent.child, "-TERM");
    let output = coordinator.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains(&agent.name) && said.contains("interrupted on its own machine"),
        "{said}"
    );
    assert_eq!(agent.child.wait().expect("it ends").code(), Some(128 + 15));
}

/// A connection to an agent that is made by hand.
struct Stranger {
    socket: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Stranger {
    fn meet(agent: &Agent) -> Stranger {
        let socket = TcpStream::connect(&agent.name).expect("it listens");
        let lines = BufReader::new(socket.try_clone().expect("a socket"));
        let mut stranger = Stranger { socket, lines };
        assert!(stranger.hear()["hello"]["nonce"].is_string());
        stranger
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("text");
        serde_json::from_str(&line).expect("JSON")
    }

    fn say(&mut self, line: &str) -> &mut Stranger {
        self.socket.write_all(format!("{line}\n").as_bytes()).expect("it listens");
        self
    }

    /// Why it is refused; nothing comes behind that.
    fn refused(&mut self) -> String {
        let why = self.hear()["refused"].as_str().expect("why").to_owned();
        assert_eq!(self.lines.read_to_string(&mut String::new()).expect("the end"), 0);
        why
    }
}

fn hello(version: &str) -> String {
    let nonce = format!("{}=", "A".repeat(43));
    json!({ "hello": { "version": version, "nonce": nonce, "proof": null } }).to_string()
}

fn plan(url: &str, flags: &[[&str; 2]]) -> String {
    let seat = json!({ "machine": 0, "of": 1, "first": 0, "run": 7 });
    let plan = json!({
        "scenario": "run", "urls": [url], "flags": flags, "files": {}, "seat": seat,
    });
    json!({ "plan": plan }).to_string()
}

#[test]
fn what_is_no_plan_is_refused_with_what_is_wrong_and_the_agent_stays() {
    let agent = Agent::start(&[]);
    let version = env!("CARGO_PKG_VERSION");
    let greeted = || {
        let mut stranger = Stranger::meet(&agent);
        assert!(stranger.say(&hello(version)).hear()["welcome"].is_object());
        stranger
    };
    let url = "http://127.0.0.1:9";
    for (flags, word) in [
        ([["spawn", "true"]], "--spawn is not for agents"),
        ([["json", "/tmp/x"]], "--json is not for agents"),
        ([["header", "@/etc/passwd"]], "did not come along"),
        ([["rate", "fast"]], "fast"),
        ([["subscribers", "0"]], "--subscribers 0"),
        ([["rate", "1g"]], "events"),
    ] {
        let why = greeted().say(&plan(url, &flags)).refused();
        assert!(why.contains(word), "{why}");
    }
    assert!(greeted().say(&plan("https://h", &[])).refused().contains("https"));
    assert!(greeted().say("\"connect\"").refused().contains("a plan comes first"));
    assert!(greeted().say("{\"plan\": 5}").refused().contains("no line of this protocol"));
    let why = Stranger::meet(&agent).say(&hello("9.9.9")).refused();
    assert!(why.contains(version) && why.contains("9.9.9"), "{why}");
    let why = Stranger::meet(&agent).say("GET / HTTP/1.1").refused();
    assert!(why.contains("no line of this protocol"), "{why}");
    // It is free, and takes what is a plan.
    assert!(greeted().say(&plan(url, &[])).hear()["ready"]["events"].is_u64());
}

#[test]
fn agents_of_another_version_or_not_there_are_named_before_anything_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("run.json");
    let server = Server::start(&[]);
    let agent = Agent::start(&[]);
    let words = format!("run http://{}", server.address);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = listener.local_addr().expect("an address");
    let with = |other: String| over(&words, &format!("{},{other}", agent.name), &json);
    let old = std::thread::spawn(move || {
        let mut socket = listener.accept().expect("the coordinator").0;
        let nonce = format!("{}=", "A".repeat(43));
        let hello = json!({ "hello": { "version": "9.9.9", "nonce": nonce, "key": false } });
        socket.write_all(format!("{hello}\n").as_bytes()).expect("it listens");
        // Reading on to the end keeps the kernel from resetting what is under way.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let said = failure(with(other.to_string()));
    assert!(said.contains(&other.to_string()) && said.contains("9.9.9"), "{said}");
    old.join().expect("it was called");
    let said = failure(with(other.to_string()));
    assert!(said.contains(&other.to_string()) && said.contains("refused"), "{said}");
    // A server that is not there is the agent's finding.
    let nowhere = format!("run http://{other}");
    let said = failure(command(&nowhere, &[&agent], &json));
    assert!(said.contains(&agent.name) && said.contains(&other.to_string()), "{said}");
    assert!(!json.exists());
}

#[test]
fn who_has_no_key_gets_no_load_and_no_agent_without_one_listens_beyond_loopback() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("room on the disk");
        path.to_str().expect("UTF-8").to_owned()
    };
    let key = file("key", "correct horse battery staple\n");
    let wrong = file("wrong", "correct horse battery stable\n");
    let short = file("short", "horse\n");
    let mut agent = Agent::start(&["--key", &key, "--once"]);
    let open = Agent::start(&[]);
    let server = Server::start(&[]);
    let json = folder.path().join("run.json");
    let words = format!("run http://{}", server.address);
    let with = |agent: &Agent, key: Option<&str>| {
        let mut command = command(&words, &[agent], &json);
        command.args(key.into_iter().flat_map(|key| ["--agents-key", key]));
        command
    };
    for (agent, key, word) in [
        (&agent, None, "--agents-key"),
        (&agent, Some(wrong.as_str()), "does not have this agent's key"),
        (&open, Some(key.as_str()), "--key FILE"),
    ] {
        let said = failure(with(agent, key));
        assert!(said.contains(word) && !said.contains("horse"), "{said}");
    }
    let output = with(&agent, Some(&short)).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let output = with(&agent, Some(&key)).output().expect("it starts");
    let run = saved(&json, &output);
    assert_eq!((&run["counts"]["unique"], &run["counts"]["lost"]), (&json!(4_000), &json!(0)));
    let said = String::from_utf8_lossy(&output.stdout);
    let line = format!("{}   20 of 20 subscribers | 4,000 received, 0 lost", agent.name);
    assert!(said.contains(&line) && !said.contains("horse"), "{said}");
    agent.says("done: ");
    // It was asked for one plan.
    assert_eq!(agent.child.wait().expect("it ends").code(), Some(0));
    let refused = Command::new(PROGRAM).args(["agent", "--listen", "0.0.0.0:0"]).output();
    let refused = refused.expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--key") && said.contains("ssh -L"), "{said}");
}

#[test]
fn connects_are_measured_over_agents_as_well() {
    let agents = two();
    let server = Server::start(&[]);
    let words = format!("connect http://{}", server.address);
    let (code, run) = run(&words, &[&agents[0], &agents[1]], &[]);
    assert!(matches!(code, Some(0 | 4)), "{}", run["verdict"]);
    assert_eq!((&run["plan"]["scenario"], &run["connect"]["up"]), (&json!("connect"), &json!(20)));
    assert_eq!((&run["clock"]["mode"], &run["publish"]), (&json!("none"), &Value::Null));
    assert_eq!(run["metrics"]["connect.ready"]["n"], 20);
}
