//! Which of the two delivery lanes runs.
//!
//! Where the kernel allows io_uring, both lanes of every worker use it; where it does not (Docker's
//! default seccomp profile, `kernel.io_uring_disabled`, RLIMIT_MEMLOCK), both use epoll. All workers
//! of an engine run the same.
//!
//! Knows neither how a lane works nor who decides.

use std::fmt;

/// The lane that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring.
    Uring {
        /// The kernel takes vectored sends without a message header (Linux 6.17).
        vectored: bool,
        /// Sockets of one ring.
        table: u32,
    },
    /// epoll and sendmsg.
    Epoll {
        /// Why not io_uring; none when it was not asked for.
        refused: Option<String>,
    },
}

impl Backend {
    /// The lane's name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Backend::Uring { .. } => "uring",
            Backend::Epoll { .. } => "epoll",
        }
    }

    /// The kernel features in use, as one word each.
    #[must_use]
    pub fn features(&self) -> &'static str {
        match self {
            Backend::Uring { vectored: true, .. } => "fixed_files send_vectorized",
            Backend::Uring { vectored: false, .. } => "fixed_files sendmsg",
            Backend::Epoll { .. } => "sendmsg",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.features())?;
        match self {
            Backend::Uring { table, .. } => write!(f, ", {table} sockets a ring"),
            Backend::Epoll { refused: Some(why) } => write!(f, "; io_uring is refused: {why}"),
            Backend::Epoll { refused: None } => Ok(()),
        }
    }
}
