//! The bytes of one event on the wire, as every floor sends them.
//!
//! The frame carries an id as long as the engine's (an epoch of 12 digits and a sequence), because
//! its bytes are part of the cost of a delivery. Encoding happens once per event and is no part of
//! the hot loops.

/// The response head of a stream and a first comment, sent in one write to each new subscriber.
pub const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: text/event-stream\r\n\
    cache-control: no-cache, no-transform\r\n\
    x-accel-buffering: no\r\n\
    connection: close\r\n\
    \r\n\
    :\n\n";

/// Appends the frame of an event to `into`. `data` is one line; the floors' inbox refuses others.
pub fn encode(sequence: u64, data: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(format!("id: 000000000000-{sequence}\ndata: ").as_bytes());
    into.extend_from_slice(data);
    into.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_an_id_a_line_of_data_and_a_blank_line() {
        let mut bytes = b"before".to_vec();
        encode(42, b"hello", &mut bytes);
        assert_eq!(bytes, b"beforeid: 000000000000-42\ndata: hello\n\n");
    }
}
