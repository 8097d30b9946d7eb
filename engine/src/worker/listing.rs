//! What the admin interface waits to be listed: a survey, and where its answer goes.
//!
//! Knows nothing of what is listed and how.

use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::delivery::Delivery;
use crate::delivery::lane::Lane;
use crate::delivery::survey::{
    ListenerSurvey, SubscriberSurvey, SubscribersReport, TopicSurvey, TopicsReport,
};

/// See the module.
pub(super) enum Listing {
    Topics(TopicSurvey, Sender<TopicsReport>),
    Listeners(ListenerSurvey, Sender<Vec<usize>>),
    Subscribers(SubscriberSurvey, Sender<SubscribersReport>),
}

impl Listing {
    pub(super) fn topics(prefix: String, count_max: usize, reply: Sender<TopicsReport>) -> Listing {
        Listing::Topics(TopicSurvey::new(prefix, count_max), reply)
    }

    pub(super) fn listeners(names: Arc<[(String, bool)]>, reply: Sender<Vec<usize>>) -> Listing {
        Listing::Listeners(ListenerSurvey::new(names), reply)
    }

    pub(super) fn subscribers(count_max: usize, reply: Sender<SubscribersReport>) -> Listing {
        Listing::Subscribers(SubscriberSurvey::new(count_max), reply)
    }

    /// Goes on by a slice; true when all is listed and answered.
    pub(super) fn step<L: Lane>(&mut self, delivery: &Delivery<L>) -> bool {
        match self {
            Listing::Topics(survey, reply) => told(survey.step(delivery), reply),
            Listing::Listeners(survey, reply) => told(survey.step(delivery), reply),
            Listing::Subscribers(survey, reply) => told(survey.step(delivery), reply),
        }
    }
}

fn told<T>(report: Option<T>, reply: &Sender<T>) -> bool {
    let is_done = report.is_some();
    if let Some(report) = report {
        // Whoever asked may have given up waiting.
        let _ = reply.send(report);
    }
    is_done
}
