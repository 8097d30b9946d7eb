//! A server under test as a child process: started, waited for, signalled, ended.
//!
//! The idea: a process that we start must never outlive us unseen, so each runs in a process
//! group of its own and the whole group is killed when its handle is dropped.
//!
//! This module knows nothing of what the server serves.

#![expect(unsafe_code, reason = "kill(2) has no safe form in the standard library")]

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::clock;

/// How long a server may take to accept its first connection.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a server may take to end after SIGTERM before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between two looks at a process that is starting or ending.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
}

/// What can be sent to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Stand still, whatever the process does (SIGSTOP).
    Stop,
    /// Go on (SIGCONT).
    Continue,
    /// End in order (SIGTERM).
    Terminate,
    /// End now (SIGKILL).
    Kill,
}

impl ServerProcess {
    /// Starts a command line of the shell, silent on standard output.
    ///
    /// # Errors
    ///
    /// If there is no shell to start it.
    pub(crate) fn shell(line: &str) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::null());
        Self::start(&mut command)
    }

    /// The same on processors of its own, with the calling thread, and what it starts from then on,
    /// on others; an empty list changes nothing.
    ///
    /// # Errors
    ///
    /// As above, or if a processor is not allowed to this process.
    pub(crate) fn shell_on(line: &str, server: &[usize], ours: &[usize]) -> io::Result<Self> {
        if server.is_empty() {
            return Self::shell(line);
        }
        // Who is started runs where its parent does.
        clock::stay_on(server)?;
        let started = Self::shell(line);
        if !ours.is_empty() {
            clock::stay_on(ours)?;
        }
        started
    }

    /// Starts a command as it is.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: command.process_group(0).spawn()? })
    }

    /// The id of the process that was started, which leads its group.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends its standard input, if that was a pipe.
    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Its standard output, if that was a pipe, once.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until something accepts connections at `address`.
    ///
    /// # Errors
    ///
    /// If the process ends before, or takes longer than [`START_TIMEOUT`].
    pub(crate) fn wait_for(&mut self, address: SocketAddr) -> io::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let error = match TcpStream::connect_timeout(&address, START_TIMEOUT) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if let Some(status) = self.child.try_wait()? {
                let text = format!("the server ended ({status}) before it accepted at {address}");
                return Err(io::Error::other(text));
            }
            if Instant::now() >= deadline {
                let text = format!("the server does not accept at {address}: {error}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Sends a signal to the server and to everything that it started.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let number = signal.number();
        let group = -i32::try_from(self.child.id()).expect("process ids are positive i32");
        // SAFETY: kill takes two integers and touches no memory of ours. The group is the
        // child's own (it was started as its leader) and cannot be anyone else's: the child is
        // reaped only by methods of this type, and an unreaped leader keeps its id taken. Handing
        // out the child itself, to be waited for elsewhere, would break that.
        let result = unsafe { libc::kill(group, number) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Ends the server in order, or by force if it does not go.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for.
    pub(crate) fn end(mut self) -> io::Result<()> {
        let _ = self.signal(Signal::Terminate);
        let deadline = Instant::now() + END_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                return Ok(());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }
}

/// Sends a signal to a process that need not be ours.
///
/// # Errors
///
/// If it is gone, or may not be signalled by us.
pub(crate) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: kill takes two integers and touches no memory of ours. A positive id names one
    // process and never a group or all of them. Whose it is the user said, by --pid or --spawn.
    let result = unsafe { libc::kill(pid, signal.number()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Signal {
    fn number(self) -> i32 {
        match self {
            Signal::Stop => libc::SIGSTOP,
            Signal::Continue => libc::SIGCONT,
            Signal::Terminate => libc::SIGTERM,
            Signal::Kill => libc::SIGKILL,
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.signal(Signal::Kill);
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    #[test]
    fn a_dropped_server_takes_what_it_started_with_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & sleep 1000"]).stdout(Stdio::piped());
        let mut server = ServerProcess::start(&mut command).expect("a shell");
        let mut output = server.take_stdout().expect("piped");
        drop(server);
        // The pipe ends only when every process that holds it is gone.
        assert_eq!(output.read_to_end(&mut Vec::new()).expect("an end"), 0);
    }

    #[test]
    fn a_server_that_ends_at_once_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let mut server = ServerProcess::shell("exit 3").expect("a shell");
        let error = server.wait_for(address).expect_err("nobody listens");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_stopped_server_goes_on_where_it_was() {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = ServerProcess::start(&mut command).expect("cat");
        server.signal(Signal::Stop).expect("it runs");
        server.signal(Signal::Continue).expect("it is there");
        server.close_stdin();
        let mut output = server.take_stdout().expect("piped");
        assert_eq!(output.read_to_end(&mut Vec::new()).expect("an end"), 0);
        server.end().expect("it ends");
    }
}
