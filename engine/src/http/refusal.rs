//! Why a request is not served: a status and a sentence for the person who sent it.
//!
//! The detail says what was wrong, what is allowed, and how to fix it. It never repeats more of
//! the request than a name or a number, so it cannot be used to reflect content.
//!
//! Knows nothing of how it is written to the wire (`response`) or whether the connection lives on.

/// A status code of RFC 9110, section 15, that this server uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    NoContent,
    NotModified,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    LengthRequired,
    ContentTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    ExpectationFailed,
    MisdirectedRequest,
    TooManyRequests,
    HeaderFieldsTooLarge,
    InternalServerError,
    NotImplemented,
    ServiceUnavailable,
    VersionNotSupported,
}

impl Status {
    /// The three digits of the status line.
    pub const fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::NoContent => 204,
            Self::NotModified => 304,
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::LengthRequired => 411,
            Self::ContentTooLarge => 413,
            Self::UriTooLong => 414,
            Self::UnsupportedMediaType => 415,
            Self::ExpectationFailed => 417,
            Self::MisdirectedRequest => 421,
            Self::TooManyRequests => 429,
            Self::HeaderFieldsTooLarge => 431,
            Self::InternalServerError => 500,
            Self::NotImplemented => 501,
            Self::ServiceUnavailable => 503,
            Self::VersionNotSupported => 505,
        }
    }

    /// The reason phrase, which is also the title of the problem (RFC 9457, section 4.2.1: a
    /// problem without a type of its own takes its title from the status).
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::NoContent => "No Content",
            Self::NotModified => "Not Modified",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::RequestTimeout => "Request Timeout",
            Self::LengthRequired => "Length Required",
            Self::ContentTooLarge => "Content Too Large",
            Self::UriTooLong => "URI Too Long",
            Self::UnsupportedMediaType => "Unsupported Media Type",
            Self::ExpectationFailed => "Expectation Failed",
            Self::MisdirectedRequest => "Misdirected Request",
            Self::TooManyRequests => "Too Many Requests",
            Self::HeaderFieldsTooLarge => "Request Header Fields Too Large",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::ServiceUnavailable => "Service Unavailable",
            Self::VersionNotSupported => "HTTP Version Not Supported",
        }
    }
}

/// A request that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: Status,
    /// What was wrong, what is allowed, how to fix it.
    pub detail: String,
    /// The methods of the resource; a 405 must name them (RFC 9110, section 15.5.6).
    pub allow: Option<&'static str>,
    /// Seconds after which the same request may be served.
    pub retry_after_seconds: Option<u32>,
    /// Events of the same request that were accepted before the refusal, and stay accepted.
    pub accepted: Option<u64>,
}

impl Refusal {
    pub fn new(status: Status, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            allow: None,
            retry_after_seconds: None,
            accepted: None,
        }
    }

    /// 400: the request has no single meaning, or not one that this server knows.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(Status::BadRequest, detail)
    }

    /// 405 with the methods that the resource does have.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("This resource answers {allow}.");
        Self { allow: Some(allow), ..Self::new(Status::MethodNotAllowed, detail) }
    }

    /// 429 for whoever asks too often (RFC 6585, section 4). For subscribers the same holds as with
    /// [`Refusal::overloaded`].
    pub fn too_soon(detail: impl Into<String>, retry_after_seconds: u32) -> Self {
        let retry_after_seconds = Some(retry_after_seconds);
        Self { retry_after_seconds, ..Self::new(Status::TooManyRequests, detail) }
    }

    /// 503 for a publisher. A subscriber is never refused this way: `EventSource` gives up for
    /// ever on any status but 200 (see `response::shed`).
    pub fn overloaded(detail: impl Into<String>, retry_after_seconds: u32) -> Self {
        let retry_after_seconds = Some(retry_after_seconds);
        Self { retry_after_seconds, ..Self::new(Status::ServiceUnavailable, detail) }
    }
}
