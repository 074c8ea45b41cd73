//! What is said between a lab and its `weft-guests` process: one JSON object a line, each way.
//!
//! ```json
//! {"id": 1, "do": "ping", "guest": "a1", "to": "10.1.0.12", "count": 3}
//! {"id": 1, "ok": {"sent": 3, "received": 3, "lost": 0, "rtt_us": {"min": 61, "mean": 80, "max": 112}}}
//! ```
//!
//! Answers come when their command is done, so not in the order of the commands.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The guests of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmolSpec {
    /// At most [`SmolSpec::MOST`].
    pub guests: Vec<SmolGuest>,
}

impl SmolSpec {
    /// The guests that one process can have: Debian's DPDK is built for 32 devices.
    pub const MOST: usize = 32;
}

/// A guest: an IP stack behind a vhost-user socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmolGuest {
    /// What it is called in commands.
    pub name: String,
    /// The socket that the switch serves.
    pub socket: PathBuf,
    /// Its MAC address, as `02:00:00:00:01:01`.
    pub mac: String,
    /// Its addresses with their prefix, as `10.1.0.11/24`: IPv4, IPv6 or both, eight at most.
    pub addresses: Vec<String>,
    /// Where to send what is for no neighbour: one address of each family at most.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
    /// The largest packet it sends, without its Ethernet header, in bytes.
    #[serde(default = "default_mtu")]
    pub mtu: u16,
    /// What it writes into pings and datagrams; with it, another's mark in what it receives is counted as foreign.
    /// The tenant's name, as a rule; 18 bytes of it count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The MAC addresses it may hear from; if any are given, frames from others are counted as from strangers.
    #[serde(default)]
    pub peers: Vec<String>,
}

impl SmolGuest {
    /// A guest without gateway and mark, with an MTU of 1500 bytes.
    pub fn new(name: &str, socket: impl Into<PathBuf>, mac: &str, addresses: &[&str]) -> Self {
        Self {
            name: name.into(),
            socket: socket.into(),
            mac: mac.into(),
            addresses: addresses.iter().map(|address| (*address).into()).collect(),
            gateways: Vec::new(),
            mtu: default_mtu(),
            mark: None,
            peers: Vec::new(),
        }
    }

    /// With this mark in what it sends.
    pub fn mark(mut self, mark: &str) -> Self {
        self.mark = Some(mark.into());
        self
    }

    /// With this MTU.
    pub fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = mtu;
        self
    }

    /// With this gateway.
    pub fn gateway(mut self, gateway: IpAddr) -> Self {
        self.gateways.push(gateway);
        self
    }

    /// Hearing from these MAC addresses only.
    pub fn peers(mut self, macs: &[&str]) -> Self {
        self.peers = macs.iter().map(|mac| (*mac).into()).collect();
        self
    }
}

/// A command with the number that its answer will carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Any number.
    #[serde(default)]
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub command: Command,
}

