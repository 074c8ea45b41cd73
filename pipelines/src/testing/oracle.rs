//! Where a packet must end up, said plainly and slowly: the oracle that the ways are compared with.
//!
//! It works on what a frame was meant to say, not on its bytes, and shares no code with the stages.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::HashMap;

use super::lab::{Found, Lab};
use super::packets::{self, Operation};
use crate::ids::PortId;
use crate::qos::Dscp;
use crate::verdict::Reason;
use crate::wire::Mac;
use crate::wire::icmpv6::kind;
use crate::wire::ipv4::protocol;

/// A frame as it is meant.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its destination.
    pub to: Mac,
    /// Its source.
    pub from: Mac,
    /// VLAN and priority, if it has a tag.
    pub tag: Option<u16>,
    /// DSCP and ECN, of what is IP.
    pub tos: u8,
    /// What it says.
    pub what: What,
}

/// What a frame says.
#[derive(Clone, Debug)]
pub enum What {
    /// A datagram over IPv4 from this address.
    Udp4(Ipv4Addr),
    /// A datagram over IPv6 from this address.
    Udp6(Ipv6Addr),
    /// ARP: a request or reply whose sender claims this.
    Arp(Operation, Mac, Ipv4Addr),
    /// A neighbour advertisement from this address for that one, with that link-layer address.
    Advertisement(Ipv6Addr, Ipv6Addr, Mac),
    /// An echo request over IPv6 from this address.
    Echo6(Ipv6Addr),
    /// DHCP discover.
    Discover,
    /// Something that segments don't carry.
    Other,
}

impl Said {
    /// The frame without its tag.
    pub fn untagged(&self) -> Vec<u8> {
        let mut frame = self.unmarked();
        if self.is_ip() {
            packets::set_tos(&mut frame, self.tos);
        }
        frame
    }

    fn is_ip(&self) -> bool {
        !matches!(self.what, What::Arp(..) | What::Other)
    }

    fn unmarked(&self) -> Vec<u8> {
        let (peer4, peer6) =
            (Ipv4Addr::new(10, 1, 0, 200), Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xc8));
        let frame =
            |ends, protocol, payload: &[u8]| packets::frame(self.to, self.from, ends, protocol, payload);
        let udp = |ends, from, to| frame(ends, protocol::UDP, &packets::udp(ends, from, to, b"said"));
        let icmp = |source: Ipv6Addr, kind, rest: &[u8]| {
            let ends = (source.into(), peer6.into());
            frame(ends, protocol::ICMPV6, &packets::icmpv6(ends, kind, rest))
        };
        match &self.what {
            What::Udp4(source) => udp(((*source).into(), peer4.into()), 4000, 4001),
            What::Udp6(source) => udp(((*source).into(), peer6.into()), 4000, 4001),
            What::Arp(operation, mac, ip) => {
                let packet = packets::arp_packet(*operation, (*mac, *ip), (Mac::ZERO, peer4));
                packets::ethernet(self.to, self.from, 0x0806, &packet)
            }
            What::Advertisement(source, target, mac) => {
                let body = packets::discovery(*target, &packets::link_layer(2, *mac));
                icmp(*source, kind::NEIGHBOR_ADVERTISEMENT, &body)
            }
            What::Echo6(source) => icmp(*source, kind::ECHO_REQUEST, b"abcd"),
            What::Discover => udp((Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()), 68, 67),
            What::Other => packets::ethernet(self.to, self.from, 0x88cc, b"neither ARP nor IP"),
        }
    }

    /// The frame.
    pub fn bytes(&self) -> Vec<u8> {
        let frame = self.untagged();
        self.tag.map_or_else(|| frame.clone(), |tag| packets::tagged(&frame, 0x8100, tag))
    }

    fn refused(&self) -> Option<Reason> {
        match (self.tag, &self.what) {
            (Some(tag), _) if tag & 0xfff != 0 => Some(Reason::VlanTagged),
            (_, What::Other) => Some(Reason::EthertypeUnsupported),
            _ => None,
        }
    }
}

/// Where a packet or a copy of it ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Exit {
    /// At a guest's port.
    Guest(PortId),
    /// At another host, by its index.
    Host(usize),
}

/// A host of a fabric, as plain as can be.
#[derive(Debug)]
pub struct Oracle<'a> {
    lab: &'a Lab,
    host: usize,
    /// By segment and MAC, the endpoint's host and, if that is ours, its port.
    places: HashMap<(usize, Mac), (usize, PortId)>,
}

impl<'a> Oracle<'a> {
    /// Host `host` of `lab`.
    pub fn new(lab: &'a Lab, host: usize) -> Self {
        let mut places = HashMap::new();
        let mut next = 0;
        for endpoint in &lab.endpoints {
            let port = PortId(next);
            if endpoint.host == host {
                next += 1;
            }
            places.insert((endpoint.segment, endpoint.mac), (endpoint.host, port));
        }
        Self { lab, host, places }
    }

