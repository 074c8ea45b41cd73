//! A packet in a line, as far as its beginning tells.

use std::net::IpAddr;

use crate::capture::filter::fields::Fields;
use crate::explain::ends::endpoint_at;
use crate::explain::glimpse::Glimpse;
use crate::explain::words::Teller;
use crate::explain::{End, Purpose, title};

/// The packet that begins with `data`, as it stood after `parsed` if that is known.
pub(super) fn summary(teller: &Teller<'_>, data: &[u8], parsed: Option<&Glimpse>) -> String {
    let segment = teller.segment_of_port().or(parsed.map(|glimpse| glimpse.segment));
    let of = segment.and_then(|segment| Some((teller.tenant(segment)?, teller.vni(segment)?)));
    let end = |address: IpAddr| {
        let endpoint = of.and_then(|(tenant, vni)| endpoint_at(tenant, vni, address));
        End { endpoint, address }
    };
    let fields = Fields::of(data);
    let v4 = fields.v4().map(|(from, to)| (IpAddr::from(from), IpAddr::from(to)));
    let v6 = || fields.v6().map(|(from, to)| (IpAddr::from(from), IpAddr::from(to)));
    match (v4.or_else(v6), fields.protocol(), fields.macs()) {
        (Some((from, to)), Some(protocol), _) => {
            let (from, to) = (end(from), end(to));
            match fields.service() {
                Some((port, source)) => title(&from, &to, Purpose { protocol, port }, source),
                None => format!("{from} to {to}, {}", crate::explain::purpose::protocol_name(protocol)),
            }
        }
        (Some((from, to)), None, _) => format!("{} to {}, ARP", end(from), end(to)),
        (None, _, Some((from, to))) => format!("{from} to {to}, EtherType {:#06x}", fields.ethertype()),
        (None, _, None) => "cut short".to_owned(),
    }
}
