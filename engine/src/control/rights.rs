//! What a request may do: by the publish key, by a token, or because nothing is asked for.
//!
//! The idea: rights are decided once, when the head of a request has been read, and handed on as a
//! value. A request that shows something that is no right is refused, also where it would have needed
//! none: whoever shows a token means to be known by it.
//!
//! Invariants: nothing that was shown is ever printed or repeated. A cookie publishes only for a page
//! whose origin is allowed: browsers send it on their own.
//!
//! Knows requests and tokens; knows nothing of events and streams.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Control;
use crate::close::CloseReason;
use crate::config::token::ASK_INTERVAL;
use crate::delivery::terms::Term;
use crate::http::cors::is_loopback_host;
use crate::http::refusal::{Refusal, Status};
use crate::http::request::Request;
use crate::token::source::{Places, Presented, presented};
use crate::token::{Dialect, Rights, TokenError, Verifier};

/// Parameter of the query that may have a token (RFC 6750, section 2.3).
const QUERY_NAME: &str = "access_token";
/// How long a request with a key that is not known waits for keys to be fetched, and how often it
/// looks.
const KEYS_TIMEOUT: Duration = Duration::from_secs(6);
const KEYS_PAUSE: Duration = Duration::from_millis(10);

/// Who publishes.
#[derive(Clone, Debug)]
pub(super) enum Publisher {
    /// Somebody who may publish to all topics.
    Unbound,
    /// The bearer of a token.
    Bearer(Rc<Rights>),
}

impl Publisher {
    /// Whether an event of these topics may be published now: streams of lines may outlive a token.
    pub(super) fn may<'a>(&self, topics: impl IntoIterator<Item = &'a str>) -> Result<(), Refusal> {
        let Publisher::Bearer(rights) = self else { return Ok(()) };
        if rights.expires_at.is_some_and(|end| end <= unix_seconds()) {
            return Err(unauthorized(&TokenError::Expired.to_string()));
        }
        match topics.into_iter().all(|topic| rights.may_publish(topic)) {
            true => Ok(()),
            false => Err(Refusal::new(
                Status::Forbidden,
                "The token does not grant publishing to this topic; its claim `mercure.publish` \
                 lists those that it does.",
            )),
        }
    }
}

/// The bearer of a token, and what its streams are counted by.
#[derive(Clone)]
pub(super) struct Holder {
    pub(super) rights: Rc<Rights>,
    token: Rc<[u8]>,
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder").finish_non_exhaustive()
    }
}

impl Holder {
    /// The holder of a token that has been verified.
    pub(super) fn new(rights: Rights, token: &[u8]) -> Holder {
        Holder { rights: Rc::new(rights), token: token.into() }
    }

    /// The token, which was found to be good.
    pub(super) fn token(&self) -> &[u8] {
        &self.token
    }

    /// What a stream of this token is opened under, counted among those of the token.
    ///
    /// # Errors
    /// The close reason when the token has as many streams as it may.
    pub(super) fn term<L>(&self, control: &Control<L>) -> Result<Term, CloseReason> {
        let token = control.limits.enter_token(&self.token)?;
        let ends_ns = self.rights.expires_at.map_or(u64::MAX, |end| {
            let left_ns = Duration::from_secs(end).saturating_sub(unix_time()).as_nanos();
            control.stats.now_ns().saturating_add(u64::try_from(left_ns).unwrap_or(u64::MAX))
        });
        Ok(Term { ends_ns, token })
    }
}

/// What became of the token of a request.
pub(super) enum Bearer {
    /// There is none, or none is looked for.
    Nobody,
    Known(Holder),
    /// Its key may be one that has not been fetched yet.
    UnknownKey,
    Refused(Refusal),
}

/// Seconds of Unix time. A clock before 1970 lets no token in.
pub(super) fn unix_seconds() -> u64 {
    unix_time().as_secs()
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX)
}

/// The bearer of the native interface's token.
pub(super) fn bearer<L>(control: &Control<L>, request: &Request<'_>) -> Bearer {
    let verifiers = control.verifiers.borrow();
    let (Some(tokens), Some(verifier)) = (&control.config.tokens, &verifiers.native) else {
        return Bearer::Nobody;
    };
    let cookie = tokens.cookie.as_deref();
    let places = Places {
        dialect: Dialect::Either,
        query: tokens.in_query.then_some(QUERY_NAME),
        cookies: cookie.as_slice(),
    };
    match presented(request, places) {
        Err(error) => Bearer::Refused(unauthorized(&error.to_string())),
        Ok(Presented::Nothing) => Bearer::Nobody,
        Ok(found) => {
            let by_cookie = matches!(found, Presented::Cookie(_));
            if by_cookie && !request.method.is_safe() && !has_good_origin(control, request) {
                return Bearer::Refused(Refusal::new(
                    Status::Forbidden,
                    "A cookie publishes only for a page of an origin that --cors-origin allows, \
                     or of this server itself.",
                ));
            }
            let token = found.token().unwrap_or_default();
            verified(verifier, token, request.header("host").unwrap_or_default())
        }
    }
}

