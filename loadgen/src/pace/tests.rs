//! Tests of the forms that `--rate` takes, and of their counts against a naive sum.

use std::io::Write as _;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn curve(pace: &str, warmup_s: u64, window_s: u64) -> Curve {
    let window_ns = warmup_s * SECOND..(warmup_s + window_s) * SECOND;
    Curve::new(pace.parse().expect(pace), window_ns)
}

/// All times of a curve, a whole event apart.
fn times(curve: &Curve) -> Vec<u64> {
    let mut walk = curve.walk();
    (0..).map_while(|work| walk.due(f64::from(work))).collect()
}

fn traced(text: &str) -> Result<Pace, String> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write!(file, "{text}").expect("room on the disk");
    format!("@{}", file.path().display()).parse()
}

/// The rate of each form at a time from the start of the window, written down anew.
fn naive(pace: &str, at: f64) -> f64 {
    let at = at.max(0.0);
    match pace {
        "37" => 37.0,
        "10:90" => 10.0 + 80.0 * at / 12.0,
        "100:0" => 100.0 - 100.0 * at / 12.0,
        "0:60" => 60.0 * at / 12.0,
        "10/3s,0/2s,50/4s" if at < 3.0 => 10.0,
        "10/3s,0/2s,50/4s" if at < 5.0 => 0.0,
        "10/3s,0/2s,50/4s" => 50.0,
        "10:70/4s,70:30/2s,5/1m" if at < 4.0 => 10.0 + 15.0 * at,
        "10:70/4s,70:30/2s,5/1m" if at < 6.0 => 70.0 - 20.0 * (at - 4.0),
        "10:70/4s,70:30/2s,5/1m" => 5.0,
        "sine:10:50/5s" => 30.0 - 20.0 * (at / 5.0 * std::f64::consts::TAU).cos(),
        "sine:80:0/7s" => 40.0 + 40.0 * (at / 7.0 * std::f64::consts::TAU).cos(),
        other => panic!("{other}"),
    }
}

#[test]
fn events_are_as_many_by_any_time_as_the_rate_sums_up_to() {
    const STEP: f64 = 1e-4;
    for pace in [
        "37",
        "10:90",
        "100:0",
        "0:60",
        "10/3s,0/2s,50/4s",
        "10:70/4s,70:30/2s,5/1m",
        "sine:10:50/5s",
        "sine:80:0/7s",
    ] {
        for warmup_s in [0, 2] {
            let curve = curve(pace, warmup_s, 12);
            let times = times(&curve);
            assert!(times.is_sorted() && times[0] == 0 || pace == "0:60", "{pace}");
            let (mut sum, mut place, mut done) = (0.0, 0.0, 0);
            while place < (warmup_s + 12) as f64 {
                let middle = place + STEP / 2.0;
                let rate = naive(pace, middle - warmup_s as f64);
                let told = curve.rate_at((middle * 1e9) as u64);
                assert!((told - rate).abs() < 0.01, "{pace} at {middle}: {told}, not {rate}");
                sum += rate * STEP;
                place += STEP;
                while times.get(done).is_some_and(|&at_ns| (at_ns as f64) < place * 1e9) {
                    done += 1;
                }
                // The first event is due at once, and then one for each whole that is done. The
                // chords of a sine may be a few hundredths of an event off.
                let error = done as f64 - sum;
                assert!((-0.1..=1.1).contains(&error), "{pace} by {place}: {done}, not {sum}");
            }
            assert_eq!(done, times.len(), "{pace}: nothing is due behind the end");
        }
    }
}

#[test]
fn a_trace_is_replayed_as_it_is_behind_a_warm_up_of_its_mean_rate() {
    let text = "# when\n1700000000.25\n1700000000.25\n1700000000.75\n\n1700000003.25\n";
    let pace = traced(text).expect("a trace");
    let at = [0, 0, SECOND / 2, 3 * SECOND];
    // Four times in three seconds: a gap of a second behind the last.
    assert_eq!(pace.length(), Some(Duration::from_secs(4)));
    assert_eq!(times(&Curve::new(pace.clone(), 0..4 * SECOND)), at);
    let late = times(&Curve::new(pace.clone(), 2 * SECOND..6 * SECOND));
    assert_eq!(late[..2], [0, SECOND]);
    let window: Vec<u64> = late[2..].iter().map(|at_ns| at_ns - 2 * SECOND).collect();
    assert_eq!(window, at);
    assert_eq!(times(&Curve::new(pace, 0..SECOND)), at[..3], "a shorter window ends it");
}

#[test]
fn any_trace_comes_out_as_it_went_in() {
    let seed = 7;
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let mut given: Vec<u64> =
            (0..random.usize(2..50)).map(|_| random.u64(0..5_000) * 1_000_000).collect();
        given.sort_unstable();
        if given.first() == given.last() {
            continue;
        }
        let lines: Vec<String> =
            given.iter().map(|at_ns| format!("17000000{}", *at_ns as f64 / 1e9)).collect();
        let pace = traced(&lines.join("\n")).expect("a trace");
        let warmup_ns = random.u64(0..3) * SECOND / 2;
        let length_ns = crate::clock::ns(pace.length().expect("its own"));
        let all = times(&Curve::new(pace, warmup_ns..warmup_ns + length_ns));
        let window = all.iter().filter(|&&at_ns| at_ns >= warmup_ns);
        let window: Vec<u64> = window.map(|at_ns| at_ns - warmup_ns + given[0]).collect();
        assert_eq!(window, given, "seed {seed}");
    }
}

