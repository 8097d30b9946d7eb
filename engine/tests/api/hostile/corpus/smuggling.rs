//! Requests whose end two readers find in different places (RFC 9112, section 11.2).
//!
//! Knows the wire, and nothing of how requests are read.

use super::{Vector, harmless, hidden, list, post, refused};

/// `Transfer-Encoding` that one reader takes for `chunked` and another does not, alone and beside a
/// `Content-Length` (RFC 9112, section 11.2).
pub(super) fn smuggled_by_coding() -> Vec<Vector> {
    let names = ["Transfer-Encoding", "transfer-encoding", "TRANSFER-ENCODING"];
    let values = list(
        "xchunked¦chunkedx¦chunked, identity¦identity, chunked¦identity¦chunked;q=1¦\
    \"chunked\"¦'chunked'¦chunked,¦,chunked¦chunked chunked¦chunked,chunked¦\
    chun\u{b}ked¦\u{b}chunked¦chunked\u{b}¦\u{c}chunked¦chunked\u{0}¦\u{0}chunked¦\
    chunked\u{7f}¦cow¦gzip, chunked¦chunked, gzip¦¦chunked\r\n\t, identity¦\r\n chunked¦\
    \r\n\tchunked¦\rchunked¦\nchunked¦chunked\r¦chunked\n¦\
    chunked\r\nTransfer-Encoding: chunked¦chunked\r\nTransfer-Encoding: cow¦\
    identity\r\nTransfer-Encoding: chunked¦\u{a0}chunked¦ch%75nked¦chunked/1.0",
    );
    let lines = names.iter().flat_map(|name| values.iter().map(move |v| format!("{name}: {v}")));
    let odd = list(
        "Transfer-Encoding : chunked¦Transfer-Encoding\t: chunked¦\
    \u{20}Transfer-Encoding: chunked¦\tTransfer-Encoding: chunked¦\
    Transfer-Encoding\u{0}: chunked¦Transfer-Encoding\r\n: chunked¦\
    Transfer-Encoding\u{b}: chunked¦Transfer-Encoding chunked¦\
    Transfer\r\n-Encoding: chunked¦Transfer-\u{7f}Encoding: chunked¦\
    X: y\rTransfer-Encoding: chunked¦: chunked¦X: y\nTransfer-Encoding: chunked¦\
    X: y\r\n Transfer-Encoding: chunked¦(: chunked",
    );
    let lines: Vec<String> = lines.chain(odd.into_iter().map(str::to_owned)).collect();
    let hidden = hidden();
    let mut all = Vec::new();
    for line in &lines {
        all.push(refused(post(line, &format!("0\r\n\r\n{hidden}"))));
        all.push(refused(post(
            &format!("Content-Length: 5\r\n{line}"),
            &format!("0\r\n\r\n{hidden}"),
        )));
        all.push(refused(post(
            &format!("{line}\r\nContent-Length: 4"),
            &format!("1\r\nZ\r\n{hidden}"),
        )));
    }
    for both in
        ["Transfer-Encoding: chunked", "transfer-encoding:chunked", "Transfer-Encoding:  chunked "]
    {
        for length in
            ["Content-Length: 5", "Content-Length: 0", "content-length:5", "Content-Length: 99"]
        {
            for headers in [format!("{both}\r\n{length}"), format!("{length}\r\n{both}")] {
                all.push(refused(post(&headers, &format!("0\r\n\r\n{hidden}"))));
            }
        }
    }
    // Coding has no meaning in HTTP/1.0, and names that only look like it have none anywhere.
    let old = "POST /events/t HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    all.push(refused(format!("{old}{hidden}")));
    for name in
        ["X-Transfer-Encoding", "Transfer_Encoding", "Transfer-Encodings", "Transfer.Encoding"]
    {
        let length = hidden.len() + 5;
        let headers = format!("{name}: chunked\r\nContent-Length: {length}");
        all.push(harmless(post(&headers, &format!("0\r\n\r\n{hidden}"))));
    }
    all
}

/// Lengths that two readers count differently.
pub(super) fn smuggled_by_length() -> Vec<Vector> {
    let values = list(
        "+5¦-5¦-1¦0x5¦5,5¦5, 5¦5,6¦5 5¦5;¦5.0¦5e0¦05 ¦\u{b}5¦5\u{b}¦¦five¦\
    18446744073709551616¦18446744073709551621¦99999999999999999999999¦5\u{0}¦\u{0}5¦\
    5\u{7f}¦\"5\"¦5\r\nContent-Length: 5¦5\r\nContent-Length: 6¦5\r\ncontent-length: 0¦\
    0\r\nContent-Length: 5¦\r\n 5¦5\r\n 0¦5\r\n\t6¦5\r¦5\n¦\r5¦\n5¦٥¦5_0¦5'0¦1 0¦0 5¦\
    4294967301\r\nContent-Length: 5",
    );
    let valid = ["05 "];
    let hidden = hidden();
    let mut all = Vec::new();
    for value in values.iter().filter(|value| !valid.contains(value)) {
        for name in ["Content-Length", "content-length"] {
            all.push(refused(post(&format!("{name}: {value}"), &format!("hello{hidden}"))));
        }
    }
    for line in list(
        "Content-Length : 5¦Content-Length\t: 5¦\u{20}Content-Length: 5¦\
    Content-Length\u{0}: 5¦Content\r\n-Length: 5¦X: y\nContent-Length: 5¦\
    X: y\rContent-Length: 5¦Content-Length 5¦X: y\r\n Content-Length: 5¦\
    Content-Length\u{b}: 5¦Content-Length=5¦Content-Length",
    ) {
        all.push(refused(post(line, &format!("hello{hidden}"))));
    }
    // Without a length nothing is read as a body, and nothing as a request behind it.
    all.push(refused(post("X: y", &hidden)));
    all.push(refused(format!(
        "GET /events/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello{hidden}"
    )));
    let get = "GET /events/t HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked";
    all.push(refused(format!("{get}\r\n\r\n0\r\n\r\n{hidden}")));
    all
}

