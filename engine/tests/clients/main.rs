//! Real clients against the real engine: Chromium's own EventSource, npm's `eventsource`, Python's
//! `httpx-sse`, curl, and nginx in between; and the clients of Mercure's hub that npm and PyPI have.
//!
//! `setup.sh` installs them. Each script beside this file plays one client; it is given the
//! engine's address, exits with 0 when all went as it should, and else says what did not.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

#[path = "../harness/mod.rs"]
mod harness;

use rustix::process::{Pid, Signal, kill_process};

use harness::wire::request;
use harness::{Backend, Engine, Stream, Wire, on_both_backends};

on_both_backends![
    chromiums_event_source_opens_reconnects_and_sees_gaps,
    npms_eventsource_opens_reconnects_and_sees_gaps,
    pythons_httpx_sse_opens_reconnects_and_sees_gaps,
    curl_shows_events_as_they_are_published,
    nginx_passes_events_on_at_once,
    npms_clients_of_mercure_publish_subscribe_and_come_back,
    pypis_clients_of_mercure_publish_subscribe_and_come_back,
    chromium_sends_the_cookie_of_mercure_over_two_origins,
    chromium_keeps_the_cookies_of_version_1_that_need_tls,
];

/// Where the scripts are.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// The Python environment.
fn venv() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients")
}

/// Installs what is missing, once for all tests of this run.
fn set_up() {
    static SET_UP: Once = Once::new();
    SET_UP.call_once(|| {
        let status = Command::new("bash").arg(here().join("setup.sh")).arg(venv()).status();
        assert!(status.expect("bash runs").success(), "the clients cannot be installed; see above");
    });
}

/// Runs a client to its end, which has to be a good one.
#[track_caller]
fn play(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("it was installed");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{command:?}\n{said}");
}

/// A port that nobody listens on, and that the kernel gives to nobody who asks for any: it is below
/// the range it takes those from (ip_local_port_range, 32768 and up). Each test gets another.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    let mut ports = std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed));
    let free =
        ports.by_ref().take(100).find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    free.expect("one port of a hundred is free")
}

/// Flags with which a client is soon back, and soon has missed too much.
const QUICK: [&str; 4] = ["--retry", "100ms", "--history-events", "5"];

fn chromiums_event_source_opens_reconnects_and_sees_gaps(backend: Backend) {
    set_up();
    // Another host name than the engine's, so another origin and another site.
    let port = free_port();
    let origin = format!("http://localhost:{port}");
    let engine = Engine::start(backend, &[&QUICK[..], &["--cors-origin", &origin]].concat());
    let script = here().join("chromium.mjs");
    let engine = format!("http://{}", engine.address);
    play(Command::new("node").arg(script).args([&engine, &port.to_string()]));
}

fn npms_eventsource_opens_reconnects_and_sees_gaps(backend: Backend) {
    set_up();
    let engine = Engine::start(backend, &QUICK);
    let script = here().join("eventsource.mjs");
    play(Command::new("node").arg(script).arg(format!("http://{}", engine.address)));
}

fn pythons_httpx_sse_opens_reconnects_and_sees_gaps(backend: Backend) {
    set_up();
    let engine = Engine::start(backend, &QUICK);
    let script = here().join("httpx_sse_client.py");
    let url = format!("http://{}", engine.address);
    play(Command::new(venv().join("bin/python")).arg(script).arg(url));
}

/// A program that is stopped with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Not the signal that cannot be caught: nginx takes its workers with it.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// curl on a stream: its output line by line, as it comes.
struct Curl {
    _process: Running,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Curl {
    /// Subscribes; the two minutes bound the whole test.
    fn open(url: &str, arguments: &[&str]) -> Curl {
        let mut command = Command::new("curl");
        command.args(["-sS", "-N", "--noproxy", "*", "--max-time", "120"]).args(arguments).arg(url);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("curl is installed");
        let output = process.stdout.take().expect("it is piped");
        Curl { _process: Running(process), lines: BufReader::new(output).lines() }
    }

    /// Reads up to and with the line that starts so.
    #[track_caller]
    fn through(&mut self, start: &str) -> String {
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("it ended before {start:?}"));
            let line = line.expect("curl prints UTF-8");
            if line.starts_with(start) {
                return line;
            }
        }
    }
}