fn verified(verifier: &Verifier, token: &[u8], host: &str) -> Bearer {
    let url = format!("http://{host}/events");
    match verifier.verify(token, unix_seconds(), &url) {
        Ok(rights) => Bearer::Known(Holder::new(rights, token)),
        Err(TokenError::UnknownKey) => Bearer::UnknownKey,
        Err(error) => Bearer::Refused(unauthorized(&error.to_string())),
    }
}

/// An origin, and an allowed one: a browser that sends a cookie with a POST says whose page it is.
fn has_good_origin<L>(control: &Control<L>, request: &Request<'_>) -> bool {
    let (origin, host) = (request.header("origin"), request.header("host"));
    origin.is_some() && control.config.cors.may_publish(origin, host)
}

/// Waits until keys have been fetched, or for as long as that may take. False where none are, or
/// where they just were: then nobody is made to wait for names that somebody has made up.
pub(super) async fn wait_for_keys<L>(control: &Control<L>) -> bool {
    let Some(asking) = &control.asking else { return false };
    let current = || Arc::clone(&control.verifiers.borrow());
    let last = control.asked.borrow().clone();
    let before = match last.filter(|(at, _)| at.elapsed() < ASK_INTERVAL) {
        Some((_, before)) if Arc::ptr_eq(&before, &current()) => before,
        Some(_) => return false,
        None => {
            // Full: another worker has asked already.
            let _ = asking.try_send(());
            *control.asked.borrow_mut() = Some((Instant::now(), current()));
            current()
        }
    };
    let deadline = Instant::now() + KEYS_TIMEOUT;
    while Arc::ptr_eq(&before, &current()) {
        if Instant::now() >= deadline {
            return false;
        }
        monoio::time::sleep(KEYS_PAUSE).await;
    }
    true
}

/// Whether this request may publish: by the key, by a token, or, where neither is asked for, from
/// this machine and from no foreign web page.
pub(super) fn publisher<L>(
    control: &Control<L>,
    request: &Request<'_>,
    bearer: &Bearer,
) -> Result<Publisher, Refusal> {
    let key = control.key.borrow();
    let shown = request.header_once("authorization").ok().flatten();
    if key.as_ref().is_some_and(|key| shown.is_some_and(|shown| key.is_shown_by(shown))) {
        return Ok(Publisher::Unbound);
    }
    match bearer {
        Bearer::Known(holder) => return Ok(Publisher::Bearer(Rc::clone(&holder.rights))),
        Bearer::UnknownKey => return Err(unauthorized(&TokenError::UnknownKey.to_string())),
        // What was shown is neither the key nor a token, and there is nothing else to be shown.
        Bearer::Refused(refusal) => return Err(refusal.clone()),
        Bearer::Nobody => {}
    }
    match (key.is_some(), control.config.tokens.is_some()) {
        (true, false) => Err(Refusal::new(
            Status::Unauthorized,
            "Publishing here needs the header `Authorization: Bearer KEY` with the key of this \
             server's --publish-key-file.",
        )),
        (_, true) => Err(unauthorized("publishing here needs one")),
        (false, false) => unguarded(control, request),
    }
}

/// Publishing without a key: from this machine and from no foreign web page.
fn unguarded<L>(control: &Control<L>, request: &Request<'_>) -> Result<Publisher, Refusal> {
    let (origin, host) = (request.header("origin"), request.header("host"));
    if control.config.is_loopback_only() && !host.is_none_or(is_loopback_host) {
        return Err(Refusal::new(
            Status::Forbidden,
            "Without a publish key this server takes events only under a loopback name such as \
             localhost, so that no web page can publish by a name that resolves to it. Start it \
             with --publish-key-file to publish under other names.",
        ));
    }
    if !control.config.cors.may_publish(origin, host) {
        return Err(Refusal::new(
            Status::Forbidden,
            "Web pages of this origin may not publish here. Allow it with --cors-origin.",
        ));
    }
    Ok(Publisher::Unbound)
}

/// Whether these topics may be subscribed to; gives the rights that the stream ends with.
pub(super) fn subscriber<L>(
    control: &Control<L>,
    bearer: &Bearer,
    topics: &[String],
) -> Result<Option<Holder>, Refusal> {
    let needs_token = control.config.tokens.as_ref().is_some_and(|tokens| tokens.to_subscribe);
    match bearer {
        Bearer::Nobody if needs_token => Err(unauthorized("subscribing here needs one")),
        Bearer::Nobody => Ok(None),
        Bearer::UnknownKey => Err(unauthorized(&TokenError::UnknownKey.to_string())),
        Bearer::Refused(refusal) => Err(refusal.clone()),
        Bearer::Known(holder) => {
            let granted = |topic: &String| holder.rights.may_subscribe(topic);
            if needs_token && !topics.iter().all(granted) {
                return Err(Refusal::new(
                    Status::Forbidden,
                    "The token does not grant all of these topics; its claim `mercure.subscribe` \
                     lists those that it does.",
                ));
            }
            Ok(Some(holder.clone()))
        }
    }
}

fn unauthorized(why: &str) -> Refusal {
    Refusal::new(
        Status::Unauthorized,
        format!("A token is needed as `Authorization: Bearer TOKEN`: {why}."),
    )
}
