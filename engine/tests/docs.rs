//! The documentation says what the engine does: its tables are compared with the engine's own
//! lists, and every test it names exists. The start page, which is documentation to try out, stays
//! small and safe.
//!
//! Knows the markers around the tables of `docs/OPERATIONS.md` and the form of the rules of
//! `docs/PROTOCOL.md`: `**P-n** text. Shown by `module::test`, `module::test`.`

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use downpour::close::CloseReason;
use downpour::config::cli::Cli;

mod harness;

use harness::{Backend, Engine};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[track_caller]
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between the two markers of a part of the operator's manual.
#[track_caller]
fn part(name: &str) -> String {
    let manual = read("docs/OPERATIONS.md");
    let (_, rest) = manual.split_once(&format!("<!-- {name}:")).expect("the part begins");
    let (_, rest) = rest.split_once("-->\n").expect("the marker ends");
    let (part, _) = rest.split_once(&format!("<!-- end of {name} -->")).expect("the part ends");
    part.to_owned()
}

/// The cells of a Markdown table, without its two head lines.
fn rows(table: &str) -> Vec<Vec<&str>> {
    fn cells(line: &str) -> Vec<&str> {
        line.trim_matches('|').split('|').map(str::trim).collect()
    }
    table.lines().skip(2).map(cells).collect()
}

/// The words of a text that stand in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_manual_has_every_flag_as_the_program_says_it() {
    let (manual, program) = (part("flags"), Cli::flag_table());
    let stale = program.lines().find(|line| !manual.lines().any(|other| other == *line));
    assert!(
        manual == program,
        "the flags of docs/OPERATIONS.md are not those of the program; first to differ: {stale:?}. \
         Put this between the markers:\n{program}"
    );
}

#[test]
fn the_manual_has_every_close_reason_once_and_in_order() {
    let table = part("close reasons");
    let rows = rows(&table);
    let named: Vec<String> = rows.iter().map(|row| row[0].replace('`', "")).collect();
    let known: Vec<&str> = CloseReason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(named, known, "the close reasons of docs/OPERATIONS.md are not those of close.rs");
    assert!(rows.iter().all(|row| row.len() == 3 && !row[1].is_empty()), "each has its meaning");
}

#[test]
fn the_manual_has_every_metric_with_its_type() {
    let table = part("metrics");
    let named: BTreeMap<String, String> =
        rows(&table).iter().map(|row| (row[0].replace('`', ""), row[1].to_owned())).collect();
    let mut known = BTreeMap::new();
    // Each backend has metrics of its own.
    for backend in [Backend::Uring, Backend::Epoll] {
        let metrics = Engine::start(backend, &["--workers", "1"]).metrics();
        known.extend(metrics.families.into_iter().map(|(name, (_, kind))| (name, kind)));
    }
    assert_eq!(named, known, "the metrics of docs/OPERATIONS.md are not those of /metrics");
}

#[test]
fn every_rule_of_the_protocol_has_a_number_and_a_test_that_exists() {
    let protocol = read("docs/PROTOCOL.md");
    let rules: Vec<&str> = protocol.split("\n**P-").skip(1).collect();
    for (index, rule) in rules.iter().enumerate() {
        let expected = format!("{}** ", index + 1);
        assert!(rule.starts_with(&expected), "P-{} is missing or out of order", index + 1);
        let flat = rule.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("Shown by `"), "P-{} has no test: {flat}", index + 1);
    }
    assert!(rules.len() > 80, "{} rules", rules.len());
    let named: BTreeSet<&str> = quoted(&protocol).filter(|word| is_test_name(word)).collect();
    assert!(named.len() > 100, "{} tests are named", named.len());
    let missing: Vec<&&str> = named.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "docs/PROTOCOL.md names tests that do not exist: {missing:#?}");
}