/// Publishes with curl; gives what it printed.
fn curl_publish(url: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "--max-time", "120"]).args(arguments).arg(url);
    let output = command.output().expect("curl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn curl_shows_events_as_they_are_published(backend: Backend) {
    set_up();
    let engine = Engine::start(backend, &[]);
    let url = |path: &str| format!("http://{}{path}", engine.address);
    let mut curl = Curl::open(&url("/events/t"), &[]);
    let mut both = Curl::open(&url("/events?topic=t&topic=rooms/42"), &["--http1.0"]);
    curl.through("id: ");
    let primed = both.through("id: ");
    for data in ["one", "two", "three"] {
        let answer = curl_publish(&url("/events/t?event=tick"), &["-d", data]);
        assert!(answer.contains("\"id\""), "{answer}");
        for stream in [&mut curl, &mut both] {
            stream.through("event: tick");
            assert_eq!(stream.through("data: "), format!("data: {data}"));
        }
    }
    // A stream of lines, chunked because curl does not know its length.
    let lines = "{\"topic\":\"rooms/42\",\"data\":1}\n{\"topic\":\"t\",\"data\":{\"n\":2}}\n";
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), lines).expect("room on the disk");
    let body = format!("@{}", file.path().display());
    let ndjson = "Content-Type: application/x-ndjson";
    let chunked = "Transfer-Encoding: chunked";
    let answer = curl_publish(
        &url("/events"),
        &["-H", ndjson, "-H", chunked, "-H", "Expect: 100-continue", "--data-binary", &body],
    );
    assert!(answer.contains("\"accepted\":2"), "{answer}");
    assert_eq!(both.through("data: "), "data: 1");
    for stream in [&mut curl, &mut both] {
        assert_eq!(stream.through("data: "), "data: {\"n\":2}");
    }
    let header = format!("Last-Event-ID: {}", primed.trim_start_matches("id: "));
    let mut back = Curl::open(&url("/events/t"), &["-H", &header]);
    assert_eq!(back.through("data: "), "data: one", "a cursor resumes from the priming id");
    let head = curl_publish(&url("/events/t"), &["-I"]);
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("text/event-stream"), "{head}");
}

/// nginx as Debian ships it before the engine, with nothing set that it does not need to run here.
/// It ends before its directory does.
fn nginx(engine: &Engine) -> (tempfile::TempDir, Running, std::net::SocketAddr) {
    let directory = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let temp = directory.path().display();
    let configuration = format!(
        "daemon off;\npid {temp}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n\
         access_log off;\nclient_body_temp_path {temp}/body;\nproxy_temp_path {temp}/proxy;\n\
         fastcgi_temp_path {temp}/f;\nuwsgi_temp_path {temp}/u;\nscgi_temp_path {temp}/s;\n\
         server {{\nlisten 127.0.0.1:{port};\n\
         location / {{ proxy_pass http://{}; }}\n}}\n}}\n",
        engine.address
    );
    let file = directory.path().join("nginx.conf");
    std::fs::write(&file, configuration).expect("room on the disk");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory.path()).arg("-c").arg(&file);
    let running = Running(command.spawn().expect("nginx is installed"));
    let address = ([127, 0, 0, 1], port).into();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(std::time::Instant::now() < engine.deadline, "nginx does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    (directory, running, address)
}

