//! The engine as a whole: it is put together, drained, and stopped here.
//!
//! Everything that can be refused is refused before the first worker runs: addresses, the publish
//! key, what the kernel has to give (`crew`). After that a thread that ends by a panic ends the
//! process: a broken invariant of shared state is no state to go on in.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::Receiver;
use rustix::event::{EventfdFlags, eventfd};
use socket2::{Domain, Protocol, Socket, Type};

use crate::backend::Backend;
use crate::config::key::PublishKey;
use crate::config::memory::MemoryBound;
use crate::config::{ACCEPT_BACKLOG, Config};
use crate::control::Room;
use crate::control::admin::{self, Admin};
use crate::control::command::{Command, WorkerHandle};
use crate::control::mercure::Hub;
use crate::event::Epoch;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::limits::rate::Rates;
use crate::mercure::settings::Settings;
use crate::ring::{Admission, Doorbell, RingReceiver, RingSender, ring};
use crate::sequencer::Sequencer;
use crate::stats::Stats;
use crate::submission::Numbered;
use crate::token::Verifiers;
use crate::worker::thread::epoll_runtime;
use crate::worker::{Parts, ring_eventfd};

mod crew;

/// How often an address in use is tried, and how long after each other: for a second in all.
const BIND_TRIES: u32 = 10;
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// What went wrong at the start, in words for the operator.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    /// Addresses of the public interface, with the ports the kernel chose.
    pub listen: Vec<SocketAddr>,
    /// Address of the admin interface.
    pub admin: Option<SocketAddr>,
    backend: Backend,
    config: Arc<Config>,
    keys: Arc<Keys>,
    stats: Arc<Stats>,
    handles: Vec<WorkerHandle>,
    workers: Vec<JoinHandle<()>>,
    /// The workers' listeners once more, to end them at once.
    listeners: Vec<TcpListener>,
}

impl Engine {
    /// Starts the engine.
    ///
    /// # Errors
    /// When an address cannot be bound, the kernel refuses what is needed, or the key file is bad.
    pub fn start(config: Config) -> Result<Engine, StartError> {
        let config = Arc::new(config);
        let key = read_key(config.publish_key_file.as_deref())?;
        let keys = Arc::new(Keys::read(Arc::clone(&config)).map_err(StartError)?);
        let (verifiers, asked) = (keys.verifiers(), crossbeam_channel::bounded(1));
        let asking = keys.has_urls().then_some(asked.0);
        let (listen, listeners) = listen(&config)?;
        let kept = cloned(&listeners).map_err(|error| failed(&error))?;
        let stats = Arc::new(Stats::new(config.workers));
        let epoch = Epoch::new(random());
        let (room, limits) = (room(&config), limits(&config));
        let (senders, seeds) = seeds(&config).map_err(|error| failed(&error))?;
        let handles: Vec<WorkerHandle> = seeds.iter().map(|seed| seed.handle.clone()).collect();
        let (sequencer, intake) =
            Sequencer::new(epoch, senders, Arc::clone(&stats), config.ring_events);
        let admin_socket = config.admin.map(bind_admin).transpose()?;
        start_sequencer(sequencer, config.cpus.clone())?;
        let hub = config.mercure.clone().map(|settings| Arc::new(Hub::new(settings)));
        let mut parts = Vec::new();
        for (index, (seed, listeners)) in seeds.into_iter().zip(listeners).enumerate() {
            parts.push(Parts {
                config: Arc::clone(&config),
                index,
                epoch,
                listeners,
                ring: seed.ring,
                eventfd: seed.eventfd,
                doorbell: seed.doorbell,
                commands: seed.commands,
                intake: intake.clone(),
                room: Arc::clone(&room),
                limits: Arc::clone(&limits),
                stats: Arc::clone(&stats),
                key: key.clone(),
                hub: hub.clone(),
                verifiers: Arc::clone(&verifiers),
                asking: asking.clone(),
            });
        }
        let (backend, crew) = crew::muster(&config, parts)?;
        let admin = admin_socket.as_ref().map(|(address, _)| *address);
        if let Some((_, listener)) = admin_socket {
            let config = Arc::clone(&config);
            let (backend, stats, handles) = (backend.clone(), Arc::clone(&stats), handles.clone());
            let admin = Admin { config, backend, stats, room, limits, handles, epoch };
            start_admin(admin, listener)?;
        }
        let workers = crew.run();
        if asking.is_some() {
            start_fetching(&keys, asked.1, handles.clone())?;
        }
        Ok(Engine {
            listen,
            admin,
            backend,
            config,
            keys,
            stats,
            handles,
            workers,
            listeners: kept,
        })
    }

