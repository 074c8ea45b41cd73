//! vhost-user ports: guests on this host, through a unix socket and shared memory.
//!
//! DPDK's vhost library serves the socket; the rings are read and written here.

mod buffer;
mod copy;
mod device;
mod memory;
mod receive;
mod ring;
mod socket;
#[cfg(test)]
mod tests;
mod transmit;

use std::sync::Arc;

use super::{Burst, Mempool, free_bulk};

pub(super) use device::Guest;
pub use ring::Fault;
pub use socket::{VhostMode, VhostUser};

/// What a guest sends, by one of its queues.
pub(super) struct Receiver {
    guest: Arc<Guest>,
    ring: usize,
    pool: Mempool,
}

impl Receiver {
    pub(super) fn new(guest: Arc<Guest>, queue: u16, pool: Mempool) -> Self {
        Self { guest, ring: 2 * usize::from(queue) + 1, pool }
    }

    /// Appends packets to `burst`; none while the guest's front-end changes something.
    #[inline]
    pub(super) fn burst(&mut self, burst: &mut Burst, limit: usize) -> usize {
        let slot = &self.guest.shared.rings[self.ring];
        let Ok(mut state) = slot.state.try_lock() else { return 0 };
        let Some(ring) = &mut state.ring else { return 0 };
        let received = receive::receive(ring, &self.pool, burst, limit);
        if let Some(fault) = ring.fault() {
            slot.report(fault);
        }
        state.packets += received as u64;
        received
    }
}

/// What is sent to a guest, by one of its queues.
pub(super) struct Transmitter {
    guest: Arc<Guest>,
    ring: usize,
}

impl Transmitter {
    pub(super) fn new(guest: Arc<Guest>, queue: u16) -> Self {
        Self { guest, ring: 2 * usize::from(queue) }
    }

    /// Whether a guest is there.
    pub(super) fn link_up(&self) -> bool {
        self.guest.link_up()
    }

    /// Sends packets from the front of `burst` and removes them; none while the guest's front-end changes something.
    #[inline]
    pub(super) fn burst(&mut self, burst: &mut Burst) -> usize {
        let slot = &self.guest.shared.rings[self.ring];
        let Ok(mut state) = slot.state.try_lock() else { return 0 };
        let Some(ring) = &mut state.ring else { return 0 };
        let sent = transmit::transmit(ring, burst);
        if let Some(fault) = ring.fault() {
            slot.report(fault);
        }
        state.packets += sent as u64;
        drop(state);
        if sent == burst.len() {
            free_bulk(burst);
        } else {
            burst.drain(..sent);
        }
        sent
    }
}
