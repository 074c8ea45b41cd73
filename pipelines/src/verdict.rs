//! Why a packet goes no further: the one table of drop reasons.
//!
//! A row makes a variant of [`Reason`], the name that counters carry and the sentence that `weft show drops`
//! prints. A packet that is not passed on has one of these reasons, and is counted under it.

/// What the stages have found for a packet so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against it.
    Pass,
    /// It is for the switch itself: ARP or ICMP to one of our addresses on the underlay.
    ForSwitch,
    /// It goes no further.
    Drop(Reason),
}

macro_rules! reasons {
    ($($variant:ident $name:literal $help:literal;)*) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = $help] $variant,)*
        }

        impl Reason {
            /// All of them, in the table's order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in counters, tables and documents.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What happened, and where to look, in a sentence.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

reasons! {
    // What parse finds in a frame.
    Truncated "truncated" "The frame ends inside its Ethernet header or tag.";
    NotLinear "not_linear" "The frame did not fit into one buffer; the sender's MTU is larger than the switch's buffers.";
    VlanTagged "vlan_tagged" "The frame carries an 802.1Q tag; a segment carries untagged frames (RFC 7348, section 6.1).";
    EthertypeUnsupported "ethertype_unsupported" "Neither ARP nor IPv4 nor IPv6; a segment carries nothing else.";
    MalformedArp "malformed_arp" "The ARP packet is too short, or not a request or reply for IPv4 over Ethernet.";
    MalformedIpv4 "malformed_ipv4" "The IPv4 header contradicts itself or the frame's length.";
    MalformedIpv6 "malformed_ipv6" "The IPv6 header or its extension headers contradict themselves or the frame's length.";
    MalformedTcp "malformed_tcp" "The TCP header does not fit into the packet.";
    MalformedUdp "malformed_udp" "The UDP header does not fit into the packet.";
    MalformedIcmp "malformed_icmp" "The ICMP or ICMPv6 message is too short, or its neighbour discovery options are broken.";

    // What spoof_check finds against a guest.
    SpoofedMac "spoofed_mac" "The source MAC is not the endpoint's.";
    SpoofedIp "spoofed_ip" "The source address is not one of the endpoint's.";
    SpoofedArp "spoofed_arp" "The ARP sender claims a MAC or an address that is not the endpoint's.";
    SpoofedNd "spoofed_nd" "Neighbour discovery claims a link-layer address or a target that is not the endpoint's.";
    RogueRouter "rogue_router" "A guest sent a router advertisement or redirect; guests are not routers here.";

    // Where forward finds no way.
    LinkLocalMulticast "link_local_multicast" "Sent to 01:80:c2:00:00:0x, which no bridge forwards (IEEE 802.1Q, 8.6.3).";
    Hairpin "hairpin" "The destination is the port that it came from.";
    NoDestination "no_destination" "Broadcast, multicast or unknown unicast in a segment that has no other endpoint.";

    // What speaks against letting a packet in or out, by its session or by policy.
    PolicyDenied "policy_denied" "A rule or the tenant's default denies the connection; `weft show rules` says which, `weft explain` why.";
    WrongAddress "wrong_address" "The destination MAC is an endpoint's and the destination address is not; policy would be asked about another.";
    TcpFlags "tcp_flags" "TCP flags that no segment carries together, as SYN with FIN or RST.";
    TcpNoSession "tcp_no_session" "A TCP segment that opens no connection, of one that is not known; connections in mid-stream are taken up with `pick-up: true`.";
    TcpOutOfWindow "tcp_out_of_window" "A TCP segment outside what its receiver may expect: injected, or delayed for long.";
    IcmpUnsolicited "icmp_unsolicited" "An ICMP reply that nobody asked for, or asked for too long ago.";
    IcmpUnrelated "icmp_unrelated" "An ICMP error about a packet of no known session, or one that its receiver did not send.";
    FragmentOrphan "fragment_orphan" "A fragment before the first of its datagram, without it, or long after it: what it is of is not known.";
    FragmentOverlap "fragment_overlap" "A fragment of a datagram whose fragments overlap (RFC 1858, RFC 5722).";
    FragmentLength "fragment_length" "A fragment beyond its datagram's end or 65,535 bytes, or of no multiple of 8 bytes with more to follow.";
    FragmentExcess "fragment_excess" "A datagram in more pieces out of order than are followed.";
    FragmentTableFull "fragment_table_full" "More datagrams came in fragments at once than are followed.";
    SessionRate "session_rate" "The guest opens, or is opened, more sessions a second than it may; see `sessions.rate`.";
    SessionQuota "session_quota" "The guest has as many sessions as it may; see `sessions.max`.";
    SessionTableFull "session_table_full" "The worker has no room for another session; see the host's `sessions`.";

    // Why it can't enter the fabric.
    NoUplink "no_uplink" "The destination is on another host and this host has no uplink to it.";
    NoHeadroom "no_headroom" "The buffer has no room for the outer headers.";
    ExceedsUnderlayMtu "exceeds_underlay_mtu" "With its outer headers the packet is larger than the uplink's MTU; lower the guests' MTU or raise the uplink's.";
    NeighborUnresolved "neighbor_unresolved" "The underlay's next hop does not answer ARP.";
    NeighborQueueFull "neighbor_queue_full" "More packets waited for the underlay's next hop to answer ARP than are held.";

    // What is wrong with a packet from the fabric.
    UnderlayMalformed "underlay_malformed" "The outer headers are cut short or contradict each other.";
    UnderlayNotIp "underlay_not_ip" "From the underlay, neither IPv4 nor ARP.";
    UnderlayNotForUs "underlay_not_for_us" "From the underlay, to another MAC or another address than ours.";
    UnderlayFragment "underlay_fragment" "A fragment of an outer packet; a VTEP does not reassemble (RFC 7348, section 4.3).";
    UnderlayChecksum "underlay_checksum" "The checksum of the outer IPv4 header or of an ICMP message to us is wrong.";
    UnderlayUnwanted "underlay_unwanted" "From the underlay to our address, but neither VXLAN nor an ICMP echo.";
    UnknownPeer "unknown_peer" "VXLAN from an address that is no VTEP of the fabric document.";
    VxlanFlags "vxlan_flags" "The VXLAN flags are not 0x08.";
    UnknownVni "unknown_vni" "No segment with this VNI has an endpoint on this host.";
    SpoofedFabric "spoofed_fabric" "The inner source MAC belongs to another host than the one that sent it.";
    NotEcnCapable "not_ecn_capable" "The underlay marked congestion on a packet whose ends do not know ECN: to them a loss is the mark (RFC 6040).";
    NotHere "not_here" "The inner destination is on another host; what comes from the fabric never goes back into it.";

    // What happens on the way out.
    TxFull "tx_full" "The receiver does not keep up: its ring was full, and as many packets waited for it as may.";
    QueueFull "queue_full" "More was to leave than the bounds of the endpoint, its tenant or the uplink let, and as many packets waited as may; see `weft show qos`.";
    QueueEarly "queue_early" "Beyond its sender's assured rate, and much was waiting: dropped early to leave room for what is within.";
    Congested "congested" "It waited too long, with a queue that does not drain, and could not be marked (CoDel, RFC 8289).";
    PortDown "port_down" "Nobody is connected to the port: its guest is not running or its link is down.";
    HandOverFull "hand_over_full" "The ring to the worker that owns the port was full.";
    PoolEmpty "pool_empty" "No buffer was free for a copy of a flooded packet; give the host more memory.";
    Stopping "stopping" "It waited for a neighbour, another worker or its turn to leave when the switch was stopped.";
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The reason called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_name_and_a_sentence() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert_eq!(Reason::from_name(reason.name()), Some(*reason));
            assert!(reason.help().ends_with('.'), "{}", reason.name());
            assert!(
                reason.name().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{}",
                reason.name()
            );
        }
    }
}
