//! Who is meant, by which family of addresses, and whether the two can meet at all.

use std::net::{IpAddr, Ipv4Addr};

use weft_pipelines::Mac;
use weft_pipelines::wire::ipv4::protocol;
use weft_pipelines::wire::{icmp, icmpv6};

use super::ends::{self, Found, full_name};
use super::{Ask, End, Problem, Purpose, Written};
use crate::config::checked::{Endpoint, Fabric, HostIndex};
use crate::replay::derived_mac;

/// What is asked, looked up in the document.
pub struct Asked {
    /// Who opens the connection.
    pub from: Party,
    /// Who it is opened to.
    pub to: Party,
    /// The tenant's place in the document.
    pub tenant: usize,
    /// The place of the segment where they meet, or why they do not.
    pub meeting: Result<usize, String>,
}

/// An end with its address.
#[derive(Clone, Copy, Debug)]
pub struct Party {
    /// The tenant's and the endpoint's place in the document; `None` of an address that no endpoint has.
    pub endpoint: Option<(usize, usize)>,
    /// The address.
    pub address: IpAddr,
}

/// Looks up what is asked.
pub fn asked(fabric: &Fabric, ask: &Ask) -> Result<Asked, Problem> {
    opens_a_connection(ask.purpose)?;
    let find = |written: &Written| match ends::find(fabric, written)? {
        Found::Group(..) => Err(Problem::Wrong(format!(
            "{written} is a group; name one of its endpoints, as tenant/endpoint, or an address"
        ))),
        found => Ok(found),
    };
    let (from, to) = (find(&ask.from)?, find(&ask.to)?);
    let Some(tenant) = from.tenant().or(to.tenant()) else {
        return Err(Problem::Wrong(format!(
            "{} and {} are addresses, which several tenants may have; write one of them as tenant/endpoint",
            ask.from, ask.to
        )));
    };
    let is_ipv6 = family(fabric, ask, [from, to])?;
    let from_party = party(fabric, from, to, is_ipv6)?;
    let to_party = party(fabric, to, from, is_ipv6)?;
    let meeting = meeting(fabric, [&from_party, &to_party]);
    Ok(Asked { from: from_party, to: to_party, tenant, meeting })
}

/// Refuses what opens no connection.
fn opens_a_connection(purpose: Purpose) -> Result<(), Problem> {
    let [kind, _] = purpose.message();
    let (is_error, is_discovery) = match purpose.protocol {
        protocol::ICMP => (icmp::is_error(kind), false),
        protocol::ICMPV6 => (icmpv6::is_error(kind), icmpv6::is_discovery(kind)),
        _ => (false, false),
    };
    if is_error {
        return Err(Problem::Wrong(format!(
            "{purpose} is an error: it passes by the session of the packet that it is about, whatever the rules"
        )));
    }
    if is_discovery {
        return Err(Problem::Wrong(format!(
            "{purpose} keeps the link itself going: it is held to the endpoint that sends it, and not to policy"
        )));
    }
    Ok(())
}

/// Whether the connection is of IPv6.
fn family(fabric: &Fabric, ask: &Ask, ends: [Found; 2]) -> Result<bool, Problem> {
    let of_address = |end, written: &Written| match end {
        Found::Address(address) => Some((address.is_ipv6(), written.to_string())),
        _ => None,
    };
    let told = [
        ask.purpose.is_ipv6().map(|ipv6| (ipv6, ask.purpose.to_string())),
        of_address(ends[0], &ask.from),
        of_address(ends[1], &ask.to),
        ask.ipv6.then(|| (true, "--ipv6".to_owned())),
    ];
    let mut told = told.into_iter().flatten();
    if let Some((ipv6, first)) = told.next() {
        return match told.find(|(other, _)| *other != ipv6) {
            Some((other, second)) => Err(Problem::Wrong(format!(
                "{first} is of {} and {second} of {}; a connection is of one of them",
                named(ipv6),
                named(other)
            ))),
            None => Ok(ipv6),
        };
    }
    // IPv4 unless one of them has none.
    Ok(ends.iter().any(|end| address(fabric, *end, false).is_none()))
}

const fn named(ipv6: bool) -> &'static str {
    if ipv6 { "IPv6" } else { "IPv4" }
}

/// The first address of an end in a family.
fn address(fabric: &Fabric, end: Found, ipv6: bool) -> Option<IpAddr> {
    match end {
        Found::Address(address) => Some(address),
        Found::Endpoint(tenant, endpoint) => {
            let ips = &ends::endpoint(fabric, tenant, endpoint).ips;
            ips.iter().copied().find(|address| address.is_ipv6() == ipv6)
        }
        Found::Group(..) => None,
    }
}