/// What guests can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Which guests are connected to their switch; answered by a [`Links`].
    Links,
    /// Send ICMP echo requests; answered by a [`PingReport`].
    Ping {
        /// Who.
        guest: String,
        /// To whom.
        to: IpAddr,
        /// How many.
        #[serde(default = "one")]
        count: u16,
        /// Bytes after the ICMP header.
        #[serde(default = "default_size")]
        size: u16,
        /// Between two requests.
        #[serde(default = "default_interval")]
        interval_ms: u64,
        /// How long to wait for replies once all requests are sent, and before that for the first to be sent.
        #[serde(default = "default_timeout")]
        timeout_ms: u64,
    },
    /// Accept TCP connections and hash what comes; answered by null at once.
    TcpListen {
        /// Who.
        guest: String,
        /// Where.
        port: u16,
        /// Connections that can be opened at the same moment.
        #[serde(default = "default_backlog")]
        backlog: u16,
    },
    /// Send pseudo-random bytes over TCP; answered by a [`TcpSent`].
    TcpSend {
        /// Who.
        guest: String,
        /// To whom.
        to: IpAddr,
        /// To which port.
        port: u16,
        /// How many bytes.
        bytes: u64,
        /// What the bytes follow from.
        #[serde(default)]
        seed: u64,
        /// The longest that all of it may take.
        #[serde(default = "default_timeout")]
        timeout_ms: u64,
    },
    /// What came at a TCP port, once `ended` connections have ended; answered by a list of [`TcpReceived`].
    TcpReceived {
        /// Who.
        guest: String,
        /// Where.
        port: u16,
        /// Connections to wait for.
        #[serde(default)]
        ended: usize,
        /// How long to wait for them.
        #[serde(default = "default_timeout")]
        timeout_ms: u64,
    },
    /// Take datagrams and count them; answered by null at once.
    UdpListen {
        /// Who.
        guest: String,
        /// Where.
        port: u16,
    },
    /// Send numbered datagrams; answered by a [`UdpSent`].
    UdpSend {
        /// Who.
        guest: String,
        /// To whom.
        to: IpAddr,
        /// To which port.
        port: u16,
        /// How many.
        #[serde(default = "one")]
        count: u16,
        /// Bytes of payload; from 40 on they are marked and numbered.
        #[serde(default = "default_size")]
        size: u16,
        /// Between two datagrams; 0 for as fast as the switch takes them.
        #[serde(default)]
        interval_us: u64,
        /// The longest that all of it may take.
        #[serde(default = "default_timeout")]
        timeout_ms: u64,
    },
    /// What came at a UDP port, once it is `datagrams`; answered by a [`UdpReceived`].
    UdpReceived {
        /// Who.
        guest: String,
        /// Where.
        port: u16,
        /// Datagrams to wait for.
        #[serde(default)]
        datagrams: u64,
        /// How long to wait for them.
        #[serde(default = "default_timeout")]
        timeout_ms: u64,
    },
    /// Send a frame as it is, past the stack; answered by null once the switch can see it.
    Inject {
        /// Who.
        guest: String,
        /// All of the frame, from its destination's MAC address on.
        frame_hex: String,
        /// How many times.
        #[serde(default = "one")]
        count: u16,
    },
    /// The last frames received that satisfy all that is given; answered by a [`Captured`].
    Captured {
        /// Who.
        guest: String,
        /// Which.
        #[serde(flatten)]
        filter: Filter,
    },
    /// Write what is received from now on into a pcap file, or no more; answered by null.
    Capture {
        /// Who.
        guest: String,
        /// Where to; a file that is there is written anew.
        path: Option<PathBuf>,
    },
    /// What was counted; answered by a [`SmolStats`].
    Stats {
        /// Who.
        guest: String,
    },
    /// End the process; answered by null before it does.
    Quit,
}

/// Which frames to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The EtherType.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ethertype: Option<u16>,
    /// The source's MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Bytes that are anywhere in the first 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains_hex: Option<String>,
}

/// The answer to a command: exactly one of `ok` and `error` is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The command's number.
    pub id: u64,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<serde_json::Value>,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether each guest is connected, by name.
pub type Links = BTreeMap<String, bool>;

/// What came of pings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingReport {
    /// Requests sent.
    pub sent: u16,
    /// Requests answered.
    pub received: u16,
    /// Requests not answered in time.
    pub lost: u16,
    /// Round trips; none when nothing was answered.
    pub rtt_us: Option<Rtt>,
}

/// Round-trip times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rtt {
    /// The shortest.
    pub min: u64,
    /// The mean.
    pub mean: u64,
    /// The longest.
    pub max: u64,
}

/// What came of a TCP transfer, as its sender sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TcpSent {
    /// How it ended.
    pub outcome: TcpOutcome,
    /// Bytes that the other side acknowledged.
    pub bytes: u64,
    /// SHA-256 of all that was handed to the stack, in hex.
    pub sha256: String,
    /// From the connection's opening to its end, or to the deadline, in seconds.
    pub seconds: f64,
}

