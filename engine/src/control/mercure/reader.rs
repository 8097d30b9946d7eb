//! One request to the hub: its token, and what it asks for.
//!
//! Invariants: the token is looked at before the parameters, as the reference does, so that who may
//! not ask learns nothing of how to.
//!
//! Knows no sockets; bodies are read later.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Asked, Denied, What};
use crate::control::rights::{Holder, unix_seconds};
use crate::http::refusal::Status;
use crate::http::request::{BodyKind, Method, Request};
use crate::mercure::answer::{Fault, HUB_ALLOW, HUB_ALLOW_V1, READ_ALLOW};
use crate::mercure::form::{Form, is_form, is_malformed_type};
use crate::mercure::settings::{Settings, has_authority, hub_url};
use crate::mercure::subscribe::Ask;
use crate::mercure::subscription::Filter;
use crate::mercure::{METADATA_PATH, PATH, QUERY_TOKEN_V0, Version};
use crate::token::source::{Places, Presented, SourceError, presented};
use crate::token::{Dialect, Rights, TokenError, Verifiers};
use crate::topic::{PAIRS_MAX, pairs};

/// Reads one request.
pub(super) struct Reader<'a> {
    settings: &'a Settings,
    verifiers: &'a Verifiers,
    hub_url: String,
    /// The version by the token, and by the settings where there is none.
    version: Version,
    token: Presented<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        verifiers: &'a Verifiers,
        request: &Request<'a>,
    ) -> Result<Self, Denied> {
        let by_default = settings.speaks.by_default();
        let host = request.header("host");
        if !is_public(settings, host) {
            return Err(Fault::bare(by_default, Status::MisdirectedRequest).into());
        }
        let has_v0 = settings.speaks.has(Version::V0);
        let places = Places {
            dialect: if has_v0 { Dialect::V0 } else { Dialect::V1 },
            query: has_v0.then_some(QUERY_TOKEN_V0),
            cookies: &cookies(settings),
        };
        let token = presented(request, places).map_err(|error| match error {
            SourceError::QueryIsMalformed => Fault::bare(by_default, Status::BadRequest),
            _ => Fault::bad_source(by_default),
        })?;
        let version = token.token().map_or(by_default, |token| settings.speaks.of_token(token));
        Ok(Self { settings, verifiers, hub_url: hub_url(settings, host), version, token })
    }

    /// # Errors
    /// Why it is not served.
    pub(super) fn read(self, request: &Request<'_>) -> Result<Asked, Denied> {
        let mut version = self.version;
        let has_v1 = self.settings.speaks.has(Version::V1);
        let allow = if has_v1 { HUB_ALLOW_V1 } else { HUB_ALLOW };
        let what = match (request.path, request.method) {
            (PATH, Method::Get | Method::Head) => {
                let (ask, holder) = self.subscribe(request)?;
                version = ask.version;
                What::Subscribe { ask, holder, head: request.method == Method::Head }
            }
            (PATH, Method::Query) if has_v1 => self.query(request)?,
            (PATH, Method::Post) => What::Publish {
                rights: self.publish(request)?,
                is_form: is_form(request.header("content-type")),
            },
            (PATH, Method::Options) => What::Preflight(allow),
            (PATH, _) => return Err(Fault::method(version, allow).into()),
            (_, Method::Options) => What::Preflight(READ_ALLOW),
            (METADATA_PATH, Method::Get | Method::Head) if has_v1 => What::Metadata,
            (path, method) => {
                let filter = self.filter(path).ok_or_else(|| Fault::not_found(version))?;
                if !matches!(method, Method::Get | Method::Head) {
                    return Err(Fault::method(version, READ_ALLOW).into());
                }
                self.may_list(request)?;
                version = filter.version;
                let none_match = request.header("if-none-match").map(str::to_owned);
                What::Subscriptions { filter, none_match }
            }
        };
        let token = self.token.token().map(Rc::from);
        Ok(Asked { version, hub_url: self.hub_url, path: request.path.to_owned(), token, what })
    }

    /// The rights that the token gives in a role; none without a token.
    fn holder(&self, publishing: bool) -> Result<Option<Holder>, Denied> {
        let Some(token) = self.token.token() else { return Ok(None) };
        let by = if publishing { &self.verifiers.publishers } else { &self.verifiers.subscribers };
        let verifier = match self.version {
            Version::V0 => by.v0.as_ref(),
            Version::V1 => by.v1.as_ref(),
        };
        let verifier = verifier.ok_or_else(|| Fault::bad_token(self.version))?;
        match verifier.verify(token, unix_seconds(), &self.hub_url) {
            Ok(rights) => Ok(Some(Holder::new(rights, token))),
            Err(error) => Err(Denied {
                fault: Fault::bad_token(self.version),
                key_is_unknown: error == TokenError::UnknownKey,
            }),
        }
    }

    /// Version 0 asks for the token first, then for the parameters.
    fn subscribe(&self, request: &Request<'_>) -> Result<(Ask, Option<Holder>), Denied> {
        let form = Form::parse(request.query.unwrap_or_default().as_bytes());
        let shows_match = form.as_ref().is_ok_and(|form| {
            form.first("topic").is_none() && form.iter().any(|(name, _)| name.starts_with("match"))
        });
        let shows_v1 = shows_match && self.settings.speaks.has(Version::V1);
        let version = if shows_v1 { Version::V1 } else { self.version };
        let holder = self.subscriber(version)?;
        if request.body != BodyKind::None {
            return Err(Fault::bare(version, Status::BadRequest).into());
        }
        let form = form.map_err(|_| Fault::bare(version, Status::BadRequest))?;
        let id = last_event_id(request, version)?;
        let ask = ask(self.settings, &self.hub_url, &form, id.as_deref(), holder.as_ref())?;
        Ok((ask, holder))
    }

    /// A subscription by a form in the body (RFC 10008), which is read later.
    fn query(&self, request: &Request<'_>) -> Result<What, Denied> {
        let version = Version::V1;
        let holder = self.subscriber(version)?;
        // A body is not taken for what it does not say that it is (RFC 10008, section 2.1).
        let status = match request.header("content-type") {
            None => Some(Status::BadRequest),
            some if !is_form(some) => Some(Status::UnsupportedMediaType),
            Some(_) => None,
        };
        if let Some(status) = status {
            return Err(Fault::bare(version, status).into());
        }
        let form = Form::parse(request.query.unwrap_or_default().as_bytes());
        let form = form.map_err(|_| Fault::bare(version, Status::BadRequest))?;
        let last_event_id = last_event_id(request, version)?.map(Cow::into_owned);
        Ok(What::Query { form, last_event_id, holder })
    }

    /// Who subscribes, if it may.
    fn subscriber(&self, version: Version) -> Result<Option<Holder>, Denied> {
        // Without a key nobody can have a token, and what is sent as one is nobody's.
        let known = self.settings.subscribers.exist();
        let holder = if known { self.holder(false)? } else { None };
        if holder.is_none() && !self.settings.anonymous {
            return Err(Fault::no_token(version).into());
        }
        Ok(holder)
    }

    fn publish(&self, request: &Request<'_>) -> Result<Rc<Rights>, Denied> {
        let by_cookie = matches!(self.token, Presented::Cookie(_));
        let (origin, referer) = (request.header("origin"), request.header("referer"));
        // A browser sends cookies on its own, so the page has to be one that may publish.
        if by_cookie && !self.settings.publish_origins.vouch(origin, referer) {
            return Err(Fault::bad_source(self.version).into());
        }
        let holder = self.holder(true)?.ok_or_else(|| Fault::no_token(self.version))?;
        let query = Form::parse(request.query.unwrap_or_default().as_bytes());
        if query.is_err() || is_malformed_type(request.header("content-type")) {
            return Err(Fault::bare(self.version, Status::BadRequest).into());
        }
        // Version 0 takes a token that does not speak of publishing for none.
        match holder.rights.publish {
            None => Err(Fault::not_granted(self.version).into()),
            Some(_) => Ok(holder.rights),
        }
    }

    fn filter(&self, path: &str) -> Option<Filter> {
        if !self.settings.subscriptions {
            return None;
        }
        Filter::read(path, self.version, self.settings.speaks.has(Version::V1))
    }

    /// Who may see subscriptions is who may see the private updates of their path.
    fn may_list(&self, request: &Request<'_>) -> Result<(), Denied> {
        let holder = self.holder(false)?.ok_or_else(|| Fault::no_token(self.version))?;
        match holder.rights.may_subscribe(request.path) {
            true => Ok(()),
            false => Err(Fault::not_granted(self.version).into()),
        }
    }
}

