//! How many packet buffers a host gets out of its memory, and how many it cannot do without.

use thiserror::Error;
use weft_pipelines::BURST;
use weft_pipelines::overlay::neighbor;

use super::compile::{PortPlan, ports};
use crate::config::checked::{Attach, Fabric, Host, HostIndex};
use crate::worker::RING;

/// Descriptors of a device's queue, each way.
pub const DESCRIPTORS: u16 = 1024;
/// Bytes of the packets that fit a buffer, where no uplink's MTU asks for more.
const DATA_ROOM: usize = 2048;
/// Bytes that an inner or outer frame has beyond its IP packet: Ethernet and a tag.
const LINK_OVERHEAD: usize = 18;
/// What a buffer takes beyond its data: the mbuf, its headroom and the pool's own header.
const BUFFER_OVERHEAD: usize = 128 + 128 + 64;
/// Free buffers that a worker may keep to itself: one and a half times DPDK's cache of 256.
const CACHE: u64 = 384;
/// Packets that may wait in a shaper for their turn to leave, at the least and at the most. With less, what is sent in
/// bursts would be dropped; more would wait for seconds.
const MIN_BACKLOG: u64 = 1024;
const MAX_BACKLOG: u64 = 65_536;

/// Packet buffers: how many, and of what size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// How many.
    pub count: u64,
    /// Bytes of a packet that one holds.
    pub data_room: usize,
}

impl Buffers {
    /// As many as fit three quarters of the host's memory; the rest is for rings and what the drivers need.
    ///
    /// # Errors
    ///
    /// When they are fewer than can be in use at once: packets would be lost for want of a buffer, uncounted.
    pub fn new(fabric: &Fabric, host: HostIndex) -> Result<Self, TooLittle> {
        let this = &fabric.hosts[host.0];
        let (count, data_room) = fitting(this);
        let buffer = (data_room + BUFFER_OVERHEAD) as u64;
        let needed = needed(fabric, host);
        if count < needed {
            let wanted = (needed * buffer).div_ceil(3) * 4;
            return Err(TooLittle {
                size: this.memory.size >> 20,
                buffers: count,
                needed,
                wanted: wanted.div_ceil(1 << 20),
            });
        }
        Ok(Self { count, data_room })
    }
}

/// How many packets may wait in each of the host's shapers for their turn to leave: half of those buffers that are for
/// nothing else are theirs. The other half is what makes up for guesses: a pool that runs dry stops all ports.
pub fn backlog(fabric: &Fabric, host: HostIndex) -> u32 {
    let this = &fabric.hosts[host.0];
    let left = fitting(this).0.saturating_sub(needed(fabric, host));
    let each = left / 2 / shapers(this);
    (MIN_BACKLOG + each).min(MAX_BACKLOG) as u32
}

/// How many buffers fit three quarters of the host's memory, and the bytes of a packet that each holds.
fn fitting(host: &Host) -> (u64, usize) {
    let largest = host.uplinks.iter().map(|uplink| usize::from(uplink.mtu) + LINK_OVERHEAD).max();
    let data_room = largest.unwrap_or_default().max(DATA_ROOM);
    let count = host.memory.size * 3 / 4 / (data_room + BUFFER_OVERHEAD) as u64;
    (count.min(u64::from(u32::MAX)), data_room)
}

fn workers(host: &Host) -> u64 {
    host.workers.cores.len().max(1) as u64
}

/// How many shapers there are: each worker has one for its guests, and one for each of its uplinks.
fn shapers(host: &Host) -> u64 {
    workers(host) + host.uplinks.len() as u64
}

/// Buffers that can be in use at once.
fn needed(fabric: &Fabric, host: HostIndex) -> u64 {
    let plans = ports(fabric, host);
    let held_by = |plan: &PortPlan<'_>| match plan {
        PortPlan::Guest { endpoint, .. } => match &endpoint.attach {
            // Packets are copied from and to the guest's memory: none stays with the device.
            Attach::VhostUser { queues, .. } => u64::from(*queues) * 2 * BURST as u64,
            Attach::Device(_) => 2 * u64::from(DESCRIPTORS),
        },
        PortPlan::Uplink(_) => 2 * u64::from(DESCRIPTORS),
    };
    let ports: u64 = plans.iter().map(held_by).sum();
    let this = &fabric.hosts[host.0];
    let (workers, shapers) = (workers(this), shapers(this));
    let rings = workers * (workers - 1) * RING as u64;
    let waiting = (fabric.hosts.len() * neighbor::HELD) as u64;
    ports + workers * CACHE + shapers * MIN_BACKLOG + rings + waiting
}

