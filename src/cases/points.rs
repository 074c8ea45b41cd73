//! Which questions have to be asked so that all that a case is about is answered.
//!
//! Policy can't tell two addresses apart that are in the same networks and are no endpoint's; nor two ports that are in
//! the same services of all rules. Both lie in intervals, and an interval's first address or port stands for all of it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use weft_pipelines::Vni;
use weft_pipelines::wire::ipv4::protocol;

use crate::config::checked::{Fabric, PortRange, Service, Tenant};
use crate::explain::Purpose;
use crate::explain::ends::{self, Found};

/// An address, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The segment; `None` is wherever the other end is.
    pub vni: Option<Vni>,
    /// The address.
    pub address: IpAddr,
}

/// The points that stand for all that `found` means.
pub fn of(fabric: &Fabric, found: Found) -> Vec<Point> {
    match found {
        Found::Address(address) => vec![Point { vni: None, address }],
        Found::Endpoint(tenant, endpoint) => {
            let endpoint = ends::endpoint(fabric, tenant, endpoint);
            let vni = Some(fabric.tenants[tenant].segments[endpoint.segment.0].vni);
            endpoint.ips.iter().map(|address| Point { vni, address: *address }).collect()
        }
        Found::Group(tenant, group) => {
            let networks = &ends::group(fabric, tenant, group).cidrs;
            let tenant = &fabric.tenants[tenant];
            let members =
                tenant.endpoints.iter().filter(|endpoint| endpoint.groups.iter().any(|of| of.0 == group));
            let members = members.flat_map(|endpoint| {
                let vni = Some(tenant.segments[endpoint.segment.0].vni);
                endpoint.ips.iter().map(move |address| Point { vni, address: *address })
            });
            let networks = networks.iter().flat_map(|network| within(tenant, network));
            members.chain(networks.map(|address| Point { vni: None, address })).collect()
        }
    }
}

/// Addresses of `network`, one at least of each kind that the tenant's policy can tell apart.
fn within(tenant: &Tenant, network: &IpNet) -> BTreeSet<IpAddr> {
    let cidrs = tenant.groups.iter().flat_map(|group| &group.cidrs).copied();
    let addresses = tenant.endpoints.iter().flat_map(|endpoint| &endpoint.ips).map(|ip| IpNet::from(*ip));
    let inside = cidrs.chain(addresses).filter(|inner| network.contains(inner));
    let borders = inside.flat_map(|inner| [Some(inner.network()), after(inner.broadcast())]);
    let borders = borders.flatten().filter(|border| network.contains(border));
    borders.chain([network.network()]).collect()
}

/// The next address, if there is one.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(address) => address.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

/// Where two points meet: in the segment of both, or in any of the tenant if neither says.
pub fn meet(tenant: &Tenant, from: Point, to: Point) -> impl Iterator<Item = (Vni, IpAddr, IpAddr)> + '_ {
    let is_pair = from.address.is_ipv4() == to.address.is_ipv4() && from.address != to.address;
    let is_there = move |vni: &Vni| {
        let agrees = |point: Point| point.vni.is_none_or(|of| of == *vni);
        is_pair && agrees(from) && agrees(to)
    };
    let segments = tenant.segments.iter().map(|segment| segment.vni);
    segments.filter(is_there).map(move |vni| (vni, from.address, to.address))
}

/// Services of one case: a protocol's ports, or types and codes. `None` is every protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Services(Option<(u8, RangeInclusive<u16>)>);

/// Protocols whose ports or messages rules may name, and one that stands for all others (RFC 3692).
const PROTOCOLS: [(u8, RangeInclusive<u16>); 6] = [
    (protocol::TCP, 0..=u16::MAX),
    (protocol::UDP, 0..=u16::MAX),
    (protocol::SCTP, 0..=u16::MAX),
    (protocol::ICMP, 0..=u16::MAX),
    (protocol::ICMPV6, 0..=u16::MAX),
    (253, 0..=0),
];

impl FromStr for Services {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("proto/") {
            let Purpose { protocol, port } = text.parse()?;
            return Ok(Self(Some((protocol, port..=port))));
        }
        Ok(Self(of_service(&text.parse()?)))
    }
}

/// The protocol and ports that a service is about; `None` is all.
fn of_service(service: &Service) -> Option<(u8, RangeInclusive<u16>)> {
    let ports = |protocol, range: &PortRange| Some((protocol, range.first()..=range.last()));
    let messages = |protocol, kind: Option<u8>, code: Option<u8>| {
        let message = |kind, code| u16::from_be_bytes([kind, code]);
        let (first, last) = kind.map_or((0, u8::MAX), |kind| (kind, kind));
        Some((protocol, message(first, code.unwrap_or(0))..=message(last, code.unwrap_or(u8::MAX))))
    };
    match service {
        Service::Any => None,
        Service::Tcp(range) => ports(protocol::TCP, range),
        Service::Udp(range) => ports(protocol::UDP, range),
        Service::Sctp(range) => ports(protocol::SCTP, range),
        Service::Icmp { kind, code } => messages(protocol::ICMP, *kind, *code),
        Service::Icmpv6 { kind, code } => messages(protocol::ICMPV6, *kind, *code),
    }
}

