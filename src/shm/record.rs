//! A flow's record: what there is to say of one session, in four cache lines.
//!
//! All that is counted is counted since the session began, so a record that was lost costs freshness and no totals. The
//! initiator is who opened the session. Where it has an identity besides its address (an ICMP query), that stands in
//! place of its port; the type and code of ICMP stand in place of the responder's.
//!
//! Round trips are nanoseconds in 32 bits, which end at 4.29 s: finer than a microsecond, for between two guests of a host
//! they are a few of these. What lasts as long as a client is patient (to connect, a first response) has 64.

use std::net::{IpAddr, Ipv6Addr};

use weft_pipelines::Tick;

use super::field::{Merge, REVERSE, Spec, Type, Unit, codes, shift};

/// Words of a record, without the sequence of its slot.
pub const PAYLOAD: usize = 31;
/// Bytes of a slot: four cache lines.
pub const SLOT: usize = (PAYLOAD + 1) * 8;
/// That of an end which is not a port of this host.
pub const NOT_HERE: u32 = u32::MAX;

codes! {
    /// Why a record was written.
    Kind {
        /// The session began.
        Start = 1 "start",
        /// It goes on.
        Update = 2 "update",
        /// Policy decides otherwise about it than before, or another rule does.
        Verdict = 3 "verdict",
        /// It is over, or never came to be.
        End = 4 "end",
    }
}

codes! {
    /// Why a session ended.
    End {
        /// Not at all so far.
        Open = 1 "open",
        /// Both ends closed it.
        Closed = 2 "closed",
        /// One end reset it.
        Reset = 3 "reset",
        /// No packet came for long.
        TimedOut = 4 "timed-out",
        /// It made way for another one.
        Evicted = 5 "evicted",
        /// Policy did not let it begin.
        Denied = 6 "denied",
        /// A new configuration does not allow it.
        Revoked = 7 "revoked",
        /// Its port is no more.
        PortGone = 8 "port-gone",
        /// The switch stopped.
        Stopped = 9 "stopped",
        /// Another one took its place: its ends began anew with the same addresses and ports.
        Reused = 10 "reused",
    }
}

codes! {
    /// What policy makes of a session.
    Ruling {
        /// It is allowed.
        Allowed = 1 "allowed",
        /// It is denied.
        Denied = 2 "denied",
        /// It is allowed, and would be denied if the rules under audit counted.
        WouldDeny = 3 "would-deny",
    }
}

codes! {
    /// What came of an attempt to connect.
    Connect {
        /// It has not been answered so far.
        Waiting = 1 "waiting",
        /// It was accepted.
        Accepted = 2 "accepted",
        /// It was refused by a reset.
        Refused = 3 "refused",
        /// Nobody answered.
        TimedOut = 4 "timed-out",
        /// Policy denied it.
        Denied = 5 "denied",
        /// Nobody saw: taken up in mid-stream, or of a protocol that does not connect.
        Unseen = 6 "unseen",
    }
}

codes! {
    /// The state of a session; those of `weft_pipelines::flow::State`, in the same order.
    State {
        /// A packet of a protocol without states, not answered yet.
        New = 1 "new",
        /// One that was answered.
        Replied = 2 "replied",
        /// A UDP datagram, not answered yet.
        UdpNew = 3 "udp-new",
        /// UDP in both directions.
        UdpReplied = 4 "udp-replied",
        /// An ICMP query, not answered yet.
        IcmpNew = 5 "icmp-new",
        /// One that was answered.
        IcmpReplied = 6 "icmp-replied",
        /// A SYN from the initiator.
        TcpSynSent = 7 "syn-sent",
        /// A SYN from both.
        TcpSynReceived = 8 "syn-received",
        /// Both have acknowledged the other's SYN.
        TcpEstablished = 9 "established",
        /// One side has sent a FIN.
        TcpFinWait = 10 "fin-wait",
        /// Both have sent a FIN.
        TcpClosing = 11 "closing",
        /// Both FINs are acknowledged.
        TcpTimeWait = 12 "time-wait",
        /// Ended by an RST.
        TcpClosed = 13 "closed",
    }
}

