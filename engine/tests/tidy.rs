//! The mechanical rules of how this project is written, so that no review has to speak of them.
//!
//! Every rule reads the sources as text. A failure names the file and the line, and says what to do
//! instead; a rule that is wrong for a good reason is changed here, where the reason can stand
//! beside it.
//!
//! Knows the layout that `cargo fmt` gives, on which finding the end of a function relies.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A function that is longer is not understood at a glance; most should have half of this.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a file without its tests: one sitting. About 400 is the aim.
const FILE_LINES_MAX: usize = 600;

/// The modules of the engine by layer, the lowest first. A module knows those of its own layer and
/// of lower ones.
const LAYERS: [(&str, &[&str]); 5] = [
    (
        "pure",
        &["event", "selector", "token", "topic", "mercure", "stream", "http", "config", "close"],
    ),
    ("the machine", &["kernel", "backend"]),
    ("shared between threads", &["ring", "submission", "sequencer", "stats", "limits"]),
    ("the two lanes", &["delivery", "control"]),
    ("the house", &["worker", "engine", "keys", "doctor", "cli"]),
];

/// Who must not know whom although their layers would allow it.
const FORBIDDEN: [(&str, &str, &str); 3] = [
    ("delivery", "control", "delivery knows no publishers and no requests"),
    ("delivery", "ring", "delivery is given events; where from is the worker's business"),
    ("topic", "http", "histories know nothing of requests"),
];

/// Files that may have unsafe code.
const UNSAFE: [&str; 9] = [
    "benches/src/sys.rs",
    "engine/src/delivery/descriptor.rs",
    "engine/src/delivery/uring.rs",
    "engine/tests/harness/silence.rs",
    "loadgen/src/client/ring.rs",
    "loadgen/src/client/ring/buffers.rs",
    "loadgen/src/client/socket.rs",
    "loadgen/src/clock.rs",
    "loadgen/src/serve/process.rs",
];

/// Names that say nothing of what is in a file.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "common", "manager", "misc"];
/// Ends of type names that say nothing of what a type is.
const EMPTY_ENDS: [&str; 6] = ["Manager", "Helper", "Helpers", "Factory", "Util", "Utils"];
/// Words that belong in a tracker, or nowhere.
const BANNED: [&str; 8] =
    ["TODO", "FIXME", "XXX", "HACK", "WIP", "unimplemented!", "todo!", "dbg!"];

/// One source file.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl Source {
    /// The lines before the file's own tests, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("\nmod tests {").unwrap_or(self.text.len());
        self.text[..tests].lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn is_tests(&self) -> bool {
        let name = self.path.rsplit('/').next().expect("a path has a name");
        let whole = ["tests.rs", "simulation.rs", "loom_tests.rs"].contains(&name);
        whole || self.path.contains("/tests/") || self.path.contains("tests/")
    }

    /// The module of the engine that it is part of.
    fn module(&self) -> Option<&str> {
        let path = self.path.strip_prefix("engine/src/")?.strip_suffix(".rs")?;
        let module = path.split('/').next().expect("a path has a first part");
        (!["lib", "main"].contains(&module)).then_some(module)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every source file of the workspace, in order.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for part in ["engine", "loadgen", "benches"] {
        collect(&root().join(part), &mut found);
    }
    let mut sources: Vec<Source> = found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let path = path.strip_prefix(root()).expect("it is below the root");
            Source { path: path.to_str().expect("UTF-8").to_owned(), text }
        })
        .collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 100, "the sources are not where they were");
    sources
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        if path.is_dir() {
            if !["target", "node_modules", "corpus", "artifacts"].contains(&name) {
                collect(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Fails with all that was found at once, so that one run is enough.
#[track_caller]
fn expect_none(found: &[String], instead: &str) {
    assert!(found.is_empty(), "{instead}\n  {}", found.join("\n  "));
}

#[test]
fn every_file_opens_with_what_it_is() {
    let sources = sources();
    let bare = sources.iter().filter(|source| !source.path.ends_with("/tests.rs"));
    let bare = bare.filter(|source| !source.text.starts_with("//! "));
    let found: Vec<String> = bare.map(|source| source.path.clone()).collect();
    expect_none(&found, "open with `//!`: what the file is, its idea, invariants, what it ignores");
}

/// The modules that a line names behind `crate::`.
fn named(line: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for rest in line.split("crate::").skip(1) {
        let list = rest.strip_prefix('{').and_then(|list| list.split_once('}'));
        let parts = list.map_or(rest, |(list, _)| list).split(", ");
        for part in parts.take(if list.is_some() { usize::MAX } else { 1 }) {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            names.insert(&part[..end.unwrap_or(part.len())]);
        }
    }
    names
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module))
}

#[test]
fn modules_know_only_their_own_layer_and_lower_ones() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_tests()) {
        let Some(module) = source.module() else { continue };
        let Some(own) = layer(module) else {
            found.push(format!("{}: {module} stands in no layer of this test", source.path));
            continue;
        };
        for (line, text) in source.code() {
            for other in named(text).into_iter().filter(|other| *other != module) {
                let Some(theirs) = layer(other) else { continue };
                let why = FORBIDDEN.iter().find(|(m, o, _)| (*m, *o) == (module, other));
                if let Some((_, _, why)) = why {
                    found.push(format!("{}:{line}: {module} uses {other}: {why}", source.path));
                } else if theirs > own {
                    let (own, theirs) = (LAYERS[own].0, LAYERS[theirs].0);
                    found.push(format!(
                        "{}:{line}: {module} ({own}) uses {other} ({theirs})",
                        source.path
                    ));
                }
            }
        }
    }
    expect_none(&found, "hand down what the lower module needs as a value, or move the rule down");
}

