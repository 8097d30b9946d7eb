//! A thousand hostile requests: each is refused or served by the rules, none is served behind a
//! refused head, nothing of them reaches a subscriber as another field, and the hub serves on.
//!
//! The corpus is made from a seed, which a failure prints: vectors of request smuggling, splits at
//! random bytes, sizes beyond every bound, injections, and forged tokens.

use crate::harness::wire::request;
use crate::harness::{Backend, on_both_backends};
use crate::rig::{FORM, HUB, Hub, KEY, all, bearer, sign};

on_both_backends![a_thousand_hostile_requests_reach_nobody];

const REQUESTS: u64 = 1_000;
const SEED: u64 = 0x006D_6572_6375_7265;
/// What no subscriber may ever see: it stands where only a smuggled or unauthorised request has it.
const MARK: &str = "smuggled";

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // Of Knuth's MMIX generator; the upper half is good enough here.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

/// A whole publish of what nobody may see, to be hidden in another request.
fn hidden() -> String {
    let form = format!("topic=t&data={MARK}");
    let header = bearer(&all());
    String::from_utf8(request("POST", HUB, &[&header, FORM], form.as_bytes())).expect("ASCII")
}

/// Two readings of one body.
fn smuggling(random: &mut Random) -> Vec<u8> {
    let hidden = hidden();
    let header = random.pick(&[
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: +4",
        "Content-Length: 4, 4",
        "Content-Length: 0x4",
        "Content-Length:\t4 4",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        " Content-Length: 4",
        "Content-Length: 4\nX: y",
        "X: y\rContent-Length: 4",
        "Content-Length: 99999999999999999999",
        "Host: evil.example",
        "X: a\x00b",
    ]);
    format!("POST {HUB} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n0\r\n\r\n{hidden}").into()
}

/// Chunks that some parsers take for others.
fn chunks(random: &mut Random) -> Vec<u8> {
    let body = random.pick(&[
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhello",
        "5;\u{7f}\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n X: y\r\n\r\n",
    ]);
    let headers = format!("{}\r\n{FORM}", bearer(&all()));
    let head = format!(
        "POST {HUB} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    format!("{head}{body}{}", hidden()).into()
}

/// Values that would be lines of their own, if anything put them on a line.
fn injection(random: &mut Random) -> Vec<u8> {
    let value = random.pick(&[
        "x%0Adata:+smuggled",
        "x%0D%0Adata:+smuggled",
        "x%0Ddata:+smuggled",
        "x%00y",
        "x%0A%0Aid:+1%0Adata:+smuggled%0A%0A",
    ]);
    let field = random.pick(&["id", "type", "retry"]);
    let form = format!("topic=t&{field}={value}&data=x");
    request("POST", HUB, &[&bearer(&all()), FORM], form.as_bytes())
}

/// Tokens that give no rights, with an update that shows if they do.
fn forgery(random: &mut Random) -> Vec<u8> {
    let claims = r#"{"mercure":{"publish":["*"]}}"#;
    let good = all();
    let token = match random.below(9) {
        0 => sign(r#"{"alg":"none"}"#, claims, KEY),
        1 => format!("{}.", good.rsplit_once('.').expect("three parts").0),
        2 => sign(r#"{"alg":"HS512"}"#, claims, KEY),
        3 => sign(r#"{"alg":"HS256"}"#, claims, ""),
        4 => sign(r#"{"alg":"HS256","crit":["exp"]}"#, claims, KEY),
        5 => sign(r#"{"alg":"HS256"}"#, r#"{"mercure":{"publish":["*"]},"exp":"9999999999"}"#, KEY),
        6 => sign(r#"{"alg":"HS256"}"#, r#"{"mercure":{"publish":["x"]}}"#, KEY),
        7 => {
            let at = random.below(good.len());
            let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            // The last character of a base64 text has bits that mean nothing.
            let at = at.min(good.len() - 2);
            if good.as_bytes()[at] == other.as_bytes()[0] {
                format!("{}.x", good.rsplit_once('.').expect("three parts").0)
            } else {
                format!("{}{other}{}", &good[..at], &good[at + 1..])
            }
        }
        _ => "a".repeat(200_000),
    };
    let form = format!("topic=t&data={MARK}");
    request("POST", HUB, &[&bearer(&token), FORM], form.as_bytes())
}

/// Sizes beyond the bounds, and bytes that are nothing.
fn excess(random: &mut Random) -> Vec<u8> {
    match random.below(6) {
        0 => request("GET", &format!("{HUB}?topic={}", "x".repeat(200_000)), &[], b""),
        1 => request("GET", HUB, &[&format!("X: {}", "y".repeat(270_000))], b""),
        2 => request("GET", HUB, &vec!["X: y"; 120], b""),
        3 => request("GET", &format!("{HUB}?{}", "topic=a&".repeat(1_001)), &[], b""),
        4 => {
            let form = "topic=a&".repeat(1_200);
            request("POST", HUB, &[&bearer(&all()), FORM], form.as_bytes())
        }
        _ => (0..200).map(|_| random.below(256) as u8).chain(*b"\r\n\r\n").collect(),
    }
}

/// Paths that only look like the hub's, and methods that change something elsewhere.
fn confusion(random: &mut Random) -> Vec<u8> {
    let path = random.pick(&[
        "/.well-known/mercure/../mercure",
        "/.well-known//mercure",
        "/.well-known/mercure%00",
        "/%2ewell-known/mercure",
        "/.well-known/mercure/",
        "/.well-known/mercure;x",
        "http://evil.example/.well-known/mercure",
        "/.WELL-KNOWN/mercure",
    ]);
    let form = format!("topic=t&data={MARK}");
    let method = random.pick(&["POST", "PUT", "DELETE", "CONNECT", "QUERY", "post"]);
    let header = if path == "/" { FORM.to_owned() } else { bearer(&all()) };
    request(method, path, &[&header, FORM], form.as_bytes())
}

fn a_thousand_hostile_requests_reach_nobody(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous\nsubscriptions");
    let mut witness = hub.stream("topic=*", &[]);
    let mut random = Random(SEED);
    for number in 0..REQUESTS {
        let bytes = match number % 6 {
            0 => smuggling(&mut random),
            1 => chunks(&mut random),
            2 => injection(&mut random),
            3 => forgery(&mut random),
            4 => excess(&mut random),
            _ => confusion(&mut random),
        };
        let mut wire = hub.engine.connect();
        let cut = random.below(bytes.len());
        wire.send_if_taken(&bytes[..cut]);
        wire.send_if_taken(&bytes[cut..]);
        let _ = wire.stream.shutdown(std::net::Shutdown::Write);
        let (answer, _) = wire.take_all();
        let shown = bytes[..bytes.len().min(300)].escape_ascii().to_string();
        let status = answer.get(9..12).map(|digits| String::from_utf8_lossy(digits).into_owned());
        let refused = status.as_deref().is_none_or(|status| status.starts_with(['4', '5']));
        assert!(refused, "seed {SEED:#x}, request {number}: {status:?} to {shown}");
        let count = answer.windows(9).filter(|part| *part == b"HTTP/1.1 ").count();
        assert!(count <= 1, "request {number}: something behind it was served: {shown}");
    }
    hub.publish("topic=t&data=end");
    loop {
        let block = witness.block();
        assert!(!block.contains(MARK), "{block}");
        if block.ends_with("data: end") {
            break;
        }
    }
}