impl From<weft_pipelines::flow::State> for State {
    fn from(state: weft_pipelines::flow::State) -> Self {
        Self::from_code(state as u64 + 1)
    }
}

/// Yes or no about a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// The initiator is at a port of this host.
    pub const INITIATOR_HERE: Self = Self(1);
    /// The responder is at a port of this host.
    pub const RESPONDER_HERE: Self = Self(1 << 1);
    /// TCP that was first seen in mid-stream: what came before is not counted.
    pub const PICKED_UP: Self = Self(1 << 2);
    /// A rule asks for it to be logged.
    pub const LOG: Self = Self(1 << 3);

    const NAMES: &[(u64, &str)] =
        &[(1, "initiator-here"), (2, "responder-here"), (4, "picked-up"), (8, "log")];

    /// Whether all of `flags` are set.
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These and `flags`.
    #[must_use]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }
}

/// TCP's flags by name (RFC 9293, section 3.1).
const TCP_FLAGS: &[(u64, &str)] =
    &[(1, "FIN"), (2, "SYN"), (4, "RST"), (8, "PSH"), (16, "ACK"), (32, "URG"), (64, "ECE"), (128, "CWR")];

/// How a value stands in a record's words.
trait Value: Copy {
    const WIDTH: usize;
    const TYPE: Type;
    /// Its codes by name, where it is one.
    const CODES: &'static [(u64, &'static str)];

    /// Adds it to words that are 0 there, at byte `offset`.
    fn put(self, words: &mut [u64; PAYLOAD], offset: usize);

    /// Takes it from there.
    fn take(words: &[u64; PAYLOAD], offset: usize) -> Self;
}

macro_rules! values {
    ($($type:ty, $width:literal, $kind:ident, $codes:expr, $word:expr, $value:expr;)*) => {$(
        impl Value for $type {
            const WIDTH: usize = $width;
            const TYPE: Type = Type::$kind;
            const CODES: &'static [(u64, &'static str)] = $codes;

            #[inline(always)]
            fn put(self, words: &mut [u64; PAYLOAD], offset: usize) {
                let word: fn(Self) -> u64 = $word;
                words[offset / 8] |= word(self) << shift(offset, $width);
            }

            #[inline(always)]
            fn take(words: &[u64; PAYLOAD], offset: usize) -> Self {
                let value: fn(u64) -> Self = $value;
                value((words[offset / 8] >> shift(offset, $width)) & (u64::MAX >> (64 - 8 * $width)))
            }
        }
    )*};
}

macro_rules! names {
    ($name:ident) => {
        &{
            let mut names = [(0, "unknown"); $name::ALL.len() + 1];
            let mut index = 0;
            while index < $name::ALL.len() {
                names[index + 1] = ($name::ALL[index].code(), $name::ALL[index].name());
                index += 1;
            }
            names
        }
    };
}

values! {
    u8, 1, Number, &[], u64::from, |word| word as Self;
    u16, 2, Number, &[], u64::from, |word| word as Self;
    u32, 4, Number, &[], u64::from, |word| word as Self;
    u64, 8, Number, &[], |value| value, |word| word;
    Tick, 8, Number, &[], |value| value.0, Tick;
    TcpFlags, 1, Bits, TCP_FLAGS, |value| u64::from(value.0), |word| TcpFlags(word as u8);
    Flags, 1, Bits, Flags::NAMES, |value| u64::from(value.0), |word| Flags(word as u8);
    Kind, 1, Code, names!(Kind), Kind::code, Kind::from_code;
    End, 1, Code, names!(End), End::code, End::from_code;
    Ruling, 1, Code, names!(Ruling), Ruling::code, Ruling::from_code;
    Connect, 1, Code, names!(Connect), Connect::code, Connect::from_code;
    State, 1, Code, names!(State), State::code, State::from_code;
}

