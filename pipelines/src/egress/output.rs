//! A port's burst on the way out.

use crate::batch::Burst;
use crate::counters::Traffic;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::sink::Sink;

/// What leaves by a port.
#[derive(Debug)]
pub(super) struct Output<F> {
    /// What has gathered; of a stalled port what it did not take.
    burst: Burst<F>,
    /// Where it leads.
    way: Way,
    /// Whether packets go straight into the burst.
    open: bool,
    /// Whether something on the way bounds its traffic.
    is_bound: bool,
    /// Whether it did not take all of the last burst.
    is_stalled: bool,
    /// Whether it is among those with a burst.
    is_listed: bool,
}

/// Where a port leads, and which shaper is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is another worker's, or no more.
    Nowhere,
    /// To a guest.
    Guest,
    /// Into the underlay, behind the uplink's shaper of this number.
    Uplink(usize),
}

impl<F> Default for Output<F> {
    fn default() -> Self {
        Self {
            burst: Burst::new(),
            way: Way::Nowhere,
            open: false,
            is_bound: false,
            is_stalled: false,
            is_listed: false,
        }
    }
}

impl<F: Frame> Output<F> {
    /// Where it leads from now on; `waits` says whether something waits for it.
    pub fn lead(&mut self, way: Way, is_bound: bool, waits: bool) {
        (self.way, self.is_bound) = (way, is_bound);
        self.reopen(waits);
    }

    pub const fn way(&self) -> Way {
        self.way
    }

    /// Whether it leads anywhere.
    pub fn is_there(&self) -> bool {
        self.way != Way::Nowhere
    }

    /// Whether packets go straight into the burst: it is this worker's, nothing is bound, nothing waits, and there is room.
    pub const fn is_open(&self) -> bool {
        self.open
    }

    pub const fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// Whether the burst takes another.
    pub fn has_room(&self) -> bool {
        self.is_there() && !self.burst.is_full()
    }

    /// Whether the burst takes no more.
    pub const fn is_full(&self) -> bool {
        self.burst.is_full()
    }

    /// Frames of the burst.
    pub const fn len(&self) -> usize {
        self.burst.len()
    }

    /// Decides again whether packets go straight.
    pub fn reopen(&mut self, waits: bool) {
        self.open = self.is_there() && !(self.is_bound || self.is_stalled || waits);
    }

    /// It takes no more for now, or takes some again; see [`reopen`](Self::reopen).
    pub const fn stall(&mut self, stalls: bool) {
        self.is_stalled = stalls;
    }

    /// Adds a frame. Returns whether it has to be listed among those with a burst.
    pub fn push(&mut self, frame: F) -> bool {
        self.burst.push(frame);
        !core::mem::replace(&mut self.is_listed, true)
    }

    /// Takes it from the list, if its burst is empty. Returns whether it was.
    pub fn unlist(&mut self) -> bool {
        self.is_listed = !self.burst.is_empty();
        !self.is_listed
    }

    /// Sends what it takes. Returns how much that was; `None` if there was nothing to send.
    pub fn send<S: Sink<F>>(&mut self, port: PortId, sink: &mut S) -> Option<Traffic> {
        if self.burst.is_empty() {
            return None;
        }
        let all = traffic(&self.burst);
        let seen = sink.eyes().are_open();
        if seen {
            sink.eyes().leave(port, &self.burst);
        }
        sink.send(port, &mut self.burst);
        if seen {
            sink.eyes().left(port, all.packets as usize - self.burst.len());
        }
        let left = if self.burst.is_empty() { Traffic::default() } else { traffic(&self.burst) };
        Some(Traffic { packets: all.packets - left.packets, bytes: all.bytes - left.bytes })
    }

    /// Takes the frames of the burst.
    pub fn take(&mut self) -> Burst<F> {
        core::mem::take(&mut self.burst)
    }
}

fn traffic<F: Frame>(burst: &Burst<F>) -> Traffic {
    let bytes = burst.iter().map(|frame| frame.size() as u64).sum();
    Traffic { packets: burst.len() as u64, bytes }
}