    /// Says on stderr what runs where, and what it may take.
    pub fn announce(&self, bound: &MemoryBound) {
        let config = &self.config;
        eprintln!(
            "downpour {}: {} on CPUs {:?}, backend {}",
            env!("CARGO_PKG_VERSION"),
            match config.workers {
                1 => "1 worker".to_owned(),
                workers => format!("{workers} workers"),
            },
            (0..config.workers).map(|worker| config.cpu_of(worker)).collect::<Vec<_>>(),
            self.backend,
        );
        eprintln!("{bound}");
        for address in &self.listen {
            eprintln!("downpour: listening on http://{address}");
        }
        if let Some(address) = self.admin {
            eprintln!("downpour: admin on http://{address}");
        }
        if !config.native {
            return;
        }
        match (&config.publish_key_file, &config.tokens) {
            (Some(_), None) => eprintln!("downpour: publishing needs the key"),
            (Some(_), Some(_)) => eprintln!("downpour: publishing needs the key or a token"),
            (None, Some(_)) => eprintln!("downpour: publishing needs a token"),
            (None, None) if config.is_loopback_only() => {
                eprintln!("downpour: publishing needs no key, from this machine");
            }
            (None, None) => {
                eprintln!("downpour: publishing is OPEN to everyone who reaches this server");
            }
        }
    }

    /// Reads the files of the publish key and of the keys of tokens again; false when there is none
    /// to read. `hub` has the settings of the Mercure hub as they are now, whose keys come into force.
    ///
    /// # Errors
    /// When a file is bad; all keys stay as they were.
    pub fn reload_keys(&self, hub: Option<&Settings>) -> Result<bool, StartError> {
        let key = read_key(self.config.publish_key_file.as_deref())?;
        let files_count = self.keys.read_again(hub).map_err(StartError)?;
        for handle in &self.handles {
            handle.send(Command::Key(key.clone()));
        }
        send_verifiers(&self.handles, &self.keys.verifiers());
        Ok(key.is_some() || files_count > 0 || hub.is_some())
    }

    /// Stops taking connections and events, tells every subscriber when to come back, and waits until
    /// all streams are closed: `--drain-timeout` at most, but for what a socket call takes.
    pub fn drain(self) {
        // Relaxed: each worker learns of it by its command, whose channel orders.
        self.stats.draining.store(true, Ordering::Relaxed);
        // A ring may hold a listener until after the process has ended; the port is free now.
        for listener in &self.listeners {
            let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
        }
        for handle in &self.handles {
            handle.send(Command::Drain);
        }
        for worker in self.workers {
            // A worker that panics aborts the process.
            let _ = worker.join();
        }
    }
}

/// What belongs to a worker before it has a thread.
struct Seed {
    ring: RingReceiver<Numbered>,
    eventfd: OwnedFd,
    doorbell: Arc<Doorbell>,
    handle: WorkerHandle,
    commands: Receiver<Command>,
}

type Made = (RingSender<Numbered>, Seed);

/// Ring, doorbell and commands of every worker.
fn seeds(config: &Config) -> io::Result<(Vec<RingSender<Numbered>>, Vec<Seed>)> {
    let (mut senders, mut seeds) = (Vec::new(), Vec::new());
    for _ in 0..config.workers {
        let (sender, seed) = made(config)?;
        senders.push(sender);
        seeds.push(seed);
    }
    Ok((senders, seeds))
}

fn made(config: &Config) -> io::Result<Made> {
    let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let rung = eventfd.try_clone()?;
    let doorbell = Arc::new(Doorbell::new(move || ring_eventfd(rung.as_fd())));
    let (sender, receiver) = ring(config.ring_events, Arc::clone(&doorbell));
    let (handle, commands) = WorkerHandle::new(Arc::clone(&doorbell));
    Ok((sender, Seed { ring: receiver, eventfd, doorbell, handle, commands }))
}

fn cloned(listeners: &[Vec<TcpListener>]) -> io::Result<Vec<TcpListener>> {
    listeners.iter().flatten().map(TcpListener::try_clone).collect()
}

/// Room for what is on its way to the workers.
fn room(config: &Config) -> Arc<Room> {
    Arc::new(Room {
        events: Admission::new(config.ring_events, config.workers),
        bytes: Admission::new(config.ring_bytes_max(), config.workers),
    })
}

fn limits(config: &Config) -> Arc<Limits> {
    let per_address = config.connections_per_address_max.unwrap_or(0) as u32;
    let per_token = config.streams_per_token_max.unwrap_or(0) as u32;
    let burst = config.rates.requests_burst;
    let rates = |per_second: u32| (per_second > 0).then(|| Rates::new(per_second, burst));
    let [of_networks, of_tokens] = config.rates.per_second().map(rates);
    let limits = Limits::new(config.connections_max, per_address, per_token);
    Arc::new(limits.with_rates(of_networks, of_tokens))
}

