//! How a task of a worker tells the same worker's pump that there is something to do.
//!
//! The doorbell is for other threads: it is a write to an eventfd, and the pump comes back to it
//! through the kernel. A task runs on the pump's own thread, so a flag and the pump's waker are
//! enough.
//!
//! It does not know what there is to do.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Nudge {
    given: Cell<bool>,
    pump: RefCell<Option<Waker>>,
}

impl Nudge {
    /// For a task, after it has given the pump something to do.
    pub(crate) fn give(&self) {
        self.given.set(true);
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    /// For the pump while it waits: true when a nudge was given since this was last asked. If not,
    /// the next one wakes the task that asks.
    pub(crate) fn take(&self, context: &Context<'_>) -> bool {
        let given = self.given.take();
        if !given {
            self.pump.replace(Some(context.waker().clone()));
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            // Relaxed: there is one thread.
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn nudges_wake_the_pump_once_for_each_time_that_it_found_none() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let context = Context::from_waker(&waker);
        let woken = || count.0.load(Ordering::Relaxed);
        let nudge = Nudge::default();
        nudge.give();
        assert!(nudge.take(&context), "what was given before is not lost");
        assert!(!nudge.take(&context));
        assert_eq!(woken(), 0);
        nudge.give();
        nudge.give();
        assert_eq!(woken(), 1);
        assert!(nudge.take(&context));
        assert!(!nudge.take(&context));
    }
}
