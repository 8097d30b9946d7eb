//! A latency metric: its histogram, the figures read from it, and what each name means.
//!
//! The idea: a metric is its histogram; the figures beside it are a convenience for readers
//! without an HdrHistogram decoder. Merging adds histograms and never touches percentiles.
//!
//! Invariant: a percentile is given only where at least [`TAIL_SAMPLES_MIN`] samples lie above
//! it; otherwise it is null, because a tail of two samples is an anecdote.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// Publish to receive, from the intended time: the headline.
pub(crate) const DELIVERY: &str = "delivery";
/// Publish to receive, from the actual send: uncorrected.
pub(crate) const DELIVERY_SENT: &str = "delivery.sent";
/// Publish to the user-space read, where `delivery` rests on kernel stamps.
pub(crate) const DELIVERY_USER: &str = "delivery.user";
/// `delivery` as the probes saw it.
pub(crate) const DELIVERY_PROBE: &str = "delivery.probe";
/// Receive after the first arrival of the same event anywhere: needs no publisher's clock.
pub(crate) const DELIVERY_RELATIVE: &str = "delivery.relative";
/// Time a delivery waited inside the load generator.
pub(crate) const CLIENT_HOLD: &str = "client.hold";
/// Time between bursts of events that were sent apart.
pub(crate) const BURST: &str = "burst";
/// Time to the first subscriber, per event.
pub(crate) const FIRST: &str = "first";
/// Time to half of the subscribers, per event.
pub(crate) const HALF: &str = "half";
/// Time to the last subscriber, per event.
pub(crate) const LAST: &str = "last";
/// Last minus first arrival, per event.
pub(crate) const SPREAD: &str = "spread";
/// Answer to a publish.
pub(crate) const PUBLISH_ACK: &str = "publish.ack";
/// Lateness of the load generator's own sends.
pub(crate) const PUBLISH_SLIP: &str = "publish.slip";
/// TCP connect.
pub(crate) const CONNECT_TCP: &str = "connect.tcp";
/// TLS handshake.
pub(crate) const CONNECT_TLS: &str = "connect.tls";
/// Status line of the answer.
pub(crate) const CONNECT_TTFB: &str = "connect.ttfb";
/// Complete response head.
pub(crate) const CONNECT_READY: &str = "connect.ready";
/// First event on a stream.
pub(crate) const CONNECT_FIRST_EVENT: &str = "connect.first_event";
/// Drop to stream open again.
pub(crate) const RECONNECT_RECOVER: &str = "reconnect.recover";
/// Stream open again to live tail reached.
pub(crate) const REPLAY_CATCHUP: &str = "replay.catchup";
/// Stalls of the load generator's own machine.
pub(crate) const RIG_HICCUP: &str = "rig.hiccup";

/// What one sample of a metric stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    /// One event arriving at one subscriber.
    Delivery,
    /// One event, over all of its subscribers.
    Event,
    /// One connection.
    Connection,
    /// One publish.
    Publish,
    /// One observation of the rig.
    Rig,
}

/// The meaning of a metric name.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The name in files, filters and objectives.
    pub(crate) name: &'static str,
    /// The name in a table.
    pub(crate) title: &'static str,
    /// What one sample stands for.
    pub(crate) per: Per,
    /// The same in a few words, beside the figures.
    pub(crate) short: &'static str,
    /// One sentence that says from when to when.
    pub(crate) text: &'static str,
}

