//! Floor: bare connect and accept. How many connections per second, and what does one cost?
//!
//! Each thread has a descriptor table of its own, so the limit of open descriptors holds per
//! thread and not per process; it listens, connects to itself and accepts, and keeps both ends
//! until all are counted. What a server adds to this in kernel memory is its own doing.
//!
//! Slab figures are those of the whole machine: nothing else should open sockets meanwhile.
//! The result is one JSON object on standard output.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::Parser;
use downpour_benches::failure::{self, Doing, Failure};
use downpour_benches::procfs::{self, Slabs};
use downpour_benches::sys;
use serde::Serialize;
use socket2::SockRef;

/// Descriptors of a table that are not pairs: standard streams, the listener, spare.
const OTHER_DESCRIPTOR_COUNT: usize = 64;
/// Listeners have addresses 127.x.y.1, so a machine has room for this many.
const TABLE_COUNT_MAX: usize = 250 * 250;
/// From the last connection to the reading of the slabs: deferred frees pass.
const SETTLE_INTERVAL: Duration = Duration::from_millis(500);
/// Slab caches that grew by less than this per pair are left out.
const REPORTED_BYTES_MIN: f64 = 8.0;

/// Bare pairs of connected sockets, as many as asked for.
#[derive(Parser)]
struct Args {
    /// Pairs to make. Each needs about 8 KiB of kernel memory and two file handles.
    #[arg(long, default_value_t = 10_000)]
    pairs: usize,
    /// Tables that are filled at the same time, each by a thread of its own.
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    at_once: NonZeroUsize,
    /// Seconds to keep the pairs after they were counted.
    #[arg(long, default_value_t = 0)]
    hold: u64,
}

#[derive(Serialize)]
struct Report {
    pair_count: usize,
    table_count: usize,
    seconds: f64,
    pairs_per_second: f64,
    cpu_ns_per_pair: f64,
    /// TCP sockets that the machine had more at the end.
    socket_count: u64,
    slab_bytes_per_pair: f64,
    /// What became unavailable altogether, page tables and slack of the slabs included.
    memory_bytes_per_pair: f64,
    slab_bytes_per_pair_by_cache: BTreeMap<String, f64>,
}

