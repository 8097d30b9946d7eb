//! Arguments from a file: `--scenario plan.toml`.
//!
//! The idea: a scenario is a command line written down. Each key is the name of a flag, each
//! value what follows it, a list repeats the flag, `true` is a switch. The file's flags are put
//! in front of those on the command line, where the later one wins; so there is one parser, one
//! set of defaults and one set of messages.

use std::ffi::OsString;
use std::fs;

/// The command line with the flags of its scenario file put in, if it names one.
///
/// # Errors
///
/// If the file cannot be read or holds something that is no flag.
pub(crate) fn expand(command: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let Some(path) = path(&command) else { return Ok(command) };
    let text = fs::read_to_string(&path).map_err(|error| format!("--scenario {path}: {error}"))?;
    let flags = flags(&text).map_err(|error| format!("--scenario {path}: {error}"))?;
    let flags = flags.into_iter().map(OsString::from);
    let (head, tail) = command.split_at(2.min(command.len()));
    Ok(head.iter().cloned().chain(flags).chain(tail.iter().cloned()).collect())
}

fn path(command: &[OsString]) -> Option<String> {
    // What stands behind `--` is for another command, which reads its file itself.
    let words = command.iter().skip(2).map(|word| word.to_string_lossy());
    let mut words = words.take_while(|word| word != "--");
    while let Some(word) = words.next() {
        if word == "--scenario" {
            return words.next().map(|path| path.into_owned());
        }
        if let Some(path) = word.strip_prefix("--scenario=") {
            return Some(path.to_owned());
        }
    }
    None
}

fn flags(text: &str) -> Result<Vec<String>, String> {
    words(text.parse().map_err(|error: toml::de::Error| error.to_string())?)
}

/// The words of a command line that a table stands for. `url` (one or a list) stands for the
/// positional argument.
///
/// # Errors
///
/// A value that is no text, number, switch or list of them.
pub(crate) fn words(table: toml::Table) -> Result<Vec<String>, String> {
    let mut flags = Vec::new();
    for (key, value) in table {
        let values = match value {
            toml::Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(true) => {
                    flags.push(format!("--{key}"));
                    continue;
                }
                toml::Value::Boolean(false) => continue,
                _ => return Err(format!("{key}: give a text, a number, true, or a list of them")),
            };
            if key == "url" {
                flags.push(text);
            } else {
                flags.push(format!("--{key}={text}"));
            }
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn a_scenario_stands_before_the_flags_that_override_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.toml");
        fs::write(
            &file,
            "url = 'http://h:1'\nsubscribers = '20k'\nrate = 20\nquiet = true\nstrict = false\n\
             slo = ['lost==0', 'last.p99<80ms']\n",
        )
        .unwrap();
        let line = format!("downpour-load run --scenario {} --rate 5", file.display());
        let expanded = expand(words(&line)).unwrap();
        let expected = format!(
            "downpour-load run http://h:1 --subscribers=20k --rate=20 --quiet --slo=lost==0 \
             --slo=last.p99<80ms --scenario {} --rate 5",
            file.display()
        );
        let (mut expanded, mut expected) = (expanded, words(&expected));
        // The order of keys among each other is not part of the promise.
        assert_eq!(expanded[expanded.len() - 4..], expected[expected.len() - 4..]);
        expanded.sort();
        expected.sort();
        assert_eq!(expanded, expected);
    }

    #[test]
    fn a_command_without_a_scenario_stays_as_it_is() {
        for line in ["downpour-load run http://h:1 --rate 5", "x find -- --scenario /nonexistent"] {
            let line = words(line);
            assert_eq!(expand(line.clone()), Ok(line));
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let error = expand(words("x run --scenario=/nonexistent")).unwrap_err();
        assert!(error.contains("/nonexistent"), "{error}");
        assert!(flags("a = { b = 1 }").unwrap_err().contains("a: give"));
    }
}