/// Every metric, in the order of a report.
pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition {
        name: DELIVERY,
        title: "to each",
        per: Per::Delivery,
        short: "from the planned publish time",
        text: "from the planned publish time to the arrival at one subscriber; every delivery counts",
    },
    Definition {
        name: DELIVERY_SENT,
        title: "(from send)",
        per: Per::Delivery,
        short: "uncorrected, for comparison",
        text: "the same arrivals counted from the actual send: uncorrected, for comparison only",
    },
    Definition {
        name: DELIVERY_USER,
        title: "(to user)",
        per: Per::Delivery,
        short: "to the read in user space",
        text: "from the planned publish time to the read in user space",
    },
    Definition {
        name: DELIVERY_PROBE,
        title: "(probes)",
        per: Per::Delivery,
        short: "read on a core of their own",
        text: "delivery as seen by the probes, a few subscribers read on a core of their own",
    },
    Definition {
        name: DELIVERY_RELATIVE,
        title: "after first",
        per: Per::Delivery,
        short: "after the first arrival anywhere",
        text: "from the first arrival of the event anywhere to the arrival at one subscriber; no publisher's clock",
    },
    Definition {
        name: FIRST,
        title: "first",
        per: Per::Event,
        short: "per event",
        text: "from the planned publish time to the first subscriber that has the event",
    },
    Definition {
        name: HALF,
        title: "half",
        per: Per::Event,
        short: "per event",
        text: "from the planned publish time until half of the subscribers have the event",
    },
    Definition {
        name: LAST,
        title: "last",
        per: Per::Event,
        short: "per event",
        text: "from the planned publish time until the last subscriber has the event",
    },
    Definition {
        name: SPREAD,
        title: "spread",
        per: Per::Event,
        short: "per event, no publisher's clock",
        text: "from the first to the last arrival of one event; no publisher's clock",
    },
    Definition {
        name: PUBLISH_ACK,
        title: "publish ack",
        per: Per::Publish,
        short: "planned time to the server's answer",
        text: "from the planned publish time to the server's answer",
    },
    Definition {
        name: PUBLISH_SLIP,
        title: "publish slip",
        per: Per::Publish,
        short: "our own lateness",
        text: "from the planned to the actual send: the lateness of the load generator itself",
    },
    Definition {
        name: CLIENT_HOLD,
        title: "client hold",
        per: Per::Delivery,
        short: "our own delay, inside the figures above",
        text: "from the kernel's receive stamp to the read in user space: the load generator's own delay",
    },
    Definition {
        name: BURST,
        title: "burst",
        per: Per::Delivery,
        short: "from burst to burst",
        text: "from the beginning of one burst to that of the next, where events that were sent apart arrive together",
    },
    Definition {
        name: CONNECT_TCP,
        title: "tcp",
        per: Per::Connection,
        short: "from the start of the connect",
        text: "from the start of the connect to the established connection",
    },
    Definition {
        name: CONNECT_TLS,
        title: "tls",
        per: Per::Connection,
        short: "the handshake alone",
        text: "from the established connection to the end of the TLS handshake",
    },
    Definition {
        name: CONNECT_TTFB,
        title: "first byte",
        per: Per::Connection,
        short: "from the start of the connect",
        text: "from the start of the connect to the first byte of the answer",
    },
    Definition {
        name: CONNECT_READY,
        title: "ready",
        per: Per::Connection,
        short: "from its planned start",
        text: "from the planned start of the connect to the complete response head",
    },
    Definition {
        name: CONNECT_FIRST_EVENT,
        title: "first event",
        per: Per::Connection,
        short: "from its planned start",
        text: "from the planned start of the connect to the first event on the stream",
    },
    Definition {
        name: RECONNECT_RECOVER,
        title: "recover",
        per: Per::Connection,
        short: "drop to open again",
        text: "from the drop of a connection to the complete response head of its successor",
    },
    Definition {
        name: REPLAY_CATCHUP,
        title: "catch-up",
        per: Per::Connection,
        short: "open again to live",
        text: "from the complete response head of a resumed stream to its live tail",
    },
    Definition {
        name: RIG_HICCUP,
        title: "rig hiccup",
        per: Per::Rig,
        short: "stalls of our own machine",
        text: "how late an idle thread of the load generator woke up: stalls of the machine, not of the server",
    },
];

/// The definition of a metric name, if it is one of ours.
pub(crate) fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

/// The percentiles given in every report, as their JSON keys.
pub(crate) const PERCENTILES: [&str; 8] = ["50", "75", "90", "95", "99", "99.9", "99.99", "99.999"];

/// Samples that must lie above a percentile before it is given. With ten, p99 needs 1,000
/// samples and p99.9 needs 10,000; fewer make the figure a draw of the lot.
pub(crate) const TAIL_SAMPLES_MIN: f64 = 10.0;

/// Significant decimal digits of every histogram: a value is exact to 0.1 %.
pub(crate) const SIGNIFICANT_DIGITS: u8 = 3;

