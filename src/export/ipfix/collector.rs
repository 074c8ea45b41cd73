//! The collector: by UDP or TCP, there or not.

use core::fmt;
use core::str::FromStr;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::super::say;
use super::encode::{self, Batch};

/// Between two tries to reach it.
const RETRY: Duration = Duration::from_secs(1);
/// The longest that reaching it may take, and it may let a message wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// By UDP, templates are sent again after so long (RFC 7011, section 8.4) or so many messages.
const TEMPLATES: (Duration, u32) = (Duration::from_secs(20), 500);
/// How long the system of a collector that does not listen may take to say so.
const REFUSAL: Duration = Duration::from_millis(50);

/// Where messages go to: `udp:HOST:PORT` or `tcp:HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    is_tcp: bool,
    /// Host and port.
    at: String,
}

/// It is no collector.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("it has to be udp:HOST:PORT or tcp:HOST:PORT, as udp:198.51.100.9:4739")]
pub struct ParseError;

impl FromStr for Collector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (transport, at) = text.split_once(':').ok_or(ParseError)?;
        let is_tcp = match transport {
            "udp" => false,
            "tcp" => true,
            _ => return Err(ParseError),
        };
        let (host, port) = at.rsplit_once(':').ok_or(ParseError)?;
        // Two colons without brackets are an IPv6 address whose end would be taken for a port.
        let is_host =
            !host.is_empty() && (!host.contains(':') || host.starts_with('[') && host.ends_with(']'));
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if is_host && is_port { Ok(Self { is_tcp, at: at.to_owned() }) } else { Err(ParseError) }
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", if self.is_tcp { "tcp" } else { "udp" }, self.at)
    }
}

/// A transport session with the collector, and the next when that breaks.
#[derive(Debug)]
pub struct Session {
    collector: Collector,
    domain: u32,
    link: Option<Link>,
    /// Data records sent in this session.
    sequence: u32,
    /// When templates were sent last, and how many messages since.
    templates: (Instant, u32),
    /// How often templates were sent.
    announced: u64,
    /// When to try again.
    next: Option<Instant>,
    /// Whether it was said that it is not there.
    is_missed: bool,
}

#[derive(Debug)]
enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Session {
    /// None as yet.
    pub fn new(collector: Collector, domain: u32) -> Self {
        let templates = (Instant::now(), 0);
        Self {
            collector,
            domain,
            link: None,
            sequence: 0,
            templates,
            announced: 0,
            next: None,
            is_missed: false,
        }
    }

    /// Whether the collector can be sent to, as far as is known; tries to reach it where it is time to.
    pub fn is_ready(&mut self) -> bool {
        let is_time = self.next.is_none_or(|next| next <= Instant::now());
        if self.link.is_none() && is_time {
            match self.begin() {
                Ok(()) if self.is_missed => {
                    say(format_args!("{}: the collector is there", self.collector));
                    self.is_missed = false;
                }
                Ok(()) => {}
                Err(error) => self.fail(&error),
            }
        }
        self.link.is_some()
    }

    /// How often templates were sent: names are to be sent as often.
    pub const fn announced(&self) -> u64 {
        self.announced
    }

    /// Sends a message; whether that worked. If not, it has not been sent as far as is known.
    pub fn send(&mut self, batch: &Batch, now: u32) -> bool {
        let sent = self.refresh(now).and_then(|()| {
            let message = batch.message(now, self.sequence, self.domain);
            self.put(&message)
        });
        match sent {
            Ok(()) => {
                self.sequence = self.sequence.wrapping_add(batch.records());
                self.templates.1 += 1;
                true
            }
            Err(error) => {
                self.fail(&error);
                false
            }
        }
    }

    /// Begins a session: numbers begin anew, and templates come first.
    fn begin(&mut self) -> io::Result<()> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in self.collector.at.to_socket_addrs()? {
            match Link::new(self.collector.is_tcp, address) {
                Ok(link) => {
                    (self.link, self.sequence) = (Some(link), 0);
                    self.announce((super::unix() / 1_000_000_000) as u32)?;
                    // That nobody listens by UDP is told by the first packet, if at all.
                    thread::sleep(REFUSAL);
                    let refused = self.link.as_ref().and_then(Link::refused);
                    return refused.map_or(Ok(()), Err);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn refresh(&mut self, now: u32) -> io::Result<()> {
        let (at, messages) = self.templates;
        let is_due = !self.collector.is_tcp && (at.elapsed() >= TEMPLATES.0 || messages >= TEMPLATES.1);
        if is_due { self.announce(now) } else { Ok(()) }
    }

    fn announce(&mut self, now: u32) -> io::Result<()> {
        for message in encode::templates(now, self.sequence, self.domain) {
            self.put(&message)?;
        }
        self.templates = (Instant::now(), 0);
        self.announced += 1;
        Ok(())
    }

    fn put(&mut self, message: &[u8]) -> io::Result<()> {
        match &mut self.link {
            Some(Link::Udp(socket)) => socket.send(message).map(drop),
            Some(Link::Tcp(stream)) => {
                is_open(stream)?;
                stream.write_all(message)
            }
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if !self.is_missed {
            say(format_args!("{}: {error}; trying again until the collector is there", self.collector));
        }
        (self.link, self.is_missed) = (None, true);
        self.next = Some(Instant::now() + RETRY);
    }
}

impl Link {
    fn new(is_tcp: bool, address: SocketAddr) -> io::Result<Self> {
        if is_tcp {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            return Ok(Self::Tcp(stream));
        }
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => ([0; 4], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        Ok(Self::Udp(socket))
    }

    fn refused(&self) -> Option<io::Error> {
        match self {
            Self::Udp(socket) => socket.take_error().ok().flatten(),
            Self::Tcp(_) => None,
        }
    }
}

/// A collector says nothing; one that has closed is seen by that there is an end to read. Written to, it would answer
/// only after the message is gone.
fn is_open(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let read = stream.read(&mut [0; 64]);
    stream.set_nonblocking(false)?;
    match read {
        Ok(0) => Err(io::Error::new(ErrorKind::ConnectionAborted, "the collector has closed the connection")),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
