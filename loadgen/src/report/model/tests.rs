//! Tests of the data model: the shipped schema, round trips, and the figures that constructors
//! compute.

use super::event::{EVENT_SAMPLES_MAX, EventSample, EventSampler, EventSamples};
use super::fairness::{Fairness, Moments, POINTS_MAX};
use super::metric::{self, HistogramBlob, Metric};
use super::series::Interval;
use super::verdict::{Reason, Status, Verdict};
use super::*;

fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(Run)).unwrap();
    text.push('\n');
    text
}

#[test]
fn the_shipped_schema_is_the_one_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/run.schema.json");
    if std::env::var_os("DOWNPOUR_WRITE_SCHEMA").is_some() {
        std::fs::write(path, schema()).unwrap();
    }
    let shipped = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        shipped == schema(),
        "{path} is not the schema of the types. Look at the difference; if it is meant, run this \
         test with DOWNPOUR_WRITE_SCHEMA=1, and raise SCHEMA_VERSION if old readers would \
         misread new files"
    );
}

#[test]
fn every_field_of_the_schema_has_a_description() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let mut types = vec![("Run".to_owned(), schema.clone())];
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        types.push((name.clone(), definition.clone()));
    }
    for (name, definition) in types {
        let Some(properties) = definition["properties"].as_object() else {
            continue;
        };
        for (field, property) in properties {
            assert!(property["description"].is_string(), "{name}.{field} has no description");
        }
    }
}

#[test]
fn an_empty_run_survives_a_round_trip() {
    let run = Run::new(vec!["downpour-load".to_owned()], 42, 1);
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
}

#[test]
fn unknown_counts_are_null_and_not_zero() {
    let run = Run::new(Vec::new(), 0, 0);
    let value = serde_json::to_value(&run).unwrap();
    for field in ["expected", "lost", "duplicate", "out_of_order", "in_flight"] {
        assert!(value["counts"][field].is_null(), "{field}");
    }
    assert!(value["publish"].is_null());
    assert!(value["server"].is_null());
    assert!(value["fairness"].is_null());
}

#[test]
fn a_metric_without_a_sample_is_absent() {
    let mut run = Run::new(Vec::new(), 0, 0);
    run.record(metric::LAST, &metric::new_histogram(), Some(0));
    assert!(run.metrics.is_empty());
}

#[test]
fn a_blob_decodes_to_the_histogram_it_was_made_of() {
    let mut histogram = metric::new_histogram();
    for value in [0, 1, 999, 1_000, 123_456_789, 60_000_000_000] {
        histogram.record_n(value, 3).unwrap();
    }
    let blob = HistogramBlob::encode(&histogram);
    assert!(blob.data.starts_with("HISTFAAA"), "{}", blob.data);
    assert_eq!(blob.decode().unwrap(), histogram);
}

#[test]
fn a_cut_blob_is_refused_or_still_whole() {
    let mut histogram = metric::new_histogram();
    histogram.record(5).unwrap();
    let good = HistogramBlob::encode(&histogram);
    for cut in 0..good.data.len() {
        let blob = HistogramBlob { data: good.data[..cut].to_owned(), ..good.clone() };
        // The last bytes are the checksum of zlib, after all of the data.
        let whole = cut + 8 >= good.data.len();
        assert!(blob.decode().map_or(true, |read| whole && read == histogram), "cut at {cut}");
    }
    assert!(HistogramBlob { format: "v1".to_owned(), ..good }.decode().is_err());
}

#[test]
fn a_percentile_needs_ten_samples_above_it() {
    let mut histogram = metric::new_histogram();
    for value in 1..=999 {
        histogram.record(value).unwrap();
    }
    assert_eq!(Metric::of(&histogram, None).unwrap().percentile("99"), None);
    histogram.record(1_000).unwrap();
    let full = Metric::of(&histogram, None).unwrap();
    assert_eq!(full.percentile("99"), Some(990));
    assert_eq!(full.percentile("99.9"), None);
    assert_eq!(full.percentile("50"), Some(500));
}

#[test]
fn the_definitions_are_unique_and_cover_each_name_once() {
    for (i, one) in metric::DEFINITIONS.iter().enumerate() {
        assert!(metric::definition(one.name).is_some());
        for other in &metric::DEFINITIONS[i + 1..] {
            assert_ne!(one.name, other.name);
        }
    }
}

#[test]
fn the_verdict_is_the_worst_of_its_reasons() {
    let reason = |status| Reason {
        code: "x".to_owned(),
        status,
        value: None,
        limit: None,
        text: String::new(),
    };
    let mut verdict = Verdict::default();
    assert_eq!(verdict.status, Status::Valid);
    verdict.add(reason(Status::Invalid));
    verdict.add(reason(Status::Suspect));
    assert_eq!(verdict.status, Status::Invalid);
}

