//! Values that are written as text: names, addresses, rates, sizes, services. Parsed once, here.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use weft_pipelines::Mac;

use super::checked::{PortRange, Service};
pub use super::dscp::{Codepoint, CodepointSet, Codepoints};
use super::suggest::quoted;

/// The name of a fabric, tenant, endpoint or the like: a lower-case letter or digit, then letters, digits, `-`
/// and `_`, at most 63 in all. So `tenant/endpoint` and `tenant.endpoint.pcap` are read in one way only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// The name of a host: as [`Name`], and dots within, as of a domain name; at most 253 in all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

macro_rules! text_like {
    ($($ty:ident)*) => {$(
        impl std::ops::Deref for $ty {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl PartialEq<str> for $ty {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $ty {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    )*};
}

text_like! { Name HostName }

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_name(text, 63, "-_") {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{} is not a name: 1 to 63 lower-case letters, digits, `-` and `_`, the first a letter or digit",
            quoted(text)
        ))
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_name(text, 253, "-_.") && !text.contains("..") && !text.ends_with('.') {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{} is not a host's name: 1 to 253 lower-case letters, digits, `-`, `_` and single dots, \
             the first a letter or digit",
            quoted(text)
        ))
    }
}

fn is_name(text: &str, most: usize, besides: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= most && text.starts_with(plain) && text.chars().all(|c| plain(c) || besides.contains(c))
}

/// An IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub IpAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        Err(match text.parse::<IpNet>() {
            Ok(net) => format!(
                "{} has a prefix length; here only the address is given: {}",
                quoted(text),
                net.addr()
            ),
            Err(_) => format!("{} is not an IP address", quoted(text)),
        })
    }
}

/// The address of an interface and the prefix length of its network, as 198.51.100.1/24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress(pub IpNet);

impl FromStr for InterfaceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        net(text, "an address with its prefix length, as 198.51.100.1/24").map(Self)
    }
}

/// A network, as 10.1.0.0/24: no bit is set behind the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net = net(text, "a network, as 10.1.0.0/24")?;
        if net.trunc() != net {
            return Err(format!(
                "{} has bits set behind its prefix; the network is {}",
                quoted(text),
                net.trunc()
            ));
        }
        Ok(Self(net))
    }
}

fn net(text: &str, expected: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| match text.parse::<IpAddr>() {
        Ok(_) => format!("{} lacks its prefix length: expected {expected}", quoted(text)),
        Err(_) => format!("{} is not {expected}", quoted(text)),
    })
}

/// An interface's MAC address: of no group, and not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnicastMac(pub Mac);

impl FromStr for UnicastMac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mac: Mac = text.parse().map_err(|e| format!("{} is {e}", quoted(text)))?;
        if mac.is_multicast() {
            let [first, ..] = mac.0;
            return Err(format!(
                "{mac} is a multicast address, which no interface has; its first octet would have to be even, as {:02x}",
                first & !1
            ));
        }
        if mac == Mac::ZERO {
            return Err(format!("{mac} is no interface's address; a made-up one starts with 02"));
        }
        Ok(Self(mac))
    }
}

/// Bits a second, as 500Mbit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

impl Rate {
    const MAX: u64 = 1_000_000_000_000;
    const UNITS: [(&str, u64); 5] =
        [("bit", 1), ("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000), ("Tbit", Self::MAX)];
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = quantity(text, "a rate", &Self::UNITS, "500Mbit (bits a second)", NO_LIMIT)?;
        bounded(text, rate, Self::MAX, "1Tbit").map(Self)
    }
}

/// As the document writes it.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self.0, &Self::UNITS))
    }
}

/// Packets a second, as 100kpps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PacketRate(pub u64);

impl PacketRate {
    const UNITS: [(&str, u64); 4] =
        [("pps", 1), ("kpps", 1_000), ("Mpps", 1_000_000), ("Gpps", 1_000_000_000)];
}

impl FromStr for PacketRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = quantity(text, "a packet rate", &Self::UNITS, "100kpps (packets a second)", NO_LIMIT)?;
        bounded(text, rate, 10_000_000_000, "10Gpps").map(Self)
    }
}

/// As the document writes it.
impl fmt::Display for PacketRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self.0, &Self::UNITS))
    }
}

/// Bytes, as 256KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    const UNITS: [(&str, u64); 9] = [
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = quantity(text, "a size", &Self::UNITS, "512MiB", NO_LIMIT)?;
        bounded(text, size, 64 << 40, "64TiB").map(Self)
    }
}