impl Value for Ipv6Addr {
    const WIDTH: usize = 16;
    const TYPE: Type = Type::Address;
    const CODES: &'static [(u64, &'static str)] = &[];

    #[inline(always)]
    fn put(self, words: &mut [u64; PAYLOAD], offset: usize) {
        let bits = self.to_bits();
        words[offset / 8] = ((bits >> 64) as u64).to_be();
        words[offset / 8 + 1] = (bits as u64).to_be();
    }

    #[inline(always)]
    fn take(words: &[u64; PAYLOAD], offset: usize) -> Self {
        let half = |at: usize| u128::from(u64::from_be(words[at]));
        Self::from_bits(half(offset / 8) << 64 | half(offset / 8 + 1))
    }
}

/// TCP's flags that one side sent, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

/// Declares the record: each line is a field, with its place in the slot, unit and IPFIX element.
macro_rules! record {
    ($(
        $offset:literal $name:ident: $type:ty, $unit:ident, $element:literal $(reverse $reverse:ident)?, $help:literal;
    )*) => {
        /// What there is to say of one session.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Record {
            $(#[doc = $help] pub $name: $type,)*
        }

        impl Record {
            /// The record's words, as they stand in a slot behind the sequence.
            #[inline]
            pub fn encode(&self) -> [u64; PAYLOAD] {
                let mut words = [0; PAYLOAD];
                $(self.$name.put(&mut words, $offset - 8);)*
                words
            }

            /// The record that stands in a slot.
            #[inline]
            pub fn decode(words: &[u64; PAYLOAD]) -> Self {
                Self { $($name: Value::take(words, $offset - 8),)* }
            }
        }

        /// A record's fields, in the order of their places.
        pub const FIELDS: &[Spec] = &[$(Spec {
            name: stringify!($name),
            offset: $offset,
            width: <$type as Value>::WIDTH,
            count: 1,
            kind: <$type as Value>::TYPE,
            unit: Unit::$unit,
            merge: Merge::Apart,
            element: $element,
            enterprise: 0 $(+ $reverse)?,
            codes: <$type as Value>::CODES,
            help: $help,
        },)*];
    };
}

