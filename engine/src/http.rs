//! HTTP/1.0 and HTTP/1.1, as an origin server speaks it: request bytes in, response bytes out.
//!
//! The idea: Downpour stands behind other people's proxies, so it rejects rather than repairs.
//! Every request has exactly one reading or it is refused, and a connection that carried a
//! refused head is not used again. `httparse` tokenises; what it leaves to its caller (line
//! discipline, framing, Host, limits that hold while the head is still arriving) is decided here.
//!
//! Invariants: a verdict depends on the bytes alone, never on how they were split over reads; no
//! function needs more memory than the limits its caller passes in.
//!
//! Knows nothing of sockets, topics' histories, or who may publish.

pub mod body;
pub mod cors;
pub mod refusal;
pub mod request;
pub mod response;
pub mod route;
pub mod target;