fn nginx_passes_events_on_at_once(backend: Backend) {
    set_up();
    let engine = Engine::start(backend, &QUICK);
    let (_directory, _running, address) = nginx(&engine);
    let url = |path: &str| format!("http://{address}{path}");
    let mut curl = Curl::open(&url("/events/t"), &[]);
    curl.through("id: ");
    // An HTTP/1.0 client gets the bytes unchunked, so that they can be compared.
    let mut wire = Wire::connect(address, engine.deadline);
    wire.send("GET /events/t HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let mut stream = Stream::open(wire);
    let mut ids = Vec::new();
    for number in 0..20 {
        // The next one is published only when this one has come through.
        ids.push(engine.publish("t", number.to_string()));
        assert_eq!(curl.through("data: "), format!("data: {number}"));
        let event = stream.event();
        assert_eq!((event.data, &event.id), (number.to_string(), &ids[number]));
    }
    let answer = curl_publish(&url("/events/t"), &["-d", "through nginx"]);
    assert!(answer.contains("\"id\""), "{answer}");
    assert_eq!(stream.event().data, "through nginx");
    let large = "x".repeat(500_000);
    engine.publish("t", &large);
    assert!(stream.event().data == large);
    // Resuming and gaps pass as well.
    let resume = |id: &str| {
        let mut wire = Wire::connect(address, engine.deadline);
        wire.send(format!("GET /events/t HTTP/1.0\r\nLast-Event-ID: {id}\r\n\r\n"));
        Stream::open(wire)
    };
    assert_eq!(resume(&ids[19]).event().data, "through nginx");
    assert_eq!(resume(&ids[3]).event().gap().reason, "evicted");
    let refused = {
        let mut wire = Wire::connect(address, engine.deadline);
        wire.send(request("GET", "/nothing", &["Connection: close"], b""));
        wire.response()
    };
    refused.problem(404);
    // Who leaves nginx leaves the engine.
    drop((curl, stream));
    engine.await_subscribers(0);
}

/// The key of Mercure's tutorials.
const HUB_KEY: &str = "!ChangeThisMercureHubJWTSecretKey!";

/// A hub that speaks `which` (8 or 1), with these directives beside its keys.
fn hub(backend: Backend, which: &str, directives: &str) -> (Engine, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let keys = format!("publisher_jwt {HUB_KEY}\nsubscriber_jwt {HUB_KEY}");
    std::fs::write(file.path(), format!("{keys}\n{directives}")).expect("room on the disk");
    let path = file.path().to_str().expect("UTF-8");
    (Engine::start(backend, &["--mercure", which, "--mercure-file", path]), file)
}

fn npms_clients_of_mercure_publish_subscribe_and_come_back(backend: Backend) {
    set_up();
    let (engine, _file) = hub(backend, "8", "anonymous");
    let origin = format!("http://{}", engine.address);
    play(Command::new("node").arg(here().join("mercure.mjs")).args([&origin, HUB_KEY]));
}

fn pypis_clients_of_mercure_publish_subscribe_and_come_back(backend: Backend) {
    set_up();
    let (engine, _file) = hub(backend, "8", "anonymous");
    let (_directory, _running, proxy) = nginx(&engine);
    let origins = [engine.address, proxy].map(|address| format!("http://{address}"));
    let script = here().join("mercure_client.py");
    let arguments = [&origins[0], HUB_KEY, &origins[1]];
    play(Command::new(venv().join("bin/python")).arg(script).args(arguments));
}

fn chromium_sends_the_cookie_of_mercure_over_two_origins(backend: Backend) {
    set_up();
    let port = free_port().to_string();
    let app = format!("http://app.mercure.test:{port}");
    let directives = format!("anonymous\ncors_origins {app}\npublish_origins {app}");
    let (engine, _file) = hub(backend, "8", &directives);
    let origin = format!("http://{}", engine.address);
    let script = here().join("mercure_cookie.mjs");
    play(Command::new("node").arg(script).args([&origin, &port, HUB_KEY]));
}

/// A cookie named `__Secure-…` is for all hosts of a domain, one named `__Host-…` for one host only.
fn chromium_keeps_the_cookies_of_version_1_that_need_tls(backend: Backend) {
    set_up();
    for (cookie, app) in [("__Secure-mercure_access_token", "app"), ("__Host-mercure", "hub")] {
        let (page, port) = (free_port().to_string(), free_port().to_string());
        let app = format!("https://{app}.mercure.test:{page}");
        let resource = format!("https://hub.mercure.test:{port}/.well-known/mercure");
        let directives = format!(
            "anonymous\ncors_origins {app}\npublish_origins {app}\nresource_identifier {resource}\n\
             cookie_name {cookie}"
        );
        let (engine, _file) = hub(backend, "1", &directives);
        let origin = format!("http://{}", engine.address);
        let script = here().join("mercure_secure.mjs");
        play(Command::new("node").arg(script).args([&origin, &page, &port, HUB_KEY, cookie]));
    }
}
