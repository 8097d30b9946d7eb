//! The Centrifugo profile against a stand-in for its API: a key in a file, events wrapped in JSON,
//! pings among them, and refusals that its API tells in the body unless it is asked for a status.
//!
//! The stand-in speaks what Centrifugo's documentation says of `uni_sse` and of `/api/publish`, and
//! knows nothing of the load generator.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

const KEY: &str = "s3cret";

/// The streams of each channel.
type Channels = Arc<Mutex<HashMap<String, Vec<TcpStream>>>>;

fn centrifugo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let channels = Channels::default();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let channels = channels.clone();
            std::thread::spawn(move || while serve(&socket, &channels).is_some() {});
        }
    });
    address
}

/// One request; none when the connection is over or has become a stream.
fn serve(socket: &TcpStream, channels: &Channels) -> Option<()> {
    let mut reader = BufReader::new(socket);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let field = |name: &str| {
        let mut fields = head.iter().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let target = head[0].split(' ').nth(1).expect("a target");
    if let Some(connect) = target.strip_prefix("/connection/uni_sse?cf_connect=") {
        subscribe(socket, connect, channels);
        return None;
    }
    assert_eq!(head[0], "POST /api/publish HTTP/1.1");
    let mut body = vec![0; field("content-length").expect("a length").parse().expect("a number")];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let by_status = field("x-centrifugo-error-mode") == Some("transport");
    let channel = body["channel"].as_str().expect("a channel");
    match (field("x-api-key") == Some(KEY), channel.starts_with("unknown:")) {
        (false, _) => answer(socket, "401 Unauthorized", &json!({})),
        (_, true) => {
            let status = if by_status { "404 Not Found" } else { "200 OK" };
            answer(socket, status, &json!({"error": {"code": 102, "message": "unknown channel"}}));
        }
        (true, false) => {
            publish(channel, &body["data"], channels);
            answer(socket, "200 OK", &json!({"result": {"offset": 1, "epoch": "e"}}));
        }
    }
    Some(())
}

fn answer(mut socket: &TcpStream, status: &str, body: &Value) {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = socket.write_all((head + &body).as_bytes());
}

fn chunk(push: &Value) -> String {
    let event = format!("data: {push}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

fn subscribe(mut socket: &TcpStream, connect: &str, channels: &Channels) {
    let text = connect.replace("%7B", "{").replace("%7D", "}").replace("%22", "\"");
    let connect: Value = serde_json::from_str(&text.replace("%3A", ":")).expect("JSON");
    let subs = connect["subs"].as_object().expect("subscriptions");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: \
                chunked\r\n\r\n";
    let first = chunk(&json!({"connect": {"client": "c", "subs": connect["subs"], "ping": 25}}));
    // A ping is an empty object.
    let text = [head, &first, &chunk(&json!({}))].concat();
    if socket.write_all(text.as_bytes()).is_ok() {
        let mut channels = channels.lock().expect("no panic");
        for channel in subs.keys() {
            let socket = socket.try_clone().expect("a descriptor");
            channels.entry(channel.clone()).or_default().push(socket);
        }
    }
}

fn publish(channel: &str, data: &Value, channels: &Channels) {
    let push = chunk(&json!({"channel": channel, "pub": {"data": data}}));
    let mut channels = channels.lock().expect("no panic");
    for socket in channels.entry(channel.to_owned()).or_default() {
        let _ = socket.write_all(push.as_bytes());
    }
}

fn run(key: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, format!("X-API-Key: {key}\n")).expect("room on the disk");
    let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(["run", &format!("http://{}", centrifugo()), "--profile", "centrifugo"])
        .args(["-c", "20", "--rate", "200", "--duration", "1s", "--warmup", "100ms"])
        .args(["--settle", "200ms", "--quiet", "--json", "-"])
        .args(["--publish-header", &format!("@{}", file.display())])
        .args(arguments)
        .env("XDG_STATE_HOME", "/nonexistent")
        .output()
        .expect("the binary under test starts");
    let run = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), run)
}

#[test]
fn events_are_found_in_the_json_that_they_come_in() {
    let (code, run) = run(KEY, &["--topics", "3"]);
    assert_eq!(code, Some(0), "{}", run["verdict"]);
    assert_eq!(run["publish"]["acked"], 200, "{}", run["publish"]);
    let counts = &run["counts"];
    assert_eq!((&counts["lost"], &counts["unique"]), (&0.into(), &counts["expected"]));
    // 20 subscribers dealt out to 3 topics: 7, 7 and 6 of them get every third event.
    let unique = counts["unique"].as_u64().expect("a count");
    assert!((200 * 20 / 3 - 7..=200 * 20 / 3 + 7).contains(&unique), "{unique}");
}

/// The description of the manual, as a file.
fn described(folder: &std::path::Path) -> String {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/BENCHMARKING.md");
    let manual = std::fs::read_to_string(manual).expect("the manual");
    let (_, from) = manual.split_once("```toml\n").expect("it has an example");
    let (example, _) = from.split_once("```").expect("the example ends");
    let path = folder.join("profile.toml");
    std::fs::write(&path, example).expect("room on the disk");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_profile_of_the_manual_gives_the_same_as_the_built_in_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = described(folder.path());
    let (code, by_file) = run(KEY, &["--topics", "3", "--profile", &file]);
    assert_eq!(code, Some(0), "{}", by_file["verdict"]);
    assert_eq!(by_file["target"]["profile"], "centrifugo-by-file");
    let (_, built_in) = run(KEY, &["--topics", "3"]);
    for count in ["expected", "unique", "lost", "foreign", "events"] {
        assert_eq!(by_file["counts"][count], built_in["counts"][count], "{count}");
    }
    assert_eq!(by_file["publish"], built_in["publish"]);
    // Its error mode goes with the file: a refusal has a status.
    let (code, refused) = run(KEY, &["--topic", "unknown:load", "--profile", &file]);
    assert_eq!((code, &refused["publish"]["refused"]), (Some(4), &json!({"404": 200})));
}

#[test]
fn a_refusal_is_one_whether_centrifugo_says_so_by_key_or_by_channel() {
    for (key, topic, status) in [("wrong", "load", "401"), (KEY, "unknown:load", "404")] {
        let (code, run) = run(key, &["--topic", topic]);
        assert_eq!(code, Some(4), "{}", run["verdict"]);
        let reason = &run["verdict"]["reasons"][0];
        assert_eq!(reason["code"], "refused");
        assert!(reason["text"].as_str().expect("text").contains(status), "{reason}");
    }
}