/// One purpose at least of each kind that the tenant's rules can tell apart.
pub fn purposes(tenant: &Tenant, services: &[Services]) -> Vec<Purpose> {
    let rules = || tenant.policy.rules.iter().flat_map(|rule| &rule.services).filter_map(of_service);
    let mut purposes = BTreeSet::new();
    let asked = services.iter().flat_map(|Services(service)| match service {
        Some(service) => vec![service.clone()],
        None => PROTOCOLS.to_vec(),
    });
    for (protocol, range) in asked {
        let borders = rules().filter(|(of, _)| *of == protocol);
        let borders = borders.flat_map(|(_, ports)| [Some(*ports.start()), ports.end().checked_add(1)]);
        let borders = borders.flatten().filter(|port| range.contains(port));
        purposes.extend(borders.chain([*range.start()]).map(|port| Purpose { protocol, port }));
    }
    purposes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weft_pipelines::policy::{Question, linear};

    use super::*;
    use crate::config;
    use crate::control::compile::policies;

    const FABRIC: &str = r#"
fabric: { name: lab }
hosts: [{ name: hv-a, vtep: 198.51.100.1 }]
tenants:
  - name: blue
    segments: [{ name: front, vni: 1, subnet: [10.1.0.0/24] }]
    groups:
      - { name: web }
      - { name: wide, cidr: [10.0.0.0/8] }
      - { name: some, cidr: [10.1.0.0/29, 10.1.0.64/26, 10.255.255.254/31] }
      - { name: one, cidr: [10.1.0.4/32] }
    endpoints:
      - { name: a, host: hv-a, attach: { device: d0 }, segment: front, mac: "02:00:00:00:00:01", ip: [10.1.0.2], groups: [web] }
      - { name: b, host: hv-a, attach: { device: d1 }, segment: front, mac: "02:00:00:00:00:02", ip: [10.1.0.3] }
    policy:
      default: deny
      rules:
        - { name: r0, from: web, to: one, deny: [tcp/10-20] }
        - { name: r1, from: some, to: any, allow: [tcp/15-30, udp] }
        - { name: r2, from: wide, to: some, allow: [icmp/8, tcp/65535] }
"#;

    fn fabric() -> Fabric {
        config::parse("points", FABRIC).unwrap()
    }

    #[test]
    fn a_network_is_asked_at_its_borders() {
        let fabric = fabric();
        let asked = within(&fabric.tenants[0], &"10.1.0.0/29".parse().unwrap());
        let last = asked.iter().map(|address| address.to_string().rsplit('.').next().unwrap().to_owned());
        assert_eq!(last.collect::<Vec<_>>(), ["0", "2", "3", "4", "5"]);
        let all = within(&fabric.tenants[0], &"0.0.0.0/0".parse().unwrap());
        assert!(all.contains(&"11.0.0.0".parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn a_range_is_asked_at_its_borders() {
        let fabric = fabric();
        let ports = |text: &str| {
            let purposes = purposes(&fabric.tenants[0], &[text.parse().unwrap()]);
            purposes.into_iter().map(|purpose| purpose.port).collect::<Vec<_>>()
        };
        assert_eq!(ports("tcp/12"), [12]);
        assert_eq!(ports("tcp/12-25"), [12, 15, 21]);
        assert_eq!(ports("tcp"), [0, 10, 15, 21, 31, 65535]);
        assert_eq!(ports("icmp"), [0, 0x800, 0x900]);
        assert_eq!(ports("proto/47"), [0]);
        assert_eq!(ports("any").len(), 6 + 1 + 1 + 3 + 1 + 1);
    }

    proptest! {
        /// No address and no port is decided in a way that no point is.
        #[test]
        fn points_stand_for_all(last: u16, wide: bool, port: u16, is_udp: bool) {
            let fabric = fabric();
            let (tenant, rules) = (&fabric.tenants[0], &policies(&fabric)[0].rules);
            let network: IpNet = if wide { "10.0.0.0/8" } else { "10.1.0.0/29" }.parse().unwrap();
            let [high, low] = last.to_be_bytes();
            let any: IpAddr = if wide { [10, 1, high & 1, low] } else { [10, 1, 0, low & 7] }.into();
            let (protocol, text) = if is_udp { (protocol::UDP, "udp") } else { (protocol::TCP, "tcp") };
            let decide = |from: IpAddr, port: u16| {
                let to = "10.1.0.4".parse().unwrap();
                linear::decide(rules, &Question { vni: Vni::LOWEST, from, to, protocol, port })
            };
            let purposes = purposes(tenant, &[text.parse().unwrap()]);
            let found = within(tenant, &network).into_iter().any(|from| {
                purposes.iter().any(|purpose| {
                    decide(from, purpose.port) == decide(any, port)
                        && linear::groups(rules, Vni::LOWEST, from) == linear::groups(rules, Vni::LOWEST, any)
                })
            });
            prop_assert!(found, "{any} {port}");
        }
    }
}
