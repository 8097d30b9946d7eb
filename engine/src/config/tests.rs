use clap::Parser;
use clap::error::ErrorKind;

use super::cli::{Cli, Command};
use super::memory::{Amount, Side};
use super::*;
use crate::event::Event;

const TWO_CPUS: [usize; 2] = [0, 1];

fn read(words: &[&str]) -> Result<ServeArgs, clap::Error> {
    let words = std::iter::once(&"downpour").chain(words).map(Into::into);
    match Cli::read(words)?.command {
        Command::Serve(args) | Command::Doctor(args) => Ok(*args),
    }
}

fn config(words: &[&str]) -> Result<Config, Refused> {
    Config::resolve(read(words).unwrap_or_else(|error| panic!("{words:?}: {error}")), &TWO_CPUS)
}

/// What is printed for a value that its flag alone does not allow.
fn refusal(words: &[&str]) -> String {
    match read(words) {
        Ok(_) => panic!("{words:?} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn without_a_command_it_serves_with_the_documented_defaults() {
    let config = config(&[]).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.admin, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!((config.workers, config.cpus.as_slice()), (2, &TWO_CPUS[..]));
    assert_eq!(config.history_events, 16_384);
    assert_eq!(config.history_bytes, 16 << 20);
    assert_eq!(config.history_bytes_total, 256 << 20);
    assert_eq!(config.history_age, Some(Duration::from_mins(10)));
    assert_eq!(config.event_bytes_max, 1 << 20);
    assert_eq!(config.topics_max, 1_000_000);
    assert_eq!(config.topics_per_subscriber_max, 256);
    assert_eq!(config.connections_max, 1_100_000);
    assert_eq!(config.connections_per_address_max, None);
    assert_eq!(config.heartbeat, Duration::from_secs(15));
    assert_eq!(config.retry, Duration::from_secs(3));
    assert_eq!(config.lag, LagPolicy::Skip);
    assert_eq!(config.write_timeout, Duration::from_secs(30));
    assert_eq!(config.handshake_timeout, Duration::from_secs(10));
    assert_eq!(config.idle_timeout, Duration::from_secs(75));
    assert_eq!(config.drain_timeout, Duration::from_secs(10));
    assert_eq!(config.backend, BackendChoice::Auto);
    assert_eq!(config.socket_send_bytes, Some(256 << 10));
    assert_eq!(config.socket_unsent_bytes, 16 << 10);
    assert_eq!(config.ring_events, 16_384);
    assert_eq!(config.publish_key_file, None);
    assert_eq!(config.cors, Cors::SameOrigin);
    assert!(config.start_page);
}

#[test]
fn flags_may_follow_the_program_or_the_command() {
    for words in [
        &["--listen", ":0", "--publish-open"][..],
        &["serve", "--listen", ":0", "--publish-open"],
        &["doctor", "--listen", ":0", "--publish-open"],
    ] {
        assert_eq!(config(words).unwrap().listen, ["0.0.0.0:0".parse().unwrap()], "{words:?}");
    }
    assert!(matches!(
        Cli::read(["downpour".into(), "doctor".into()]).unwrap().command,
        Command::Doctor(_)
    ));
    for (word, kind) in [
        ("--help", ErrorKind::DisplayHelp),
        ("--version", ErrorKind::DisplayVersion),
        ("sevre", ErrorKind::InvalidSubcommand),
        ("--lisen", ErrorKind::UnknownArgument),
    ] {
        assert_eq!(read(&[word]).unwrap_err().kind(), kind, "{word}");
    }
    assert!(Cli::read([]).is_ok(), "a program without a name");
}

#[test]
fn values_are_read_as_written() {
    let words = "--listen 127.0.0.1:1 [::1]:2 --listen localhost:3 --admin off --workers 4 \
                 --cpus 1,0 --history-age 0 --socket-send-bytes 0 --connections-per-address-max 9 \
                 --lag disconnect --backend epoll --start-page off --connections-max 1_000 \
                 --cors-origin https://a.example https://b.example --publish-key-file k";
    let config = config(&words.split_whitespace().collect::<Vec<_>>()).unwrap();
    let listen: Vec<SocketAddr> =
        ["127.0.0.1:1", "[::1]:2", "127.0.0.1:3"].iter().map(|a| a.parse().unwrap()).collect();
    assert_eq!(config.listen, listen);
    assert_eq!((config.admin, config.workers), (None, 4));
    assert_eq!((0..4).map(|w| config.cpu_of(w)).collect::<Vec<_>>(), [1, 0, 1, 0]);
    assert_eq!((config.history_age, config.socket_send_bytes), (None, None));
    assert_eq!(config.connections_per_address_max, Some(9));
    assert_eq!((config.lag, config.backend), (LagPolicy::Disconnect, BackendChoice::Epoll));
    assert_eq!(config.connections_max, 1_000);
    let origins = vec!["https://a.example".into(), "https://b.example".into()];
    assert_eq!(config.cors, Cors::Listed(origins));
    assert_eq!(config.publish_key_file, Some("k".into()));
    assert!(!config.start_page);
}

#[test]
fn workers_follow_the_cpus_asked_for() {
    let one = config(&["--cpus", "1"]).unwrap();
    assert_eq!((one.workers, one.cpu_of(0)), (1, 1));
    let three = config(&["--cpus", "1", "--workers", "3"]).unwrap();
    assert_eq!((three.workers, three.cpu_of(2)), (3, 1));
}

#[test]
fn a_value_out_of_range_is_refused_with_flag_value_and_range() {
    for (flag, value, range) in [
        ("--workers", "0", "from 1 to 256"),
        ("--workers", "257", "from 1 to 256"),
        ("--workers", "two", "from 1 to 256"),
        ("--workers", "+2", "from 1 to 256"),
        ("--workers", "-2", "from 1 to 256"),
        ("--cpus", "3-1", "list of CPUs from 0 to 8191"),
        ("--listen", "example.com:80", "must be ADDRESS:PORT"),
        ("--admin", "on", "or `off`"),
        ("--cors-origin", "app.example", "must be * or an origin"),
        ("--start-page", "maybe", "auto"),
        ("--publish-open=maybe", "", "maybe"),
        ("--event-bytes-max", "63", "from 64 to 64MiB"),
        ("--event-bytes-max", "1XB", "from 64 to 64MiB"),
        ("--history-events", "0", "from 1 to 1073741824"),
        ("--history-bytes", "1KiB", "from 4KiB to 1TiB"),
        ("--history-bytes-total", "1KiB", "from 64KiB to 16TiB"),
        ("--history-age", "10", "from 1s to 365d, or 0"),
        ("--topics-max", "0", "from 1 to 1073741824"),
        ("--topics-per-subscriber-max", "0", "from 1 to 65536"),
        ("--connections-max", "0", "from 1 to 100000000"),
        ("--connections-per-address-max", "x", "from 0 to 100000000"),
        ("--heartbeat", "0", "from 1s to 1h"),
        ("--retry", "99ms", "from 100ms to 1h"),
        ("--lag", "wait", "disconnect"),
        ("--write-timeout", "2h", "from 1s to 1h"),
        ("--handshake-timeout", "1ms", "from 100ms to 1h"),
        ("--idle-timeout", "0", "from 100ms to 1h"),
        ("--drain-timeout", "1d", "from 100ms to 1h, or 0"),
        ("--backend", "kqueue", "uring"),
        ("--socket-send-bytes", "1KiB", "from 4KiB to 64MiB, or 0"),
        ("--socket-unsent-bytes", "0", "from 1KiB to 64MiB"),
        ("--ring-events", "15", "from 16 to 16777216"),
    ] {
        let words: Vec<&str> = [flag, value].into_iter().filter(|word| !word.is_empty()).collect();
        let said = match value.starts_with('-') {
            true => refusal(&[&format!("{flag}={value}")]),
            false => refusal(&words),
        };
        let (name, _) = flag.split_once('=').unwrap_or((flag, ""));
        assert!(said.contains(name), "{flag} {value}: the flag is missing in: {said}");
        assert!(said.contains(value), "{flag} {value}: the value is missing in: {said}");
        assert!(said.contains(range), "{flag} {value}: '{range}' is missing in: {said}");
    }
}

#[test]
fn values_that_contradict_each_other_are_refused_with_what_would_fit() {
    for (words, says) in [
        (
            "--event-bytes-max 32MiB",
            "invalid value '32MiB' for '--event-bytes-max': one event must fit its topic's \
             history: at most --history-bytes 16MiB",
        ),
        (
            "--history-bytes 1GiB",
            "invalid value '1GiB' for '--history-bytes': one topic's history must fit all of them: \
             at most --history-bytes-total 256MiB",
        ),
        (
            "--topics-max 100",
            "invalid value '256' for '--topics-per-subscriber-max': there are fewer topics in all: \
             at most --topics-max 100",
        ),
        (
            "--socket-send-bytes 8KiB",
            "invalid value '16KiB' for '--socket-unsent-bytes': it is a part of the send buffer: \
             at most --socket-send-bytes 8KiB",
        ),
        (
            "--cpus 0,5",
            "invalid value '0,5' for '--cpus': CPU 5 is not open to this process; 0-1 are",
        ),
        (
            "--listen :80",
            "invalid value '0.0.0.0:80' for '--listen': other machines reach this address, and \
             could publish to every subscriber. Give --publish-key-file FILE to ask publishers for \
             a key, or --publish-open to let anyone publish",
        ),
        (
            "--publish-open --publish-key-file /k",
            "invalid value 'true' for '--publish-open': --publish-key-file /k asks for a key; give \
             one of the two",
        ),
        ("--listen 8080 8080", "invalid value '127.0.0.1:8080' for '--listen': it is given twice"),
        (
            "--listen 9090",
            "invalid value '127.0.0.1:9090' for '--admin': it is also a --listen address; give it \
             another port, or `off`",
        ),
        (
            "--cors-origin * https://a.example",
            "invalid value '*' for '--cors-origin': it stands for every origin; leave the others \
             out",
        ),
    ] {
        let words: Vec<_> = words.split_whitespace().collect();
        assert_eq!(config(&words).unwrap_err().to_string(), says);
    }
}

#[test]
fn publishing_from_other_machines_needs_a_key_or_a_word() {
    assert!(config(&["--listen", ":80", "--publish-open"]).is_ok());
    assert!(config(&["--listen", ":80", "--publish-key-file", "k"]).is_ok());
    assert!(config(&["--listen", "127.9.9.9:80", "[::1]:80"]).is_ok());
    assert!(config(&["--listen", "127.0.0.1:80", "10.0.0.1:80"]).is_err(), "one is enough");
    assert!(config(&["--listen", "[::ffff:10.0.0.1]:80"]).is_err());
}

#[test]
fn the_start_page_is_on_by_itself_on_loopback_only() {
    let page = |words: &[&str]| config(words).unwrap().start_page;
    assert!(page(&["--listen", "[::1]:80"]));
    assert!(!page(&["--listen", ":80", "--publish-open"]));
    assert!(page(&["--listen", ":80", "--publish-open", "--start-page", "on"]));
    assert!(!page(&["--start-page", "off"]));
}

#[test]
fn every_flag_has_its_environment_variable_and_a_row_in_the_table() {
    let table = Cli::flag_table();
    let cli = <Cli as clap::CommandFactory>::command();
    let serve = cli.find_subcommand("serve").unwrap();
    let mut count = 0;
    for arg in serve.get_arguments().filter(|arg| arg.get_id() != "help") {
        let long = arg.get_long().expect("every flag has a long name");
        let env = format!("DOWNPOUR_{}", long.to_uppercase().replace('-', "_"));
        assert_eq!(arg.get_env().and_then(|e| e.to_str()), Some(env.as_str()), "--{long}");
        assert!(table.contains(&format!("| `--{long}")), "--{long} is not in the table");
        assert!(table.contains(&format!("| `{env}` |")), "{env} is not in the table");
        assert!(arg.get_help().is_some(), "--{long} has no help");
        count += 1;
    }
    assert_eq!(table.lines().count(), count + 2, "one row per flag and two of head");
    assert!(table.contains("| `--history-age D` | `DOWNPOUR_HISTORY_AGE` | 10m | "));
    assert!(table.contains("| `--publish-open` | `DOWNPOUR_PUBLISH_OPEN` |  | "));
}

/// Runs this test program again with the variables set: the environment of a process that has
/// threads cannot be changed safely.
fn with_environment(test: &str, variables: &[(&str, &str)]) {
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--quiet"])
        .envs(variables.iter().copied())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed; run it with {variables:?} to see why");
}

#[test]
fn the_environment_sets_what_the_command_line_does_not() {
    with_environment(
        "config::tests::read_from_the_environment",
        &[
            ("DOWNPOUR_LISTEN", "127.0.0.1:1,127.0.0.1:2"),
            ("DOWNPOUR_WORKERS", "3"),
            ("DOWNPOUR_HISTORY_BYTES", "32MiB"),
            ("DOWNPOUR_PUBLISH_OPEN", "yes"),
            ("DOWNPOUR_CORS_ORIGIN", "https://a.example,https://b.example"),
            ("DOWNPOUR_HEARTBEAT", "1ms"),
        ],
    );
}

#[test]
#[ignore = "run by the_environment_sets_what_the_command_line_does_not"]
fn read_from_the_environment() {
    let args = read(&["--heartbeat", "20s", "--workers", "5"]).unwrap();
    assert_eq!(args.listen.len(), 2);
    assert_eq!(args.workers, Some(5), "the command line wins");
    assert_eq!(args.history_bytes.0, 32 << 20);
    assert!(args.publish_open);
    assert_eq!(args.cors_origin.len(), 2);
    let said = refusal(&[]);
    assert!(said.contains("--heartbeat") && said.contains("1ms") && said.contains("from 1s to 1h"));
}

#[test]
fn the_command_line_is_well_formed() {
    <Cli as clap::CommandFactory>::command().debug_assert();
    assert!(Cli::try_parse_from(["downpour"]).is_err(), "`read` adds the command, clap needs one");
}

#[test]
fn the_memory_bound_is_the_sum_of_its_terms_and_grows_with_every_limit() {
    let base = config(&[]).unwrap().memory_bound();
    for side in [Side::User, Side::Kernel] {
        let sum: usize = base.terms.iter().filter(|t| t.side == side).map(|t| t.bytes).sum();
        assert_eq!(base.total(side), sum);
    }
    for words in [
        ["--connections-max", "2000000"],
        ["--topics-max", "2000000"],
        ["--history-bytes-total", "512MiB"],
        ["--ring-events", "32768"],
        ["--event-bytes-max", "16MiB"],
        ["--workers", "3"],
    ] {
        let bound = config(&words).unwrap().memory_bound();
        assert!(bound.total(Side::User) > base.total(Side::User), "{words:?}");
    }
    let twice = config(&["--connections-max", "2200000"]).unwrap().memory_bound();
    assert_eq!(twice.total(Side::Kernel), 2 * base.total(Side::Kernel));
    assert_eq!(base.stalled_subscriber_bytes, Some(512 << 10));
}

#[test]
fn the_memory_bound_prints_each_term_with_its_reason() {
    let bound = config(&["--workers", "1", "--connections-max", "1000"]).unwrap().memory_bound();
    let text = bound.to_string();
    for term in &bound.terms {
        assert!(text.contains(term.what) && text.contains(&term.how), "{}", term.what);
    }
    assert!(text.starts_with("memory bound, user: "));
    assert!(text.contains("    125 KiB  subscribers: 1000 connections × 128 B\n"), "{text}");
    assert!(text.contains("    3.9 MiB  sockets: 1000 connections × 4096 B\n"), "{text}");
    assert!(text.contains("up to 512 KiB for each subscriber that stops reading"), "{text}");
    let kernels_choice = config(&["--socket-send-bytes", "0"]).unwrap().memory_bound().to_string();
    assert!(kernels_choice.contains("tcp_wmem"));
}

#[test]
fn no_event_becomes_a_larger_frame_than_the_bound_says() {
    let config = config(&["--event-bytes-max", "64"]).unwrap();
    for data in ["\r".repeat(64), "\n".repeat(64), "\r\n".repeat(32), "x".repeat(64)] {
        let (topic, name, id) = ("t".repeat(255), "n".repeat(256), "i".repeat(256));
        let event = Event {
            topic: &topic,
            data: &data,
            event: Some(&name),
            id: Some(&id),
            retry: Some(86_400_000),
        };
        let bytes = event.encode().unwrap().memory_bytes();
        assert!(bytes <= config.frame_bytes_max(), "{bytes} bytes");
        assert!(bytes > 255 + 512 + 64, "the event is not as large as it could be");
    }
    assert!(config.ring_bytes_max() >= config.frame_bytes_max());
    assert!(config.pinned_bytes_max() >= config.frame_bytes_max());
}

#[test]
fn amounts_are_short() {
    for (bytes, text) in [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1.0 KiB"),
        (10 << 10, "10 KiB"),
        (1_536 << 20, "1.5 GiB"),
        (3 << 40, "3.0 TiB"),
        (5_000 << 40, "5000 TiB"),
    ] {
        assert_eq!(Amount(bytes).to_string(), text);
    }
}
