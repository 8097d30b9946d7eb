//! What sets are made of: topics and views, named by one number.

use std::fmt;

/// A topic or a view in the tables of a worker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(u32);

/// What a [`Member`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Topic(u32),
    View(u32),
}

impl Member {
    const VIEW: u32 = 1 << 31;

    pub(super) fn topic(index: u32) -> Member {
        assert!(index < Member::VIEW, "a worker has fewer topics");
        Member(index)
    }

    pub(super) fn view(index: u32) -> Member {
        assert!(index < Member::VIEW, "a worker has fewer views");
        Member(index | Member::VIEW)
    }

    #[inline]
    pub(super) fn source(self) -> Source {
        if self.0 & Member::VIEW == 0 {
            Source::Topic(self.0)
        } else {
            Source::View(self.0 & !Member::VIEW)
        }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source().fmt(f)
    }
}
