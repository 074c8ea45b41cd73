//! ICMP echo requests and their replies.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp::{Endpoint, PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress};

use super::protocol::{PingReport, Rtt};
use super::stack::{Outcome, Stack, payload};
use crate::Error;

/// Pings under way.
pub(super) struct Ping {
    socket: SocketHandle,
    to: IpAddress,
    ident: u16,
    plan: Plan,
    sent: u16,
    next: Instant,
    end: Instant,
    waiting: HashMap<u16, Instant>,
    times: Vec<Duration>,
}

/// How to ping.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) to: IpAddr,
    pub(super) count: u16,
    pub(super) size: u16,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

impl Ping {
    pub(super) fn start(stack: &mut Stack, plan: Plan, now: Instant) -> Result<Self, Error> {
        stack.solicit(plan.to);
        let ident = stack.ephemeral();
        let buffer = || {
            let bytes = PACKETS * (usize::from(plan.size) + 64);
            PacketBuffer::new(vec![PacketMetadata::EMPTY; PACKETS], vec![0; bytes])
        };
        let mut socket = Socket::new(buffer(), buffer());
        socket
            .bind(Endpoint::Ident(ident))
            .map_err(|error| Error::failed("binding for ICMP", error.to_string()))?;
        let socket = stack.sockets.add(socket);
        let (next, end) = (now, now + plan.timeout);
        let (waiting, times) = (HashMap::new(), Vec::new());
        Ok(Self { socket, to: plan.to.into(), ident, plan, sent: 0, next, end, waiting, times })
    }

    pub(super) fn poll(&mut self, stack: &mut Stack, now: Instant) -> Option<Outcome> {
        self.take_replies(stack, now);
        while self.sent < self.plan.count && now >= self.next && self.send(stack, now) {}
        let all_are_back = self.sent == self.plan.count && self.waiting.is_empty();
        if !all_are_back && now < self.end {
            return None;
        }
        stack.sockets.remove(self.socket);
        Some(Ok(serde_json::json!(self.report())))
    }

    fn send(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let data = payload(&stack.mark, self.plan.size.into(), self.ident.into(), self.sent.into());
        let (ident, seq_no) = (self.ident, self.sent);
        let checksums = ChecksumCapabilities::default();
        let source = match self.to {
            IpAddress::Ipv6(to) => stack.iface.get_source_address_ipv6(&to),
            IpAddress::Ipv4(_) => std::net::Ipv6Addr::UNSPECIFIED,
        };
        let socket = stack.sockets.get_mut::<Socket>(self.socket);
        let done = match self.to {
            IpAddress::Ipv4(_) => {
                let request = Icmpv4Repr::EchoRequest { ident, seq_no, data: &data };
                socket.send(request.buffer_len(), self.to).map(|buffer| {
                    request.emit(&mut Icmpv4Packet::new_unchecked(buffer), &checksums);
                })
            }
            IpAddress::Ipv6(to) => {
                let request = Icmpv6Repr::EchoRequest { ident, seq_no, data: &data };
                socket.send(request.buffer_len(), self.to).map(|buffer| {
                    let mut packet = Icmpv6Packet::new_unchecked(buffer);
                    request.emit(&source, &to, &mut packet, &checksums);
                })
            }
        };
        if done.is_ok() {
            self.waiting.insert(self.sent, now);
            self.sent += 1;
            self.next = now + self.plan.interval;
            self.end = now + self.plan.timeout;
        }
        done.is_ok()
    }

    fn take_replies(&mut self, stack: &mut Stack, now: Instant) {
        let checksums = ChecksumCapabilities::default();
        let own = match self.to {
            IpAddress::Ipv6(to) => stack.iface.get_source_address_ipv6(&to),
            IpAddress::Ipv4(_) => std::net::Ipv6Addr::UNSPECIFIED,
        };
        let socket = stack.sockets.get_mut::<Socket>(self.socket);
        while let Ok((bytes, from)) = socket.recv() {
            let seq_no = match (self.to, from) {
                (IpAddress::Ipv4(_), _) => Icmpv4Packet::new_checked(bytes).and_then(|packet| {
                    match Icmpv4Repr::parse(&packet, &checksums)? {
                        Icmpv4Repr::EchoReply { seq_no, .. } => Ok(Some(seq_no)),
                        _ => Ok(None),
                    }
                }),
                (IpAddress::Ipv6(_), IpAddress::Ipv6(from)) => {
                    Icmpv6Packet::new_checked(bytes).and_then(|packet| {
                        match Icmpv6Repr::parse(&from, &own, &packet, &checksums)? {
                            Icmpv6Repr::EchoReply { seq_no, .. } => Ok(Some(seq_no)),
                            _ => Ok(None),
                        }
                    })
                }
                _ => Ok(None),
            };
            // What does not parse, answers nothing or answers twice is as good as lost.
            let sent = seq_no.ok().flatten().and_then(|seq_no| self.waiting.remove(&seq_no));
            self.times.extend(sent.map(|sent| now - sent));
        }
    }

    fn report(&self) -> PingReport {
        let received = self.times.len() as u16;
        let micros = |time: &Duration| time.as_micros() as u64;
        let total: u64 = self.times.iter().map(micros).sum();
        let (min, max) = (self.times.iter().map(micros).min(), self.times.iter().map(micros).max());
        let rtt_us = min.zip(max).map(|(min, max)| Rtt { min, mean: total / u64::from(received), max });
        PingReport { sent: self.sent, received, lost: self.sent - received, rtt_us }
    }
}

/// Requests and replies that a socket holds.
const PACKETS: usize = 64;
