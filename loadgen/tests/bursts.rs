//! A proxy that gathers what it passes on, between the load generator and a server: the report says
//! so, and how often it lets go.

mod scripted;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use scripted::{Server, saved};

/// How long the proxy gathers.
const FLUSH: Duration = Duration::from_millis(100);

/// A proxy that passes requests on at once, and answers every [`FLUSH`].
fn proxy(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let upstream = TcpStream::connect(server).expect("the server listens");
            let (mut from, mut to) = (clone(&client), clone(&upstream));
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || gather(upstream, client));
        }
    });
    address
}

fn clone(socket: &TcpStream) -> TcpStream {
    socket.try_clone().expect("a descriptor")
}

fn gather(mut from: TcpStream, mut to: TcpStream) -> std::io::Result<()> {
    let mut gathered = Vec::new();
    let mut buffer = [0; 4_096];
    let mut flushed = Instant::now();
    loop {
        let left = FLUSH.saturating_sub(flushed.elapsed());
        from.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match from.read(&mut buffer) {
            Ok(0) => return to.write_all(&gathered),
            Ok(bytes) => gathered.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if flushed.elapsed() >= FLUSH {
            to.write_all(&gathered)?;
            gathered.clear();
            flushed = Instant::now();
        }
    }
}

#[test]
fn a_proxy_that_gathers_is_noticed_and_its_period_told() {
    let server = Server::start(&[]);
    let publish = format!("POST http://{}/events/{{topic}}", server.address);
    let (_, run) = saved(
        Command::new(env!("CARGO_BIN_EXE_downpour-load"))
            .args(["run", &format!("http://{}", proxy(server.address)), "--publish", &publish])
            .args("-c 5 --rate 100 --duration 3s --warmup 200ms --quiet --json -".split(' ')),
    );
    let count = |name: &str| run["counts"][name].as_u64().expect("a count");
    assert!(count("spaced") > 500, "{}", run["counts"]);
    // Ten events in every flush, of which nine come with the one before.
    assert!(2 * count("bunched") > count("spaced"), "{}", run["counts"]);
    let period_ns = run["metrics"]["burst"]["p"]["50"].as_u64().expect("a time");
    assert!(period_ns > 90_000_000, "it lets go no sooner: {period_ns}");
    let notes = run["notes"].to_string();
    assert!(notes.contains("something gathers them"), "{notes}");
}