/// As the document writes it.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&written(self.0, &Self::UNITS))
    }
}

/// A time, as 90s or 2h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
        let seconds = quantity(text, "a time", &units, "90s", "give 1s or more")?;
        bounded(text, seconds, 30 * 86_400, "30d").map(|seconds| Self(Duration::from_secs(seconds)))
    }
}

/// How many, as 1024 or 256k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u32);

impl Count {
    const MAX: u64 = 16_777_216;
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("", 1), ("k", 1_000), ("M", 1_000_000)];
        let count = quantity(text, "a number", &units, "1024 or 256k", "give 1 or more")?;
        bounded(text, count, Self::MAX, "16777216").map(|count| Self(count as u32))
    }
}

/// Times a second, as 50000/s or 50k/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frequency(pub u32);

impl FromStr for Frequency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("/s", 1), ("k/s", 1_000), ("M/s", 1_000_000)];
        let rate = quantity(text, "a rate", &units, "50000/s", "give 1/s or more")?;
        bounded(text, rate, 100_000_000, "100M/s").map(|rate| Self(rate as u32))
    }
}

/// What is said of a limit of zero.
const NO_LIMIT: &str = "leave the key out for no limit";

/// A number with a unit: `12`, `1.5`, at most three digits behind the point; no sign, no exponent, no space.
fn quantity(text: &str, what: &str, units: &[(&str, u64)], example: &str, zero: &str) -> Result<u64, String> {
    let names = || {
        let named = units.iter().map(|(unit, _)| *unit).filter(|unit| !unit.is_empty());
        named.collect::<Vec<_>>().join(", ")
    };
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let is_number =
        |s: &str, most: usize| (1..=most).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole, 18) || !is_number(part, 3) {
        return Err(format!("{} is not {what}: expected a number and a unit, as {example}", quoted(text)));
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        let wrong = if unit.is_empty() {
            "without a unit".to_owned()
        } else {
            format!("with the unit {}", quoted(unit))
        };
        return Err(format!("{} is {what} {wrong}; expected one of {}, as {example}", quoted(text), names()));
    };
    let thousandths: u128 =
        format!("{whole}{part:0<3}").parse().map_err(|_| format!("{} is too large", quoted(text)))?;
    match thousandths * u128::from(*scale) {
        0 => Err(format!("{} is zero; {zero}", quoted(text))),
        n if n % 1000 != 0 => {
            let of = if units[0].0.is_empty() { String::new() } else { format!(" of {}", units[0].0) };
            Err(format!("{} is not a whole number{of}", quoted(text)))
        }
        n => Ok(u64::try_from(n / 1000).unwrap_or(u64::MAX)),
    }
}

/// A number as [`quantity`] reads it: in the first unit, or the largest that it has three digits behind the point of at
/// most, and that makes it shorter.
fn written(value: u64, units: &[(&str, u64)]) -> String {
    let texts = units.iter().filter(|(_, scale)| value >= *scale).filter_map(|(name, scale)| {
        let thousandths = u128::from(value) * 1000;
        let exact = thousandths.is_multiple_of(u128::from(*scale));
        let thousandths = exact.then(|| thousandths / u128::from(*scale))?;
        let part = format!("{:03}", thousandths % 1000);
        let part = part.trim_end_matches('0');
        let point = if part.is_empty() { "" } else { "." };
        Some(format!("{}{point}{part}{name}", thousandths / 1000))
    });
    let shortest = texts.min_by_key(String::len);
    shortest.unwrap_or_else(|| format!("{value}{}", units.first().map_or("", |(name, _)| name)))
}

fn bounded(text: &str, value: u64, max: u64, shown: &str) -> Result<u64, String> {
    if value > max {
        Err(format!("{} is more than {shown}, the most that makes sense", quoted(text)))
    } else {
        Ok(value)
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, rest) = match text.split_once('/') {
            Some((protocol, rest)) => (protocol, Some(rest)),
            None => (text, None),
        };
        let ports = || rest.map_or(Ok(PortRange::ALL), |rest| port_range(text, rest));
        match protocol {
            "any" if rest.is_none() => Ok(Self::Any),
            "any" => Err(format!(
                "{}: `any` is every protocol and has no ports; write tcp/... or udp/...",
                quoted(text)
            )),
            "tcp" => Ok(Self::Tcp(ports()?)),
            "udp" => Ok(Self::Udp(ports()?)),
            "sctp" => Ok(Self::Sctp(ports()?)),
            "icmp" => icmp(text, rest).map(|(kind, code)| Self::Icmp { kind, code }),
            "icmpv6" => icmp(text, rest).map(|(kind, code)| Self::Icmpv6 { kind, code }),
            _ => Err(format!(
                "{} has an unknown protocol; expected tcp, udp or sctp with ports (tcp/443, tcp/8000-8099), \
                 icmp or icmpv6 with type and code (icmp/8, icmp/3/4), or any",
                quoted(text)
            )),
        }
    }
}

