//! Header fields of a request: one on the command line, or as many as a file has.
//!
//! The idea: what authorises a request should neither stand in the list of processes nor in a
//! report that is passed on. So a field can be read from a file (`@FILE`, as curl does), and the
//! command line that a report keeps has no secrets.

use std::str::FromStr;

/// What a flag for header fields was given: `Name: value`, or `@FILE` with one on each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields(Vec<String>);

impl FromStr for Fields {
    type Err = String;

    fn from_str(text: &str) -> Result<Fields, String> {
        let fields: Vec<String> = match text.strip_prefix('@') {
            None => vec![text.to_owned()],
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("{path}: {error}; @FILE reads fields from a file"))?
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(str::to_owned)
                .collect(),
        };
        if fields.is_empty() {
            return Err(format!("{text:?} has no header field; write one on each line"));
        }
        lines(&fields)?;
        Ok(Fields(fields))
    }
}

/// All fields of all flags, in order.
pub(crate) fn all(given: &[Fields]) -> Vec<String> {
    given.iter().flat_map(|fields| fields.0.iter().cloned()).collect()
}

/// Header fields as they stand in a request.
///
/// # Errors
///
/// What is no field (RFC 9110, section 5.1: a name is a token).
pub(crate) fn lines(given: &[String]) -> Result<String, String> {
    let mut text = String::new();
    for field in given {
        let sound = field.split_once(':').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
        });
        if !sound || field.contains(['\r', '\n', '\0']) {
            return Err(format!(
                "{:?} is no header field; write it as 'Name: value'",
                named(field)
            ));
        }
        text.push_str(field);
        text.push_str("\r\n");
    }
    Ok(text)
}

/// Ends of the names of fields whose values are nobody else's business.
const SECRET_ENDS: [&str; 5] = ["authorization", "cookie", "key", "token", "secret"];

/// An argument of the command line as a report may keep it: without the value of a field that
/// authorises.
pub(crate) fn without_secrets(argument: &str) -> String {
    let Some((before, _)) = argument.split_once(':') else { return argument.to_owned() };
    let name = before.to_ascii_lowercase();
    match SECRET_ENDS.iter().any(|end| name.ends_with(end)) {
        true => format!("{before}: ***"),
        false => argument.to_owned(),
    }
}

/// The beginning of what should have been a field: it may be a secret that lacks its name.
fn named(field: &str) -> String {
    const SHOWN_CHARS: usize = 12;
    let shown: String = field.chars().take(SHOWN_CHARS).collect();
    if shown.len() < field.len() { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn fields_come_from_the_flag_or_from_a_file() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        write!(file, "Authorization: Bearer x.y.z\n\nX-Two: 2\r\n").expect("room on the disk");
        let from_file = format!("@{}", file.path().display()).parse().expect("two fields");
        let plain = "A: b".parse().expect("a field");
        let expected = ["A: b", "Authorization: Bearer x.y.z", "X-Two: 2"];
        assert_eq!(all(&[plain, from_file]), expected);
        assert_eq!(lines(&all(&["A: b".parse().expect("a field")])), Ok("A: b\r\n".to_owned()));
    }

    #[test]
    fn what_is_no_field_is_refused_without_telling_it_all() {
        for text in ["A", ": b", "A b: c", "A: b\r\nC: d", "@/nonexistent"] {
            assert!(text.parse::<Fields>().is_err(), "{text:?}");
        }
        let error = "eyJhbGciOiJIUzI1NiJ9.secret".parse::<Fields>().unwrap_err();
        assert!(error.contains("Name: value") && !error.contains("secret"), "{error}");
        let empty = tempfile::NamedTempFile::new().expect("a file");
        let error = format!("@{}", empty.path().display()).parse::<Fields>().unwrap_err();
        assert!(error.contains("no header field"), "{error}");
    }

    #[test]
    fn a_report_keeps_no_secret_of_the_command_line() {
        for (given, kept) in [
            ("Authorization: Bearer x", "Authorization: ***"),
            ("-HCookie: a=b", "-HCookie: ***"),
            ("--publish-header=X-API-Key: 1", "--publish-header=X-API-Key: ***"),
            ("Accept-Language: de", "Accept-Language: de"),
            ("http://127.0.0.1:8080/{topic}", "http://127.0.0.1:8080/{topic}"),
            ("--quiet", "--quiet"),
        ] {
            assert_eq!(without_secrets(given), kept);
        }
    }
}
