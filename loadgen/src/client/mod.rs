//! Very many subscribers on few threads.
//!
//! | module | knows |
//! | --- | --- |
//! | `deal` | which thread reads which subscriber |
//! | `source` | which address a subscriber leaves from |
//! | `subscriber` | one subscriber: the bytes of its stream, up to events |
//! | `course` | what all threads share of a run: the plan, the moment, the phase |
//! | `record` | what the events of one thread's subscribers mean: ledgers, cells, moments |
//! | `offence` | which of them met which fault, by name |
//! | `life` | when a subscriber leaves to come anew |
//! | `bursts` | which events were sent apart and arrived together |
//! | `latencies` | what is kept of one subscriber's latencies |
//! | `relative` | events that carry no stamp, known by their content |
//! | `tally` | what one thread counted in one interval |
//! | `cells` | per event: how many got it, first, half, last |
//! | `watch` | waiting for several rings at once |
//! | `socket`, `ring` | system calls; all unsafe code of the subscribers |
//! | `reader` | one thread: rings, sessions, and all of the above |
//! | `fleet` | all threads |

mod bursts;
pub(crate) mod cells;
pub(crate) mod course;
pub(crate) mod deal;
pub(crate) mod fleet;
pub(crate) mod latencies;
pub(crate) mod life;
mod offence;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod relative;
mod ring;
pub(crate) mod socket;
pub(crate) mod source;
mod subscriber;
pub(crate) mod tally;
mod watch;

/// Whether this machine lets us make rings as the readers need them.
///
/// # Errors
///
/// Why not.
pub(crate) fn can_make_rings() -> Result<(), String> {
    ring::Ring::new(1, &[], false, 0).map(drop).map_err(|error| error.to_string())
}
