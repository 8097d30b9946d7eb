//! The workers' threads while the engine starts: what they all run on is found out here.
//!
//! Whether the kernel has io_uring's features is seen with a small ring. Whether it has memory for
//! all rings is known only when all are there, so every worker builds its own before any runs; where
//! one is refused, and io_uring was not demanded, all build for epoll instead.

use std::fmt;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::{StartError, failed, spawn_aborting};
use crate::backend::Backend;
use crate::config::cli::BackendChoice;
use crate::config::memory::Amount;
use crate::config::{Config, TABLE_FILES_MAX};
use crate::kernel::locked::rings_bytes_max;
use crate::kernel::uring::{UringRefusal, UringSupport};
use crate::worker::Parts;
use crate::worker::thread::{Order, obey, rings_bytes};

/// How often rings are tried for which there is room under RLIMIT_MEMLOCK, and how long after each
/// other: the kernel frees those of a process that has just ended a moment later.
const MEMORY_TRIES: u32 = 10;
const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// The threads, each with something built and none running.
#[derive(Debug)]
pub(super) struct Crew {
    orders: Vec<Sender<Order>>,
    reports: Receiver<io::Result<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts the workers' threads and has them build what is wanted and can be had.
///
/// # Errors
/// When the kernel refuses what is needed; it names what and the way out.
pub(super) fn muster(config: &Config, parts: Vec<Parts>) -> Result<(Backend, Crew), StartError> {
    let crew = Crew::new(parts)?;
    let refused = match config.backend {
        BackendChoice::Epoll => None,
        BackendChoice::Auto | BackendChoice::Uring => match crew.build_rings(config) {
            Ok(backend) => return Ok((backend, crew)),
            Err(refused) if config.backend == BackendChoice::Uring => {
                return Err(StartError(format!("--backend uring: {refused}")));
            }
            Err(refused) => Some(refused),
        },
    };
    let backend = Backend::Epoll { refused };
    crew.build(&backend).map_err(|error| failed(&error))?;
    Ok((backend, crew))
}

impl Crew {
    fn new(parts: Vec<Parts>) -> Result<Crew, StartError> {
        let (report, reports) = crossbeam_channel::bounded(parts.len());
        let (mut orders, mut threads) = (Vec::new(), Vec::new());
        for parts in parts {
            let (order, obeyed) = crossbeam_channel::bounded(1);
            let report = report.clone();
            let name = format!("worker-{}", parts.index);
            let thread = spawn_aborting(&name, move || obey(parts, &obeyed, &report))?;
            orders.push(order);
            threads.push(thread);
        }
        Ok(Crew { orders, reports, threads })
    }

    /// Has every worker build for `backend`, and waits for all; the first error is given.
    fn build(&self, backend: &Backend) -> io::Result<()> {
        self.order(|| Order::Build(backend.clone()));
        let reports = self.orders.iter().map(|_| self.reports.recv());
        let reports: Vec<_> = reports.map(|report| report.expect("a worker reports")).collect();
        reports.into_iter().collect()
    }

    /// Has every worker build its rings.
    fn build_rings(&self, config: &Config) -> Result<Backend, String> {
        let locked = Locked::of(config.workers);
        let support = UringSupport::probe();
        support.available.map_err(|refusal| match refusal {
            UringRefusal::Other(libc::ENOMEM) => locked.to_string(),
            other => other.to_string(),
        })?;
        let backend = Backend::Uring { vectored: support.vectored_send, table: table_files() };
        let mut tries = if locked.may_fit() { MEMORY_TRIES } else { 1 };
        loop {
            tries -= 1;
            match self.build(&backend) {
                Ok(()) => return Ok(backend),
                Err(error) if error.raw_os_error() != Some(libc::ENOMEM) => {
                    return Err(format!("a ring cannot be built: {error}"));
                }
                Err(_) if tries == 0 => return Err(locked.to_string()),
                Err(_) => thread::sleep(MEMORY_PAUSE),
            }
        }
    }

    /// Lets the workers run.
    pub(super) fn run(self) -> Vec<JoinHandle<()>> {
        self.order(|| Order::Run);
        self.threads
    }

    fn order(&self, order: impl Fn() -> Order) {
        for orders in &self.orders {
            orders.send(order()).expect("a worker waits for orders until it runs");
        }
    }
}

/// The kernel checks the size of a table against RLIMIT_NOFILE, and each table by itself.
fn table_files() -> u32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(TABLE_FILES_MAX).min(TABLE_FILES_MAX) as u32
}

/// The memory of all workers' rings. `Display` says why it is not to be had, and the way out.
struct Locked {
    workers: usize,
    bytes: u64,
    bytes_max: Option<u64>,
}

impl Locked {
    fn of(workers: usize) -> Locked {
        let bytes = rings_bytes(rustix::param::page_size() as u64) * workers as u64;
        Locked { workers, bytes, bytes_max: rings_bytes_max() }
    }

    /// Whether there is a place for it unless others have taken it.
    fn may_fit(&self) -> bool {
        self.bytes_max.is_some_and(|max| self.bytes <= max)
    }
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |bytes: u64| Amount(usize::try_from(bytes).unwrap_or(usize::MAX));
        let workers = match self.workers {
            1 => "1 worker".to_owned(),
            workers => format!("{workers} workers"),
        };
        write!(f, "the rings of {workers} take {}, more than ", amount(self.bytes))?;
        match self.bytes_max {
            Some(max) => write!(
                f,
                "RLIMIT_MEMLOCK leaves ({} for all processes of this user together); set \
                 LimitMEMLOCK=infinity (systemd) or run `ulimit -l unlimited`",
                amount(max),
            ),
            None => write!(f, "the kernel has left"),
        }
    }
}
