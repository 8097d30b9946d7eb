//! What does it cost to read a request and to know what it asks for?
//!
//! Paid once for each connection, so it bounds how fast a fleet comes back; beside accepting a
//! connection (20 µs of the kernel's time) it should not show.

use std::hint::black_box;

mod sample;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use downpour::http::request::{Limits, Parsed, parse};
use downpour::http::route::{Rules, route};

const CURL: &str = "GET /events/news HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";

/// What a browser sends when its EventSource reconnects.
const BROWSER: &str = "GET /events?topic=news&topic=weather&topic=sports HTTP/1.1\r\n\
    Host: events.example.org\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: text/event-stream\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Origin: https://www.example.org\r\n\
    Sec-Fetch-Site: same-site\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Referer: https://www.example.org/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Last-Event-ID: 123456789abc-4711\r\n\r\n";

const PUBLISH: &str = "POST /events/news HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";

const RULES: Rules = Rules { topics_per_subscriber_max: 256, start_page: false, native: true };

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    let limits = Limits::default();
    for (name, head) in [("curl", CURL), ("browser", BROWSER), ("publish", PUBLISH)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| match parse(black_box(head.as_bytes()), &limits) {
                Ok(Parsed::Complete { request, .. }) => route(&request, &RULES),
                other => panic!("a whole head: {other:?}"),
            });
        });
    }
    let begun = &BROWSER.as_bytes()[..BROWSER.len() - 2];
    group.throughput(Throughput::Bytes(begun.len() as u64));
    group.bench_function("browser, not yet whole", |bencher| {
        bencher.iter(|| matches!(parse(black_box(begun), &limits), Ok(Parsed::Partial)));
    });
    group.finish();
}

criterion_group! {
    name = requests;
    config = sample::criterion();
    targets = heads
}
criterion_main!(requests);
