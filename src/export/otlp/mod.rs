//! Metrics pushed by OTLP, over HTTP/1.1 as protobuf.
//!
//! All that is sent are totals since the switch began, so nothing is kept for a collector that is not there: what it is sent
//! next says all. When to try again is as OTLP's specification has it, section "OTLP/HTTP Response".

mod client;
mod encode;

pub use client::{Target, TargetError};

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use prost::Message;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::metrics::Source;
use super::{say, unix};
use client::{Client, Failure};

/// Between a try that failed and the next; twice as long after each, up to the interval within these bounds.
const FIRST: Duration = Duration::from_secs(1);
const MOST: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// The longest that a collector's own word on when to come again counts.
const BIDDEN: Duration = Duration::from_secs(600);
/// The longest that the last push may take.
const LAST: Duration = Duration::from_secs(3);

/// Pushes what there is to count.
#[derive(Debug)]
pub struct Pusher {
    client: Client,
    interval: Duration,
    source: Source,
    /// The host's name, of its folder until the switch says it.
    host: String,
    /// When this began, in nanoseconds of UNIX time.
    since: u64,
    /// What is wrong, as it was said.
    trouble: Option<String>,
}

impl Pusher {
    /// That of the statistics file at `path`, which `source` reads.
    pub fn new(target: Target, interval: Duration, path: &Path, source: Source) -> Self {
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        let host = folder.to_string_lossy().into_owned();
        Self { client: Client::new(target), interval, source, host, since: unix(), trouble: None }
    }

    /// Pushes at once, and then at each interval.
    pub async fn run(&mut self) -> Infallible {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.push().await;
        }
    }

    /// Pushes once more, of what came since.
    pub async fn finish(&mut self) {
        let failed = match timeout(LAST, self.send()).await {
            Ok(Ok(())) => return,
            Ok(Err(Failure::Refused(why) | Failure::Later { why, .. })) => why,
            Err(_) => format!("no answer within {} s", LAST.as_secs()),
        };
        // Who knows of the trouble knows this.
        if self.trouble.is_none() {
            say(format_args!("{}: {failed}; what was counted last is not there", self.client.target()));
        }
    }

    /// Pushes until that worked or is refused. Each try says what is so by then.
    async fn push(&mut self) {
        let most = self.interval.clamp(MOST.0, MOST.1);
        let mut pause = FIRST;
        loop {
            match self.send().await {
                Ok(()) => return,
                Err(Failure::Refused(why)) => {
                    return self.trouble(format!("{why}; trying again at each interval"));
                }
                Err(Failure::Later { why, after }) => {
                    self.trouble(format!("{why}; trying again until the collector takes it"));
                    sleep(after.map_or_else(|| jitter(pause), |after| after.clamp(FIRST, BIDDEN))).await;
                    pause = (pause * 2).min(most);
                }
            }
        }
    }

    async fn send(&mut self) -> Result<(), Failure> {
        let snapshot = self.source.snapshot();
        if let Some(switch) = snapshot.switch.as_ref().filter(|switch| switch.host != self.host) {
            self.host.clone_from(&switch.host);
        }
        let request = encode::request(&snapshot, &self.host, self.since, unix());
        let partly = self.client.post(request.encode_to_vec()).await?;
        match partly {
            Some(why) => self.trouble(why),
            None if self.trouble.take().is_some() => {
                say(format_args!("{}: the collector takes it", self.client.target()));
            }
            None => {}
        }
        Ok(())
    }

    /// Says what is wrong, when it is something else than before.
    fn trouble(&mut self, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            say(format_args!("{}: {why}", self.client.target()));
        }
        self.trouble = Some(why);
    }
}

/// From half of a pause to all of it, so that exporters that lost their collector together do not come back together.
fn jitter(pause: Duration) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness it is the whole pause.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    pause - pause.mul_f64(f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests;
