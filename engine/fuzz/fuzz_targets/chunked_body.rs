//! Chunked bodies: every split decodes like a naive decoder that sees the whole.

#![no_main]

use downpour::http::body::Body;
use downpour::http::request::BodyKind;
use libfuzzer_sys::fuzz_target;

/// Content and length of a complete body; `Ok(None)` = more is needed.
fn decode(pieces: &[&[u8]], limit: Option<u64>) -> Result<Option<(Vec<u8>, usize)>, u16> {
    let mut body = Body::new(BodyKind::Chunked, limit).map_err(|r| r.status.code())?;
    let (mut out, mut total) = (Vec::new(), 0);
    for piece in pieces {
        let decoded = body.decode(piece, &mut out).map_err(|r| r.status.code())?;
        assert!(limit.is_none_or(|limit| out.len() as u64 <= limit), "beyond the limit");
        total += decoded.consumed;
        if decoded.done {
            return Ok(Some((out, total)));
        }
        assert_eq!(decoded.consumed, piece.len(), "input was left");
    }
    Ok(None)
}

fuzz_target!(|bytes: &[u8]| {
    // Below the bounds of extensions and trailers, which the naive decoder does not have.
    let bytes = &bytes[..bytes.len().min(500)];
    let whole = decode(&[bytes], None);
    let singles: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(&singles, None), whole, "one byte at a time");
    for cut in 0..bytes.len() {
        assert_eq!(decode(&[&bytes[..cut], &bytes[cut..]], None), whole, "cut at {cut}");
    }
    let naive = oracle::decode_chunked(bytes);
    match &whole {
        Ok(done @ Some(_)) => assert_eq!(done, &naive),
        Ok(None) | Err(_) => assert_eq!(naive, None),
    }
    let limited = decode(&singles, Some(8));
    match (&whole, &limited) {
        (Ok(Some((content, _))), Ok(_)) => assert!(content.len() <= 8),
        (Ok(Some((content, _))), Err(status)) => assert!(content.len() > 8 && *status == 413),
        _ => {}
    }
});
