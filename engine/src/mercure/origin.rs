//! Origins of web pages, by pattern: who may read answers, and who may publish by a cookie.
//!
//! The idea: `cors_origins` and `publish_origins` are lists of origins; `*` alone is every origin,
//! and one `*` within an origin stands for any text without a slash, as in `https://*.example.com`.
//!
//! Invariants: never `*` together with credentials; a request without any origin is no page's.
//!
//! Knows nothing of requests; it is given the values of headers.

/// A list of origins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    Exact(String),
    /// What stands before and behind the `*`.
    Around(String, String),
}

impl Origins {
    /// Reads a list.
    ///
    /// # Errors
    /// The first entry that is no origin and no pattern of one.
    pub fn parse<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        list.into_iter().map(pattern).collect::<Result<_, _>>().map(Self)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is every origin.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.contains(&Pattern::Any)
    }

    /// Whether an origin is one of them. Scheme and host have no case (RFC 6454, section 4).
    #[must_use]
    pub fn has(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.0.iter().any(|pattern| match pattern {
            Pattern::Any => true,
            Pattern::Exact(exact) => *exact == origin,
            Pattern::Around(before, behind) => {
                let long = origin.len() > before.len() + behind.len();
                long && origin.starts_with(before.as_str())
                    && origin.ends_with(behind.as_str())
                    && !origin[before.len()..origin.len() - behind.len()].contains(['/', '@', ':'])
            }
        })
    }

    /// Whether a request that a browser made on its own, with its cookies, may change something: the
    /// origin of its page, or of its referrer where there is no origin, must be one of these.
    #[must_use]
    pub fn vouch(&self, origin: Option<&str>, referer: Option<&str>) -> bool {
        match (origin.filter(|origin| !origin.is_empty()), referer.and_then(origin_of)) {
            (Some(origin), _) => self.has(origin),
            (None, Some(origin)) => self.has(origin),
            (None, None) => false,
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    if text == "*" {
        return Ok(Pattern::Any);
    }
    let text = text.to_ascii_lowercase();
    let authority = text.split_once("://").map(|(_, authority)| authority).unwrap_or_default();
    if authority.is_empty() || authority.contains('/') || text.matches('*').count() > 1 {
        return Err(format!(
            "'{text}' is no origin: write * or scheme://host, with :port unless it is the \
             scheme's own and without a slash at the end; one * may stand for a part of the host"
        ));
    }
    Ok(match text.split_once('*') {
        Some((before, behind)) => Pattern::Around(before.into(), behind.into()),
        None => Pattern::Exact(text),
    })
}

/// Scheme and authority of a URL.
fn origin_of(url: &str) -> Option<&str> {
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |end| start + end);
    (end > start).then(|| &url[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(list: &[&str]) -> Origins {
        Origins::parse(list.iter().copied()).unwrap()
    }

    #[test]
    fn origins_match_exactly_or_by_one_star_within_a_host() {
        let list = origins(&["https://a.example", "https://*.b.example", "http://localhost:3000"]);
        for (origin, expected) in [
            ("https://a.example", true),
            ("https://A.example", true),
            ("http://a.example", false),
            ("https://a.example:8443", false),
            ("https://a.example.evil", false),
            ("https://x.b.example", true),
            ("https://x.y.b.example", true),
            ("https://.b.example", false),
            ("https://b.example", false),
            ("https://evil/.b.example", false),
            ("https://evil:1.b.example", false),
            ("https://user@x.b.example", false),
            ("http://localhost:3000", true),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(list.has(origin), expected, "{origin}");
        }
        assert!(origins(&["*"]).has("null"));
        assert!(!Origins::default().has("https://a.example"));
    }

    #[test]
    fn the_origin_goes_before_the_referrer_and_one_of_them_must_be_there() {
        let list = origins(&["https://a.example"]);
        let good = Some("https://a.example/page?x#y");
        assert!(list.vouch(Some("https://a.example"), None));
        assert!(list.vouch(None, good));
        assert!(list.vouch(Some(""), good), "an empty origin is none");
        assert!(!list.vouch(Some("https://evil.example"), good));
        assert!(!list.vouch(None, None));
        assert!(!list.vouch(None, Some("a.example")));
        assert!(!list.vouch(None, Some("https://a.example.evil/")));
        assert!(!origins(&["*"]).vouch(None, None), "nobody vouches for it");
    }

    #[test]
    fn what_is_no_origin_is_refused_by_name() {
        for text in ["a.example", "https://", "https://a.example/", "https://*.*.example", ""] {
            assert!(Origins::parse([text]).unwrap_err().contains(text), "{text}");
        }
    }
}
