//! A filter's text, read.
//!
//! As in `tcpdump`, `not` binds closest, and `and` and `or` bind alike, from left to right.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use weft_pipelines::wire::ipv4::protocol;
use weft_pipelines::{Reason, Vni};

use super::{Carrier, End, Expr, MAX_TEXT, Test, Wrong, alone};
use crate::config::suggest::{among, quoted};

/// How deep parentheses, `not` and `inner` may be nested.
const DEEPEST: usize = 64;
/// Tests of a filter, at most.
const MOST: usize = 256;
/// IP protocols that are not words of their own.
const PROTOCOLS: [(&str, u8); 8] = [
    ("tcp", protocol::TCP),
    ("udp", protocol::UDP),
    ("sctp", protocol::SCTP),
    ("icmp", protocol::ICMP),
    ("icmp6", protocol::ICMPV6),
    ("icmpv6", protocol::ICMPV6),
    ("gre", 47),
    ("esp", 50),
];
/// What a test may begin with.
const WORDS: [&str; 27] = [
    "host",
    "net",
    "port",
    "portrange",
    "src",
    "dst",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "icmpv6",
    "arp",
    "ip",
    "ip6",
    "ether",
    "proto",
    "broadcast",
    "multicast",
    "less",
    "greater",
    "vni",
    "drop",
    "inner",
    "not",
    "and",
    "or",
];

/// Reads `text`; `None` is the empty filter.
pub(super) fn parse(text: &str) -> Result<Option<Expr>, Wrong> {
    let wrong = |(column, what)| Wrong { text: text.to_owned(), column, what };
    if text.len() > MAX_TEXT {
        let what = format!("it has {} bytes, and may have {MAX_TEXT}", text.len());
        return Err(wrong((text.floor_char_boundary(MAX_TEXT), what)));
    }
    let words = words(text);
    if words.is_empty() {
        return Ok(None);
    }
    let end = text.chars().count() + 1;
    let mut parser = Parser { words: &words, end, depth: 0, tests: 0 };
    let expr = parser.terms().map_err(wrong)?;
    match parser.words.first() {
        None => Ok(Some(expr)),
        Some((column, ")")) => Err(wrong((*column, "there is no `(` to this `)`".to_owned()))),
        Some((column, word)) => {
            let likely = among(word, WORDS.into_iter());
            let likely =
                if likely.starts_with("did") { likely } else { "write `and` or `or` before it".to_owned() };
            let what = format!("{} stands behind a test that is over; {likely}", quoted(word));
            Err(wrong((*column, what)))
        }
    }
}

/// A word, and its column.
type Word<'a> = (usize, &'a str);
type Parsed<T> = Result<T, (usize, String)>;

/// The text's words: what is between spaces and signs, and the signs.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = text;
    let mut column = 1;
    while let Some(first) = rest.chars().next() {
        let sign = ["&&", "||", "(", ")", "!"].into_iter().find(|sign| rest.starts_with(sign));
        let is_end = |(at, c): (usize, char)| {
            let ends = c.is_whitespace() || matches!(c, '(' | ')' | '!') || rest[at..].starts_with("&&");
            (ends || rest[at..].starts_with("||")).then_some(at)
        };
        let len = match sign {
            Some(sign) => sign.len(),
            None if first.is_whitespace() => first.len_utf8(),
            None => rest.char_indices().find_map(is_end).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(len);
        if !first.is_whitespace() {
            words.push((column, word));
        }
        column += word.chars().count();
        rest = after;
    }
    words
}

struct Parser<'a> {
    words: &'a [Word<'a>],
    /// The column behind the last word.
    end: usize,
    depth: usize,
    tests: usize,
}

impl<'a> Parser<'a> {
    /// Tests with `and` and `or` between them.
    fn terms(&mut self) -> Parsed<Expr> {
        let mut all = self.term()?;
        loop {
            if self.takes(&["and", "&&"]) {
                all = Expr::And(Box::new([all, self.term()?]));
            } else if self.takes(&["or", "||"]) {
                all = Expr::Or(Box::new([all, self.term()?]));
            } else {
                return Ok(all);
            }
        }
    }

