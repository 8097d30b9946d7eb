//! What a storm subscribes to and how it publishes, by the profile of the server.
//!
//! The idea: the same templates as in `run`, with one topic. What cannot be proved of a server is
//! refused before anything is started: one that forgets where its subscribers were has no stream
//! without a gap.

use super::Args;
use super::fleet::Target;
use super::payload::Payloads;
use crate::client::fleet::TopicName;
use crate::failure::Failure;
use crate::profile::recipe;
use crate::profile::{self, Recipe, Url, Wishes, field};

/// Refuses what cannot be meant, without asking the network.
///
/// # Errors
///
/// What is wrong with the profile or the addresses.
pub(super) fn check(args: &Args) -> Result<(), String> {
    let profile = args.profile;
    profile.resumes().map_err(|why| {
        let name = profile.name();
        format!("--profile {name}: {why}, and a storm would prove nothing; run --churn measures it")
    })?;
    Url::check(&args.url)?;
    args.publish.as_deref().map_or(Ok(()), |text| recipe::destination(text).map(drop))
}

/// What to subscribe to, and how to publish.
///
/// # Errors
///
/// What is wrong with an address, a field or a body, or that no way to publish is known.
pub(super) fn of(args: &Args, payloads: Payloads) -> Result<(Target, Recipe), Failure> {
    let url = Url::parse(&args.url)?;
    let wishes = Wishes {
        headers: field::all(&args.headers),
        publish: args.publish.clone(),
        publish_headers: field::all(&args.publish_headers),
        publish_body: args.publish_body.clone(),
        batch: None,
    };
    let topic = TopicName { name: args.topic.clone(), numbered: false };
    let request = profile::subscribe_request(args.profile, &url, &wishes, topic.clone())
        .map_err(Failure::Usage)?;
    let recipe = Recipe::new(args.profile, &url, &wishes, topic)?.ok_or_else(|| {
        Failure::Usage(format!(
            "--profile {} needs --publish 'POST http://host/path': a storm proves what was \
             published meanwhile",
            args.profile.name()
        ))
    })?;
    Ok((Target { address: url.address, request, back: args.back, payloads }, recipe))
}
