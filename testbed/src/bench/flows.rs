//! Opens the flows of a load, so that stateful switches know them before it is measured.

use std::time::Duration;

use crate::load::{Driver, Pace, Stream};
use crate::{Error, Result};

/// Sends the first `flows` packets of each of `steps`, one step after the other, and sees to it that they come out.
///
/// # Errors
///
/// When nothing comes through, or of a step more than one packet in a hundred does not.
pub fn open(driver: &mut Driver, steps: &[Stream], flows: u64) -> Result<()> {
    // A switch that has just met its guests may not send yet: a few packets are tried until one comes through.
    let mut tries = 0;
    let mut comes_through = |stream: &Stream| Ok(driver.pass(stream, 1, OPENING)?.lost() == 0);
    while !steps.iter().take(2).try_fold(true, |all, stream| Ok::<_, Error>(all && comes_through(stream)?))? {
        tries += 1;
        if tries > TRIES {
            return Err(Error::failed("nothing comes through", ""));
        }
    }
    for stream in steps {
        let passed = driver.pass(stream, flows, OPENING)?;
        // One in a hundred may be lost by a switch whose first packets take another way.
        if passed.received * 100 < flows * 99 {
            let what = format!("{} of {flows} flows could not be opened", flows - passed.received);
            return Err(Error::failed(what, ""));
        }
    }
    Ok(())
}

/// How flows are opened: so few packets on their way that no queue is ever full.
pub const GENTLY: Pace = Pace::Window(256);
/// How often a first packet is tried, 50 ms each.
const TRIES: u32 = 200;
/// The longest that opening all flows may take.
const OPENING: Duration = Duration::from_secs(60);