/// How a TCP transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpOutcome {
    /// All was acknowledged, and both sides closed.
    Delivered,
    /// The other side answered with a reset.
    Refused,
    /// The connection was opened, and reset before all was through.
    Reset,
    /// Nothing answered.
    NoAnswer,
    /// The connection was opened, and not done at the deadline.
    TimedOut,
}

/// What a TCP connection brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpReceived {
    /// The other side's address and port.
    pub from: String,
    /// Bytes so far.
    pub bytes: u64,
    /// SHA-256 of them, in hex.
    pub sha256: String,
    /// Where the connection is.
    pub state: TcpState,
}

/// Where a TCP connection is, as its receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpState {
    /// More may come.
    Open,
    /// The sender closed it, and all that it sent is here.
    Complete,
    /// It was reset.
    Reset,
}

/// What came of sending datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpSent {
    /// Datagrams handed to the switch.
    pub datagrams: u64,
}

/// What came at a UDP port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpReceived {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Datagrams that had come before, by their numbers.
    pub duplicates: u64,
    /// Datagrams by the sender's address.
    pub from: BTreeMap<String, u64>,
}

/// Frames received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// How many of those kept satisfied the filter.
    pub matched: u64,
    /// The last of these, 64 at most, 256 bytes of each.
    pub frames_hex: Vec<String>,
    /// Frames that are no longer kept, of which nothing is known but what [`SmolStats`] counts.
    pub forgotten: u64,
}

/// What a guest counted, since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmolStats {
    /// Whether it is connected to its switch.
    pub link_up: bool,
    /// Times that it was connected.
    pub connects: u64,
    /// Frames received.
    pub rx: u64,
    /// Bytes of them.
    pub rx_bytes: u64,
    /// Frames sent, injected ones included.
    pub tx: u64,
    /// Bytes of them.
    pub tx_bytes: u64,
    /// Frames that were to be sent and were lost with the connection, or for want of a buffer.
    pub tx_lost: u64,
    /// Frames received by kind: `arp`, `icmp`, `icmpv6`, `tcp`, `udp`, `other`.
    pub kinds: BTreeMap<String, u64>,
    /// Frames received that were for another MAC address.
    pub misdirected: u64,
    /// Frames received with the mark of another.
    pub foreign: u64,
    /// Frames received from MAC addresses that are none of the guest's peers.
    pub strangers: u64,
}

impl SmolStats {
    /// Frames that a guest that is kept apart from others must not see.
    pub fn leaks(&self) -> u64 {
        self.misdirected + self.foreign + self.strangers
    }
}

fn default_mtu() -> u16 {
    1500
}

fn one() -> u16 {
    1
}

fn default_size() -> u16 {
    56
}

fn default_interval() -> u64 {
    10
}

fn default_timeout() -> u64 {
    5000
}

fn default_backlog() -> u16 {
    4
}

#[cfg(test)]
mod tests {
    use super::{Command, Request, SmolSpec};

    #[test]
    fn a_command_needs_only_what_has_no_default() {
        let line = r#"{"id": 7, "do": "ping", "guest": "a1", "to": "fd00::2"}"#;
        let request: Request = serde_json::from_str(line).unwrap();
        let Command::Ping { count, size, .. } = request.command else { panic!("no ping") };
        assert_eq!((request.id, count, size), (7, 1, 56));
        let again = serde_json::to_string(&Request { id: 1, command: Command::Quit }).unwrap();
        assert_eq!(again, r#"{"id":1,"do":"quit"}"#);
    }

    #[test]
    fn an_unknown_key_of_a_guest_is_refused() {
        let text = r#"{"guests": [{"name": "a", "socket": "s", "mac": "m", "addresses": [], "ip": 1}]}"#;
        assert!(serde_json::from_str::<SmolSpec>(text).unwrap_err().to_string().contains("`ip`"));
    }
}
