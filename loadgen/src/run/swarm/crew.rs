//! The agents of a run, and what each of them has said.
//!
//! The idea: a thread reads each agent's lines into one box. An agent whose line ends, that says
//! nothing for too long, or says that it failed, is lost; nobody waits for it any more.

use std::collections::VecDeque;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::super::args::Args;
use crate::agent::key::{self, Key, Nonces, Role};
use crate::agent::plan::Plan;
use crate::agent::protocol::{Order, Part, Say, Tally, VERSION};
use crate::agent::wire::{self, GREETING_TIMEOUT, Lines};
use crate::clock;
use crate::failure::Failure;
use crate::report::model::series::Interval;

/// An agent has a row to send every second, until it puts its report together.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// Rows of agents that wait for those of others: minutes, and then the oldest are shown no more.
const ROWS_MAX: usize = 300;

/// An agent.
#[derive(Debug)]
pub(super) struct Member {
    /// As on the command line.
    pub(super) name: String,
    pub(super) subscribers: u64,
    socket: TcpStream,
    /// Why it is lost.
    pub(super) lost: Option<String>,
    is_lost_told: bool,
    rows: VecDeque<Interval>,
    /// Its open streams when all were up.
    pub(super) up: Option<u64>,
    /// When it had the word to start, at the latest.
    pub(super) started_ns: Option<u64>,
    pub(super) is_drained: bool,
    pub(super) tally: Option<Tally>,
    pub(super) part: Option<Part>,
}

/// All agents, in the order of the command line.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) members: Vec<Member>,
    /// To be read by threads of their own, once the agents have their plans.
    lines: Vec<Lines>,
    inbox: (Sender<Word>, Receiver<Word>),
}

/// What an agent has said, and when it was heard.
#[derive(Debug)]
struct Word {
    member: usize,
    at_ns: u64,
    say: Result<Say, String>,
}

/// Threads that read end when their line does.
impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Crew {
    /// Connects to all agents, and greets.
    ///
    /// # Errors
    ///
    /// Which agent is not there, or not for us.
    pub(super) fn call(args: &Args, plans: &[Plan]) -> Result<Crew, Failure> {
        let key = args.agents_key.as_deref().map(Key::read).transpose();
        let key = key.map_err(|error| Failure::Usage(format!("--agents-key {error}")))?;
        let (mut members, mut lines) = (Vec::new(), Vec::new());
        for (name, plan) in args.agents.iter().zip(plans) {
            let (socket, line) = greet(name, key.as_ref()).map_err(|error| named(name, &error))?;
            lines.push(line);
            members.push(Member {
                name: name.clone(),
                subscribers: plan.subscribers(),
                socket,
                lost: None,
                is_lost_told: false,
                rows: VecDeque::new(),
                up: None,
                started_ns: None,
                is_drained: false,
                tally: None,
                part: None,
            });
        }
        Ok(Crew { members, lines, inbox: crossbeam_channel::unbounded() })
    }

    /// Gives each agent its plan, and begins to listen.
    ///
    /// # Errors
    ///
    /// Which agent does not take it.
    pub(super) fn prepare(&mut self, plans: &[Plan]) -> Result<(), Failure> {
        for (member, plan) in self.members.iter_mut().zip(plans) {
            let sent = wire::send(&mut member.socket, &Order::Plan(Box::new(plan.clone())));
            sent.map_err(|error| named(&member.name, &error.to_string()))?;
        }
        let mut planned: Option<u64> = None;
        for (member, mut lines) in self.members.iter().zip(std::mem::take(&mut self.lines)) {
            let ready = lines
                .trust(Some(SILENCE_TIMEOUT))
                .map_err(|error| error.to_string())
                .and_then(|()| ready(&mut lines));
            let events = ready.map_err(|error| named(&member.name, &error))?;
            if *planned.get_or_insert(events) != events {
                return Err(Failure::Broken(format!(
                    "agent {} draws up {events} events, {} {}: use the same program on all machines",
                    member.name,
                    self.members[0].name,
                    planned.unwrap_or(0)
                )));
            }
            self.listen(lines, member)?;
        }
        Ok(())
    }

    fn listen(&self, mut lines: Lines, whose: &Member) -> Result<(), String> {
        let inbox = self.inbox.0.clone();
        let member = self.members.iter().position(|member| member.name == whose.name);
        let member = member.expect("one of the crew");
        let listen = move || loop {
            let say = lines.next();
            let is_last = say.is_err();
            let word = Word { member, at_ns: clock::now_ns(), say };
            if inbox.send(word).is_err() || is_last {
                return;
            }
        };
        let thread = std::thread::Builder::new().name(format!("agent-{member}"));
        thread.spawn(listen).map(drop).map_err(|error| format!("a thread: {error}"))
    }

    /// Says the same to all agents that are left.
    pub(super) fn order(&mut self, order: &Order) {
        for member in self.members.iter_mut().filter(|member| member.lost.is_none()) {
            if let Err(error) = wire::send(&mut member.socket, order) {
                member.lost = Some(error.to_string());
            }
        }
    }

    /// Waits a while for what agents say, and enters it.
    pub(super) fn hear(&mut self, wait: Duration) {
        let mut next = self.inbox.1.recv_timeout(wait).ok();
        while let Some(word) = next {
            self.members[word.member].enter(word.at_ns, word.say);
            next = self.inbox.1.try_recv().ok();
        }
    }

    /// Whether all agents that are left have come so far.
    pub(super) fn is_all(&self, here: fn(&Member) -> bool) -> bool {
        self.members.iter().all(|member| member.lost.is_some() || here(member))
    }

    /// Which agent is lost, and why.
    pub(super) fn first_lost(&self) -> Option<String> {
        self.members.iter().find_map(Member::why)
    }

    /// Which agents are lost, each told once.
    pub(super) fn newly_lost(&mut self) -> Vec<String> {
        let news = self.members.iter_mut().filter(|member| !member.is_lost_told);
        let mut told = Vec::new();
        for member in news {
            let why = member.why();
            member.is_lost_told = why.is_some();
            told.extend(why);
        }
        told
    }

    /// The next row of every agent that is left, once all have one.
    pub(super) fn next_rows(&mut self) -> Option<Vec<Interval>> {
        let left = || self.members.iter().filter(|member| member.lost.is_none());
        if left().next().is_none() || left().any(|member| member.rows.is_empty()) {
            return None;
        }
        Some(self.members.iter_mut().filter_map(|member| member.rows.pop_front()).collect())
    }
}