#[test]
fn publishing_knows_no_subscribers() {
    let sources = sources();
    let publish = sources.iter().find(|source| source.path == "engine/src/control/publish.rs");
    let code = publish.expect("publishing is there").code();
    let lines = code.filter(|(_, line)| line.contains("subscribe::") || line.contains("slots"));
    let found: Vec<String> = lines.map(|(line, text)| format!("{line}: {text}")).collect();
    expect_none(&found, "a publisher learns of overload from the rings, never of who reads");
}

#[test]
fn unsafe_code_stands_in_few_files_and_is_argued() {
    let mut found = Vec::new();
    for source in sources() {
        let has = source.text.lines().any(|line| {
            let code = line.split("//").next().expect("a line has a start");
            let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
            words.iter().any(|word| code.contains(word)) && !code.contains('"')
        });
        let listed = UNSAFE.contains(&source.path.as_str());
        if has && !listed {
            found.push(format!("{} has unsafe code", source.path));
        }
        if listed && !source.text.contains("// SAFETY: ") {
            found.push(format!("{} argues nothing with `// SAFETY:`", source.path));
        }
    }
    expect_none(
        &found,
        "use a safe wrapper (rustix, socket2, std), or argue the file's place here",
    );
}

#[test]
fn names_say_what_a_thing_is() {
    let mut found = Vec::new();
    for source in sources() {
        let stem = source.path.trim_end_matches(".rs");
        let parts = stem.split('/').filter(|part| EMPTY_NAMES.contains(part));
        found.extend(parts.map(|part| format!("{}: {part}", source.path)));
        for (line, text) in source.code() {
            let words = ["struct ", "enum ", "trait ", "type "];
            let Some(rest) = words.iter().find_map(|w| {
                text.trim_start().strip_prefix("pub ").unwrap_or(text.trim_start()).strip_prefix(w)
            }) else {
                continue;
            };
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            if EMPTY_ENDS.iter().any(|empty| rest[..end].ends_with(empty)) {
                found.push(format!("{}:{line}: {}", source.path, &rest[..end]));
            }
        }
    }
    expect_none(&found, "name it after the noun that it is");
}

#[test]
fn nothing_is_left_to_be_done_later() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.path.ends_with("tests/tidy.rs")) {
        for (line, text) in source.text.lines().enumerate() {
            let banned = BANNED.iter().find(|word| contains_word(text, word));
            found.extend(banned.map(|word| format!("{}:{}: {word}", source.path, line + 1)));
        }
    }
    expect_none(&found, "do it now, or leave it out and write it where work is planned");
}

