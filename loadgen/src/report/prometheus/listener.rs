//! The HTTP side of the exporter: a few lines of HTTP/1.1 for a scraper, one request per
//! connection, answered one after the other.
//!
//! It knows no more of HTTP than a scrape needs: the request head is read to its blank line and
//! only its path is looked at.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::text;
use crate::report::snapshot::Snapshot;

/// A scraper that takes longer than this for its request or our answer is dropped.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest request head read; a scraper's is some hundred bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Serves the latest snapshot to Prometheus until the process ends.
#[derive(Debug)]
pub(crate) struct Exporter {
    latest: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

impl Exporter {
    /// Listens on an address (`:9090` is every interface) and starts the thread that answers.
    ///
    /// # Errors
    /// A sentence that names the address and why it cannot be listened on.
    pub(crate) fn start(address: &str) -> Result<Exporter, String> {
        let shown = |error: io::Error| format!("--prom {address}: {error}");
        let full =
            if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.into() };
        let resolved = full.to_socket_addrs().map_err(shown)?.next();
        let resolved = resolved.ok_or_else(|| format!("--prom {address}: no such address"))?;
        let listener = TcpListener::bind(resolved).map_err(shown)?;
        Exporter::serve(listener).map_err(shown)
    }

    /// Starts the thread that answers on a listener.
    fn serve(listener: TcpListener) -> io::Result<Exporter> {
        let latest = Arc::new(Mutex::new(None));
        let served = Arc::clone(&latest);
        std::thread::Builder::new().name("prometheus".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                // A scraper that goes away in the middle harms only its own scrape.
                let _ = answer(&stream, &served);
            }
        })?;
        Ok(Exporter { latest })
    }

    /// Hands over the latest snapshot.
    pub(crate) fn update(&self, snapshot: Arc<Snapshot>) {
        *self.latest.lock().expect("no holder of this lock panics") = Some(snapshot);
    }
}

fn answer(stream: &TcpStream, latest: &Mutex<Option<Arc<Snapshot>>>) -> io::Result<()> {
    stream.set_read_timeout(Some(SCRAPE_TIMEOUT))?;
    stream.set_write_timeout(Some(SCRAPE_TIMEOUT))?;
    let head = request_head(stream)?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let snapshot = latest.lock().expect("no holder of this lock panics").clone();
    let (status, body) = match (path, snapshot) {
        ("/metrics", Some(snapshot)) => ("200 OK", text(&snapshot)),
        ("/metrics", None) => ("200 OK", String::new()),
        _ => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

fn request_head(mut stream: &TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let n = stream.read(&mut piece)?;
        if n == 0 || head.len() + n > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&piece[..n]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::report::snapshot::sample;

    fn exporter() -> (Exporter, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (Exporter::serve(listener).unwrap(), address)
    }

    fn scrape(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        // In two pieces, as a network may deliver it.
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost:").as_bytes()).unwrap();
        stream.write_all(b" x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_scrape_gets_the_latest_snapshot() {
        let (exporter, address) = exporter();
        assert!(scrape(address, "/metrics").contains("Content-Length: 0\r\n"));
        let snapshot = sample(3);
        exporter.update(Arc::new(snapshot.clone()));
        let answer = scrape(address, "/metrics");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(body, text(&snapshot));
        assert!(scrape(address, "/").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn a_scraper_that_hangs_up_does_not_end_the_exporter() {
        let (_exporter, address) = exporter();
        for _ in 0..3 {
            drop(TcpStream::connect(address).unwrap());
        }
        assert!(scrape(address, "/metrics").starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn an_address_that_cannot_be_listened_on_is_named() {
        let (_taken, address) = exporter();
        let address = address.to_string();
        assert!(Exporter::start(&address).unwrap_err().contains(&address));
        assert!(Exporter::start("nonsense").unwrap_err().contains("nonsense"));
    }
}
