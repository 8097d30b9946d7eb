//! A request that can be changed, field by field, before it is sent.
//!
//! The idea: a check says how its request differs from what a browser would send, and nothing
//! more. Nothing is made right on the way out: half of the points are about requests that are not.

/// A request that can be changed before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) version: &'static str,
    pub(super) fields: Vec<String>,
}

impl Asked {
    /// Reads a written request: its target and fields.
    pub(super) fn read(request: &[u8]) -> Asked {
        let text = String::from_utf8_lossy(request).into_owned();
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("/");
        Asked {
            method: "GET",
            target: target.to_owned(),
            version: "1.1",
            fields: lines.map(str::to_owned).collect(),
        }
    }

    /// The same with another method.
    pub(super) fn method(self, method: &'static str) -> Asked {
        Asked { method, ..self }
    }

    /// The same with one more header field.
    pub(super) fn field(mut self, field: impl Into<String>) -> Asked {
        self.fields.push(field.into());
        self
    }

    /// The same without a header field.
    pub(super) fn without(mut self, name: &str) -> Asked {
        self.fields.retain(|field| !self::name(field).eq_ignore_ascii_case(name));
        self
    }

    /// The same with a header field in the place of any others of its name.
    pub(super) fn instead(self, field: &str) -> Asked {
        self.without(name(field)).field(field)
    }

    /// The same with one more query parameter.
    pub(super) fn query(mut self, parameter: &str) -> Asked {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        self.target = format!("{}{joint}{parameter}", self.target);
        self
    }

    /// The request as it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let fields: String = self.fields.iter().map(|field| format!("{field}\r\n")).collect();
        let Asked { method, target, version, .. } = self;
        format!("{method} {target} HTTP/{version}\r\n{fields}\r\n").into_bytes()
    }
}

/// The name of a header field.
pub(super) fn name(field: &str) -> &str {
    field.split(':').next().unwrap_or(field).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_changed_field_by_field() {
        let asked = Asked::read(b"GET /t HTTP/1.1\r\nHost: x\r\naccept: y\r\n\r\n");
        let asked = asked.without("Accept").field("A: b").query("c=d").query("e=f").method("HEAD");
        assert_eq!(asked.bytes(), b"HEAD /t?c=d&e=f HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n");
        let asked = asked.instead("host: z");
        assert_eq!(asked.bytes(), b"HEAD /t?c=d&e=f HTTP/1.1\r\nA: b\r\nhost: z\r\n\r\n");
    }
}
