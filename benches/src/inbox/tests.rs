//! Every request at every cut, and the refusals.

use super::*;

fn event(data: &str) -> Said {
    Said::Event(data.as_bytes().to_vec())
}

/// All that the floors accept, in one connection, and what it says.
fn conversation() -> (Vec<u8>, Vec<Said>) {
    let lines = "{\"topic\":\"t\",\"data\":\"one\"}\n\n{\"data\":\"\\u0074wo\",\"id\":\"9\"}";
    let bytes = [
        "POST /events/prices HTTP/1.1\r\nhost: x\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "POST /events/prices?id=7 HTTP/1.1\r\n\r\n".to_owned(),
        format!("POST /events HTTP/1.1\r\ncontent-length: {}\r\n\r\n{lines}", lines.len()),
        "POST /events HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
        chunk("{\"data\":\"three"),
        chunk("\"}\r\n{\"data\":\"four\"}\n{\"da"),
        chunk("ta\":\"\""),
        chunk("}\n"),
        "0\r\nx-checksum: 1\r\n\r\n".to_owned(),
        "GET /events/prices HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
    ];
    let said = vec![
        event("hello"),
        Said::Ask,
        event(""),
        Said::Ask,
        event("one"),
        event("two"),
        Said::Ask,
        event("three"),
        event("four"),
        event(""),
        Said::Ask,
        Said::Subscribe,
    ];
    (bytes.concat().into_bytes(), said)
}

fn chunk(content: &str) -> String {
    format!("{:x};name=value\r\n{content}\r\n", content.len())
}

#[test]
fn a_conversation_says_the_same_wherever_it_is_cut() {
    let (bytes, expected) = conversation();
    for cut in 0..=bytes.len() {
        let mut inbox = Inbox::default();
        let mut said = Vec::new();
        for part in [&bytes[..cut], &bytes[cut..]] {
            inbox.read(part, &mut said).unwrap_or_else(|refusal| panic!("cut at {cut}: {refusal}"));
        }
        assert_eq!(said, expected, "cut at {cut}");
    }
}

#[test]
fn a_conversation_says_the_same_in_pieces_of_every_size() {
    let (bytes, expected) = conversation();
    for piece_bytes in 1..=bytes.len() {
        let mut inbox = Inbox::default();
        let mut said = Vec::new();
        for piece in bytes.chunks(piece_bytes) {
            inbox.read(piece, &mut said).expect("every piece is of a good request");
        }
        assert_eq!(said, expected, "pieces of {piece_bytes}");
    }
}

#[test]
fn what_a_floor_cannot_serve_is_refused_with_a_reason() {
    let cases: [(&[u8], &str); 8] = [
        (b"GET / HTTP/1.1\r\n\r\n", "/events"),
        (b"GET /eventsx HTTP/1.1\r\n\r\n", "/events"),
        (b"PUT /events/t HTTP/1.1\r\n\r\n", "GET and POST"),
        (b"\x01\x02\r\n\r\n", "request head"),
        (b"POST /events/t HTTP/1.1\r\ncontent-length: x\r\n\r\n", "content-length"),
        (b"POST /events/t HTTP/1.1\r\ncontent-length: 3\r\n\r\na\nb", "one line"),
        (b"POST /events HTTP/1.1\r\ncontent-length: 4\r\n\r\n{}\n\n", "JSON"),
        (b"POST /events HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nz\r\n", "chunk"),
    ];
    for (bytes, reason) in cases {
        let refusal = Inbox::default().read(bytes, &mut Vec::new()).expect_err(reason);
        assert!(refusal.contains(reason), "{refusal}");
    }
}

#[test]
fn a_body_or_head_without_end_is_refused() {
    for begin in [
        &b"GET /events HTTP/1.1\r\nx: "[..],
        b"POST /events/t HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n",
        b"POST /events HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n",
    ] {
        let mut inbox = Inbox::default();
        inbox.read(begin, &mut Vec::new()).expect("so far so good");
        let endless = vec![b'a'; UNFINISHED_BYTES_MAX + 1];
        assert!(inbox.read(&endless, &mut Vec::new()).is_err());
    }
}