/// Chunks that some readers take for others (RFC 9112, section 7.1).
pub(super) fn smuggled_by_chunks() -> Vec<Vector> {
    let sizes = list(
        "0x5¦+5¦-5¦\u{20}5¦\t5¦5 ¦5\t¦5\u{b}¦5_¦5,¦5.0¦5g¦g¦¦;¦;a=b¦00000000000000005¦\
    fffffffffffffffff¦10000000000000005¦5\u{0}¦5;\u{0}¦5;a\u{7f}b¦5;a\nb¦5;a\rb¦5 5¦\
    five¦\u{66f}¦5\r",
    );
    let bodies = list(
        "5\nhello\r\n0\r\n\r\n¦5\rhello\r\n0\r\n\r\n¦5\r\nhello\n0\r\n\r\n¦\
    5\r\nhello\r0\r\n\r\n¦5\r\nhello0\r\n\r\n¦5\r\nhello\r\n\r\n0\r\n\r\n¦\
    5\r\nhelloX\r\n0\r\n\r\n¦5\r\nhell\r\n0\r\n\r\n¦5\r\nhello\r\n0\n\n¦\
    5\r\nhello\r\n0\r\n\n¦5\r\nhello\r\n0\n\r\n¦5\r\nhello\r\n0\r\n X: y\r\n\r\n¦\
    5\r\nhello\r\n0\r\nX y\r\n\r\n¦5\r\nhello\r\n0\r\nX : y\r\n\r\n¦\
    5\r\nhello\r\n0\r\n: y\r\n\r\n¦5\r\nhello\r\n0\r\nX: \u{1}\r\n\r\n¦\
    5\r\nhello\r\n0\r\nX: y\n\r\n¦5\r\nhello\r\n0\r\nX: y\r\n folded\r\n\r\n¦\
    5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n¦\r\n5\r\nhello\r\n0\r\n\r\n¦\
    5\r\r\nhello\r\n0\r\n\r\n¦5\r\n\nhello\r\n0\r\n\r\n",
    );
    let hidden = hidden();
    let head = "Transfer-Encoding: chunked";
    let sized = sizes.iter().map(|size| format!("{size}\r\nhello\r\n0\r\n\r\n"));
    let mut all: Vec<Vector> = sized
        .chain(bodies.into_iter().map(str::to_owned))
        .flat_map(|body| {
            [
                refused(post(head, &format!("{body}{hidden}"))),
                refused(post(head, &format!("1\r\nx\r\n{body}{hidden}"))),
            ]
        })
        .collect();
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n{hidden}", "e".repeat(2_000));
    let extensions = format!("{}0\r\n\r\n{hidden}", "1;eeeeeeee\r\nx\r\n".repeat(200));
    let trailers = format!("0\r\n{}\r\n{hidden}", "X: yyyyyyyyyyyyyyy\r\n".repeat(500));
    let trailer = format!("0\r\nX: {}\r\n\r\n{hidden}", "y".repeat(9_000));
    let large = format!("ffffffff\r\n{hidden}");
    let larger = format!("ffffffffffffffff\r\n{hidden}");
    let small = format!("{}0\r\n\r\n", "0001\r\nx\r\n".repeat(20_000));
    all.push(harmless(post(&format!("{head}\r\nConnection: close"), &small)));
    for body in [extension, extensions, trailers, trailer, large, larger] {
        all.push(refused(post(head, &body)));
    }
    all
}

/// Line ends and bytes that are none, at every place of a head.
pub(super) fn broken_lines() -> Vec<Vector> {
    let lines = ["POST /events/t HTTP/1.1", "Host: localhost", "X: y", "Content-Length: 5"];
    let ends = list("\n¦\r¦\r\r\n¦\n\r¦\r\n ¦\r\n\t¦\0\r\n¦\u{b}\r\n¦\u{c}\n¦\r \n");
    let hidden = hidden();
    let mut all = Vec::new();
    for at in 0..lines.len() {
        for end in &ends {
            let mut head = String::new();
            for (index, line) in lines.iter().enumerate() {
                head += line;
                head += if index == at { end } else { "\r\n" };
            }
            all.push(refused(format!("{head}\r\nhello{hidden}")));
        }
    }
    for before in list("\r\n\r\n¦\n¦\r¦\u{20}¦\t¦\0¦\r\n ¦\u{feff}¦\n\n\n") {
        all.push(refused(format!("{before}{}\r\n\r\nhello{hidden}", lines.join("\r\n"))));
    }
    all
}
