//! What a coordinator and its agents say to each other.
//!
//! The idea: one JSON object a line, over one TCP connection for each run. The agent speaks first.
//! From `Plan` on the coordinator's words are orders that all agents get alike, each when all have
//! done what came before:
//!
//! ```text
//! agent        coordinator
//! hello
//!              hello              the key is proved, both ways
//! welcome
//!              plan
//! ready
//!              connect
//! row ...                         one a second, to the end
//! up                              its subscribers are open, or no more come
//!              start              settle, warm-up and window follow from here
//! started                         at once, to bound how far the starts lie apart
//! drained
//!              finish
//! tally                           what became of its events, and what came to its subscribers
//!              tallies            those of all agents
//! report
//! ```
//!
//! `refused` (before `ready`) and `failed` (after it) end a run from the agent's side, `stop` cuts
//! it short from the coordinator's; so does a connection that ends.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::report::model::Run;
use crate::report::model::series::Interval;

/// The version that both sides must have: a plan is drawn up by every machine on its own, and only
/// the same program draws the same one.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Say {
    /// Who it is.
    Hello {
        /// [`VERSION`].
        version: String,
        /// Its half of what the key is proved over.
        nonce: String,
        /// Whether it asks for the key.
        key: bool,
    },
    /// The coordinator may go on.
    Welcome {
        /// That it has the key as well.
        proof: Option<String>,
    },
    /// Why it takes no plan, or not this one.
    Refused(String),
    /// The plan can be carried out.
    Ready {
        /// Events of the whole plan, which must be as many everywhere.
        events: u64,
    },
    /// An interval that is over.
    Row(Box<Interval>),
    /// Open streams, once all are open or no more come.
    Up(u64),
    /// The order to start has come.
    Started,
    /// Nothing is under way any more.
    Drained,
    /// What the others need to know.
    Tally(Tally),
    /// Its part of the result.
    Report(Box<Part>),
    /// Why there is none.
    Failed(String),
}

/// What a coordinator says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Who it is.
    Hello {
        /// [`VERSION`].
        version: String,
        /// Its half of what the key is proved over.
        nonce: String,
        /// That it has the key, if one was asked for.
        proof: Option<String>,
    },
    /// What is to be carried out.
    Plan(Box<Plan>),
    /// Open the subscribers.
    Connect,
    /// Publish, from settle on.
    Start,
    /// Close the subscribers.
    Finish,
    /// The tallies of all agents by number; none of those that were lost.
    Tallies(Vec<Option<Tally>>),
    /// End early, and report what there is.
    Stop,
}

/// What one agent knows of events that the others cannot know, in [letters](super::letters), of the
/// measured events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// What became of those that it published, in order.
    pub(crate) fates: String,
    /// Which of all events somebody received here: `y` or `n`.
    pub(crate) came: String,
}

/// What one agent measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its figures.
    pub(crate) run: Run,
    /// Which of all measured events did not reach everybody here in time: `y` or `n`.
    pub(crate) incomplete: String,
}
