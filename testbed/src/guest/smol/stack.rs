//! A guest's IP stack and what its jobs share.

use std::net::IpAddr;
use std::time::Instant;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpCidr};

use super::frames;
use super::nic::Nic;
use super::protocol::SmolGuest;
use super::watch::MARK;
use crate::{Error, Result};

/// What a command came to: the answer's `ok` or its `error`.
pub(super) type Outcome = std::result::Result<serde_json::Value, String>;

/// The stack.
pub(super) struct Stack {
    pub(super) nic: Nic,
    pub(super) iface: Interface,
    pub(super) sockets: SocketSet<'static>,
    /// TCP sockets that nobody uses any more and that still have something to say.
    pub(super) lingering: Vec<SocketHandle>,
    /// Begins what it sends in pings and datagrams.
    pub(super) mark: [u8; MARK],
    gateways: Vec<IpAddr>,
    mac: EthernetAddress,
    port: u16,
}

impl Stack {
    /// The stack of `guest` on its card; `seed` is another in each process.
    pub(super) fn new(guest: &SmolGuest, mac: EthernetAddress, mut nic: Nic, seed: u64) -> Result<Self> {
        let mut config = Config::new(mac.into());
        config.random_seed = seed;
        let mut iface = Interface::new(config, &mut nic, smoltcp::time::Instant::now());
        let wrong = |what: &str| Error::failed(format!("guest {}: {what}", guest.name), "");
        for text in &guest.addresses {
            let address: IpCidr =
                text.parse().map_err(|()| wrong(&format!("`{text}` is no address with a prefix")))?;
            let mut fits = true;
            iface.update_ip_addrs(|addresses| fits = addresses.push(address).is_ok());
            if !fits {
                return Err(wrong("more addresses than its stack takes"));
            }
        }
        for gateway in &guest.gateways {
            let routed = match *gateway {
                IpAddr::V4(v4) => iface.routes_mut().add_default_ipv4_route(v4),
                IpAddr::V6(v6) => iface.routes_mut().add_default_ipv6_route(v6),
            };
            routed.map_err(|_| wrong("more gateways than its stack takes"))?;
        }
        let mark = super::watch::mark(guest.mark.as_deref().unwrap_or_default());
        // A restarted guest does not begin where its predecessor's connections are remembered.
        let port = EPHEMERAL + (seed % u64::from(u16::MAX - EPHEMERAL)) as u16;
        let (sockets, lingering) = (SocketSet::new(Vec::new()), Vec::new());
        let gateways = guest.gateways.clone();
        Ok(Self { nic, iface, sockets, lingering, mark, gateways, mac, port })
    }

    /// Moves frames both ways, a bounded number; returns whether there were any.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        self.nic.look_after(now);
        let time = smoltcp::time::Instant::now();
        let mut busy = false;
        for _ in 0..MOST {
            let result = self.iface.poll_ingress_single(time, &mut self.nic, &mut self.sockets);
            if matches!(result, PollIngressSingleResult::None) {
                break;
            }
            busy = true;
        }
        self.iface.poll_maintenance(time);
        for _ in 0..MOST {
            let result = self.iface.poll_egress(time, &mut self.nic, &mut self.sockets);
            if matches!(result, PollResult::None) {
                break;
            }
            busy = true;
        }
        self.nic.flush();
        let sockets = &mut self.sockets;
        self.lingering.retain(|handle| {
            let is_over = sockets.get::<tcp::Socket>(*handle).state() == tcp::State::Closed;
            if is_over {
                sockets.remove(*handle);
            }
            !is_over
        });
        busy
    }

    /// Asks for the MAC address of the neighbour on the way to `to`.
    ///
    /// The stack asks too, but for one neighbour a second, whoever was asked for last.
    pub(super) fn solicit(&mut self, to: IpAddr) {
        let own = |hop: &IpAddr| {
            let hop = (*hop).into();
            self.iface.ip_addrs().iter().find(|own| own.contains_addr(&hop)).map(|own| own.address().into())
        };
        let same_family = |gateway: &&IpAddr| gateway.is_ipv4() == to.is_ipv4();
        let direct = own(&to).map(|own| (own, to));
        let routed = || {
            let gateway = self.gateways.iter().find(same_family)?;
            own(gateway).map(|own| (own, *gateway))
        };
        let frame = match direct.or_else(routed) {
            Some((IpAddr::V4(own), IpAddr::V4(hop))) => {
                frames::arp_request(self.mac.0, (self.mac.0, own), hop)
            }
            Some((IpAddr::V6(own), IpAddr::V6(hop))) => {
                frames::neighbor_solicit((self.mac.0, own), self.mac.0, hop)
            }
            _ => return,
        };
        // Without room for it, the stack's own will do.
        self.nic.inject(&frame);
    }

    /// A port or an ICMP identifier that was not used lately.
    pub(super) fn ephemeral(&mut self) -> u16 {
        self.port = if self.port == u16::MAX { EPHEMERAL } else { self.port + 1 };
        self.port
    }
}

/// A payload of `size` bytes: the mark, two numbers, and a pattern; all cut off at the end.
pub(super) fn payload(mark: &[u8; MARK], size: usize, run: u64, number: u64) -> Vec<u8> {
    let mut bytes = [&mark[..], &run.to_be_bytes(), &number.to_be_bytes()].concat();
    bytes.resize(size.max(bytes.len()), number as u8);
    bytes.truncate(size);
    bytes
}

/// The numbers in a payload that is long enough for them.
pub(super) fn numbers(payload: &[u8]) -> Option<(u64, u64)> {
    let number = |at: usize| payload.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
    number(MARK).zip(number(MARK + 8))
}

/// Frames moved each way in a turn: other guests want theirs.
const MOST: usize = 64;

/// Where ephemeral ports begin (RFC 6335, section 6).
const EPHEMERAL: u16 = 49_152;

#[cfg(test)]
mod tests {
    use super::{numbers, payload};
    use crate::guest::smol::watch::mark;

    #[test]
    fn payloads_carry_their_numbers_where_they_fit() {
        let mark = mark("blue");
        assert_eq!(numbers(&payload(&mark, 40, 7, 9)), Some((7, 9)));
        assert_eq!(numbers(&payload(&mark, 1400, 7, 9)), Some((7, 9)));
        assert_eq!(numbers(&payload(&mark, 39, 7, 9)), None);
        assert_eq!(payload(&mark, 0, 7, 9).len(), 0);
    }
}
