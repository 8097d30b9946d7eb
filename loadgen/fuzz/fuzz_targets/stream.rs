//! Any bytes, in any pieces: what a subscriber reads must not depend on where the pieces end,
//! and nothing may panic.
//!
//! The first byte of the input is the size of the pieces; the rest is what a server sends.
//! `cargo +nightly fuzz run stream`

#![no_main]

use libfuzzer_sys::fuzz_target;

// The load generator is a program, not a library: its pure modules are compiled in here.
#[path = "../../src/decoder.rs"]
#[allow(dead_code, unreachable_pub)]
mod decoder;
#[path = "../../src/http.rs"]
#[allow(dead_code, unreachable_pub)]
mod http;

use decoder::{Decoder, Item};
use http::Head;

fn say(said: &mut Vec<String>, item: &Item<'_>) {
    said.push(format!("{item:?}"));
}

/// Everything a connection says, read in pieces of `size` bytes.
fn read(input: &[u8], size: usize) -> Vec<String> {
    let mut said = Vec::new();
    let mut text = Vec::new();
    let mut stream = None;
    for piece in input.chunks(size) {
        text.extend_from_slice(piece);
        if stream.is_none() {
            match Head::parse(&text) {
                Ok(None) => continue,
                Ok(Some(head)) => {
                    text.drain(..head.bytes);
                    stream = Some((head.body, Decoder::default()));
                }
                Err(_) => return said,
            }
        }
        let (body, decoder) = stream.as_mut().expect("set above");
        let mut rest = text.as_slice();
        loop {
            match body.next(&mut rest) {
                Ok(Some(content)) => decoder.feed(content, |item| say(&mut said, &item)),
                Ok(None) => break,
                Err(_) => return said,
            }
        }
        text.clear();
    }
    said
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else { return };
    let whole = {
        let mut said = Vec::new();
        let mut decoder = Decoder::default();
        decoder.feed(bytes, |item| say(&mut said, &item));
        said
    };
    let mut pieces = Vec::new();
    let mut decoder = Decoder::default();
    for piece in bytes.chunks(usize::from(size).max(1)) {
        decoder.feed(piece, |item| say(&mut pieces, &item));
    }
    assert_eq!(whole, pieces, "the decoder depends on where pieces end");
    // Heads that are refused may be refused at different places; what was said before agrees.
    let (one, many) = (read(bytes, bytes.len().max(1)), read(bytes, usize::from(size).max(1)));
    let common = one.len().min(many.len());
    assert_eq!(one[..common], many[..common], "a session depends on where pieces end");
});