impl Member {
    fn why(&self) -> Option<String> {
        self.lost.as_ref().map(|why| format!("agent {}: {why}", self.name))
    }

    fn enter(&mut self, at_ns: u64, say: Result<Say, String>) {
        match say {
            Ok(Say::Row(row)) => {
                self.rows.push_back(*row);
                if self.rows.len() > ROWS_MAX {
                    self.rows.pop_front();
                }
            }
            Ok(Say::Up(up)) => self.up = Some(up),
            Ok(Say::Started) => self.started_ns = Some(at_ns),
            Ok(Say::Drained) => self.is_drained = true,
            Ok(Say::Tally(tally)) => self.tally = Some(tally),
            Ok(Say::Report(part)) => self.part = Some(*part),
            Ok(Say::Failed(why) | Say::Refused(why)) => self.lose(why),
            Ok(Say::Hello { .. } | Say::Welcome { .. } | Say::Ready { .. }) => {
                self.lose("it speaks out of turn".to_owned());
            }
            // Behind its report an agent hangs up.
            Err(why) if self.part.is_none() => self.lose(why),
            Err(_) => {}
        }
    }

    fn lose(&mut self, why: String) {
        self.lost.get_or_insert(why);
    }
}

fn named(name: &str, error: &str) -> Failure {
    Failure::Broken(format!("agent {name}: {error}"))
}

/// Connects to an agent, finds out whether it is one, and shows that we may give it a plan.
fn greet(name: &str, key: Option<&Key>) -> Result<(TcpStream, Lines), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut addresses = name.to_socket_addrs().map_err(text)?;
    let socket = loop {
        let address = addresses.next().ok_or("it has no address")?;
        match TcpStream::connect_timeout(&address, GREETING_TIMEOUT) {
            Ok(socket) => break socket,
            Err(error) if addresses.len() == 0 => return Err(error.to_string()),
            // A name may have several, and an agent listens on one.
            Err(_) => {}
        }
    };
    let (mut socket, mut lines) = wire::halves(socket).map_err(text)?;
    let (version, theirs, asks) = match lines.next()? {
        Say::Hello { version, nonce, key } => (version, nonce, key),
        Say::Refused(why) => return Err(why),
        _ => return Err("it does not greet as an agent does".to_owned()),
    };
    if version != VERSION {
        return Err(format!(
            "it is version {version}, this is {VERSION}: use the same program on all machines"
        ));
    }
    if !key::is_nonce(&theirs) {
        return Err("it does not greet as an agent does".to_owned());
    }
    match key {
        None if asks => return Err("it asks for a key: give --agents-key FILE".to_owned()),
        Some(_) if !asks => {
            return Err("it has no key to prove: start it with --key FILE".to_owned());
        }
        _ => {}
    }
    let own = key::nonce()?;
    let nonces = Nonces { agent: &theirs, coordinator: &own };
    let proof = key.map(|key| key.proof(Role::Coordinator, nonces));
    let hello = Order::Hello { version: VERSION.to_owned(), nonce: own.clone(), proof };
    wire::send(&mut socket, &hello).map_err(text)?;
    match lines.next()? {
        Say::Welcome { proof } => {
            let is_proved = |key: &Key| key.is_proved(Role::Agent, nonces, proof.as_deref());
            if key.is_some_and(|key| !is_proved(key)) {
                return Err("it does not have our key".to_owned());
            }
        }
        Say::Refused(why) => return Err(why),
        _ => return Err("it does not greet as an agent does".to_owned()),
    }
    Ok((socket, lines))
}

/// How many events an agent draws up.
fn ready(lines: &mut Lines) -> Result<u64, String> {
    match lines.next()? {
        Say::Ready { events } => Ok(events),
        Say::Refused(why) | Say::Failed(why) => Err(why),
        _ => Err("it speaks out of turn".to_owned()),
    }
}