/// An end with its address. One that is an address is perhaps that of an endpoint in the other's segment.
fn party(fabric: &Fabric, end: Found, other: Found, ipv6: bool) -> Result<Party, Problem> {
    let lacks = |tenant, endpoint| {
        let (of, endpoint) = (&fabric.tenants[tenant], ends::endpoint(fabric, tenant, endpoint));
        Problem::Wrong(format!("{} has no {} address", full_name(of, endpoint), named(ipv6)))
    };
    match (end, other) {
        (Found::Endpoint(tenant, endpoint), _) => {
            let address = address(fabric, end, ipv6).ok_or_else(|| lacks(tenant, endpoint))?;
            Ok(Party { endpoint: Some((tenant, endpoint)), address })
        }
        (Found::Address(address), Found::Endpoint(tenant, other)) => {
            let endpoints = &fabric.tenants[tenant].endpoints;
            let segment = endpoints[other].segment;
            let has = |endpoint: &Endpoint| endpoint.segment == segment && endpoint.ips.contains(&address);
            let endpoint = endpoints.iter().position(has).map(|endpoint| (tenant, endpoint));
            Ok(Party { endpoint, address })
        }
        (Found::Address(address), _) => Ok(Party { endpoint: None, address }),
        (Found::Group(..), _) => unreachable!("refused before"),
    }
}

/// The place of the segment where two parties meet, one of which is an endpoint.
fn meeting(fabric: &Fabric, parties: [&Party; 2]) -> Result<usize, String> {
    let segment = |(tenant, endpoint)| ends::endpoint(fabric, tenant, endpoint).segment.0;
    match parties.map(|party| party.endpoint) {
        [Some((one, _)), Some((other, _))] if one != other => {
            let name = |tenant: usize| &fabric.tenants[tenant].name;
            Err(format!("tenants {} and {} are separate worlds, with no way across", name(one), name(other)))
        }
        [Some(one), Some(other)] if segment(one) != segment(other) => {
            let segments = &fabric.tenants[one.0].segments;
            let name = |of| &segments[segment(of)].name;
            Err(format!(
                "they are on segments {} and {}, and Weft does not route between segments",
                name(one),
                name(other)
            ))
        }
        [Some(end), _] | [None, Some(end)] => Ok(segment(end)),
        [None, None] => Err("neither is an endpoint".to_owned()),
    }
}

impl Party {
    /// As it is told.
    pub fn end(&self, fabric: &Fabric) -> End {
        End { endpoint: self.name(fabric), address: self.address }
    }

    /// `tenant/endpoint`, or the address.
    pub fn to_string(self, fabric: &Fabric) -> String {
        self.name(fabric).unwrap_or_else(|| self.address.to_string())
    }

    /// The endpoint's host.
    pub fn host(&self, fabric: &Fabric) -> Option<HostIndex> {
        self.endpoint.map(|(tenant, endpoint)| ends::endpoint(fabric, tenant, endpoint).host)
    }

    fn name(&self, fabric: &Fabric) -> Option<String> {
        let (tenant, endpoint) = self.endpoint?;
        let tenant = &fabric.tenants[tenant];
        Some(full_name(tenant, &tenant.endpoints[endpoint]))
    }

    /// The MAC that it sends from: a made-up one where it is no endpoint.
    pub fn mac(&self, fabric: &Fabric, tenant: usize, segment: usize) -> Mac {
        match self.endpoint {
            Some((tenant, endpoint)) => ends::endpoint(fabric, tenant, endpoint).mac,
            None => made_up(fabric, tenant, segment, self.address),
        }
    }

    /// The MAC that others in the segment send to: that of the gateway where it is no endpoint, if there is one.
    pub fn mac_to_send_to(
        &self,
        fabric: &Fabric,
        tenant: usize,
        segment: usize,
        notes: &mut Vec<String>,
    ) -> Mac {
        let mac = self.mac(fabric, tenant, segment);
        if self.endpoint.is_some() {
            return mac;
        }
        let address = self.address;
        let of = &fabric.tenants[tenant];
        let described = &of.segments[segment];
        let is_outside = described.subnets.iter().all(|subnet| !subnet.contains(&address));
        let gateways = described.gateways.iter().filter(|ip| is_outside && ip.is_ipv6() == address.is_ipv6());
        let mut on_endpoints = gateways.filter_map(|gateway| {
            let has = |endpoint: &&Endpoint| endpoint.segment.0 == segment && endpoint.ips.contains(gateway);
            Some((gateway, of.endpoints.iter().find(has)?))
        });
        match on_endpoints.next() {
            Some((gateway, endpoint)) => {
                let name = full_name(of, endpoint);
                notes.push(format!(
                    "{address} is no endpoint's: sent to the gateway {gateway}, which is {name}"
                ));
                endpoint.mac
            }
            None => {
                notes.push(format!(
                    "{address} is no endpoint's: sent to {mac}, a made-up MAC that the document does not know"
                ));
                mac
            }
        }
    }
}

/// A MAC for `address` that no endpoint of the segment has.
fn made_up(fabric: &Fabric, tenant: usize, segment: usize, address: IpAddr) -> Mac {
    let last_bits = match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    };
    let taken = |mac: Mac| {
        let endpoints = fabric.tenants[tenant].endpoints.iter();
        endpoints.filter(|endpoint| endpoint.segment.0 == segment).any(|endpoint| endpoint.mac == mac)
    };
    let mut candidates = (0..=u32::MAX).map(|n| derived_mac(Ipv4Addr::from_bits(last_bits.wrapping_add(n))));
    candidates.find(|mac| !taken(*mac)).unwrap_or_default()
}