/// The host's memory holds fewer packet buffers than can be in use at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "memory: {size}MiB hold {buffers} packet buffers, and the host's ports and workers can use {needed} at once; \
     set its memory.size to {wanted}MiB or more"
)]
pub struct TooLittle {
    /// What the document gives, in MiB.
    pub size: u64,
    /// The buffers that fit.
    pub buffers: u64,
    /// The buffers that can be in use at once.
    pub needed: u64,
    /// What would be enough, in MiB.
    pub wanted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// A host with so much memory, an uplink of this MTU, these workers, and `guests` on vhost-user and on devices.
    fn buffers(
        memory: &str,
        mtu: u16,
        cores: &str,
        (vhost, devices): (usize, usize),
    ) -> Result<Buffers, TooLittle> {
        let attach = |i: usize| match i {
            i if i < vhost => format!("{{ vhost-user: g{i}.sock, queues: 2 }}"),
            i => format!("{{ device: net_null{i} }}"),
        };
        let endpoint = |i: usize| {
            let attach = attach(i);
            format!(
                "      - {{ name: g{i}, host: h, attach: {attach}, segment: s, \
                 mac: \"02:00:00:00:00:{i:02x}\", ip: [10.1.0.{i}] }}\n"
            )
        };
        let endpoints: String = (1..=vhost + devices).map(|i| endpoint(i).replace("g0", "g00")).collect();
        let document = format!(
            "fabric: {{ name: f }}\nhosts:\n  - name: h\n    vtep: 198.51.100.1\n    workers: {{ cores: {cores} }}\n    \
             memory: {{ size: {memory} }}\n    uplinks: [{{ name: up0, device: net_ring0, \
             address: [198.51.100.1/24], mtu: {mtu} }}]\ntenants:\n  - name: t\n    \
             segments: [{{ name: s, vni: 1, subnet: [10.1.0.0/24] }}]\n    endpoints:\n{endpoints}"
        );
        let fabric = config::parse("test", &document).unwrap();
        Buffers::new(&fabric, HostIndex(0))
    }

    #[test]
    fn three_quarters_of_the_memory_are_buffers() {
        let Buffers { count, data_room } = buffers("128MiB", 1600, "[]", (1, 0)).unwrap();
        assert_eq!((count, data_room), ((96 << 20) / (2048 + 320), 2048));
        let jumbo = buffers("128MiB", 9000, "[]", (1, 0)).unwrap();
        assert_eq!((jumbo.count, jumbo.data_room), ((96 << 20) / (9018 + 320), 9018));
    }

    #[test]
    fn half_of_what_is_left_may_wait() {
        let uplinks = "{ name: a, device: net_ring0, address: [198.51.100.1/24] }, \
                       { name: b, device: net_ring1, address: [203.0.113.1/24] }";
        let backlog = |size: &str, workers: usize, uplinks: &str| {
            let cores: Vec<String> = (0..workers).map(|core| core.to_string()).collect();
            let document = format!(
                "fabric: {{ name: f }}\nhosts: [{{ name: h, vtep: 198.51.100.1, memory: {{ size: {size} }}, \
                 workers: {{ cores: [{}] }}, \
                 uplinks: [{uplinks}] }}]",
                cores.join(", ")
            );
            let fabric = config::parse("test", &document).unwrap();
            assert!(Buffers::new(&fabric, HostIndex(0)).is_ok());
            u64::from(super::backlog(&fabric, HostIndex(0)))
        };
        let left = (48 << 20) / 2368 - 384 - 1024 - neighbor::HELD as u64;
        assert_eq!(backlog("64MiB", 1, ""), 1024 + left / 2);
        let left = (48 << 20) / 2368 - 4 * (384 + 1024) - 12 * RING as u64 - neighbor::HELD as u64;
        assert_eq!(backlog("64MiB", 4, ""), 1024 + left / 8);
        // Uplinks have shapers of their own.
        let left = (48 << 20) / 2368 - 384 - 3 * 1024 - 4 * u64::from(DESCRIPTORS) - neighbor::HELD as u64;
        assert_eq!(backlog("64MiB", 1, uplinks), 1024 + left / 6);
        assert_eq!(backlog("16GiB", 1, uplinks), 65_536);
    }

    #[test]
    fn what_can_be_in_use_at_once_must_fit() {
        // A device holds its rings, a vhost-user port nothing for long.
        assert!(buffers("64MiB", 1600, "[]", (100, 0)).is_ok());
        let error = buffers("64MiB", 1600, "[]", (0, 20)).unwrap_err();
        assert_eq!(error.needed, 21 * 2048 + 384 + 2 * 1024 + 16);
        assert_eq!((error.size, error.buffers), (64, (48 << 20) / 2368));
        // What it asks for is enough, and not much more than that.
        assert!(buffers(&format!("{}MiB", error.wanted), 1600, "[]", (0, 20)).is_ok());
        assert!(buffers(&format!("{}MiB", error.wanted - 1), 1600, "[]", (0, 20)).is_err());
        // Each two workers have a ring each way.
        assert!(buffers("64MiB", 1600, "[0, 1, 2]", (1, 0)).is_ok());
        assert!(buffers("64MiB", 1600, "[0, 1, 2, 3, 4, 5]", (1, 0)).is_err());
    }
}