    /// What must become of `said` from the guest at `port`.
    pub fn from_guest(&self, port: PortId, said: &Said) -> Result<Vec<Exit>, Reason> {
        let guest = self.lab.guests(self.host).nth(port.index()).expect("a guest's port");
        if let Some(reason) = said.refused() {
            return Err(reason);
        }
        if said.from != guest.mac {
            return Err(Reason::SpoofedMac);
        }
        let owns4 = |ip: &Ipv4Addr| *ip == guest.ipv4;
        let owns6 = |ip: &Ipv6Addr| guest.ipv6.contains(ip);
        match &said.what {
            What::Udp4(ip) if !owns4(ip) => return Err(Reason::SpoofedIp),
            What::Udp6(ip) | What::Echo6(ip) if !owns6(ip) => return Err(Reason::SpoofedIp),
            What::Advertisement(ip, _, _) if !owns6(ip) => return Err(Reason::SpoofedIp),
            What::Advertisement(_, target, mac) if !owns6(target) || *mac != guest.mac => {
                return Err(Reason::SpoofedNd);
            }
            What::Arp(operation, mac, ip) => {
                let probe = *operation == Operation::Request && ip.is_unspecified();
                if *mac != guest.mac || !(probe || owns4(ip)) {
                    return Err(Reason::SpoofedArp);
                }
            }
            _ => {}
        }
        self.forward(guest.segment, Some(port), said.to)
    }

    /// DSCP and ECN of the outer header of what the guest at `port` sends to another host.
    pub fn outer(&self, port: PortId, said: &Said) -> u8 {
        let (dscp, ecn) = (said.tos / 4, said.tos % 4);
        let classes = self.lab.qos.endpoints.iter().find(|(of, ..)| *of == port).map(|(.., classes)| classes);
        match (self.lab.qos.settings.dscp, classes) {
            _ if !said.is_ip() => 0,
            (Dscp::Uniform, _) => dscp * 4 + ecn,
            (Dscp::Pipe, None) => ecn,
            (Dscp::Pipe, Some(classes)) => {
                classes.outer[usize::from(classes.of[usize::from(dscp)].0)] * 4 + ecn
            }
        }
    }

    /// What DSCP and ECN must be behind the tunnel of what arrived with these outer ones.
    fn behind_the_tunnel(&self, said: &Said, outer: u8) -> Result<u8, Reason> {
        // RFC 6040, figure 4: by inner, then by outer; Not-ECT, ECT(1), ECT(0), CE. 9 is a drop.
        const TABLE: [[u8; 4]; 4] = [[0, 0, 0, 9], [1, 1, 1, 3], [2, 1, 2, 3], [3, 3, 3, 3]];
        if !said.is_ip() {
            return Ok(said.tos);
        }
        let ecn = TABLE[usize::from(said.tos % 4)][usize::from(outer % 4)];
        let dscp = if self.lab.qos.settings.dscp == Dscp::Uniform { outer / 4 } else { said.tos / 4 };
        if ecn == 9 { Err(Reason::NotEcnCapable) } else { Ok(dscp * 4 + ecn) }
    }

    /// What must become of `said` that host `peer` sends us in the segment with `vni` and the octet `outer`: where it
    /// ends up, and with which octet.
    pub fn from_host(
        &self,
        peer: usize,
        vni: u32,
        outer: u8,
        said: &Said,
    ) -> Result<(Vec<Exit>, u8), Reason> {
        if self.lab.hosts[peer].found == Found::Never || peer == self.host {
            return Err(Reason::UnknownPeer);
        }
        let segment = self.lab.segments.iter().position(|(_, of)| of.value() == vni);
        let here = |n: &usize| self.lab.guests(self.host).any(|guest| guest.segment == *n);
        let Some(segment) = segment.filter(here) else { return Err(Reason::UnknownVni) };
        if let Some(reason) = said.refused() {
            return Err(reason);
        }
        let tos = self.behind_the_tunnel(said, outer)?;
        if self.places.get(&(segment, said.from)).is_some_and(|(host, _)| *host != peer) {
            return Err(Reason::SpoofedFabric);
        }
        Ok((self.forward(segment, None, said.to)?, tos))
    }

    /// `port` is the guest's that sent it; without one it came from the fabric and does not go back.
    fn forward(&self, segment: usize, port: Option<PortId>, to: Mac) -> Result<Vec<Exit>, Reason> {
        if (0..16).any(|low| to == Mac([0x01, 0x80, 0xc2, 0, 0, low])) {
            return Err(Reason::LinkLocalMulticast);
        }
        match self.places.get(&(segment, to)) {
            Some((host, at)) if *host == self.host && port == Some(*at) => Err(Reason::Hairpin),
            Some((host, at)) if *host == self.host => Ok(vec![Exit::Guest(*at)]),
            Some(_) if port.is_none() => Err(Reason::NotHere),
            Some((host, _)) if self.lab.hosts[*host].found == Found::Never => Err(Reason::NoUplink),
            Some((host, _)) => Ok(vec![Exit::Host(*host)]),
            None => self.flood(segment, port),
        }
    }

    fn flood(&self, segment: usize, port: Option<PortId>) -> Result<Vec<Exit>, Reason> {
        let mut exits: Vec<_> = self
            .places
            .iter()
            .filter(|((of, _), _)| *of == segment)
            .filter_map(|(_, (host, at))| match port {
                _ if *host == self.host => (port != Some(*at)).then_some(Exit::Guest(*at)),
                Some(_) => (self.lab.hosts[*host].found != Found::Never).then_some(Exit::Host(*host)),
                None => None,
            })
            .collect();
        exits.sort();
        exits.dedup();
        if exits.is_empty() { Err(Reason::NoDestination) } else { Ok(exits) }
    }
}