/// Whether a word stands in a text with no letter on either side.
fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Name and number of lines of each function of a file.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let signature = ["pub ", "pub(crate) ", "pub(super) "]
            .iter()
            .find_map(|visible| code.strip_prefix(visible))
            .unwrap_or(code);
        let mut signature = signature;
        for word in ["const ", "async ", "unsafe "] {
            signature = signature.strip_prefix(word).unwrap_or(signature);
        }
        let Some(name) = signature.strip_prefix("fn ") else { continue };
        let indent = &line[..line.len() - code.len()];
        let end = format!("{indent}}}");
        // A signature alone, or a body on its line.
        if line.ends_with(';') || line.ends_with('}') {
            continue;
        }
        let length = lines[start..].iter().position(|line| line.starts_with(&end)).map(|at| at + 1);
        let name = name.split(['(', '<']).next().expect("a name");
        functions.push((name.to_owned(), length.unwrap_or(1)));
    }
    functions
}

#[test]
fn functions_and_files_are_short() {
    let mut found = Vec::new();
    let mut lengths = Vec::new();
    for source in sources() {
        for (name, length) in functions(&source.text) {
            if length > FUNCTION_LINES_MAX {
                found.push(format!("{}: {name} has {length} lines", source.path));
            }
            lengths.push(length);
        }
        let lines = source.code().count();
        if lines > FILE_LINES_MAX && !source.is_tests() {
            found.push(format!("{} has {lines} lines", source.path));
        }
    }
    assert!(lengths.len() > 1_000, "functions are no longer found");
    expect_none(&found, "decide above and loop below: take a step out and name it");
}

#[test]
fn test_names_are_sentences() {
    let mut found = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, _) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "#[test]") {
            let name = lines[index + 1..].iter().find_map(|line| line.trim().strip_prefix("fn "));
            let name = name.and_then(|name| name.split('(').next()).unwrap_or_default();
            // The two of each test of the harness carry the sentence in their module.
            if name.split('_').count() < 3 && !["uring", "epoll"].contains(&name) {
                found.push(format!("{}:{}: {name}", source.path, index + 2));
            }
        }
    }
    expect_none(&found, "say what holds: a_stalled_reader_is_told_of_the_gap");
}

#[test]
fn tests_wait_for_conditions_and_none_is_passed_over() {
    let looks = ["engine/tests/harness/engine.rs", "engine/tests/clients/main.rs"];
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("engine/")) {
        let own = source.path.ends_with("tests/tidy.rs");
        let in_tests = source.text.find("\nmod tests {").unwrap_or(source.text.len());
        let in_tests = if source.is_tests() { 0 } else { in_tests };
        for line in source.text[in_tests..].lines().filter(|_| !own) {
            if line.contains("thread::sleep") && !looks.contains(&source.path.as_str()) {
                found.push(format!("{}: {}", source.path, line.trim()));
            }
            if line.trim() == "#[ignore]" {
                found.push(format!("{}: a test is ignored without a reason", source.path));
            }
        }
    }
    expect_none(&found, "wait for the condition itself (`Engine::await_metric`, a read)");
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.path.ends_with("tests/tidy.rs")) {
        for (line, text) in source.text.lines().enumerate() {
            let paths = ["/home/", "/root/", "/work/", "/Users/"];
            let named = paths.iter().find(|path| text.contains(*path));
            found.extend(named.map(|path| format!("{}:{}: {path}", source.path, line + 1)));
        }
    }
    expect_none(&found, "take paths from the environment or from where the file is");
}

#[test]
fn the_rules_find_what_they_look_for() {
    assert_eq!(named("use crate::topic::{Gap, Resume};"), BTreeSet::from(["topic"]));
    assert_eq!(named("use crate::{event, topic::Gap};"), BTreeSet::from(["event", "topic"]));
    assert_eq!(named("fn f(a: &crate::a::B) -> crate::c::D {"), BTreeSet::from(["a", "c"]));
    assert!(contains_word("// TODO: later", "TODO") && !contains_word("TODOS", "TODO"));
    let text = "impl A {\n    pub(crate) async fn one(\n        a: u8,\n    ) {\n    }\n}\nfn two() {\n}\n";
    assert_eq!(functions(text), [("one".to_owned(), 4), ("two".to_owned(), 2)]);
}
