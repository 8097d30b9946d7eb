//! Floor: bare connect and accept. How many connections per second, and what does one cost? And
//! with all of them open: what does a bare `send(2)` to each in turn cost?
//!
//! Each thread has a descriptor table of its own, so the limit of open descriptors holds per
//! thread and not per process; it listens, connects to itself and accepts, and keeps both ends
//! until all are counted. What a server adds to this in kernel memory is its own doing.
//!
//! A broadcast goes from table to table: its thread sends a frame to each of its sockets, and only
//! this is measured; then another thread, on another CPU if one is named, reads them while the next
//! table sends. So no receiver is woken by a send, and nothing is as cheap as this at that size.
//!
//! Slab figures are those of the whole machine: nothing else should open sockets meanwhile.
//! The result is one JSON object on standard output.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread::{self, JoinHandle, ScopedJoinHandle};
use std::time::{Duration, Instant};

use clap::Parser;
use downpour_benches::failure::{self, Doing, Failure};
use downpour_benches::procfs::{self, Slabs};
use downpour_benches::{frame, sys};
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
/// Data of a broadcast: that of the load generator's events.
const DATA_BYTES: usize = 100;

/// Bare pairs of connected sockets, as many as asked for.
#[derive(Parser)]
struct Args {
    /// Pairs to make. Each needs about 8 KiB of kernel memory and two file handles.
    #[arg(long, default_value_t = 10_000)]
    pairs: usize,
    /// Tables that are filled at the same time, each by a thread of its own.
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    at_once: NonZeroUsize,
    /// Broadcasts to all pairs, after they were counted.
    #[arg(long, default_value_t = 0)]
    broadcasts: u64,
    /// CPU of the threads that read them; that of the senders if it is not given.
    #[arg(long)]
    read_cpu: Option<usize>,
    /// Seconds to keep the pairs after all.
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
    /// Of each broadcast.
    cpu_ns_per_send: Vec<f64>,
}

/// A full table: what makes it send a broadcast, given its number, or let go of its pairs.
struct Table {
    orders: mpsc::Sender<u64>,
    thread: JoinHandle<()>,
}

/// What the threads of tables report: CPU time of what they were last asked for, in nanoseconds.
type Reports = mpsc::Receiver<Result<u64, Failure>>;

type Pair = (TcpStream, TcpStream);

fn main() -> ExitCode {
    failure::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result<(), Failure> {
    let tables = tables(args.pairs)?;
    let slabs = Slabs::now()?;
    let (sockets, _) = procfs::tcp_sockets()?;
    let available_bytes = procfs::meminfo_bytes("MemAvailable")?;

    let begin = Instant::now();
    let (tables, reports, cpu_ns) = fill(&tables, args.at_once.get(), args.read_cpu)?;
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
        cpu_ns_per_send: broadcast(&tables, &reports, args)?,
    };
    println!("{}", serde_json::to_string_pretty(&report).doing(|| "write the result".into())?);
    thread::sleep(Duration::from_secs(args.hold));
    let (orders, threads): (Vec<_>, Vec<_>) =
        tables.into_iter().map(|table| (table.orders, table.thread)).unzip();
    drop(orders);
    threads.into_iter().for_each(|thread| thread.join().expect("a table's thread does not panic"));
    Ok(())
}

