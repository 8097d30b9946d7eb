//! The `conform` command against the engine itself: every point that can be checked of it passes.
//!
//! With everything that is known of it: its process, its metrics, a restart, nginx in front, and
//! tokens. What is not checked is listed here, with its reason. Needs nginx and Python, which
//! `engine/tests/clients/setup.sh` installs.

mod built;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use built::engine;

/// How long a program may take to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two looks at a port.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Ports that nobody listens on, below those that the kernel gives to whoever asks for any; each
/// test looks from a place of its own.
fn free_ports<const COUNT: usize>(first: u16) -> [u16; COUNT] {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut free = (first..first + 300).filter(is_free);
    [(); COUNT].map(|()| free.next().expect("a few ports of 300 are free"))
}

fn wait_for(port: u16) {
    let deadline = Instant::now() + START_TIMEOUT;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on {port}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// An engine that a script starts and starts again, and whatever else its folder has.
struct Site {
    folder: tempfile::TempDir,
    port: u16,
    others: Vec<Child>,
}

impl Site {
    /// Starts an engine with further flags.
    fn start(port: u16, flags: &str) -> Site {
        let site =
            Site { folder: tempfile::tempdir().expect("a folder"), port, others: Vec::new() };
        let script = format!(
            "cd '{}'\nif [ -s pid ]; then kill $(cat pid); \
             while kill -0 $(cat pid); do sleep 0.02; done; fi 2> /dev/null\n\
             '{}' serve --listen 127.0.0.1:{port} --workers 2 {flags} \
             > log 2>&1 < /dev/null &\necho $! > pid\n",
            site.folder.path().display(),
            engine().display(),
        );
        std::fs::write(site.path("engine.sh"), script).expect("room on the disk");
        let status = Command::new("sh").arg(site.path("engine.sh")).status();
        assert!(status.expect("a shell").success());
        wait_for(port);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pid(&self) -> String {
        let text = std::fs::read_to_string(self.path("pid")).unwrap_or_default();
        text.trim().to_owned()
    }

    /// nginx in front, with nothing set that it does not need to run here.
    fn nginx(&mut self, port: u16) {
        let temp = self.folder.path().display();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths: String =
            paths.iter().map(|it| format!("{it}_temp_path {temp}/{it};\n")).collect();
        let configuration = format!(
            "daemon off;\npid {temp}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n\
             access_log off;\n{paths}server {{\nlisten 127.0.0.1:{port};\n\
             location / {{ proxy_pass http://127.0.0.1:{}; }}\n}}\n}}\n",
            self.port
        );
        std::fs::write(self.path("nginx.conf"), configuration).expect("room on the disk");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(self.folder.path()).arg("-c").arg(self.path("nginx.conf"));
        self.others.push(command.stderr(Stdio::null()).spawn().expect("nginx is installed"));
        wait_for(port);
    }

    fn conform(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_downpour-load"));
        command.args(["conform", &format!("http://127.0.0.1:{}", self.port), "--json", "-"]);
        command.args(["--strict", "--patience", "20s", "--prompt", "5s"]).args(arguments);
        command.output().expect("the binary under test starts")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in &mut self.others {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        let _ = Command::new("kill").args(["-9", &self.pid()]).stderr(Stdio::null()).status();
    }
}

/// The points of an outcome, and the whole text for a test that fails.
fn points(output: &Output, outcome: &str) -> BTreeSet<String> {
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let points = value["points"].as_array().expect("points").iter();
    let of = points.filter(|point| point["outcome"] == outcome);
    of.map(|point| point["id"].as_str().expect("text").to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn the_engine_passes_every_point_that_can_be_checked_of_it() {
    let [port, admin, proxy] = free_ports(20_000);
    let flags = format!(
        "--admin 127.0.0.1:{admin} --cors-origin https://page.test --heartbeat 1s \
         --handshake-timeout 1s --write-timeout 1s --drain-timeout 1s"
    );
    let mut site = Site::start(port, &flags);
    site.nginx(proxy);
    let gauge = format!("http://127.0.0.1:{admin}/metrics#downpour_subscribers");
    let restart = format!("sh {}", site.path("engine.sh").display());
    let output = site.conform(&[
        "--origin",
        "https://page.test",
        "--idle",
        "5s",
        "--head-timeout",
        "10s",
        "--stall-timeout",
        "3s",
        "--pid",
        &site.pid(),
        "--gauge",
        &gauge,
        "--via",
        &format!("http://127.0.0.1:{proxy}"),
        "--restart",
        &restart,
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(points(&output, "fail"), BTreeSet::new(), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    // It has no HTTP/2, no topic that is over for good, and none that moves; the two others
    // need an engine of other flags, below.
    let expected = names(&["H17b", "H18a", "H18b", "H7a", "H7b", "R9"]);
    assert_eq!(points(&output, "not_checked"), expected, "{text}");
}

#[test]
fn the_engine_tells_who_is_one_too_many_and_keeps_the_others() {
    let [port] = free_ports(20_300);
    let site = Site::start(port, "--admin 127.0.0.1:0 --connections-max 20");
    let output = site.conform(&["--only", "H17b", "--connections-max", "20"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(points(&output, "pass"), names(&["H17b"]), "{text}");
}

#[test]
fn the_engine_replays_to_nobody_whose_token_does_not_grant_it() {
    let [port] = free_ports(20_600);
    let secret = "0123456789abcdef0123456789abcdef";
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), secret).expect("room on the disk");
    let flags = format!(
        "--admin 127.0.0.1:0 --subscribe token --token-key-file '{}'",
        key.path().display()
    );
    let site = Site::start(port, &flags);
    let mine = bearer(secret, "*");
    let strange = bearer(secret, "another");
    let output = site.conform(&[
        "--only",
        "R9,R2a,H1",
        "-H",
        &mine,
        "--publish-header",
        &mine,
        "--stranger",
        &strange,
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(points(&output, "pass"), names(&["H1", "R2a", "R9"]), "{text}");
}

/// The header field of a token (RFC 7519) that grants a topic.
fn bearer(secret: &str, topic: &str) -> String {
    let program = "import base64, hashlib, hmac, json, sys\n\
        text = lambda data: base64.urlsafe_b64encode(data).rstrip(b'=')\n\
        claims = {'exp': 4102444800, 'mercure': {'publish': [sys.argv[2]], 'subscribe': [sys.argv[2]]}}\n\
        parts = [{'alg': 'HS256', 'typ': 'JWT'}, claims]\n\
        signed = b'.'.join(text(json.dumps(part).encode()) for part in parts)\n\
        mac = hmac.new(sys.argv[1].encode(), signed, hashlib.sha256).digest()\n\
        print((signed + b'.' + text(mac)).decode())\n";
    let output = Command::new("python3").args(["-c", program, secret, topic]).output();
    let output = output.expect("Python is there, which the tests need anyway");
    assert!(output.status.success(), "{output:?}");
    format!("Authorization: Bearer {}", String::from_utf8_lossy(&output.stdout).trim())
}