#[test]
fn an_interval_reads_its_row_from_the_headline_metric() {
    let mut histogram = metric::new_histogram();
    histogram.record(700).unwrap();
    let mut row = Interval::default();
    row.record(metric::DELIVERY_SENT, &histogram);
    assert_eq!(row.p50_ns, None);
    row.record(metric::DELIVERY, &histogram);
    assert_eq!((row.p50_ns, row.p99_ns, row.max_ns), (Some(700), None, Some(700)));
    row.record(metric::LAST, &histogram);
    assert_eq!(row.last_max_ns, Some(700));
    assert_eq!(row.histograms.len(), 3);
}

#[test]
fn first_connected_first_served_shows_as_full_position_bias() {
    let served = |mean: u64| Moments { n: 2, sum_ns: 2 * mean, max_ns: mean, times_last: 0 };
    let rising: Vec<Moments> = (1..=100).map(|i| served(i * 10)).collect();
    let fairness = Fairness::of(&rising).unwrap();
    assert!((fairness.position_rho.unwrap() - 1.0).abs() < 1e-12);
    assert!((fairness.mean_ratio.unwrap() - 100.0).abs() < 1e-12);
    assert_eq!(fairness.worst[0].order, 99);
    let falling: Vec<Moments> = rising.iter().rev().copied().collect();
    assert!((Fairness::of(&falling).unwrap().position_rho.unwrap() + 1.0).abs() < 1e-12);
}

#[test]
fn equal_subscribers_have_a_jain_index_of_one_and_no_bias() {
    let all = vec![Moments { n: 1, sum_ns: 5, max_ns: 5, times_last: 0 }; 50];
    let fairness = Fairness::of(&all).unwrap();
    assert!((fairness.jain - 1.0).abs() < 1e-12);
    assert_eq!(fairness.position_rho, None);
}

#[test]
fn a_silent_subscriber_is_counted_and_enters_no_mean() {
    let all = [Moments { n: 1, sum_ns: 5, max_ns: 5, times_last: 0 }, Moments::default()];
    let fairness = Fairness::of(&all).unwrap();
    assert_eq!((fairness.subscribers, fairness.silent), (1, 1));
    assert_eq!(Fairness::of(&[Moments::default()]), None);
    assert_eq!(Fairness::of(&[]), None);
}

#[test]
fn the_picture_of_many_subscribers_keeps_its_extremes() {
    let mut all = vec![Moments { n: 1, sum_ns: 10, max_ns: 10, times_last: 1 }; 100_001];
    all[77_777] = Moments { n: 1, sum_ns: 9_999, max_ns: 9_999, times_last: 100_000 };
    let fairness = Fairness::of(&all).unwrap();
    assert!(fairness.by_order.len() <= POINTS_MAX);
    assert_eq!(fairness.by_order.iter().map(|point| point.subscribers).sum::<u64>(), 100_001);
    assert_eq!(fairness.by_order.iter().map(|point| point.max_ns).max(), Some(9_999));
    assert!(fairness.last_share_top_percent.unwrap() > 0.5);
}

#[test]
fn the_event_sampler_keeps_a_bounded_uniform_sample_in_order() {
    let mut sampler = EventSampler::new(7);
    let offered = 4 * EVENT_SAMPLES_MAX as u64;
    for at_ns in (0..offered).rev() {
        sampler.push(EventSample { at_ns, ..EventSample::default() });
    }
    let samples = sampler.finish().unwrap();
    assert_eq!((samples.total, samples.len()), (offered, EVENT_SAMPLES_MAX));
    assert!(samples.at_ns.is_sorted_by(|a, b| a < b));
    let mean = samples.at_ns.iter().sum::<u64>() as f64 / EVENT_SAMPLES_MAX as f64;
    let middle = offered as f64 / 2.0;
    assert!((mean / middle - 1.0).abs() < 0.03, "mean {mean}, middle {middle}");
}

#[test]
fn event_rows_and_columns_are_the_same_data() {
    let rows: Vec<EventSample> = (0..5)
        .map(|i| EventSample {
            at_ns: i,
            first_ns: Some(i + 1),
            half_ns: Some(i + 2),
            last_ns: (i != 3).then_some(i + 3),
            spread_ns: Some(2),
            received: 10 - i,
            expected: Some(10),
        })
        .collect();
    assert_eq!(EventSamples::from_rows(rows.clone(), 5).rows(), rows);
}