#[test]
fn every_must_of_mercure_has_a_number_and_a_test() {
    let protocol = read("docs/PROTOCOL.md");
    let (_, rest) = protocol.split_once("## Mercure\n").expect("the part begins");
    let (part, _) = rest.split_once("\n## ").expect("the part ends");
    let (_, musts) = part.split_once("<!-- musts:").expect("the table begins");
    let (musts, _) = musts.split_once("<!-- end of musts -->").expect("the table ends");
    let (_, musts) = musts.split_once("-->\n").expect("the marker ends");
    let musts = rows(musts);
    assert!(musts.len() > 60, "{} rows", musts.len());
    for (index, row) in musts.iter().enumerate() {
        assert_eq!(row[0], format!("M-{}", index + 1), "out of order");
        assert!(["0", "1", "0, 1"].contains(&row[2]), "{row:?}");
    }
    let tables = part.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    for line in tables.filter(|line| !line.ends_with("| shown by |")) {
        let (_, shown_by) = line.trim_end_matches(" |").rsplit_once('|').expect("cells");
        let tests: Vec<&str> = quoted(shown_by).collect();
        assert!(!tests.is_empty(), "no test: {line}");
        let missing: Vec<&&str> = tests.iter().filter(|name| !exists(name)).collect();
        assert!(missing.is_empty(), "no such test: {missing:?}");
    }
}

#[test]
fn every_threat_is_met_by_a_test_that_exists() {
    let threats = read("docs/THREATS.md");
    let named: Vec<&str> = quoted(&threats).filter(|word| is_test_name(word)).collect();
    assert!(named.len() > 20, "{} tests are named", named.len());
    let missing: Vec<&&str> = named.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "docs/THREATS.md names tests that do not exist: {missing:#?}");
    let files = quoted(&threats).filter(|word| word.starts_with("engine/"));
    files.for_each(|file| assert!(root().join(file).exists(), "{file} is not there"));
}

fn is_test_name(word: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    word.contains("::") && word.split("::").all(part)
}

/// `module::test` is a function of `module.rs` in `tests/api` or `tests/mercure`, or of
/// `tests/module/main.rs`; a path with more parts, or `tests`, is one of the module in `src`.
fn exists(name: &str) -> bool {
    let (module, function) = name.rsplit_once("::").expect("a path");
    let path = module.strip_suffix("::tests").unwrap_or(module).replace("::", "/");
    let is_unit = module.contains("::");
    let files = match is_unit {
        true => vec![format!("engine/src/{path}.rs"), format!("engine/src/{path}/tests.rs")],
        false => ["api/PATH.rs", "mercure/PATH.rs", "PATH/main.rs"]
            .map(|file| format!("engine/tests/{}", file.replace("PATH", &path)))
            .to_vec(),
    };
    let head = format!("fn {function}(");
    files.iter().any(|file| fs::read_to_string(root().join(file)).is_ok_and(|s| s.contains(&head)))
}

/// Where a heading is linked to: lower case, blanks as hyphens, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || *c == ' ' || *c == '-';
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut count = 0;
    let docs = fs::read_dir(root().join("docs")).expect("docs/");
    let docs = docs.map(|entry| format!("docs/{}", entry.expect("docs/").file_name().display()));
    for name in docs.chain(["README.md", "CHANGELOG.md", "SECURITY.md"].map(str::to_owned)) {
        let text = read(&name);
        let folder = Path::new(&name).parent().expect("a file is in a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            count += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let linked = if file.is_empty() { name.clone().into() } else { folder.join(file) };
            assert!(root().join(&linked).exists(), "{name} links to {target}, which is not there");
            let found = heading.is_empty()
                || read(&linked).lines().any(|line| {
                    line.starts_with('#') && anchor(line.trim_start_matches('#').trim()) == heading
                });
            assert!(found, "{name} links to {target}, which has no such heading");
        }
    }
    assert!(count > 10, "{count} links");
}

/// Bytes of the start page: it fits the first window of a connection (10 segments, RFC 6928), so that
/// it is there after one round trip.
const PAGE_BYTES_MAX: usize = 12 << 10;

#[test]
fn the_start_page_is_small_whole_and_writes_no_markup() {
    let page = read("engine/src/control/page.html");
    assert!(page.len() <= PAGE_BYTES_MAX, "{} bytes", page.len());
    // What an event holds reaches the page as text only.
    for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!page.contains(sink), "{sink} would let an event become a part of the page");
    }
    // The page's policy forbids all that is not in it.
    for outside in ["src=", "@import", "url(", "<link rel=\"stylesheet\""] {
        assert!(!page.contains(outside), "{outside} asks for something outside of the page");
    }
    for reason in ["lapped", "evicted", "unknown_id", "other_epoch"] {
        assert!(page.contains(&format!("{reason}: '")), "the page does not explain {reason}");
    }
}