#[test]
fn random_steps_go_through_every_form_in_order() {
    let trace = traced("0\n0.5\n0.5\n3\n9").expect("a trace");
    let paces = ["20", "0:60", "10/3s,0/2s,50/4s", "sine:0:50/5s"].map(|it| it.parse().unwrap());
    for pace in paces.into_iter().chain([trace]) {
        let curve = Curve::new(pace, SECOND..10 * SECOND);
        let mut random = fastrand::Rng::with_seed(3);
        let (mut walk, mut work, mut last) = (curve.walk(), 0.0, 0);
        while let Some(at_ns) = walk.due(work) {
            assert!(at_ns >= last && at_ns < 10 * SECOND);
            (last, work) = (at_ns, work - (1.0 - random.f64()).ln());
        }
        assert!(work > 1.0);
    }
}

#[test]
fn a_report_tells_the_rate_where_it_changes() {
    let points = |pace: &str| curve(pace, 1, 10).points();
    assert_eq!(points("20"), [[0.0, 20.0]]);
    assert_eq!(points("20/5s,20/1s"), [[0.0, 20.0]]);
    assert_eq!(points("20:200"), [[0.0, 20.0], [1.0, 20.0], [11.0, 200.0]]);
    let steps = [[0.0, 5.0], [1.0, 5.0], [4.0, 5.0], [4.0, 9.0], [6.0, 9.0], [11.0, 9.0]];
    assert_eq!(points("5/3s,9/2s"), steps);
    let sine = points("sine:10:50/2s");
    assert_eq!((sine[0], sine[1], sine.len()), ([0.0, 10.0], [1.0, 10.0], 66));
    assert!((sine[33][1] - 50.0).abs() < 1e-9 && sine[65][0] == 3.0, "{sine:?}");
    let trace = Curve::new(traced("0\n1\n2\n3").unwrap(), 0..4 * SECOND).points();
    let sum: f64 =
        trace.windows(2).map(|it| (it[1][0] - it[0][0]) * (it[0][1] + it[1][1]) / 2.0).sum();
    assert!((sum - 4.0).abs() < 1e-6, "{sum}");
}

#[test]
fn a_pace_knows_its_length_its_words_and_its_steps() {
    let pace = |text: &str| text.parse::<Pace>().unwrap();
    for (text, length_s, shape, steps) in [
        ("20", None, None, vec![]),
        ("20:2k", None, None, vec![]),
        ("5/3s", Some(3), Some("5/3s"), vec![]),
        ("5/3s, 9:20/1m", Some(63), Some("5/3s, 9:20/1m"), vec![0, 3]),
        ("sine:1:2/60s", None, Some("sine:1:2/60s"), vec![]),
    ] {
        let pace = pace(text);
        assert_eq!(pace.length(), length_s.map(Duration::from_secs), "{text}");
        assert_eq!(pace.shape().as_deref(), shape, "{text}");
        let starts: Vec<u64> = pace.steps().iter().map(|(at_ns, _)| at_ns / SECOND).collect();
        assert_eq!(starts, steps, "{text}");
        assert_eq!(pace.to_string(), text);
    }
    assert_eq!(pace("5/3s,9:20/1m").steps()[1].1, "9 to 20 events/s");
}

#[test]
fn a_wrong_rate_is_answered_with_what_is_right() {
    for (text, answer) in [
        ("fast", "number"),
        ("0", "above 0"),
        ("0:0", "above 0"),
        ("0/5s,0/9s", "above 0"),
        ("sine:0:0/9s", "above 0"),
        ("10/30s,20", "RATE/TIME"),
        ("10,20", "RATE/TIME"),
        ("10/30s,", "RATE/TIME"),
        ("10/x", "number"),
        ("10/0s", "more than 0"),
        ("10/1y", "known are"),
        ("sine:10:20", "sine:FROM:TO/PERIOD"),
        ("sine:10/60s", "sine:FROM:TO/PERIOD"),
        ("sine:10:20/100ms", "1s or longer"),
        ("-5", "number"),
        ("@/nonexistent", "/nonexistent"),
    ] {
        let error = text.parse::<Pace>().unwrap_err();
        assert!(error.contains(answer), "{text:?}: {error}");
    }
    let many = vec!["5/1s"; 1_001].join(",");
    assert!(many.parse::<Pace>().unwrap_err().contains("@FILE"));
    for (text, answer) in [
        ("", "two different times"),
        ("5", "two different times"),
        ("5\n5\n", "two different times"),
        ("1\n3\n2\n", "line 3: 2 comes before"),
        ("1\n0.5\n", "line 2: 0.5 is before"),
        ("1\n\nsoon", "line 3: \"soon\""),
        ("1\nNaN", "line 2"),
        ("1\n1e300", "line 2"),
        ("1\n-2", "line 2"),
        ("1\n.", "line 2"),
        ("1\n99999999999999999999", "line 2"),
        ("1\n9999999999", "line 2: 9999999999 is before the first time, or years"),
    ] {
        let error = traced(text).unwrap_err();
        assert!(error.contains(answer), "{text:?}: {error}");
    }
}
