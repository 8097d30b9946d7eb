//! The results as JSON, for programs.
//!
//! The schema is generated from these types and shipped as `schema/conform.schema.json`.

use serde::Serialize;

use super::point::{Judged, Level, Outcome};

/// Raised when old readers would misread new files.
const SCHEMA_VERSION: u32 = 1;

/// What became of a server's points.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Conformance<'a> {
    /// Version of this format.
    schema_version: u32,
    /// Version of the program that wrote it.
    tool_version: &'static str,
    /// The address that was given.
    url: &'a str,
    /// The profile by which the server was spoken to.
    profile: &'a str,
    /// When the first point was checked, in nanoseconds since 1970.
    started_unix_ns: u64,
    /// Points whose level is MUST.
    must: Counts,
    /// Points whose level is SHOULD.
    should: Counts,
    /// Each point that was asked for, in the order in which they were checked.
    points: Vec<Row<'a>>,
}

/// Points of a level, by what became of them.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Counts {
    /// Those that hold.
    passed: usize,
    /// Those that are broken.
    failed: usize,
    /// Those that could not be checked: their `seen` says what is missing.
    not_checked: usize,
}

/// One point.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Row<'a> {
    /// Its short name, which never changes.
    id: &'a str,
    /// MUST, SHOULD, or INFO, which is told and not judged.
    level: &'a str,
    /// The rule.
    rule: &'a str,
    /// Where it is written.
    source: &'a str,
    /// pass, fail, note (of an INFO) or not_checked.
    outcome: &'a str,
    /// What was seen; how the rule is broken; or what is missing to check it.
    seen: &'a str,
    /// What was sent (`>`) and received (`<`) on the connection that shows a failure, escaped.
    log: Vec<&'a str>,
    /// How long the check took, in nanoseconds.
    took_ns: u64,
}

/// The file.
pub(super) fn text(judged: &[Judged], url: &str, profile: &str, started_unix_ns: u64) -> String {
    let conformance = Conformance {
        schema_version: SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION"),
        url,
        profile,
        started_unix_ns,
        must: counts(judged, Level::Must),
        should: counts(judged, Level::Should),
        points: judged.iter().map(row).collect(),
    };
    let text = serde_json::to_string_pretty(&conformance).expect("text and numbers");
    text + "\n"
}

fn counts(judged: &[Judged], level: Level) -> Counts {
    let of = |outcome| {
        judged.iter().filter(|one| one.point.level == level && one.outcome() == outcome).count()
    };
    Counts {
        passed: of(Outcome::Pass),
        failed: of(Outcome::Fail),
        not_checked: of(Outcome::Absent),
    }
}

fn row(one: &Judged) -> Row<'_> {
    Row {
        id: one.point.id,
        level: one.point.level.name(),
        rule: one.point.rule,
        source: one.point.source,
        outcome: match one.outcome() {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Note => "note",
            Outcome::Absent => "not_checked",
        },
        seen: one.words(),
        log: one.log().lines().collect(),
        took_ns: u64::try_from(one.took.as_nanos()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::conform::point::{Broken, all};

    #[test]
    fn the_shipped_schema_is_the_one_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/conform.schema.json");
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Conformance<'_>));
        let schema = schema.expect("a schema") + "\n";
        if std::env::var_os("DOWNPOUR_WRITE_SCHEMA").is_some() {
            std::fs::write(path, &schema).expect("the folder is there");
        }
        let shipped = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            shipped == schema,
            "{path} is not the schema of the types. Look at the difference; if it is meant, run \
             this test with DOWNPOUR_WRITE_SCHEMA=1, and raise SCHEMA_VERSION if old readers \
             would misread new files"
        );
    }

    #[test]
    fn every_point_is_told_with_what_became_of_it() {
        let broken = Broken::Fails { what: "late".to_owned(), log: "> a\n< b\n".to_owned() };
        let outcomes = [Ok("200".to_owned()), Err(broken), Err(Broken::absent("a clock"))];
        let judge = |(point, checked)| Judged { point, checked, took: Duration::from_nanos(7) };
        let judged: Vec<Judged> = all().zip(outcomes).map(judge).collect();
        let text = text(&judged, "http://x", "generic", 5);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let outcome = |place: usize| value["points"][place]["outcome"].as_str();
        assert_eq!(
            [outcome(0), outcome(1), outcome(2)],
            [Some("pass"), Some("fail"), Some("not_checked")]
        );
        assert_eq!(value["points"][1]["log"], serde_json::json!(["> a", "< b"]));
        assert_eq!(value["should"]["failed"], 1);
        assert_eq!(value["points"][0]["took_ns"], 7);
    }
}