fn port_range(text: &str, ports: &str) -> Result<PortRange, String> {
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |digits: &str| {
        let number = number::<u16>(digits).filter(|&port| port > 0);
        number.ok_or_else(|| format!("{}: {} is not a port from 1 to 65535", quoted(text), quoted(digits)))
    };
    let (first, last) = (port(first)?, port(last)?);
    PortRange::new(first, last)
        .ok_or_else(|| format!("{}: the range runs backwards; write {last}-{first}", quoted(text)))
}

fn icmp(text: &str, rest: Option<&str>) -> Result<(Option<u8>, Option<u8>), String> {
    let Some(rest) = rest else { return Ok((None, None)) };
    let octet = |digits: &str, what: &str| {
        let number = number::<u8>(digits);
        number.ok_or_else(|| {
            format!("{}: {} is not an ICMP {what} from 0 to 255", quoted(text), quoted(digits))
        })
    };
    match rest.split_once('/') {
        None => Ok((Some(octet(rest, "type")?), None)),
        Some((kind, code)) => Ok((Some(octet(kind, "type")?), Some(octet(code, "code")?))),
    }
}

/// A number of digits alone.
pub(super) fn number<T: FromStr>(digits: &str) -> Option<T> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) { None } else { digits.parse().ok() }
}

/// Reads a value by its `FromStr`.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// A type's place in the document: text of this pattern; or, where it says so, a plain number.
macro_rules! scalars {
    ($($ty:ident $($or_number:literal)? matches $pattern:literal $description:literal)*) => {$(
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }

        impl JsonSchema for $ty {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($ty).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": ["string" $(, $or_number)?],
                    "pattern": $pattern,
                    "description": $description
                })
            }
        }
    )*};
}

