//! What a port is to a worker: a burst received, a burst sent, and the pool its buffers come from.
//!
//! One virtual call a burst. DPDK's queues are the first kind.

use weft_pipelines::Burst;

/// The receiving side of a port.
pub trait Receive<F>: Send {
    /// Appends what has arrived to `burst`, up to `limit` frames and to its free capacity.
    fn receive(&mut self, burst: &mut Burst<F>, limit: usize);
}

/// The sending side of a port.
pub trait Transmit<F>: Send {
    /// Sends frames from the front of `burst` and removes them; those that are left did not go out.
    fn transmit(&mut self, burst: &mut Burst<F>);

    /// Whether somebody is at the other end. Asked only when frames did not go out.
    fn is_connected(&self) -> bool;
}

/// Where buffers come from and go back to.
pub trait Pool<F>: Send {
    /// An empty frame with headroom.
    fn allocate(&self) -> Option<F>;

    /// Takes back all of `burst` at once.
    fn recycle(&self, burst: &mut Burst<F>);
}

#[cfg(feature = "dpdk")]
mod dpdk {
    use weft_pipelines::Burst;

    use super::{Pool, Receive, Transmit};
    use crate::dpdk::{Mbuf, Mempool, RxQueue, TxQueue, free_bulk};

    impl Receive<Mbuf> for RxQueue {
        fn receive(&mut self, burst: &mut Burst<Mbuf>, limit: usize) {
            self.burst(burst, limit);
        }
    }

    impl Transmit<Mbuf> for TxQueue {
        fn transmit(&mut self, burst: &mut Burst<Mbuf>) {
            self.burst(burst);
        }

        fn is_connected(&self) -> bool {
            self.link_up()
        }
    }

    impl Pool<Mbuf> for Mempool {
        fn allocate(&self) -> Option<Mbuf> {
            self.alloc()
        }

        fn recycle(&self, burst: &mut Burst<Mbuf>) {
            free_bulk(burst);
        }
    }
}
