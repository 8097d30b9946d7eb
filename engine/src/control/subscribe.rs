//! From a request to a stream: the socket goes to the delivery lane with what it is sent first.
//!
//! Everything that can fail does so before the first byte, so whoever cannot have a stream is told
//! when to come back.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Control;
use super::connection::{After, Call, reply};
use super::rights::Holder;
use super::socket::{Socket, SocketError};
use crate::close::CloseReason;
use crate::delivery::SubscribeError;
use crate::delivery::lane::Lane;
use crate::event::EventId;
use crate::http::route::Subscription;
use crate::limits::Pass;
use crate::stream;
use crate::topic::{Gap, Interest, Resume};

/// Receive buffer of a stream's socket: nobody reads what a subscriber sends after its request, so
/// this bounds what it can make the kernel keep. The smallest the kernel takes is a little above.
const RECEIVE_BYTES: usize = 2048;

/// How long a new stream waits for its worker to have met the newest event, and how often it looks.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);
const CATCH_UP_PAUSE: Duration = Duration::from_millis(1);

/// Starts a stream, or sends the subscriber away for a while. Never with a status but 200: an
/// EventSource gives up for ever on any other.
pub(super) async fn subscribe<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    pass: Result<Pass, CloseReason>,
    subscription: &Subscription,
    call: &Call,
) -> After {
    let started = match pass {
        Ok(pass) => {
            catch_up(control).await;
            start(control, socket, pass, subscription, call)
        }
        Err(reason) => Err(reason),
    };
    match started {
        Ok(()) => After::Streaming,
        Err(reason) => shed(control, socket, call, Duration::ZERO, reason).await,
    }
}

/// Waits until this worker has met every event that has a number by now: whoever subscribes after a
/// publish was answered, by whichever worker, starts from a history that has it. Mostly there is
/// nothing to wait for; a worker that is far behind is not waited for long.
pub(super) async fn catch_up<L: Lane>(control: &Control<L>) {
    let newest = control.stats.sequence.get();
    let deadline = Instant::now() + CATCH_UP_TIMEOUT;
    while control.delivery.borrow().topics().head() < newest && Instant::now() < deadline {
        monoio::time::sleep(CATCH_UP_PAUSE).await;
    }
}

/// Gives the socket and its greeting to the delivery lane, or says why not; nothing has been sent
/// then. The lane takes a reference of its own to the socket; ours is closed with `socket`.
fn start<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    pass: Pass,
    subscription: &Subscription,
    call: &Call,
) -> Result<(), CloseReason> {
    let names = &subscription.topics;
    may_start(control, Interest::Topics(names))?;
    let (resume, greeting) = greeting(control, subscription, call);
    let interest = Interest::Topics(names);
    let holder = call.subscriber.as_ref().ok().and_then(Option::as_ref);
    hand_over(control, socket, pass, interest, (&resume, greeting), holder).map(|_| ())
}

/// Gives the socket to the delivery lane with what it is sent first; gives its slot. The stream ends
/// with the token of `holder`.
pub(super) fn hand_over<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    pass: Pass,
    interest: Interest<'_>,
    (resume, greeting): (&Resume, Vec<u8>),
    holder: Option<&Holder>,
) -> Result<u32, CloseReason> {
    // A kernel that keeps its own size keeps more garbage; nothing else is lost.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(socket.fd(), RECEIVE_BYTES);
    let term = holder.map(|holder| holder.term(control)).transpose()?;
    let whole = Whole("the delivery lane");
    let mut delivery = control.delivery.borrow_mut();
    let started = delivery.subscribe(interest, resume, socket.fd(), pass, greeting.into(), term);
    drop(whole);
    if let (Err(_), Some(token)) = (&started, term.and_then(|term| term.token)) {
        control.limits.leave_token(token);
    }
    match started {
        Ok(slot) => {
            control.stats().gaps.add(u64::from(resume.gap.is_some()));
            control.stats().topics.set(delivery.topics().count() as u64);
            control.nudge.give();
            Ok(slot)
        }
        Err(SubscribeError::Full) => Err(CloseReason::ConnectionsMax),
        Err(SubscribeError::Selectors) => Err(CloseReason::SelectorsMax),
        Err(SubscribeError::Kernel) => {
            control.stats().accept_failures.add(1);
            Err(CloseReason::Failed)
        }
    }
}

