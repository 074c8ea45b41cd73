use core::ffi::c_void;
use core::mem::offset_of;

use crate::rte_mempool;

/// A packet buffer, or one segment of a packet: the header that stands before the buffer.
///
/// Declared by hand, because releases spell the same layout with different anonymous unions.
/// `wrapper.h` checks every field's place against the headers that the bindings are built with.
#[repr(C, align(64))]
pub struct rte_mbuf {
    /// Start of the buffer, headroom included.
    pub buf_addr: *mut c_void,
    pub buf_iova: u64,
    /// Bytes from `buf_addr` to the packet.
    pub data_off: u16,
    pub refcnt: u16,
    /// Segments of the packet, in its first.
    pub nb_segs: u16,
    pub port: u16,
    pub ol_flags: u64,
    pub packet_type: u32,
    /// Bytes of the packet: the sum over its segments.
    pub pkt_len: u32,
    /// Bytes of this segment.
    pub data_len: u16,
    pub vlan_tci: u16,
    pub hash: [u32; 2],
    pub vlan_tci_outer: u16,
    /// Bytes of the buffer, headroom included.
    pub buf_len: u16,
    pub pool: *mut rte_mempool,
    /// The packet's next segment.
    pub next: *mut rte_mbuf,
    pub tx_offload: u64,
    pub shinfo: *mut c_void,
    pub priv_size: u16,
    pub timesync: u16,
    pub dynfield1: [u32; 9],
}

const _: () = {
    assert!(size_of::<rte_mbuf>() == 128 && align_of::<rte_mbuf>() == 64);
    assert!(offset_of!(rte_mbuf, buf_addr) == 0);
    assert!(offset_of!(rte_mbuf, data_off) == 16);
    assert!(offset_of!(rte_mbuf, refcnt) == 18);
    assert!(offset_of!(rte_mbuf, nb_segs) == 20);
    assert!(offset_of!(rte_mbuf, port) == 22);
    assert!(offset_of!(rte_mbuf, ol_flags) == 24);
    assert!(offset_of!(rte_mbuf, packet_type) == 32);
    assert!(offset_of!(rte_mbuf, pkt_len) == 36);
    assert!(offset_of!(rte_mbuf, data_len) == 40);
    assert!(offset_of!(rte_mbuf, vlan_tci) == 42);
    assert!(offset_of!(rte_mbuf, hash) == 44);
    assert!(offset_of!(rte_mbuf, vlan_tci_outer) == 52);
    assert!(offset_of!(rte_mbuf, buf_len) == 54);
    assert!(offset_of!(rte_mbuf, pool) == 56);
    assert!(offset_of!(rte_mbuf, next) == 64);
    assert!(offset_of!(rte_mbuf, tx_offload) == 72);
    assert!(offset_of!(rte_mbuf, priv_size) == 88);
};