scalars! {
    Name matches "^[a-z0-9][-a-z0-9_]{0,62}$" "A name: lower-case letters, digits, `-` and `_`."
    HostName matches "^[a-z0-9][-a-z0-9_]*(\\.[-a-z0-9_]+)*$" "A host's name: lower-case letters, digits, `-`, `_` and single dots."
    Address matches "^[0-9a-fA-F:.]+$" "An IPv4 or IPv6 address."
    InterfaceAddress matches "^[0-9a-fA-F:.]+/[0-9]{1,3}$" "An address with the prefix length of its network, as 198.51.100.1/24."
    Network matches "^[0-9a-fA-F:.]+/[0-9]{1,3}$" "A network, as 10.1.0.0/24."
    UnicastMac matches "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$" "An interface's MAC address, as 02:00:00:00:01:01."
    Rate matches "^[0-9]+(\\.[0-9]{1,3})?(bit|kbit|Mbit|Gbit|Tbit)$" "Bits a second, as 64kbit, 500Mbit, 1Gbit (powers of 1000)."
    PacketRate matches "^[0-9]+(\\.[0-9]{1,3})?(pps|kpps|Mpps|Gpps)$" "Packets a second, as 100kpps (powers of 1000)."
    Size matches "^[0-9]+(\\.[0-9]{1,3})?(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$" "Bytes, as 256KiB or 512MiB."
    Period matches "^[0-9]+(\\.[0-9]{1,3})?(s|m|h|d)$" "A time, as 30s, 5m, 2h or 1d; 1s to 30d."
    Count "integer" matches "^[0-9]+(\\.[0-9]{1,3})?(k|M)?$" "How many, as 1024, 256k or 1M (powers of 1000)."
    Frequency matches "^[0-9]+(\\.[0-9]{1,3})?(/s|k/s|M/s)$" "Times a second, as 50000/s or 50k/s (powers of 1000)."
    Codepoint "integer" matches "^(be|df|le|ef|va|nc|cs[0-7]|af[1-4][1-3]|[0-9]{1,2})$" "A DSCP: a name, as ef, af41 or cs1, or a number from 0 to 63."
    Codepoints "integer" matches "^(be|df|le|ef|va|nc|cs[0-7]|af[1-4][1-3]|[0-9]{1,2}(-[0-9]{1,2})?)$" "DSCPs: a name, as ef, af41 or cs1, a number from 0 to 63, or a range of numbers, as 8-15."
    Service matches
        "^(any|(tcp|udp|sctp)(/[0-9]{1,5}(-[0-9]{1,5})?)?|icmp(v6)?(/[0-9]{1,3}(/[0-9]{1,3})?)?)$"
        "What a packet is for: tcp, udp or sctp with ports (tcp/443, tcp/8000-8099), icmp or icmpv6 with type and code (icmp/8, icmp/3/4), or any."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        assert_eq!("1.5Gbit".parse(), Ok(Rate(1_500_000_000)));
        assert_eq!("64kbit".parse(), Ok(Rate(64_000)));
        assert_eq!("1Tbit".parse(), Ok(Rate(Rate::MAX)));
        assert_eq!("256KiB".parse(), Ok(Size(262_144)));
        assert_eq!("0.5KiB".parse(), Ok(Size(512)));
        assert_eq!("100kpps".parse(), Ok(PacketRate(100_000)));
        assert_eq!("124m".parse(), Ok(Period(Duration::from_secs(7_440))));
        assert_eq!("1.5h".parse(), Ok(Period(Duration::from_secs(5_400))));
        assert_eq!("30d".parse(), Ok(Period(Duration::from_secs(2_592_000))));
        assert_eq!(("1024".parse(), "256k".parse()), (Ok(Count(1_024)), Ok(Count(256_000))));
        assert_eq!(("16777216".parse(), "1.5M".parse()), (Ok(Count(1 << 24)), Ok(Count(1_500_000))));
        assert_eq!(("50000/s".parse(), "50k/s".parse()), (Ok(Frequency(50_000)), Ok(Frequency(50_000))));
    }

    #[test]
    fn quantities_are_written_as_they_are_read() {
        let rates = [1, 999, 1_000, 64_000, 1_500_000, 999_999_937, 2_000_000_000, Rate::MAX];
        let written = rates.map(|rate| Rate(rate).to_string());
        assert_eq!(
            written,
            ["1bit", "999bit", "1kbit", "64kbit", "1.5Mbit", "999999937bit", "2Gbit", "1Tbit"]
        );
        assert!(rates.iter().zip(&written).all(|(rate, text)| text.parse() == Ok(Rate(*rate))));
        let sizes = [1_600, 65_536, 1 << 20, 500_000_000, 1_536, 65_537].map(|size| Size(size).to_string());
        assert_eq!(sizes, ["1600B", "64KiB", "1MiB", "500MB", "1536B", "65537B"]);
        assert_eq!(PacketRate(100_000).to_string(), "100kpps");
    }

    #[test]
    fn quantities_refuse() {
        for text in
            ["", "1", "Gbit", "1 Gbit", "-1Gbit", "1e3bit", "1Gb", "1gbit", "1..5Gbit", ".5Gbit", "1.Gbit"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["0Gbit", "1.001Tbit", "0.001bit", "999999999999999999Tbit", "9999999999999999999bit"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["30", "0s", "0.5s", "31d", "30S", "30ms", "1w", "s"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        for text in ["", "0", "0k", "0.5", "16777217", "17M", "1G", "k", "-1", "1 k"] {
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
        for text in ["50000", "0/s", "1/m", "101M/s", "/s"] {
            assert!(text.parse::<Frequency>().is_err(), "{text}");
        }
    }

    #[test]
    fn services() {
        let ports = |a, b| PortRange::new(a, b).unwrap();
        assert_eq!("tcp/8000-8099".parse(), Ok(Service::Tcp(ports(8000, 8099))));
        assert_eq!("udp".parse(), Ok(Service::Udp(PortRange::ALL)));
        assert_eq!("icmp/3/4".parse(), Ok(Service::Icmp { kind: Some(3), code: Some(4) }));
        assert_eq!("icmpv6/135".parse(), Ok(Service::Icmpv6 { kind: Some(135), code: None }));
        for text in
            ["", "tcp/", "tcp/0", "tcp/+1", "tcp/1-", "tcp/1-2-3", "icmp/256", "icmp/1/2/3", "any/1", "TCP/1"]
        {
            assert!(text.parse::<Service>().is_err(), "{text}");
        }
    }
}
