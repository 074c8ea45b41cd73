//! What a connection is opened for, as people write it.

use std::fmt;
use std::str::FromStr;

use weft_pipelines::wire::ipv4::protocol;
use weft_pipelines::wire::{icmp, icmpv6};

use crate::config::checked::Service;
use crate::config::suggest::quoted;

/// What a connection is opened for: what policy is asked, beside the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Purpose {
    /// The protocol (IANA number).
    pub protocol: u8,
    /// The destination port of TCP, UDP and SCTP; type (high byte) and code of ICMP and ICMPv6; else 0.
    pub port: u16,
}

impl Purpose {
    /// Whether it needs IPv4 (`Some(false)`) or IPv6 (`Some(true)`).
    pub const fn is_ipv6(self) -> Option<bool> {
        match self.protocol {
            protocol::ICMP => Some(false),
            protocol::ICMPV6 => Some(true),
            _ => None,
        }
    }

    /// What tells several connections between two ends apart, for protocols that have something.
    pub const fn source_name(self) -> Option<&'static str> {
        match self.protocol {
            protocol::TCP | protocol::UDP | protocol::SCTP => Some("from port"),
            protocol::ICMP | protocol::ICMPV6 => Some("identifier"),
            _ => None,
        }
    }

    /// Whether connections have a source port.
    pub const fn has_ports(self) -> bool {
        matches!(self.protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
    }

    /// The type and code of an ICMP message.
    pub const fn message(self) -> [u8; 2] {
        self.port.to_be_bytes()
    }
}

/// A single service as the document writes it (`tcp/5432`, `icmp/8`), or any protocol by its number (`proto/47`).
///
/// `icmp` and `icmpv6` alone are an echo request; a type without a code has code 0.
impl FromStr for Purpose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = text.strip_prefix("proto/") {
            return numbered(text, number);
        }
        let message = |protocol, kind: Option<u8>, code: Option<u8>, echo| Self {
            protocol,
            port: u16::from_be_bytes([kind.unwrap_or(echo), code.unwrap_or(0)]),
        };
        let single = |protocol, first: u16, last: u16| match first == last {
            true => Ok(Self { protocol, port: first }),
            false => Err(format!("{} is about many ports; a connection has one, as tcp/443", quoted(text))),
        };
        match text.parse::<Service>()? {
            Service::Tcp(ports) => single(protocol::TCP, ports.first(), ports.last()),
            Service::Udp(ports) => single(protocol::UDP, ports.first(), ports.last()),
            Service::Sctp(ports) => single(protocol::SCTP, ports.first(), ports.last()),
            Service::Icmp { kind, code } => Ok(message(protocol::ICMP, kind, code, icmp::kind::ECHO)),
            Service::Icmpv6 { kind, code } => {
                Ok(message(protocol::ICMPV6, kind, code, icmpv6::kind::ECHO_REQUEST))
            }
            Service::Any => {
                Err("`any` is every service; a connection is opened for one, as tcp/443".to_owned())
            }
        }
    }
}

fn numbered(text: &str, number: &str) -> Result<Purpose, String> {
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse::<u8>().ok().filter(|_| digits);
    let protocol =
        number.ok_or_else(|| format!("{} is not a protocol's number, proto/0 to proto/255", quoted(text)))?;
    let instead = match protocol {
        protocol::TCP => "tcp/443",
        protocol::UDP => "udp/53",
        protocol::SCTP => "sctp/3868",
        protocol::ICMP => "icmp/8",
        protocol::ICMPV6 => "icmpv6/128",
        _ => return Ok(Purpose { protocol, port: 0 }),
    };
    Err(format!("{} says too little; write it as {instead}", quoted(text)))
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, code] = self.message();
        let name = protocol_name(self.protocol);
        match self.protocol {
            protocol::TCP | protocol::UDP | protocol::SCTP => write!(f, "{name}/{}", self.port),
            protocol::ICMP | protocol::ICMPV6 if code == 0 => write!(f, "{name}/{kind}"),
            protocol::ICMP | protocol::ICMPV6 => write!(f, "{name}/{kind}/{code}"),
            _ => f.write_str(&name),
        }
    }
}

/// A protocol's name in services; `proto/47` of one that has none.
pub fn protocol_name(protocol: u8) -> String {
    let name = match protocol {
        protocol::TCP => "tcp",
        protocol::UDP => "udp",
        protocol::SCTP => "sctp",
        protocol::ICMP => "icmp",
        protocol::ICMPV6 => "icmpv6",
        number => return format!("proto/{number}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_written_as_it_is_read() {
        for text in ["tcp/5432", "udp/53", "sctp/3868", "icmp/8", "icmp/3/4", "icmpv6/128", "proto/47"] {
            assert_eq!(text.parse::<Purpose>().unwrap().to_string(), text);
        }
        assert_eq!("icmp".parse::<Purpose>().unwrap().to_string(), "icmp/8");
        assert_eq!("icmpv6".parse::<Purpose>().unwrap().to_string(), "icmpv6/128");
    }

    #[test]
    fn what_is_not_one_service_is_refused() {
        for (text, said) in [
            ("tcp", "`tcp` is about many ports; a connection has one, as tcp/443"),
            ("udp/1-2", "`udp/1-2` is about many ports; a connection has one, as tcp/443"),
            ("any", "`any` is every service; a connection is opened for one, as tcp/443"),
            ("proto/6", "`proto/6` says too little; write it as tcp/443"),
            ("proto/256", "`proto/256` is not a protocol's number, proto/0 to proto/255"),
            ("proto/+1", "`proto/+1` is not a protocol's number, proto/0 to proto/255"),
            ("tcp/0", "`tcp/0`: `0` is not a port from 1 to 65535"),
        ] {
            assert_eq!(text.parse::<Purpose>(), Err(said.to_owned()), "{text}");
        }
    }
}
