//! Saved runs: reading and writing them.
//!
//! A file (or standard input, named `-`) may hold several runs one after the other, so that
//! `cat a.json b.json | downpour-load plot -` works.

use std::io::Read;
use std::path::Path;

use super::model::{Run, SCHEMA_VERSION};

/// Reads all runs of all files, in order; `-` is standard input.
///
/// # Errors
/// A sentence that names the file, what is wrong with it, and what to do.
pub(crate) fn read_all(paths: &[String]) -> Result<Vec<Run>, String> {
    let mut runs = Vec::new();
    for path in paths {
        runs.extend(read(path)?);
    }
    Ok(runs)
}

/// Reads the runs of one file; `-` is standard input. There is at least one.
///
/// # Errors
/// As [`read_all`].
pub(crate) fn read(path: &str) -> Result<Vec<Run>, String> {
    let mut text = String::new();
    let outcome = if path == "-" {
        std::io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    outcome.map_err(|error| format!("{path}: {error}"))?;
    parse(&text).map_err(|error| format!("{path}: {error}"))
}

/// Reads the one run of a file.
///
/// # Errors
/// As [`read_all`]; also when the file holds several runs.
pub(crate) fn read_one(path: &str) -> Result<Run, String> {
    let mut runs = read(path)?;
    match runs.len() {
        1 => Ok(runs.remove(0)),
        n => Err(format!("{path}: holds {n} runs where one is meant; 'merge' makes one of them")),
    }
}

fn parse(text: &str) -> Result<Vec<Run>, String> {
    let mut runs = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>() {
        let value = value.map_err(|error| format!("not JSON: {error}"))?;
        let version = value.get("schema_version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(SCHEMA_VERSION)) {
            let found = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return Err(format!(
                "schema_version is {found}, this program reads {SCHEMA_VERSION}; is it a file \
                 written by --json?"
            ));
        }
        let run = serde_json::from_value(value).map_err(|error| format!("not a run: {error}"))?;
        runs.push(run);
    }
    if runs.is_empty() {
        return Err("is empty; a run is written by --json".to_owned());
    }
    Ok(runs)
}

/// Writes a run as JSON; `-` is standard output.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn write(run: &Run, path: &str) -> Result<(), String> {
    write_text(&json(run)?, path)
}

/// A run as one line of JSON.
///
/// # Errors
/// A number that JSON cannot hold.
pub(crate) fn json(run: &Run) -> Result<String, String> {
    let text = serde_json::to_string(run);
    text.map(|text| text + "\n").map_err(|error| format!("the run as JSON: {error}"))
}

/// Writes a text; `-` is standard output. A file appears whole or not at all: it is written
/// beside its place and then renamed.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn write_text(text: &str, path: &str) -> Result<(), String> {
    use std::io::Write as _;
    if path == "-" {
        let mut out = std::io::stdout().lock();
        let outcome = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        // A reader that has seen enough (`| head`) is not an error.
        return match outcome {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(format!("standard output: {error}"))
            }
            _ => Ok(()),
        };
    }
    let target = Path::new(path);
    // A pipe or a device (/dev/stdout, <(...)) has no place beside it.
    if target.exists() && !target.is_file() {
        return std::fs::write(target, text).map_err(|error| format!("{path}: {error}"));
    }
    let mut beside = target.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, target))
        .map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;

    #[test]
    fn a_saved_run_reads_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let path = path.to_str().unwrap();
        let run = Sample { lose_every: Some(9), ..Sample::default() }.run();
        write(&run, path).unwrap();
        assert!(read_one(path).unwrap() == run, "the run changed on its way through {path}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn runs_one_after_the_other_are_read_in_order() {
        let one = serde_json::to_string(&Run::new(Vec::new(), 1, 0)).unwrap();
        let two = serde_json::to_string_pretty(&Run::new(Vec::new(), 2, 0)).unwrap();
        let seeds: Vec<u64> =
            parse(&format!("{one}{two}\n{one}")).unwrap().iter().map(|run| run.seed).collect();
        assert_eq!(seeds, [1, 2, 1]);
    }

    #[test]
    fn what_is_not_a_run_is_named() {
        for (text, word) in [
            ("", "empty"),
            ("{", "JSON"),
            ("{}", "schema_version"),
            (r#"{"schema_version":99}"#, "99"),
            (r#"{"schema_version":1}"#, "not a run"),
        ] {
            assert!(parse(text).unwrap_err().contains(word), "{text}");
        }
        assert!(read("/nonexistent/run.json").unwrap_err().contains("/nonexistent/run.json"));
    }

    #[test]
    fn unknown_fields_of_a_newer_program_are_ignored() {
        let mut value = serde_json::to_value(Run::new(Vec::new(), 1, 0)).unwrap();
        value["new_field"] = 1.into();
        assert!(parse(&value.to_string()).is_ok());
    }
}