/// What everybody may read, under whatever name it is asked for.
pub(super) fn plain(request: &Request<'_>, what: What) -> Result<Asked, Denied> {
    let what = match request.method {
        Method::Get | Method::Head => what,
        Method::Options => What::Preflight(READ_ALLOW),
        _ => return Err(Fault::method(Version::V0, READ_ALLOW).into()),
    };
    let path = request.path.to_owned();
    Ok(Asked { version: Version::V0, hub_url: String::new(), path, token: None, what })
}

/// What a subscriber asks for by a form that has been read whole.
///
/// # Errors
/// What is wrong with it, or that it is too much together with what the token grants.
pub(super) fn ask(
    settings: &Settings,
    hub_url: &str,
    form: &Form,
    header: Option<&str>,
    holder: Option<&Holder>,
) -> Result<Ask, Fault> {
    let mut ask = Ask::read(form, header, settings.speaks, hub_url)?;
    if ask.last_event_id.is_none() && settings.compatibility_7 {
        let id = form.first("Last-Event-ID").filter(|id| !id.is_empty());
        ask.last_event_id = id.map(str::to_owned);
    }
    let claims = holder.map_or(&[][..], |holder| &holder.rights.subscribe);
    // Which of them are found by their names is looked at only where there may be too many.
    let may_be_too_many = ask.wanted.len() * claims.len() > PAIRS_MAX;
    if may_be_too_many && pairs(&ask.selectors(), claims) > PAIRS_MAX {
        let text = format!(
            "too many topics in subscription: times the topics of the token that they are compared \
             with, they may be {PAIRS_MAX}"
        );
        return Err(Fault::new(ask.version, Status::BadRequest, text));
    }
    Ok(ask)
}

/// Where the header says that the stream goes on.
fn last_event_id<'a>(
    request: &Request<'a>,
    version: Version,
) -> Result<Option<Cow<'a, str>>, Fault> {
    match request.header_once("last-event-id") {
        Ok(id) => Ok(id.map(String::from_utf8_lossy)),
        Err(_) => Err(Fault::bare(version, Status::BadRequest)),
    }
}

/// The cookies that may have a token, those of version 1 first.
fn cookies(settings: &Settings) -> Vec<&str> {
    let v1 = settings.speaks.has(Version::V1).then_some(settings.cookie_v1.as_str());
    let v0 = settings.speaks.has(Version::V0).then_some(settings.cookie_v0.as_str());
    v1.into_iter().chain(v0).collect()
}

/// Whether the hub is to be reached under this host.
fn is_public(settings: &Settings, host: Option<&str>) -> bool {
    let origins = &settings.public_origins;
    let has_host = |host| origins.iter().any(|origin| has_authority(origin, host));
    origins.is_empty() || host.is_some_and(has_host)
}
