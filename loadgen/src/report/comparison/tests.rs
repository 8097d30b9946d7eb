//! The table of runs whose figures are known.

use super::*;
use crate::report::model::host::Server;

/// A run of a server in a round, whose CPU per delivery is known.
fn run(name: &str, round: &str, cpu_ns: f64) -> Run {
    let mut run = Run::new(Vec::new(), 1, 0);
    run.name = Some(name.to_owned());
    run.labels.insert(ROUND.to_owned(), round.to_owned());
    run.server = Some(Server { cpu_per_delivery_ns: Some(cpu_ns), ..Server::default() });
    run.counts.lost = Some(0);
    run
}

fn floor(round: &str, cpu_ns: f64) -> Run {
    let mut run = run("floor", round, cpu_ns);
    run.labels.insert(FLOOR.to_owned(), "yes".to_owned());
    run
}

fn cost() -> &'static Row {
    &ROWS[0]
}

/// Two rounds on a machine that was twice as slow in the second one.
fn two_rounds() -> Vec<Run> {
    let first = [run("a", "1", 1_000.0), floor("1", 490.0), floor("1", 510.0)];
    let second = [run("a", "2", 2_000.0), floor("2", 1_000.0), floor("2", 1_000.0)];
    first.into_iter().chain(second).collect()
}

#[test]
fn runs_of_one_name_are_one_server_only_if_they_are_rounds() {
    let runs = two_rounds();
    let comparison = Comparison::of(&runs);
    let shape: Vec<(&str, usize)> =
        comparison.subjects.iter().map(|one| (one.name.as_str(), one.runs.len())).collect();
    assert_eq!(shape, [("floor", 4), ("a", 2)], "the floor comes first");
    assert_eq!(comparison.rounds(), 2);

    let mut loose = runs.clone();
    loose.iter_mut().for_each(|run| run.labels.clear());
    assert_eq!(Comparison::of(&loose).subjects.len(), 6);
}

#[test]
fn a_ratio_is_taken_within_its_round() {
    let runs = two_rounds();
    let comparison = Comparison::of(&runs);
    let [floor, a] = &comparison.subjects[..] else { panic!("two servers") };
    // Half as many deliveries in both rounds, though the machine changed between them.
    let ratio = comparison.ratio(a, cost()).unwrap();
    assert!((ratio - 0.5).abs() < 0.001, "{ratio}");
    assert_eq!(comparison.ratio(floor, cost()), None, "the floor is not compared with itself");
    assert_eq!(comparison.cell(a, cost()), "750 k (0.50 ×)");
}

#[test]
fn the_spread_is_the_floor_against_itself_in_one_round() {
    let runs = two_rounds();
    let spread = Comparison::of(&runs).spread(cost()).unwrap();
    // 490 to 510 ns in the first round, nothing in the second.
    assert!((spread - 0.02).abs() < 0.001, "{spread}");
    assert_eq!(Comparison::of(&runs[..1]).spread(cost()), None);
}

#[test]
fn a_figure_that_only_some_runs_have_is_taken_from_those() {
    let mut runs = vec![run("a", "1", 1_000.0), run("a", "2", 3_000.0), run("b", "1", 1.0)];
    runs[0].server = None;
    runs[2].server = None;
    let comparison = Comparison::of(&runs);
    assert_eq!(comparison.cell(&comparison.subjects[0], cost()), "333 k");
    assert_eq!(comparison.cell(&comparison.subjects[1], cost()), "n/a");
    let titles: Vec<&str> = comparison.rows().map(|row| row.title).collect();
    assert_eq!(titles, ["deliveries per CPU-second"], "a row that nobody has is left out");
}

#[test]
fn losses_add_up_and_an_unknown_one_makes_the_sum_unknown() {
    let mut runs = two_rounds();
    runs[0].counts.lost = Some(3);
    runs[3].counts.lost = Some(4);
    assert_eq!(Comparison::of(&runs).subjects[1].lost(), Some(7));
    runs[3].counts.lost = None;
    assert_eq!(Comparison::of(&runs).subjects[1].lost(), None);
}

#[test]
fn the_verdict_is_the_worst_and_says_how_many_share_it() {
    let reason = |code: &str, status| Reason {
        code: code.to_owned(),
        status,
        value: None,
        limit: None,
        text: String::new(),
    };
    let mut runs = two_rounds();
    runs[0].verdict.add(reason("slip", Status::Suspect));
    runs[0].verdict.add(reason("loopback", Status::Valid));
    let comparison = Comparison::of(&runs);
    let codes: Vec<&str> =
        comparison.subjects[1].reasons().iter().map(|reason| reason.code.as_str()).collect();
    assert_eq!(comparison.subjects[0].verdict(), "VALID");
    assert_eq!(comparison.subjects[1].verdict(), "SUSPECT (1 of 2)");
    assert_eq!(codes, ["slip"]);
}

#[test]
fn the_median_of_an_even_number_is_between_the_middle_two() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
}