/// One latency metric over the measured window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Metric {
    /// Unit of every value here: always `ns`.
    pub(crate) unit: String,
    /// Number of samples.
    pub(crate) n: u64,
    /// Number of independent events behind the samples; null where there are no events. The
    /// confidence of a percentile grows with this number, not with `n`.
    pub(crate) n_events: Option<u64>,
    /// Smallest sample.
    pub(crate) min: u64,
    /// Arithmetic mean of the samples.
    pub(crate) mean: u64,
    /// Standard deviation of the samples.
    pub(crate) stddev: u64,
    /// Largest sample.
    pub(crate) max: u64,
    /// Samples cut at the horizon: they were later than the value recorded for them.
    #[serde(default)]
    pub(crate) censored: u64,
    /// Percentiles by name ("99.9"); null where fewer than ten samples lie above.
    #[serde(default)]
    pub(crate) p: BTreeMap<String, Option<u64>>,
    /// 95 % confidence interval of a percentile by its name, from a bootstrap over events (or
    /// over intervals); absent where there is none.
    #[serde(default)]
    pub(crate) ci95: BTreeMap<String, [u64; 2]>,
    /// The whole distribution.
    pub(crate) histogram: HistogramBlob,
}

impl Metric {
    /// The metric of a histogram of nanoseconds; `None` when it holds no sample.
    pub(crate) fn of(histogram: &Histogram<u64>, n_events: Option<u64>) -> Option<Metric> {
        if histogram.is_empty() {
            return None;
        }
        let percentiles = PERCENTILES.iter().map(|name| {
            let percent: f64 = name.parse().expect("PERCENTILES holds numbers");
            ((*name).to_owned(), percentile(histogram, percent))
        });
        Some(Metric {
            unit: "ns".to_owned(),
            n: histogram.len(),
            n_events,
            min: histogram.min(),
            mean: histogram.mean().round() as u64,
            stddev: histogram.stdev().round() as u64,
            max: histogram.max(),
            censored: 0,
            p: percentiles.collect(),
            ci95: BTreeMap::new(),
            histogram: HistogramBlob::encode(histogram),
        })
    }

    /// The percentile of that name, if it was given.
    pub(crate) fn percentile(&self, name: &str) -> Option<u64> {
        self.p.get(name).copied().flatten()
    }
}

/// The value at a percentile (0 to 100), or `None` when its tail holds too few samples.
pub(crate) fn percentile(histogram: &Histogram<u64>, percent: f64) -> Option<u64> {
    let tail = histogram.len() as f64 * (1.0 - percent / 100.0);
    // Percentages are not exact in binary: 1,000 samples must be enough for p99.
    let enough = tail + 1e-6 >= TAIL_SAMPLES_MIN;
    // The middle of a distribution is known from far fewer samples than its tail.
    let middle = percent <= 50.0 && !histogram.is_empty();
    (enough || middle).then(|| histogram.value_at_percentile(percent))
}

/// A new histogram as every metric uses it: nanoseconds, grown as needed.
pub(crate) fn new_histogram() -> Histogram<u64> {
    Histogram::new(SIGNIFICANT_DIGITS).expect("three significant digits are allowed")
}

/// A histogram in a JSON file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct HistogramBlob {
    /// Always `hdr-v2-deflate-base64`: the compressed V2 encoding of HdrHistogram, in base64,
    /// as it stands in `.hlog` files too.
    pub(crate) format: String,
    /// Significant decimal digits of the recording.
    pub(crate) sigfig: u8,
    /// The encoded histogram; begins with `HISTFAAA`.
    pub(crate) data: String,
}

/// The one format of a [`HistogramBlob`].
const BLOB_FORMAT: &str = "hdr-v2-deflate-base64";

impl HistogramBlob {
    /// Encodes a histogram.
    pub(crate) fn encode(histogram: &Histogram<u64>) -> HistogramBlob {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .expect("a histogram serializes into memory");
        HistogramBlob {
            format: BLOB_FORMAT.to_owned(),
            sigfig: histogram.sigfig(),
            data: STANDARD.encode(bytes),
        }
    }

    /// Decodes the histogram.
    ///
    /// # Errors
    /// A sentence that says what is wrong: another format, bad base64, a damaged histogram.
    pub(crate) fn decode(&self) -> Result<Histogram<u64>, String> {
        if self.format != BLOB_FORMAT {
            return Err(format!("histogram format is {:?}, known is {BLOB_FORMAT:?}", self.format));
        }
        let bytes = STANDARD
            .decode(self.data.as_bytes())
            .map_err(|error| format!("histogram is not base64: {error}"))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| format!("histogram is damaged: {error:?}"))
    }
}
