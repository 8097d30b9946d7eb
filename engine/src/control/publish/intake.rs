//! The way in: whether events may be taken, and handing them to the sequencer.
//!
//! Invariant: what is handed in was admitted, so it is never refused later.

use std::collections::HashSet;
use std::rc::Rc;

use crate::control::Control;
use crate::control::tickets::Ticket;
use crate::delivery::lane::Lane;
use crate::event::Draft;
use crate::http::refusal::{Refusal, Status};
use crate::sequencer::Handed;
use crate::submission::{Drafts, Origin, Submission};

/// Hands events to the sequencer; the ticket waits for them to come round.
pub(in crate::control) fn hand_in<L: Lane>(
    control: &Rc<Control<L>>,
    drafts: Drafts,
) -> Result<Ticket, Refusal> {
    try_hand_in(control, drafts).map_err(|(refusal, _)| {
        control.stats().overloads.add(u64::from(refusal.status == Status::ServiceUnavailable));
        refusal
    })
}

pub(in crate::control) fn try_hand_in<L: Lane>(
    control: &Rc<Control<L>>,
    drafts: Drafts,
) -> Result<Ticket, (Refusal, Drafts)> {
    let list = match &drafts {
        Drafts::One(draft) => std::slice::from_ref(draft),
        Drafts::Many(drafts) => drafts,
    };
    let count = list.len() as u64;
    let bytes = list.iter().map(Draft::memory_bytes).sum::<usize>() as u64;
    if let Err(refusal) = check(control, list, bytes) {
        return Err((refusal, drafts));
    }
    if control.room.events.admit(count).is_err() {
        return Err((overload(), drafts));
    }
    if control.room.bytes.admit(bytes).is_err() {
        control.room.events.withdraw(count);
        return Err((overload(), drafts));
    }
    let ticket = control.tickets.issue();
    let origin = Origin { worker: control.worker, ticket: ticket.number() };
    if control.intake.hand_in(Submission { drafts, origin }) == Handed::Numbered {
        control.nudge.give();
    }
    control.stats().published.add(count);
    Ok(ticket)
}

/// What no waiting would change, and a drain.
fn check<L: Lane>(control: &Control<L>, drafts: &[Draft], bytes: u64) -> Result<(), Refusal> {
    if control.is_draining() {
        let detail = "This server is stopping; publish to it again when it is back.";
        return Err(Refusal::overloaded(detail, 5));
    }
    let config = &control.config;
    if drafts.len() > config.ring_events || bytes > config.ring_bytes_max() as u64 {
        let detail = format!(
            "At most {} events with {} bytes fit in one array; send more of them as \
             application/x-ndjson.",
            config.ring_events,
            config.ring_bytes_max()
        );
        return Err(Refusal::new(Status::ContentTooLarge, detail));
    }
    let delivery = control.delivery.borrow();
    let topics = delivery.topics();
    // Nearly always all of them are known, and nothing is collected.
    let named = |draft| Draft::topics(draft).map(|name| (name, draft.is_private()));
    let new: HashSet<(&str, bool)> = drafts
        .iter()
        .flat_map(named)
        .filter(|(name, private)| !topics.contains(name, *private))
        .collect();
    let bytes = new.iter().map(|(name, _)| name.len()).sum();
    if !config.has_room_for(new.len(), bytes, topics) {
        let detail = format!(
            "There are {} topics and no more are allowed (--topics-max). Topics go when their \
             events are too old and nobody subscribes.",
            topics.count() + topics.view_count()
        );
        return Err(Refusal::overloaded(detail, 60));
    }
    Ok(())
}

fn overload() -> Refusal {
    Refusal::overloaded(
        "More events are on their way to the subscribers than --ring-events allows; nothing of \
         this request was taken.",
        1,
    )
}