fn main() -> ExitCode {
    failure::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result<(), Failure> {
    let tables = tables(args.pairs)?;
    let slabs = Slabs::now()?;
    let (sockets, _) = procfs::tcp_sockets()?;
    let available_bytes = procfs::meminfo_bytes("MemAvailable")?;

    let release = Arc::new(Barrier::new(tables.len() + 1));
    let begin = Instant::now();
    let (threads, cpu_ns) = fill(&tables, args.at_once.get(), &release)?;
    let seconds = begin.elapsed().as_secs_f64();

    thread::sleep(SETTLE_INTERVAL);
    let per_pair = |bytes: i64| bytes as f64 / args.pairs as f64;
    let growth = Slabs::now()?.growth(&slabs);
    let lost_bytes = available_bytes as i64 - procfs::meminfo_bytes("MemAvailable")? as i64;
    let report = Report {
        pair_count: args.pairs,
        table_count: tables.len(),
        seconds,
        pairs_per_second: args.pairs as f64 / seconds,
        cpu_ns_per_pair: cpu_ns as f64 / args.pairs as f64,
        socket_count: procfs::tcp_sockets()?.0 - sockets,
        slab_bytes_per_pair: per_pair(growth.iter().map(|(_, bytes)| bytes).sum()),
        memory_bytes_per_pair: per_pair(lost_bytes),
        slab_bytes_per_pair_by_cache: growth
            .into_iter()
            .map(|(cache, bytes)| (cache, per_pair(bytes)))
            .filter(|(_, bytes)| bytes.abs() >= REPORTED_BYTES_MIN)
            .collect(),
    };
    println!("{}", serde_json::to_string_pretty(&report).doing(|| "write the result".into())?);
    thread::sleep(Duration::from_secs(args.hold));
    release.wait();
    threads.into_iter().for_each(|thread| thread.join().expect("a table's thread does not panic"));
    Ok(())
}

/// How many pairs each descriptor table gets.
fn tables(pair_count: usize) -> Result<Vec<usize>, Failure> {
    let limit = sys::raise_descriptor_limit().doing(|| "raise the descriptor limit".into())?;
    let room = (limit as usize).saturating_sub(OTHER_DESCRIPTOR_COUNT) / 2;
    if room == 0 {
        return Err(Failure::new(format!("{limit} descriptors leave no room for a pair")));
    }
    let table_count = pair_count.div_ceil(room);
    if table_count > TABLE_COUNT_MAX {
        return Err(Failure::new(format!(
            "{pair_count} pairs need {table_count} tables, {TABLE_COUNT_MAX} are possible; \
             raise the descriptor limit or ask for fewer pairs"
        )));
    }
    Ok((0..table_count).map(|table| (pair_count - table * room).min(room)).collect())
}

/// Fills all tables, `at_once` (at least 1) at a time. Returns their threads, which wait for
/// `release`, and the CPU time it took, in nanoseconds.
fn fill(
    tables: &[usize],
    at_once: usize,
    release: &Arc<Barrier>,
) -> Result<(Vec<JoinHandle<()>>, u64), Failure> {
    let mut threads = Vec::new();
    let (done, made) = mpsc::channel();
    let mut cpu_ns = 0;
    // Threads keep their sender until released, so the end is a count and not a closed channel.
    let finish_one = || made.recv().expect("a sender is held here");
    for (table, pair_count) in tables.iter().copied().enumerate() {
        let (done, release) = (done.clone(), Arc::clone(release));
        threads.push(thread::spawn(move || {
            fill_table(table, pair_count, &done, &release);
        }));
        if table + 1 >= at_once {
            cpu_ns += finish_one()?;
        }
    }
    for _ in 0..tables.len().min(at_once - 1) {
        cpu_ns += finish_one()?;
    }
    Ok((threads, cpu_ns))
}

/// One thread: makes its pairs, reports, and keeps them until `release`.
fn fill_table(
    table: usize,
    pair_count: usize,
    done: &mpsc::Sender<Result<u64, Failure>>,
    release: &Barrier,
) {
    let begin_ns = sys::thread_cpu_ns();
    let pairs = make_pairs(table, pair_count);
    let cpu_ns = sys::thread_cpu_ns() - begin_ns;
    let (pairs, made) = match pairs {
        Ok(pairs) => (pairs, Ok(cpu_ns)),
        Err(failure) => (Vec::new(), Err(failure)),
    };
    // The receiver is gone only when another table has failed and the process is ending.
    let _ = done.send(made);
    release.wait();
    for (connected, _) in &pairs {
        // Closing resets: a million ports in TIME_WAIT would starve the next run.
        let _ = SockRef::from(connected).set_linger(Some(Duration::ZERO));
    }
}

fn make_pairs(table: usize, pair_count: usize) -> Result<Vec<(TcpStream, TcpStream)>, Failure> {
    sys::own_descriptor_table().doing(|| "get a descriptor table".into())?;
    let [low, high] = [table % 250, table / 250].map(|part| part as u8 + 1);
    let address = SocketAddr::from((Ipv4Addr::new(127, high, low, 1), 0));
    let listener = TcpListener::bind(address).doing(|| format!("listen on {address}"))?;
    let address = listener.local_addr().doing(|| "read the listener's address".into())?;
    let mut pairs = Vec::with_capacity(pair_count);
    for pair in 0..pair_count {
        let connected = TcpStream::connect(address)
            .doing(|| format!("connect pair {pair} of table {table}"))?;
        let (accepted, _) =
            listener.accept().doing(|| format!("accept pair {pair} of table {table}"))?;
        pairs.push((connected, accepted));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_filled_however_many_at_once() {
        for at_once in 1..=4 {
            let release = Arc::new(Barrier::new(4));
            let (threads, _) = fill(&[3, 2, 1], at_once, &release).expect("six pairs are few");
            release.wait();
            assert_eq!(threads.len(), 3);
        }
    }
}
