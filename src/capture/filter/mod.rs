//! Which packets are meant: a part of the language of `tcpdump`, with words for what a switch knows besides.
//!
//! A [`Filter`] is parsed once, off the packet path, and asked for every packet on it: a walk over a tree of bounded size,
//! without allocation. What becomes of a packet is not known when it comes in, and its bytes are others when that is known.
//! So the answer is for each fate that it may have: see [`Fates`].

pub(crate) mod fields;
mod parse;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use weft_pipelines::{Mac, Reason, Vni};

use fields::Fields;

/// The longest filter, in bytes.
pub const MAX_TEXT: usize = 4096;

/// A filter. The empty one means all packets.
#[derive(Clone, Debug, Default)]
pub struct Filter(Option<Expr>);

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The filter.
    text: String,
    /// Where, in characters from 1.
    column: usize,
    /// What is wrong there.
    what: String,
}

impl std::error::Error for Wrong {}

/// `the filter is wrong at column 5: ...`, and the filter with a mark under that place.
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, column, what } = self;
        write!(f, "the filter is wrong at column {column}: {what}")?;
        if text.len() <= 120 && !text.contains(char::is_control) {
            write!(f, "\n  {text}\n  {:>column$}", "^")?;
        }
        Ok(())
    }
}

impl FromStr for Filter {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        parse::parse(text).map(Self)
    }
}

/// What a packet may come to: to pass, or to be dropped for one of the reasons. A set of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fates(u64);

impl Fates {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(!0);
    const PASSED: u64 = 1 << 63;

    /// Whether the one is among them.
    pub const fn have(self, dropped: Option<Reason>) -> bool {
        self.0 & Self::bit(dropped) != 0
    }

    const fn bit(dropped: Option<Reason>) -> u64 {
        match dropped {
            Some(reason) => 1 << reason as u8,
            None => Self::PASSED,
        }
    }

    const fn all_if(is: bool) -> Self {
        if is { Self::ALL } else { Self::NONE }
    }
}

// Each reason has a bit, and to pass has the highest.
const _: () = assert!(Reason::COUNT < 63);

/// What is known of a packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Where {
    /// Its length, in bytes.
    pub len: usize,
    /// The segment of the guest at the port, if it is one's.
    pub vni: Option<Vni>,
    /// The fabric's UDP port of VXLAN.
    pub vxlan_port: u16,
}

impl Filter {
    /// For which fates a packet is meant that begins with `data`.
    pub fn fates(&self, data: &[u8], at: Where) -> Fates {
        match &self.0 {
            None => Fates::ALL,
            Some(expr) => expr.fates(&Fields::of(data), at),
        }
    }
}

/// A term, or several with a word between them.
#[derive(Clone, Debug)]
enum Expr {
    Test(Test),
    Not(Box<Self>),
    And(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
    /// Of the packet within VXLAN.
    Inner(Box<Self>),
}

impl Expr {
    fn fates(&self, fields: &Fields<'_>, at: Where) -> Fates {
        match self {
            Self::Test(test) => test.fates(fields, at),
            Self::Not(expr) => Fates(!expr.fates(fields, at).0),
            Self::And(both) => match both[0].fates(fields, at) {
                Fates::NONE => Fates::NONE,
                first => Fates(first.0 & both[1].fates(fields, at).0),
            },
            Self::Or(both) => match both[0].fates(fields, at) {
                Fates::ALL => Fates::ALL,
                first => Fates(first.0 | both[1].fates(fields, at).0),
            },
            Self::Inner(expr) => match fields.vxlan(at.vxlan_port) {
                Some((vni, data)) => {
                    let len = at.len.saturating_sub(fields.len() - data.len());
                    expr.fates(&Fields::of(data), Where { len, vni: Some(vni), ..at })
                }
                None => Fates::NONE,
            },
        }
    }
}

/// Which of the two ends is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Source,
    Destination,
    Either,
}

impl End {
    fn is<T>(self, (source, destination): (T, T), test: impl Fn(T) -> bool) -> bool {
        match self {
            Self::Source => test(source),
            Self::Destination => test(destination),
            Self::Either => test(source) || test(destination),
        }
    }
}

/// What a packet has to be carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Ip,
    Ip6,
    Arp,
}

/// One question.
#[derive(Clone, Debug)]
enum Test {
    Carried(Carrier),
    /// An address, of IPv4 also in ARP; by this carrier only, if it is given.
    Net(Option<Carrier>, End, IpNet),
    /// A port of the protocol, or of any that has ports.
    Ports(Option<u8>, End, u16, u16),
    /// An IP protocol.
    Protocol(Option<Carrier>, u8),
    Ether(End, Mac),
    Broadcast,
    Multicast,
    /// At most so many bytes.
    Less(usize),
    /// At least so many.
    Greater(usize),
    Vni(Vni),
    Drop(Option<Reason>),
}

impl Test {
    fn fates(&self, fields: &Fields<'_>, at: Where) -> Fates {
        Fates::all_if(match self {
            Self::Drop(None) => return Fates(!Fates::PASSED),
            Self::Drop(reason) => return Fates(Fates::bit(*reason)),
            Self::Carried(carrier) => fields.carrier == Some(*carrier),
            Self::Net(carrier, end, net) => {
                carrier.is_none_or(|carrier| fields.carrier == Some(carrier))
                    && match net {
                        IpNet::V4(net) => {
                            fields.v4().is_some_and(|ends| end.is(ends, |ip| net.contains(&ip)))
                        }
                        IpNet::V6(net) => {
                            fields.v6().is_some_and(|ends| end.is(ends, |ip| net.contains(&ip)))
                        }
                    }
            }
            Self::Ports(protocol, end, low, high) => {
                let ports = fields.ports(*protocol);
                ports.is_some_and(|ends| end.is(ends, |port| (*low..=*high).contains(&port)))
            }
            Self::Protocol(carrier, protocol) => {
                carrier.is_none_or(|carrier| fields.carrier == Some(carrier)) && fields.is_of(*protocol)
            }
            Self::Ether(end, mac) => fields.macs().is_some_and(|ends| end.is(ends, |of| of == *mac)),
            Self::Broadcast => fields.macs().is_some_and(|(_, to)| to == Mac::BROADCAST),
            Self::Multicast => fields.macs().is_some_and(|(_, to)| to.0[0] & 1 != 0),
            Self::Less(len) => at.len <= *len,
            Self::Greater(len) => at.len >= *len,
            Self::Vni(vni) => {
                at.vni == Some(*vni) || fields.vxlan(at.vxlan_port).is_some_and(|(of, _)| of == *vni)
            }
        })
    }
}

/// A network of one address.
fn alone(ip: IpAddr) -> IpNet {
    IpNet::from(ip)
}
