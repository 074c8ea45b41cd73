//! Lets the later fragments of a datagram follow the first: they do not tell what they are of.

use crate::context::Context;
use crate::flow::fragments::{self, Refused};
use crate::flow::sessions::{Family, Followed};
use crate::flow::{Key4, Key6};
use crate::frame::Frame;
use crate::sink::Sink;
use crate::stages::check_policy::{About, Outcome, Refusal};
use crate::stages::parse::Network;
use crate::verdict::Reason;
pub(super) fn first<F: Frame, S: Sink<F>>(
    _: &mut Context<'_, F, S>,
    _: &About<'_>,
    _: Followed,
) -> Result<(), Refusal> {
    Ok(())
}
pub(super) fn later<F: Frame, S: Sink<F>>(
    _: &mut Context<'_, F, S>,
    _: &About<'_>,
) -> Result<Outcome, Refusal> {
    Ok(Outcome::Untracked)
}
