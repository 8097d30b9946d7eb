//! Lines of JSON over a TCP connection.
//!
//! Invariant: no line is read beyond its bound, which is small until the other side has shown who
//! it is.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::{SockRef, TcpKeepalive};

/// Bytes of a line from somebody who may be anybody: a greeting has some hundred.
const GREETING_BYTES_MAX: u64 = 4 * 1024;

/// Bytes of any other line: a report of an hour has 8 million, letters of 50 million events that
/// all fare differently 100 million.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// How long a greeting may take.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a write may take: the other side reads at once what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// When a machine that says nothing is asked whether it is there, how often, and how many times
/// before it is not: one that lost its power is noticed within 11 seconds.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(5), Duration::from_secs(2), 3);

/// The receiving half of a connection.
#[derive(Debug)]
pub(crate) struct Lines {
    input: BufReader<TcpStream>,
    bytes_max: u64,
}

/// Both halves of a connection on which a greeting is to come.
///
/// # Errors
///
/// If the socket is gone already.
pub(crate) fn halves(socket: TcpStream) -> io::Result<(TcpStream, Lines)> {
    let (time, interval, retries) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive.with_retries(retries))?;
    // An order must not wait for the acknowledgement of the one before.
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    socket.set_read_timeout(Some(GREETING_TIMEOUT))?;
    let input = BufReader::new(socket.try_clone()?);
    Ok((socket, Lines { input, bytes_max: GREETING_BYTES_MAX }))
}

/// Sends a message as a line.
///
/// # Errors
///
/// If the other side is gone, or does not read.
pub(crate) fn send(socket: &mut TcpStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    line.push(b'\n');
    socket.write_all(&line)
}

impl Lines {
    /// The other side has shown who it is: its lines may be long, and come after such a silence.
    ///
    /// # Errors
    ///
    /// If the socket is gone.
    pub(crate) fn trust(&mut self, silence: Option<Duration>) -> io::Result<()> {
        self.bytes_max = LINE_BYTES_MAX;
        self.input.get_ref().set_read_timeout(silence)
    }

    /// The next message.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.input).take(self.bytes_max);
        match bounded.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => {}
            Ok(0) => return Err("the connection was closed".to_owned()),
            Ok(bytes) if bytes as u64 == self.bytes_max => {
                return Err(format!("a line has more than {} bytes", self.bytes_max));
            }
            Ok(_) => return Err("the connection was closed within a line".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err("nothing was said for too long".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
        serde_json::from_slice(&line).map_err(|error| {
            let text = String::from_utf8_lossy(&line);
            let begin: String = text.trim_end().chars().take(40).collect();
            format!("{begin:?} is no line of this protocol: {error}")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::protocol::{Order, Say, Tally};
    use super::*;

    /// What is read of these bytes before the connection ends.
    fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, mut lines) = halves(listener.accept().unwrap().0).unwrap();
        // A line beyond the bound may not be read to its end.
        let _ = sender.write_all(bytes);
        drop(sender);
        lines.next()
    }

    #[test]
    fn every_word_is_read_back_from_its_line() {
        let tally = || Tally { fates: "a20".to_owned(), came: "y19n".to_owned() };
        let says = [
            Say::Refused("busy".to_owned()),
            Say::Welcome { proof: None },
            Say::Row(Box::default()),
            Say::Tally(tally()),
        ];
        for say in says {
            let line = serde_json::to_string(&say).unwrap() + "\n";
            let back: Say = read(line.as_bytes()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{say:?}"));
        }
        let orders = [Order::Connect, Order::Stop, Order::Tallies(vec![None, Some(tally())])];
        for order in orders {
            let line = serde_json::to_string(&order).unwrap() + "\n";
            let back: Order = read(line.as_bytes()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{order:?}"));
        }
    }

    #[test]
    fn what_is_no_line_is_named() {
        let long = vec![b'x'; GREETING_BYTES_MAX as usize + 1];
        for (bytes, word) in [
            (&b""[..], "closed"),
            (b"\"connect\"", "within a line"),
            (b"GET / HTTP/1.1\r\n", "GET / HTTP/1.1"),
            (b"\"dance\"\n", "dance"),
            (&long, "more than 4096"),
        ] {
            let error = read::<Order>(bytes).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
