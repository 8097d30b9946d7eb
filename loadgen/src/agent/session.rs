//! One coordinator at an agent: greeting, plan, run, report.
//!
//! The idea: the run has the thread; one thread beside it reads orders and one sends what there is
//! to say, so that neither a slow network nor a slow coordinator holds up a measurement.
//!
//! Invariant: whatever ends a session, the agent is free behind it, and no subscriber is left.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::key::{self, Nonces, Role};
use super::protocol::{Order, Say, VERSION};
use super::wire::{self, Lines};
use super::{Agent, Busy, say};
use crate::clock;
use crate::run::Prepared;
use crate::run::cue::{self, Cue, Heard};

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The report is sent.
    Done,
    /// A plan was accepted, and there is no report.
    Failed,
    /// No plan was accepted.
    Refused,
}

/// Speaks with a coordinator until it is gone or has its report.
pub(super) fn hold(agent: &Agent, socket: TcpStream, from: SocketAddr) -> Outcome {
    let Ok((mut socket, mut lines)) = wire::halves(socket) else { return Outcome::Refused };
    let refused = |socket: &mut TcpStream, why: String| {
        say(&format!("{from} refused: {why}"));
        // It may be gone, or no coordinator at all.
        let _ = wire::send(socket, &Say::Refused(why));
        Outcome::Refused
    };
    if let Err(why) = admit(agent, &mut socket, &mut lines) {
        return refused(&mut socket, why);
    }
    let signal = Arc::new(AtomicUsize::new(0));
    let taken = {
        let mut busy = agent.busy();
        let other = busy.as_ref().map(|busy| busy.coordinator);
        busy.get_or_insert_with(|| Busy { coordinator: from, signal: signal.clone() });
        other
    };
    if let Some(other) = taken {
        return refused(&mut socket, format!("busy with a run of {other}; try again behind it"));
    }
    let _free = Free(agent);
    match prepare(agent, &mut socket, &mut lines) {
        Ok((prepared, about)) => {
            say(&format!("a run of {from}: {about}"));
            carry_out(prepared, &socket, lines, &signal)
        }
        Err(why) => refused(&mut socket, why),
    }
}

/// Makes the agent free again.
struct Free<'a>(&'a Agent);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        *self.0.busy() = None;
    }
}

/// Greets, and finds out whether who is there may give plans.
fn admit(agent: &Agent, socket: &mut TcpStream, lines: &mut Lines) -> Result<(), String> {
    let own = key::nonce()?;
    let hello =
        Say::Hello { version: VERSION.to_owned(), nonce: own.clone(), key: agent.key.is_some() };
    wire::send(socket, &hello).map_err(|error| error.to_string())?;
    let Order::Hello { version, nonce, proof } = lines.next()? else {
        return Err("a coordinator says hello first".to_owned());
    };
    if version != VERSION {
        return Err(format!(
            "this agent is version {VERSION}, the coordinator {version}: use the same program on \
             all machines"
        ));
    }
    if !key::is_nonce(&nonce) {
        return Err("no greeting of a coordinator".to_owned());
    }
    let nonces = Nonces { agent: &own, coordinator: &nonce };
    let mut ours = None;
    if let Some(key) = &agent.key {
        if !key.is_proved(Role::Coordinator, nonces, proof.as_deref()) {
            return Err("the coordinator does not have this agent's key".to_owned());
        }
        ours = Some(key.proof(Role::Agent, nonces));
    }
    wire::send(socket, &Say::Welcome { proof: ours }).map_err(|error| error.to_string())?;
    // From here on the coordinator waits for others as long as it takes; one that is gone is
    // noticed all the same.
    lines.trust(None).map_err(|error| error.to_string())
}

/// Takes a plan, and waits for the word to begin; with what it is about.
fn prepare(
    agent: &Agent,
    socket: &mut TcpStream,
    lines: &mut Lines,
) -> Result<(Prepared, String), String> {
    let Order::Plan(plan) = lines.next()? else {
        return Err("a plan comes first".to_owned());
    };
    let args = plan.args(&agent.flags)?;
    let about = format!("{} subscribers, {}", args.subscribers.0, args.urls.join(" "));
    let prepared = Prepared::new(args)?;
    let ready = Say::Ready { events: prepared.event_count() };
    wire::send(socket, &ready).map_err(|error| error.to_string())?;
    match lines.next()? {
        Order::Connect => Ok((prepared, about)),
        _ => Err("the word to connect comes behind the plan".to_owned()),
    }
}

/// Runs a plan, and sends what came of it.
fn carry_out(
    prepared: Prepared,
    socket: &TcpStream,
    lines: Lines,
    signal: &Arc<AtomicUsize>,
) -> Outcome {
    let Ok(writing) = socket.try_clone() else { return Outcome::Failed };
    let (says, to_say) = crossbeam_channel::unbounded();
    let (hears, heard) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        let _hang_up = HangUp(socket);
        let started = says.clone();
        scope.spawn(move || read(lines, &started, &hears, signal));
        let writer = scope.spawn(move || write(writing, &to_say, signal));
        let cue = Cue { says, hears: heard, signal: signal.clone() };
        let (last, outcome, text) = match prepared.carry_out(&cue) {
            Ok(part) => {
                let text = format!("done: {}", part.run.verdict.status.word());
                (Say::Report(Box::new(part)), Outcome::Done, text)
            }
            Err(failure) => {
                let text = format!("not carried out: {failure}");
                (Say::Failed(failure.to_string()), Outcome::Failed, text)
            }
        };
        cue.say(last);
        let is_sent = writer.join().unwrap_or(false);
        // The coordinator hangs up when it has read everything.
        while cue.hears.recv_timeout(wire::GREETING_TIMEOUT).is_ok() {}
        match is_sent || outcome == Outcome::Failed {
            true => say(&text),
            false => say("not carried out: the coordinator is gone"),
        }
        if is_sent { outcome } else { Outcome::Failed }
    })
}

/// Ends the connection, whatever happens: who reads from it is woken up.
struct HangUp<'a>(&'a TcpStream);

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Reads orders until the line is gone, which ends the run if it has not ended.
fn read(mut lines: Lines, says: &Sender<Say>, hears: &Sender<Heard>, signal: &AtomicUsize) {
    while let Ok(order) = lines.next() {
        let at_ns = clock::now_ns();
        match order {
            Order::Stop => signal.store(cue::STOPPED, Ordering::Relaxed),
            order => {
                if matches!(order, Order::Start) {
                    let _ = says.send(Say::Started);
                }
                // A run that is over needs no orders.
                let _ = hears.send(Heard { order, at_ns });
            }
        }
    }
    signal.store(cue::GONE, Ordering::Relaxed);
}

/// Sends what there is to say, up to the last word; whether that was sent.
fn write(mut socket: TcpStream, to_say: &Receiver<Say>, signal: &AtomicUsize) -> bool {
    for say in to_say {
        if wire::send(&mut socket, &say).is_err() {
            signal.store(cue::GONE, Ordering::Relaxed);
            return false;
        }
        if matches!(say, Say::Report(_) | Say::Failed(_)) {
            return true;
        }
    }
    false
}
