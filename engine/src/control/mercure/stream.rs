//! A subscription to the hub becomes a stream.
//!
//! Invariants: who cannot have a stream now is answered 200 and when to come back, as everywhere.
//!
//! Knows nothing of how a request was authorised.

use std::rc::Rc;
use std::time::Duration;

use super::{Asked, EARLIEST, What, fault_of, hub, reader, refuse, roster, say, send_away};
use crate::close::CloseReason;
use crate::control::Control;
use crate::control::connection::{After, Call};
use crate::control::publish::{Failed, read_body};
use crate::control::rights::Holder;
use crate::control::socket::Socket;
use crate::control::subscribe::{catch_up, hand_over, may_start, write_gap};
use crate::delivery::lane::Lane;
use crate::http::refusal::Status;
use crate::limits::Pass;
use crate::mercure::Version;
use crate::mercure::answer::{Fault, header_id};
use crate::mercure::form::Form;
use crate::mercure::subscribe::Ask;
use crate::selector::Selector;
use crate::topic::{Interest, Resume, Standing};

/// Bytes of a subscription's body, at most, as of the reference: a hundred matchers of 4 KiB fit.
const QUERY_BYTES_MAX: usize = 1 << 20;

/// The other half of a subscription, in the body, to the one in the query: both count, and of what
/// may stand once the query's counts.
///
/// # Errors
/// What became of the connection instead: the subscriber has been told.
pub(super) async fn ask<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    call: &Call,
    asked: &Asked,
    (query, last_event_id): (&Form, &Option<String>),
) -> Result<Ask, After> {
    let settings = &hub(control).settings;
    let bytes_max = settings.body_bytes_max.unwrap_or(QUERY_BYTES_MAX);
    let body = match read_body(control, socket, buffer, call, bytes_max).await {
        Ok(body) => body,
        Err(Failed::Refused(refusal)) => {
            let fault = fault_of(asked.version, refusal);
            return Err(refuse(control, socket, call, &fault, false).await);
        }
        Err(Failed::Ended(reason)) => return Err(After::Ended(reason)),
    };
    let holder = match &asked.what {
        What::Query { holder, .. } => holder.as_ref(),
        _ => None,
    };
    let form = Form::parse(&body).and_then(|form| query.with(form));
    let read = match form {
        Ok(form) => reader::ask(settings, &asked.hub_url, &form, last_event_id.as_deref(), holder),
        Err(_) => Err(Fault::bare(Version::V1, Status::BadRequest)),
    };
    match read {
        Ok(ask) => Ok(ask),
        Err(fault) => Err(refuse(control, socket, call, &fault, true).await),
    }
}

/// Starts a stream, or sends the subscriber away for a while.
pub(super) async fn open<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    pass: Result<Pass, CloseReason>,
    call: &Call,
    asked: &Asked,
    (ask, holder): (&Ask, Option<&Holder>),
) -> After {
    let started = match pass {
        Ok(pass) => {
            catch_up(control).await;
            start(control, socket, pass, call, asked, (ask, holder))
        }
        Err(reason) => Err(reason),
    };
    match started {
        Ok(()) => After::Streaming,
        Err(reason) => send_away(control, socket, call, Duration::ZERO, reason).await,
    }
}

/// Hands the socket over with the head of its stream.
fn start<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    pass: Pass,
    call: &Call,
    asked: &Asked,
    (ask, holder): (&Ask, Option<&Holder>),
) -> Result<(), CloseReason> {
    let selectors = ask.selectors();
    let rights = holder.map(|holder| &*holder.rights);
    let claims: &[Selector] = rights.map_or(&[], |rights| &rights.subscribe);
    let interest = Interest::Selectors { selectors: &selectors, claims };
    may_start(control, interest)?;
    let (resume, id) = resume(control, interest, ask.last_event_id.as_deref());
    let mut head = Vec::with_capacity(768);
    say(control, call, asked, |answer| answer.stream(ask.version, id.as_deref(), &mut head));
    write_gap(control, &resume, &mut head);
    let is_listed = hub(control).settings.subscriptions;
    let number = is_listed.then(|| roster::enter(control, ask, rights));
    let started = hand_over(control, socket, pass, interest, (&resume, head), holder);
    if let Some(number) = number {
        match started {
            Ok(slot) => roster::begin(control, number, slot),
            Err(_) => roster::withdraw(control, number),
        }
    }
    started.map(|_| ())
}

/// Where a stream starts, and what the answer says of it to a client that has asked.
fn resume<L: Lane>(
    control: &Control<L>,
    interest: Interest<'_>,
    asked: Option<&str>,
) -> (Resume, Option<String>) {
    let delivery = control.delivery.borrow();
    let topics = delivery.topics();
    let sequence_max = control.stats.sequence.get();
    let Some(id) = asked else { return (topics.resume_live(sequence_max), None) };
    if id.is_empty() {
        return (topics.resume_live(sequence_max), Some(EARLIEST.into()));
    }
    let resume = topics.resume(interest, id, control.epoch, sequence_max);
    let is_placed = resume.gap.is_none() && resume.standing == Standing::Resumed;
    let is_whole = is_placed && !topics.has_lost(interest, resume.sequence);
    let said = header_id(id).filter(|_| is_whole).unwrap_or(EARLIEST);
    (resume, Some(said.to_owned()))
}