    fn term(&mut self) -> Parsed<Expr> {
        let column = self.column();
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err((
                column,
                format!("more than {DEEPEST} parentheses, `not` and `inner` in each other"),
            ));
        }
        let term = if self.takes(&["not", "!"]) {
            Expr::Not(Box::new(self.term()?))
        } else if self.takes(&["inner"]) {
            Expr::Inner(Box::new(self.term()?))
        } else if self.takes(&["("]) {
            let terms = self.terms()?;
            if !self.takes(&[")"]) {
                return Err(self.instead("`)`, `and` or `or`", |_| None));
            }
            terms
        } else {
            self.tests += 1;
            if self.tests > MOST {
                return Err((column, format!("more than {MOST} tests")));
            }
            self.test()?
        };
        self.depth -= 1;
        Ok(term)
    }

    fn test(&mut self) -> Parsed<Expr> {
        if let Some("src" | "dst" | "host" | "net" | "port" | "portrange") = self.peek() {
            return Ok(Expr::Test(self.of_ends(None, None)?));
        }
        let (column, word) = self.next("a test, as `host 10.1.0.11`")?;
        let test = match word {
            "tcp" => return self.of_ports(protocol::TCP),
            "udp" => return self.of_ports(protocol::UDP),
            "sctp" => return self.of_ports(protocol::SCTP),
            "icmp" => Test::Protocol(Some(Carrier::Ip), protocol::ICMP),
            "icmp6" | "icmpv6" => Test::Protocol(Some(Carrier::Ip6), protocol::ICMPV6),
            "ip" => return self.of_carrier(Carrier::Ip),
            "ip6" => return self.of_carrier(Carrier::Ip6),
            "arp" => return self.of_carrier(Carrier::Arp),
            "proto" => Test::Protocol(None, self.protocol()?),
            "ether" => return self.of_ether(),
            "broadcast" => Test::Broadcast,
            "multicast" => Test::Multicast,
            "less" => Test::Less(self.number(0..=usize::MAX, "a number of bytes")?),
            "greater" => Test::Greater(self.number(0..=usize::MAX, "a number of bytes")?),
            "vni" => Test::Vni(self.vni()?),
            "drop" => Test::Drop(self.reason()?),
            "and" | "or" | "&&" | "||" | ")" => {
                return Err((column, format!("a test is missing before `{word}`")));
            }
            _ => return Err((column, unknown(word))),
        };
        Ok(Expr::Test(test))
    }

    /// `tcp`, or `tcp port 80`.
    fn of_ports(&mut self, protocol: u8) -> Parsed<Expr> {
        let is_qualified = matches!(self.peek(), Some("src" | "dst" | "port" | "portrange" | "host" | "net"));
        let test = match is_qualified {
            true => self.of_ends(Some(protocol), None)?,
            false => Test::Protocol(None, protocol),
        };
        // `tcp host 10.1.0.11` asks two things.
        Ok(match test {
            Test::Net(..) => {
                Expr::And(Box::new([Expr::Test(Test::Protocol(None, protocol)), Expr::Test(test)]))
            }
            test => Expr::Test(test),
        })
    }

    /// `ip`, `ip host 10.1.0.11`, `ip proto 47`.
    fn of_carrier(&mut self, carrier: Carrier) -> Parsed<Expr> {
        Ok(Expr::Test(match self.peek() {
            Some("src" | "dst" | "host" | "net") => self.of_ends(None, Some(carrier))?,
            Some("proto") if carrier != Carrier::Arp => {
                self.takes(&["proto"]);
                Test::Protocol(Some(carrier), self.protocol()?)
            }
            Some("broadcast" | "multicast") => {
                let what = "write `ether broadcast` or `ether multicast`".to_owned();
                return Err((self.column(), what));
            }
            _ => Test::Carried(carrier),
        }))
    }

    /// `ether host 02:00:00:00:01:01`, `ether broadcast`.
    fn of_ether(&mut self) -> Parsed<Expr> {
        if self.takes(&["broadcast"]) {
            return Ok(Expr::Test(Test::Broadcast));
        }
        if self.takes(&["multicast"]) {
            return Ok(Expr::Test(Test::Multicast));
        }
        let end = self.end();
        if !self.takes(&["host"]) && end == End::Either {
            return Err(self.instead("`host`, `src`, `dst`, `broadcast` or `multicast`", |word| {
                Some(among(word, ["host", "src", "dst", "broadcast", "multicast"].into_iter()))
            }));
        }
        let mac = self.value("a MAC, as 02:00:00:00:01:01", |word| word.parse().ok())?;
        Ok(Expr::Test(Test::Ether(end, mac)))
    }

    /// `src host 10.1.0.11`, `dst port 80`, `net 10.1.0.0/24`.
    fn of_ends(&mut self, protocol: Option<u8>, carrier: Option<Carrier>) -> Parsed<Test> {
        let end = self.end();
        let kinds = match (protocol, carrier) {
            (_, Some(_)) => &["host", "net"][..],
            _ => &["host", "net", "port", "portrange"][..],
        };
        let kind = match self.peek() {
            Some(word) if kinds.contains(&word) => {
                self.takes(&[word]);
                word
            }
            // `src 10.1.0.11`.
            Some(word) if end != End::Either && IpAddr::from_str(word).is_ok() => "host",
            Some(word) if end != End::Either && word.contains('/') => "net",
            _ => {
                return Err(self.instead("`host`, `net`, `port` or an address", |word| {
                    Some(among(word, kinds.iter().copied()))
                }));
            }
        };
        Ok(match kind {
            "host" => {
                let ip = self.value("an IP address", |word| IpAddr::from_str(word).ok())?;
                Test::Net(carrier, end, alone(ip))
            }
            "net" => Test::Net(carrier, end, self.net()?),
            "port" => {
                let port = self.number(0..=65_535, "a port, 0 to 65535")? as u16;
                Test::Ports(protocol, end, port, port)
            }
            _ => {
                let (low, high) = self.value("two ports, as 8000-8099", |word| {
                    let (low, high) = word.split_once('-')?;
                    let (low, high) = (low.parse::<u16>().ok()?, high.parse::<u16>().ok()?);
                    (low <= high).then_some((low, high))
                })?;
                Test::Ports(protocol, end, low, high)
            }
        })
    }

    fn end(&mut self) -> End {
        if self.takes(&["src"]) {
            End::Source
        } else if self.takes(&["dst"]) {
            End::Destination
        } else {
            End::Either
        }
    }

    fn net(&mut self) -> Parsed<IpNet> {
        let column = self.column();
        let net = self.value("a network, as 10.1.0.0/24", |word| {
            IpNet::from_str(word).ok().or_else(|| IpAddr::from_str(word).ok().map(alone))
        })?;
        if net.addr() != net.network() {
            let what = format!("{net} has bits beyond its prefix; the network is {}", net.trunc());
            return Err((column, what));
        }
        Ok(net)
    }

    fn protocol(&mut self) -> Parsed<u8> {
        self.value("an IP protocol: a number from 0 to 255, or a name as tcp", |word| {
            let named = PROTOCOLS.iter().find(|(name, _)| *name == word);
            named.map(|(_, number)| *number).or_else(|| word.parse().ok())
        })
    }

    fn vni(&mut self) -> Parsed<Vni> {
        self.value("a VNI, 1 to 16777215", |word| Vni::new(word.parse().ok()?))
    }

    /// What may follow `drop`; what does not look like a reason is left to others.
    fn reason(&mut self) -> Parsed<Option<Reason>> {
        let follows = |word: &str| matches!(word, "and" | "or" | "&&" | "||" | ")");
        let Some(word) = self.peek().filter(|word| !follows(word)) else { return Ok(None) };
        let column = self.column();
        let Some(reason) = Reason::from_name(word) else {
            let likely = among(word, Reason::ALL.iter().map(|reason| reason.name()));
            let likely =
                if likely.starts_with("did") { likely } else { "see `weft show drops --all`".to_owned() };
            return Err((column, format!("{} is no reason to drop a packet; {likely}", quoted(word))));
        };
        self.takes(&[word]);
        Ok(Some(reason))
    }

    fn number(&mut self, range: RangeInclusive<usize>, what: &str) -> Parsed<usize> {
        self.value(what, |word| word.parse().ok().filter(|number| range.contains(number)))
    }

    /// The next word as `read` reads it; else an error that says `what` it should be.
    fn value<T>(&mut self, what: &str, read: impl Fn(&str) -> Option<T>) -> Parsed<T> {
        let (column, word) = self.next(what)?;
        read(word).ok_or_else(|| (column, format!("{} is not {what}", quoted(word))))
    }

    fn next(&mut self, what: &str) -> Parsed<Word<'a>> {
        let (first, rest) =
            self.words.split_first().ok_or_else(|| (self.end, format!("it ends here, before {what}")))?;
        self.words = rest;
        Ok(*first)
    }

    /// Says that another word stands where something of `wanted` should.
    fn instead(&self, wanted: &str, meant: impl Fn(&str) -> Option<String>) -> (usize, String) {
        match self.peek() {
            None => (self.end, format!("it ends here, before {wanted}")),
            Some(word) => {
                let likely = meant(word).filter(|likely| likely.starts_with("did"));
                let likely = likely.map_or_else(String::new, |likely| format!("; {likely}"));
                (self.column(), format!("{} stands here in place of {wanted}{likely}", quoted(word)))
            }
        }
    }

    fn peek(&self) -> Option<&'a str> {
        self.words.first().map(|(_, word)| *word)
    }

    fn column(&self) -> usize {
        self.words.first().map_or(self.end, |(column, _)| *column)
    }

    /// Takes the next word if it is one of these.
    fn takes(&mut self, wanted: &[&str]) -> bool {
        let is = self.peek().is_some_and(|word| wanted.contains(&word));
        if is {
            self.words = &self.words[1..];
        }
        is
    }
}

/// What to say of a word that nothing begins with.
fn unknown(word: &str) -> String {
    if IpAddr::from_str(word).is_ok() {
        return format!("an address alone is no test; write `host {word}`");
    }
    let likely = among(word, WORDS.into_iter());
    let likely =
        if likely.starts_with("did") { likely } else { format!("there are {}", WORDS[..24].join(", ")) };
    format!("{} is no test; {likely}", quoted(word))
}