/// Whether a stream may start, by the topics and views that it adds. Which these are is looked at
/// closely only where there might be too many.
pub(super) fn may_start<L: Lane>(
    control: &Control<L>,
    interest: Interest<'_>,
) -> Result<(), CloseReason> {
    if control.is_draining() {
        return Err(CloseReason::Drained);
    }
    let delivery = control.delivery.borrow();
    let topics = delivery.topics();
    let has_room = |(count, bytes)| control.config.has_room_for(count, bytes, topics);
    match has_room(interest.new_upper_bound(topics)) || has_room(interest.new_count(topics)) {
        true => Ok(()),
        false => Err(CloseReason::TopicsMax),
    }
}

/// Where the stream starts, and the answer's head with all that comes before the first event.
fn greeting<L: Lane>(
    control: &Control<L>,
    subscription: &Subscription,
    call: &Call,
) -> (Resume, Vec<u8>) {
    let mut delivery = control.delivery.borrow_mut();
    let interest = Interest::Topics(&subscription.topics);
    let sequence_max = control.stats.sequence.get();
    let resume = match &subscription.last_event_id {
        None => delivery.topics().resume_live(sequence_max),
        Some(id) => delivery.topics().resume(interest, id, control.epoch, sequence_max),
    };
    let mut head = Vec::with_capacity(512);
    reply(control, call).stream_head(&mut head);
    let id = EventId { epoch: control.epoch, sequence: resume.sequence };
    let id = resume.gap.is_none().then_some(id);
    head.extend_from_slice(stream::greeting(delivery.retry_ms(), id).as_bytes());
    write_gap(control, &resume, &mut head);
    (resume, head)
}

/// The gap with which a stream begins, if it begins with one.
pub(super) fn write_gap<L>(control: &Control<L>, resume: &Resume, out: &mut Vec<u8>) {
    if let Some(reason) = resume.gap {
        let gap = Gap {
            reason,
            missing: None,
            resumes_after: resume.sequence,
            lost_through: resume.sequence,
        };
        out.extend_from_slice(&stream::gap(&gap, control.epoch));
    }
}

/// Says only when to come back: after `wait`, and then spread as everybody is.
pub(super) async fn shed<L: Lane>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    wait: Duration,
    reason: CloseReason,
) -> After {
    let retry_ms = control.delivery.borrow_mut().retry_ms() + wait.as_millis() as u64;
    let mut out = Vec::new();
    reply(control, call).shed(retry_ms, &mut out);
    let deadline = Instant::now() + control.config.write_timeout;
    match socket.write(&out, deadline).await {
        Ok(()) => After::Ended(reason),
        Err(SocketError::Late) => After::Ended(CloseReason::WriteTimeout),
        Err(SocketError::Broken) => After::Ended(CloseReason::PeerReset),
    }
}

/// Held while a task changes what all streams of the worker share. A panic meanwhile may leave it half
/// changed, so it is no matter of one connection: it ends the process.
struct Whole(&'static str);

impl Drop for Whole {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "downpour: a panic while {} was being changed; nothing is sure any more",
                self.0
            );
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    /// Runs this test again, as the process that is to end.
    const AGAIN: &str = "DOWNPOUR_TEST_PANICS";

    #[test]
    fn a_panic_in_shared_state_ends_the_process() {
        if std::env::var_os(AGAIN).is_some() {
            let _whole = Whole("a table, in this test,");
            panic!("a defect, made for this test");
        }
        drop(Whole("what no panic met"));
        let own = std::env::current_exe().expect("a test is a program");
        let name = "control::subscribe::tests::a_panic_in_shared_state_ends_the_process";
        let run = Command::new(own).args(["--exact", name, "--nocapture"]).env(AGAIN, "1").output();
        let run = run.expect("it was built");
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.signal(), Some(libc::SIGABRT), "{said}");
        assert!(said.contains("a table, in this test, was being changed"), "{said}");
    }
}
