//! One coordinator at an agent: greeting, plan, run, report.
//!
//! The idea: the run has the thread; one thread beside it reads orders and one sends what there is
//! to say, so that neither a slow network nor a slow coordinator holds up a measurement.
//!
//! Invariant: whatever ends a session, the agent is free behind it, and no subscriber is left; it is
//! free before its coordinator hears that it is.

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
    let signal = Arc::new(AtomicUsize::new(0));
    let who = Busy { coordinator: from, signal: signal.clone() };
    let taken = match admit(agent, who, &mut socket, &mut lines) {
        Ok(taken) => taken,
        Err(why) => return refused(&mut socket, why),
    };
    match prepare(agent, &mut socket, &mut lines) {
        Ok((prepared, about)) => {
            let _counted = Counted::begin(agent);
            say(&format!("a run of {from}: {about}"));
            carry_out(prepared, taken, &socket, lines, &signal)
        }
        Err(why) => {
            drop(taken);
            refused(&mut socket, why)
        }
    }
}

/// A run that has begun, as long as it is not reported.
struct Counted<'a>(&'a Agent);

impl Counted<'_> {
    fn begin(agent: &Agent) -> Counted<'_> {
        agent.runs.fetch_add(1, Ordering::Relaxed);
        Counted(agent)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.runs.fetch_sub(1, Ordering::Release);
    }
}

/// The agent, as long as it is nobody else's.
struct Taken<'a>(&'a Agent);

impl Taken<'_> {
    /// Takes the agent, or says who has it.
    fn by(agent: &Agent, who: Busy) -> Result<Taken<'_>, String> {
        let mut busy = agent.busy();
        match busy.as_ref() {
            Some(Busy { coordinator, .. }) => {
                Err(format!("busy with a run of {coordinator}; try again behind it"))
            }
            None => {
                *busy = Some(who);
                Ok(Taken(agent))
            }
        }
    }
}

/// It is free again.
impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.busy() = None;
    }
}

/// Greets, finds out whether who is there may give plans, and is his from then on.
fn admit<'a>(
    agent: &'a Agent,
    who: Busy,
    socket: &mut TcpStream,
    lines: &mut Lines,
) -> Result<Taken<'a>, String> {
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
    let taken = Taken::by(agent, who)?;
    wire::send(socket, &Say::Welcome { proof: ours }).map_err(|error| error.to_string())?;
    // From here on the coordinator waits for others as long as it takes; one that is gone is
    // noticed all the same.
    lines.trust(None).map_err(|error| error.to_string())?;
    Ok(taken)
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
    taken: Taken<'_>,
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
        drop(taken);
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
