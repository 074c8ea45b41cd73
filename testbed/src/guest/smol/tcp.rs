//! TCP: a sender of pseudo-random bytes, and a sink that hashes what comes.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};

use super::protocol::{TcpOutcome, TcpReceived, TcpSent, TcpState};
use super::stack::{Outcome, Stack};
use crate::Error;
use crate::tcp::Noise;

/// A transfer under way.
pub(super) struct Sending {
    socket: SocketHandle,
    noise: Noise,
    hash: Sha256,
    block: Vec<u8>,
    /// Where in the block what is to be sent next begins.
    at: usize,
    /// Bytes not generated yet.
    left: u64,
    handed: u64,
    begun: Instant,
    end: Instant,
    is_open: bool,
    is_closing: bool,
}

impl Sending {
    pub(super) fn start(
        stack: &mut Stack,
        (to, port): (IpAddr, u16),
        (bytes, seed): (u64, u64),
        timeout: Duration,
        now: Instant,
    ) -> Result<Self, Error> {
        stack.solicit(to);
        let mut socket = socket();
        let local = stack.ephemeral();
        socket
            .connect(stack.iface.context(), (to, port), local)
            .map_err(|error| Error::failed(format!("connecting to {to}"), error.to_string()))?;
        Ok(Self {
            socket: stack.sockets.add(socket),
            noise: Noise::new(seed),
            hash: Sha256::new(),
            block: Vec::new(),
            at: 0,
            left: bytes,
            handed: 0,
            begun: now,
            end: now + timeout,
            is_open: false,
            is_closing: false,
        })
    }

    pub(super) fn poll(&mut self, stack: &mut Stack, now: Instant) -> Option<Outcome> {
        let socket = stack.sockets.get_mut::<Socket>(self.socket);
        self.is_open |= socket.may_send();
        while socket.can_send() && (self.at < self.block.len() || self.left > 0) {
            if self.at == self.block.len() {
                self.refill();
            }
            let Ok(sent) = socket.send_slice(&self.block[self.at..]) else { break };
            self.at += sent;
            self.handed += sent as u64;
        }
        let is_all_handed = self.is_open && self.left == 0 && self.at == self.block.len();
        if is_all_handed && !self.is_closing {
            socket.close();
            self.is_closing = true;
        }
        let queued = socket.send_queue() as u64;
        let outcome = match socket.state() {
            State::TimeWait => TcpOutcome::Delivered,
            State::Closed if !self.is_open => TcpOutcome::Refused,
            State::Closed if self.is_closing && queued == 0 => TcpOutcome::Delivered,
            State::Closed => TcpOutcome::Reset,
            _ if now >= self.end => {
                socket.abort();
                if self.is_open { TcpOutcome::TimedOut } else { TcpOutcome::NoAnswer }
            }
            _ => return None,
        };
        // The last acknowledgement, or the reset, is still to be sent.
        stack.lingering.push(self.socket);
        let sha256 = super::hex(&self.hash.clone().finalize());
        let seconds = (now - self.begun).as_secs_f64();
        let sent = TcpSent { outcome, bytes: self.handed.saturating_sub(queued), sha256, seconds };
        Some(Ok(serde_json::json!(sent)))
    }

    fn refill(&mut self) {
        let len = self.left.min(BLOCK as u64) as usize;
        self.block.resize(len, 0);
        self.noise.fill(&mut self.block);
        self.hash.update(&self.block);
        self.left -= len as u64;
        self.at = 0;
    }
}

/// A port that takes all that is sent to it.
pub(super) struct Sink {
    port: u16,
    backlog: u16,
    listening: Vec<SocketHandle>,
    /// In the order in which they were opened.
    connections: Vec<Connection>,
}

struct Connection {
    /// None once the connection is over.
    socket: Option<SocketHandle>,
    from: String,
    bytes: u64,
    hash: Sha256,
    state: TcpState,
}

impl Sink {
    pub(super) fn new(port: u16, backlog: u16) -> Self {
        Self { port, backlog, listening: Vec::new(), connections: Vec::new() }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Connections that are over.
    pub(super) fn ended(&self) -> usize {
        self.connections.iter().filter(|connection| connection.state != TcpState::Open).count()
    }

    pub(super) fn received(&self) -> Vec<TcpReceived> {
        let seen = |connection: &Connection| TcpReceived {
            from: connection.from.clone(),
            bytes: connection.bytes,
            sha256: super::hex(&connection.hash.clone().finalize()),
            state: connection.state,
        };
        self.connections.iter().map(seen).collect()
    }

    pub(super) fn poll(&mut self, stack: &mut Stack) {
        self.accept(stack);
        for connection in &mut self.connections {
            connection.poll(stack);
        }
    }

    fn accept(&mut self, stack: &mut Stack) {
        let connections = &mut self.connections;
        self.listening.retain(|handle| {
            let socket = stack.sockets.get_mut::<Socket>(*handle);
            let is_waiting = matches!(socket.state(), State::Listen | State::SynReceived);
            if !is_waiting {
                let from = socket.remote_endpoint().map(|from| from.to_string()).unwrap_or_default();
                let (bytes, hash, state) = (0, Sha256::new(), TcpState::Open);
                connections.push(Connection { socket: Some(*handle), from, bytes, hash, state });
            }
            is_waiting
        });
        while self.listening.len() < usize::from(self.backlog) {
            let mut socket = socket();
            // It is new and the port is not 0, so it can listen.
            if socket.listen(self.port).is_err() {
                break;
            }
            self.listening.push(stack.sockets.add(socket));
        }
    }
}

impl Connection {
    fn poll(&mut self, stack: &mut Stack) {
        let Some(handle) = self.socket else { return };
        let socket = stack.sockets.get_mut::<Socket>(handle);
        while socket.can_recv() {
            let taken = socket.recv(|bytes| {
                self.hash.update(&*bytes);
                (bytes.len(), bytes.len())
            });
            let Ok(taken) = taken else { break };
            self.bytes += taken as u64;
        }
        match socket.state() {
            State::CloseWait => {
                socket.close();
                self.state = TcpState::Complete;
            }
            State::Closed => self.state = TcpState::Reset,
            _ => return,
        }
        stack.lingering.push(handle);
        self.socket = None;
    }
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; WINDOW]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket
}

/// Bytes under way at most: 128 frames of 1500 bytes, half of a virtio ring of 256, which is what an uplink has unless
/// asked otherwise. Larger windows overrun it while its receiver dozes, and the loss costs more than the wait.
const WINDOW: usize = 192 * 1024;

/// Bytes generated and hashed at once.
const BLOCK: usize = 64 * 1024;