record! {
    8 flow: u64, Bare, 148, "The flow's number, unique in the instance.";
    16 started: Tick, Tick, 156, "When the session's first packet came.";
    24 last: Tick, Tick, 157, "When its last packet came.";
    32 written: Tick, Tick, 0, "When this record was written.";
    40 initiator: Ipv6Addr, Bare, 27, "The initiator's address; of IPv4 the mapped one.";
    56 responder: Ipv6Addr, Bare, 28, "The responder's address; of IPv4 the mapped one.";
    72 initiator_packets: u64, Packets, 86, "Packets from the initiator.";
    80 initiator_bytes: u64, Bytes, 353, "Bytes from the initiator.";
    88 responder_packets: u64, Packets, 86 reverse REVERSE, "Packets from the responder.";
    96 responder_bytes: u64, Bytes, 353 reverse REVERSE, "Bytes from the responder.";
    104 number: u32, Bare, 0, "The record's number among those of its flow, from 0.";
    108 epoch: u32, Bare, 0, "The low half of the number of the configuration that decided.";
    112 tenant: u32, Bare, 0, "The tenant: a row of `tenants`.";
    116 vni: u32, Bare, 351, "The segment's VNI.";
    120 initiator_port: u32, Bare, 10, "The initiator's port: a row of `ports`; 4294967295 if not of this host.";
    124 responder_port: u32, Bare, 14, "The responder's port: a row of `ports`; 4294967295 if not of this host.";
    128 initiator_class: u32, Bare, 0, "The initiator's set of groups: a label of kind class.";
    132 responder_class: u32, Bare, 0, "The responder's set of groups: a label of kind class.";
    136 rule: u32, Bare, 0, "The rule, or default, that decided: a row of `rules`.";
    140 would_rule: u32, Bare, 0, "The one that would have, if those under audit counted.";
    144 initiator_l4: u16, Bare, 7, "The initiator's TCP, UDP or SCTP port; of an ICMP query its identifier; else 0.";
    146 responder_l4: u16, Bare, 11, "The responder's port; of ICMP the type (high byte) and code; else 0.";
    148 kind: Kind, Bare, 0, "Why the record was written.";
    149 end: End, Bare, 0, "Why the session ended.";
    150 family: u8, Bare, 60, "4 or 6.";
    151 protocol: u8, Bare, 4, "The protocol (IANA number).";
    152 ruling: Ruling, Bare, 0, "What policy makes of it.";
    153 flags: Flags, Bare, 0, "Yes or no about it.";
    154 initiator_tcp_flags: TcpFlags, Bare, 6, "TCP flags that the initiator sent, all together.";
    155 responder_tcp_flags: TcpFlags, Bare, 6 reverse REVERSE, "TCP flags that the responder sent, all together.";
    156 state: State, Bare, 0, "The session's state.";
    157 connect: Connect, Bare, 0, "What came of the attempt to connect.";
    158 initiator_resets: u8, Packets, 0, "TCP resets from the initiator; 255: that or more.";
    159 responder_resets: u8, Packets, 0, "TCP resets from the responder; 255: that or more.";
    160 initiator_connect: u64, Nanoseconds, 0, "From the answer to the initiator's first packet to its next: the way to the initiator and back; 0: not known.";
    168 responder_connect: u64, Nanoseconds, 0, "From the initiator's first packet to the answer: the way to the responder and back; 0: not known.";
    176 first_response: u64, Nanoseconds, 0, "From the initiator's first data to the responder's first; 0: not known.";
    184 initiator_rtt: u32, Nanoseconds, 0, "The round trip between here and the initiator, smoothed (RFC 6298); 4294967295: that or more; 0: not known.";
    188 initiator_rtt_least: u32, Nanoseconds, 0, "The shortest one.";
    192 responder_rtt: u32, Nanoseconds, 0, "The round trip between here and the responder, smoothed (RFC 6298); 4294967295: that or more; 0: not known.";
    196 responder_rtt_least: u32, Nanoseconds, 0, "The shortest one.";
    200 initiator_retransmitted: u32, Packets, 0, "TCP segments that the initiator sent again.";
    204 responder_retransmitted: u32, Packets, 0, "TCP segments that the responder sent again.";
    208 initiator_zero_windows: u16, Events, 0, "Times that the initiator's window closed.";
    210 responder_zero_windows: u16, Events, 0, "Times that the responder's window closed.";
    212 dns_queries: u16, Events, 0, "DNS queries, of a flow over UDP to port 53; one that was asked again is one; 65535: that or more.";
    214 dns_answers: u16, Events, 0, "Responses to them; 65535: that or more.";
    216 dns_rcode: u8, Bare, 0, "The code of the last response, if there was one.";
}

impl Default for Record {
    /// All unknown: no end is of this host.
    fn default() -> Self {
        Self { initiator_port: NOT_HERE, responder_port: NOT_HERE, ..Self::decode(&[0; PAYLOAD]) }
    }
}

impl Record {
    /// The initiator's address.
    pub fn initiator_ip(&self) -> IpAddr {
        plain(self.initiator, self.family)
    }

    /// The responder's address.
    pub fn responder_ip(&self) -> IpAddr {
        plain(self.responder, self.family)
    }
}

/// An address as it stands in a record.
#[inline]
pub const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn plain(address: Ipv6Addr, family: u8) -> IpAddr {
    match address.to_ipv4_mapped() {
        Some(address) if family == 4 => IpAddr::V4(address),
        _ => IpAddr::V6(address),
    }
}
