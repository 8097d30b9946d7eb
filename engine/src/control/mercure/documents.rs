//! Documents of the hub: its subscriptions, and the metadata of a protected resource.
//!
//! Knows nothing of who may see them.

use super::{Asked, EARLIEST, hub, say};
use crate::control::Control;
use crate::control::connection::Call;
use crate::delivery::lane::Lane;
use crate::event::EventId;
use crate::http::refusal::Status;
use crate::mercure::answer::{Document, Fault};
use crate::mercure::subscription::{Filter, collection, content_type, etag};
use crate::mercure::{PATH, Version};

/// The document of the subscriptions that a filter has.
pub(super) fn list<L: Lane>(
    control: &Control<L>,
    call: &Call,
    asked: &Asked,
    filter: &Filter,
    none_match: Option<&str>,
) -> Result<Vec<u8>, Fault> {
    let sequence = control.stats.sequence.get();
    let id = match sequence {
        0 => EARLIEST.to_owned(),
        _ => EventId { epoch: control.epoch, sequence }.urn().to_string(),
    };
    let subscriptions = hub(control).roster.list(filter);
    let body = match (&filter.subscriber, subscriptions.first()) {
        (None, _) => collection(&asked.path, filter.version, &id, &subscriptions),
        (Some(_), Some(one)) => one.document(&id),
        (Some(_), None) => return Err(Fault::not_found(filter.version)),
    };
    let tag = etag(&id);
    let mut headers = format!("ETag: {tag}\r\n");
    if filter.version == Version::V1 {
        headers += &format!(
            "Link: <{PATH}>; rel=\"mercure\"; last-event-id=\"{id}\"; type=\"mercure\"; \
             content-type=\"application/json\"\r\n"
        );
    }
    let mut out = Vec::with_capacity(512 + body.len());
    say(control, call, asked, |answer| {
        if none_match.is_some_and(|tags| is_among(&tag, tags)) {
            answer.not_modified(&headers, &mut out);
            return;
        }
        let content_type = content_type(filter.version);
        let document = Document { content_type, body: body.as_bytes(), headers: &headers };
        answer.document(Status::Ok, &document, &mut out);
    });
    Ok(out)
}

/// Whether a validator is in a list, by the weak comparison that proxies need which compress (RFC 9110,
/// section 13.1.2).
fn is_among(tag: &str, list: &str) -> bool {
    let strong = |one: &str| one.trim().strip_prefix("W/").unwrap_or(one.trim()).to_owned();
    list.trim() == "*" || list.split(',').any(|one| strong(one) == tag)
}

/// Protected resource metadata (RFC 9728, section 3.2).
pub(super) fn metadata<L>(control: &Control<L>, call: &Call, asked: &Asked) -> Vec<u8> {
    let settings = &hub(control).settings;
    let mut body = serde_json::json!({
        "resource": asked.hub_url,
        "bearer_methods_supported": ["header"],
        "authorization_details_types_supported": ["https://mercure.rocks/authorization-detail"],
        "mercure_cookie": settings.cookie_v1,
        "mercure_subscriptions": settings.subscriptions,
    });
    if !settings.authorization_servers.is_empty() {
        body["authorization_servers"] = settings.authorization_servers.as_slice().into();
    }
    let body = body.to_string();
    let mut out = Vec::new();
    let document =
        Document { content_type: "application/json", body: body.as_bytes(), headers: "" };
    say(control, call, asked, |answer| answer.document(Status::Ok, &document, &mut out));
    out
}

/// RFC 9728, section 3.1: the well-known name goes between host and path.
pub(super) fn metadata_url(resource: &str) -> String {
    let host = resource.find("://").map_or(0, |at| at + 3);
    let path = resource[host..].find('/').map_or(resource.len(), |at| host + at);
    format!("{}/.well-known/oauth-protected-resource{}", &resource[..path], &resource[path..])
}
