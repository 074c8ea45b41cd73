//! UDP: numbered datagrams out, and a sink that counts them.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};

use super::protocol::{UdpReceived, UdpSent};
use super::stack::{Outcome, Stack, numbers, payload};
use crate::Error;

/// Datagrams being sent.
pub(super) struct Sending {
    socket: SocketHandle,
    plan: Plan,
    /// Tells this run's numbers from those of others.
    run: u64,
    sent: u64,
    next: Instant,
    end: Instant,
}

/// What to send.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) to: (IpAddr, u16),
    pub(super) count: u16,
    pub(super) size: u16,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

impl Sending {
    pub(super) fn start(stack: &mut Stack, plan: Plan, now: Instant) -> Result<Self, Error> {
        stack.solicit(plan.to.0);
        let local = stack.ephemeral();
        let socket = bound(local)?;
        let run = u64::from(std::process::id()) << 16 | u64::from(local);
        let socket = stack.sockets.add(socket);
        Ok(Self { socket, plan, run, sent: 0, next: now, end: now + plan.timeout })
    }

    pub(super) fn poll(&mut self, stack: &mut Stack, now: Instant) -> Option<Outcome> {
        let mark = stack.mark;
        let socket = stack.sockets.get_mut::<Socket>(self.socket);
        while self.sent < self.plan.count.into() && now >= self.next {
            let data = payload(&mark, self.plan.size.into(), self.run, self.sent);
            match socket.send_slice(&data, self.plan.to) {
                Ok(()) => self.sent += 1,
                Err(smoltcp::socket::udp::SendError::BufferFull) => break,
                Err(error) => {
                    stack.sockets.remove(self.socket);
                    return Some(Err(format!("sending to {}: {error}", self.plan.to.0)));
                }
            }
            if !self.plan.interval.is_zero() {
                self.next = now + self.plan.interval;
            }
        }
        // What is still queued, for want of a neighbour's address say, was not sent.
        let queued = (socket.send_queue() / usize::from(self.plan.size).max(1)) as u64;
        let is_done = self.sent == u64::from(self.plan.count) && queued == 0;
        if !is_done && now < self.end {
            return None;
        }
        stack.sockets.remove(self.socket);
        Some(Ok(serde_json::json!(UdpSent { datagrams: self.sent - queued })))
    }
}

/// A port that takes all that is sent to it.
pub(super) struct Sink {
    port: u16,
    socket: SocketHandle,
    received: UdpReceived,
    seen: HashSet<(u64, u64)>,
}

impl Sink {
    pub(super) fn new(stack: &mut Stack, port: u16) -> Result<Self, Error> {
        let socket = stack.sockets.add(bound(port)?);
        Ok(Self { port, socket, received: UdpReceived::default(), seen: HashSet::new() })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn received(&self) -> &UdpReceived {
        &self.received
    }

    pub(super) fn poll(&mut self, stack: &mut Stack) {
        let socket = stack.sockets.get_mut::<Socket>(self.socket);
        while let Ok((data, meta)) = socket.recv() {
            self.received.datagrams += 1;
            self.received.bytes += data.len() as u64;
            *self.received.from.entry(meta.endpoint.addr.to_string()).or_default() += 1;
            let is_again = numbers(data).is_some_and(|numbers| !self.seen.insert(numbers));
            self.received.duplicates += u64::from(is_again);
        }
    }
}

fn bound(port: u16) -> Result<Socket<'static>, Error> {
    let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; DATAGRAMS], vec![0; BYTES]);
    let mut socket = Socket::new(buffer(), buffer());
    socket
        .bind(port)
        .map_err(|error| Error::failed(format!("binding UDP port {port}"), error.to_string()))?;
    Ok(socket)
}

/// Datagrams that a socket holds.
const DATAGRAMS: usize = 1024;

/// Bytes that they may have.
const BYTES: usize = 2 << 20;