/// Sends the broadcasts, each to one table after the other; gives the CPU time of a send in each.
fn broadcast(tables: &[Table], reports: &Reports, args: &Args) -> Result<Vec<f64>, Failure> {
    let mut costs = Vec::new();
    for number in 0..args.broadcasts {
        let mut cpu_ns = 0;
        for table in tables {
            table.orders.send(number).expect("a table waits for orders");
            cpu_ns += reports.recv().expect("a table reports")?;
        }
        costs.push(cpu_ns as f64 / args.pairs as f64);
    }
    Ok(costs)
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

/// Fills all tables, `at_once` (at least 1) at a time. Returns them, and the CPU time it took, in
/// nanoseconds.
fn fill(
    tables: &[usize],
    at_once: usize,
    read_cpu: Option<usize>,
) -> Result<(Vec<Table>, Reports, u64), Failure> {
    let mut filled = Vec::new();
    let (reporter, reports) = mpsc::channel();
    let mut cpu_ns = 0;
    // Threads keep their sender for ever, so the end is a count and not a closed channel.
    let finish_one = || reports.recv().expect("a sender is held here");
    for (table, pair_count) in tables.iter().copied().enumerate() {
        let reporter = reporter.clone();
        let (orders, ordered) = mpsc::channel();
        let thread = thread::spawn(move || {
            keep_table((table, pair_count), read_cpu, &ordered, &reporter);
        });
        filled.push(Table { orders, thread });
        if table + 1 >= at_once {
            cpu_ns += finish_one()?;
        }
    }
    for _ in 0..tables.len().min(at_once - 1) {
        cpu_ns += finish_one()?;
    }
    Ok((filled, reports, cpu_ns))
}

/// One thread: makes its pairs, reports, and keeps them as long as orders may come.
fn keep_table(
    (table, pair_count): (usize, usize),
    read_cpu: Option<usize>,
    orders: &mpsc::Receiver<u64>,
    reporter: &mpsc::Sender<Result<u64, Failure>>,
) {
    let begin_ns = sys::thread_cpu_ns();
    let pairs = make_pairs(table, pair_count);
    let cpu_ns = sys::thread_cpu_ns() - begin_ns;
    let (pairs, made) = match pairs {
        Ok(pairs) => (pairs, Ok(cpu_ns)),
        Err(failure) => (Vec::new(), Err(failure)),
    };
    // The receiver is gone only when another table has failed and the process is ending.
    let _ = reporter.send(made);
    thread::scope(|scope| {
        let mut reading: Option<ScopedJoinHandle<'_, Result<(), Failure>>> = None;
        while let Ok(number) = orders.recv() {
            let read = reading.take().map_or(Ok(()), join);
            let _ = reporter.send(read.and_then(|()| send_all(&pairs, number)));
            reading = Some(scope.spawn(|| read_all(&pairs, read_cpu)));
        }
    });
    for (connected, _) in &pairs {
        // Closing resets: a million ports in TIME_WAIT would starve the next run.
        let _ = SockRef::from(connected).set_linger(Some(Duration::ZERO));
    }
}

fn join(reading: ScopedJoinHandle<'_, Result<(), Failure>>) -> Result<(), Failure> {
    reading.join().expect("reading does not panic")
}

/// The hot loop: a frame to each pair. Returns its CPU time in nanoseconds.
fn send_all(pairs: &[Pair], number: u64) -> Result<u64, Failure> {
    let mut bytes = Vec::new();
    frame::encode(number, &[b'x'; DATA_BYTES], &mut bytes);
    let begin_ns = sys::thread_cpu_ns();
    for (_, accepted) in pairs {
        let mut accepted = accepted;
        accepted.write_all(&bytes).doing(|| "send a frame".into())?;
    }
    Ok(sys::thread_cpu_ns() - begin_ns)
}

/// Takes what each pair was sent, so that the next broadcast finds empty sockets.
fn read_all(pairs: &[Pair], cpu: Option<usize>) -> Result<(), Failure> {
    if let Some(cpu) = cpu {
        sys::stay_on_cpu(cpu).doing(|| format!("read on CPU {cpu}"))?;
    }
    let mut buffer = [0; 4096];
    for (connected, _) in pairs {
        let mut connected = connected;
        connected.read(&mut buffer).doing(|| "read a frame".into())?;
    }
    Ok(())
}

fn make_pairs(table: usize, pair_count: usize) -> Result<Vec<Pair>, Failure> {
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
            let (tables, reports, _) = fill(&[3, 2, 1], at_once, None).expect("six pairs are few");
            assert_eq!(tables.len(), 3);
            assert!(reports.try_recv().is_err(), "each has reported once");
        }
    }

    #[test]
    fn every_broadcast_is_sent_to_all_and_read() {
        let args =
            Args { pairs: 6, at_once: NonZeroUsize::MIN, broadcasts: 5, read_cpu: None, hold: 0 };
        let (tables, reports, _) = fill(&[3, 2, 1], 1, None).expect("six pairs are few");
        let costs = broadcast(&tables, &reports, &args).expect("all is sent");
        assert_eq!(costs.len(), 5);
        assert!(costs.iter().all(|cost| *cost > 0.0));
    }
}