fn start_sequencer(sequencer: Sequencer, cpus: Vec<usize>) -> Result<JoinHandle<()>, StartError> {
    spawn_aborting("sequencer", move || {
        stay_on(&cpus);
        sequencer.run();
    })
}

/// Starts the thread that fetches keys; it ends when no worker is left to ask.
fn start_fetching(
    keys: &Arc<Keys>,
    asked: Receiver<()>,
    handles: Vec<WorkerHandle>,
) -> Result<JoinHandle<()>, StartError> {
    let keys = Arc::clone(keys);
    spawn_aborting("keys", move || {
        keys.run(&asked, |verifiers| send_verifiers(&handles, &verifiers));
    })
}

fn send_verifiers(handles: &[WorkerHandle], verifiers: &Arc<Verifiers>) {
    for handle in handles {
        handle.send(Command::Verifiers(Arc::clone(verifiers)));
    }
}

fn start_admin(admin: Admin, listener: TcpListener) -> Result<JoinHandle<()>, StartError> {
    // By epoll on either backend: its few connections are not worth a ring.
    let made = || epoll_runtime().expect("what a worker's runtime needs, this one gets as well");
    spawn_aborting("admin", move || {
        stay_on(&admin.config.cpus);
        made().block_on(admin::serve(admin, listener));
    })
}

/// Keeps the calling thread on the CPUs that the engine was given.
fn stay_on(cpus: &[usize]) {
    // Where the mask is refused the thread runs wherever the process may, which is no error.
    let _ = monoio::utils::bind_to_cpu_set(cpus.iter().copied());
}

/// A thread whose panic ends the process.
fn spawn_aborting(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let named = name.to_owned();
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            eprintln!("downpour: the {named} thread has panicked; the process ends");
            std::process::abort();
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(guarded).map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> StartError {
    let hint = match error.raw_os_error() {
        Some(libc::EMFILE) => "; raise the descriptor limit (ulimit -n, LimitNOFILE=)",
        Some(libc::EAGAIN) => "; raise the limit of threads (ulimit -u, TasksMax=)",
        _ => "",
    };
    StartError(format!("the kernel refuses a thread or a descriptor: {error}{hint}"))
}

fn read_key(path: Option<&Path>) -> Result<Option<PublishKey>, StartError> {
    let Some(path) = path else { return Ok(None) };
    let named = |error: &dyn fmt::Display| {
        StartError(format!("--publish-key-file {}: {error}", path.display()))
    };
    let text = fs::read(path).map_err(|error| named(&error))?;
    PublishKey::from_file_text(&text).map(Some).map_err(|error| named(&error))
}

/// The addresses bound, and each worker's listeners for them.
type Bound = (Vec<SocketAddr>, Vec<Vec<TcpListener>>);

/// Binds every address once for each worker. The kernel spreads connections over the listeners of
/// an address (`SO_REUSEPORT`).
fn listen(config: &Config) -> Result<Bound, StartError> {
    let mut listeners: Vec<Vec<TcpListener>> = (0..config.workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for &wanted in &config.listen {
        let named = |error| not_bound("--listen", wanted, &error);
        // Another process of ours that listens there would silently share the port.
        if wanted.port() != 0 {
            bind_alone(wanted, config).map_err(named)?;
        }
        let mut address = wanted;
        for worker in &mut listeners {
            let listener = bind(address, true, config).map_err(named)?;
            address = listener.local_addr().map_err(named)?;
            worker.push(listener);
        }
        addresses.push(address);
    }
    Ok((addresses, listeners))
}

/// Binds an address that nobody else may listen on. The sockets of a process that has just been
/// killed can be held by its rings for a moment longer.
fn bind_alone(address: SocketAddr, config: &Config) -> io::Result<TcpListener> {
    let mut tries = BIND_TRIES;
    loop {
        tries -= 1;
        match bind(address, false, config) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {
                thread::sleep(BIND_PAUSE);
            }
            bound => return bound,
        }
    }
}

fn not_bound(flag: &str, address: SocketAddr, error: &io::Error) -> StartError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; another process listens there: give another port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    };
    StartError(format!("{flag} {address}: {error}{hint}"))
}

/// A listener whose connections inherit what every stream needs.
fn bind(address: SocketAddr, shared: bool, config: &Config) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Small events must not wait for the acknowledgement of the one before (Nagle).
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = config.socket_send_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_tcp_notsent_lowat(config.socket_unsent_bytes as u32)?;
    // A peer that acknowledges nothing is given up after as long as one that reads nothing.
    socket.set_tcp_user_timeout(Some(config.write_timeout))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_BACKLOG)?;
    Ok(socket.into())
}

fn bind_admin(address: SocketAddr) -> Result<(SocketAddr, TcpListener), StartError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, listener))
    };
    bind().map_err(|error| not_bound("--admin", address, &error))
}

/// Unpredictable enough that two lives of the engine never have the same epoch.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
