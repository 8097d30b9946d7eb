//! What the delivery lane is told by the configuration. Nothing here is checked: `config` has done
//! that.

use crate::config::cli::LagPolicy;
use crate::event::Epoch;
use crate::topic::Bounds;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliverySettings {
    /// Which life of the engine this is.
    pub(crate) epoch: Epoch,
    /// Bounds of the histories.
    pub(crate) bounds: Bounds,
    /// Subscribers at most.
    pub(crate) subscribers_max: usize,
    /// Ticks without a write after which a heartbeat is due; 0 for none.
    pub(crate) heartbeat_ticks: u32,
    /// Ticks without a byte taken after which a full socket is given up.
    pub(crate) write_timeout_ticks: u32,
    /// What to do with a subscriber that the history has moved past.
    pub(crate) lag: LagPolicy,
    /// Reconnection time, in milliseconds; jittered up to twice as much.
    pub(crate) retry_ms: u64,
    /// Bytes of evicted events that half-sent writes may hold.
    pub(crate) pinned_bytes_max: usize,
    /// How long a drain may take, in nanoseconds.
    pub(crate) drain_ns: u64,
}

impl DeliverySettings {
    /// Histories of `events_max` events a topic and no other bound: for tests, fuzzing and benches,
    /// where sockets and times are numbers.
    pub(crate) fn with_history(epoch: u64, events_max: usize) -> DeliverySettings {
        DeliverySettings {
            epoch: Epoch::new(epoch),
            bounds: Bounds {
                events_max,
                bytes_max: usize::MAX,
                bytes_total_max: usize::MAX,
                views_bytes_max: usize::MAX,
                age_ns_max: u64::MAX,
                forgotten_max: 100,
            },
            subscribers_max: usize::MAX,
            heartbeat_ticks: 20,
            write_timeout_ticks: 40,
            lag: LagPolicy::Skip,
            retry_ms: 1000,
            pinned_bytes_max: usize::MAX,
            drain_ns: 1_000_000_000,
        }
    }
}
