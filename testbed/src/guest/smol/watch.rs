//! What a guest is sent, looked at before its stack sees it: counts, the last frames, a pcap file.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::SystemTime;

use pcap_file::pcap::{PcapPacket, PcapWriter};
use smoltcp::wire::EthernetAddress;

use super::protocol::{Captured, Filter, SmolStats};
use crate::error::Doing;
use crate::{Error, Result};

/// What the mark in a payload begins with.
pub(super) const MAGIC: &[u8] = b"weft:";

/// Bytes of the mark with its beginning; shorter ones are filled with zeros.
pub(super) const MARK: usize = 24;

/// The observer of one guest.
pub(super) struct Watch {
    mac: [u8; 6],
    peers: Vec<[u8; 6]>,
    mark: Option<[u8; MARK]>,
    frames: u64,
    bytes: u64,
    kinds: [u64; KINDS.len()],
    misdirected: u64,
    foreign: u64,
    strangers: u64,
    kept: VecDeque<Box<[u8]>>,
    pcap: Option<PcapWriter<BufWriter<File>>>,
}

impl Watch {
    /// For the guest of this MAC address.
    pub(super) fn new(mac: EthernetAddress, peers: &[EthernetAddress], mark: Option<[u8; MARK]>) -> Self {
        Self {
            mac: mac.0,
            peers: peers.iter().map(|peer| peer.0).collect(),
            mark,
            frames: 0,
            bytes: 0,
            kinds: [0; KINDS.len()],
            misdirected: 0,
            foreign: 0,
            strangers: 0,
            kept: VecDeque::new(),
            pcap: None,
        }
    }

    /// Takes note of a frame.
    pub(super) fn see(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        let kind = kind(frame);
        self.kinds[kind] += 1;
        if let (Some(to), Some(from)) = (frame.get(..6), frame.get(6..12)) {
            let is_unicast = to[0] & 1 == 0;
            self.misdirected += u64::from(is_unicast && to != self.mac);
            self.strangers +=
                u64::from(!self.peers.is_empty() && !self.peers.iter().any(|peer| peer == from));
        }
        // A stream's bytes carry no mark.
        let is_foreign = self.mark.is_some_and(|own| KINDS[kind] != "tcp" && bears_other(frame, &own));
        self.foreign += u64::from(is_foreign);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(frame[..frame.len().min(SNAP)].into());
        self.record(frame);
    }

    /// Begins a pcap file, or ends the one begun.
    pub(super) fn capture(&mut self, path: Option<&Path>) -> Result<()> {
        self.pcap = None;
        let Some(path) = path else { return Ok(()) };
        let what = || format!("writing {}", path.display());
        let file = BufWriter::new(File::create(path).doing(what)?);
        let writer = PcapWriter::new(file).map_err(|error| Error::failed(what(), error.to_string()))?;
        self.pcap = Some(writer);
        Ok(())
    }

    /// The frames kept that satisfy `filter`.
    pub(super) fn captured(&self, filter: &Filter) -> Result<Captured> {
        let source = filter.source.as_deref().map(super::mac).transpose()?;
        let part = filter.contains_hex.as_deref().map(super::bytes_of_hex).transpose()?;
        let satisfies = |frame: &&[u8]| {
            let type_fits =
                filter.ethertype.is_none_or(|wanted| frame.get(12..14) == Some(&wanted.to_be_bytes()[..]));
            let source_fits =
                source.is_none_or(|wanted| frame.get(6..12).is_some_and(|from| from == wanted.0));
            let part_fits = part.as_deref().is_none_or(|part| holds(frame, part));
            type_fits && source_fits && part_fits
        };
        let matched: Vec<_> = self.kept.iter().map(AsRef::as_ref).filter(satisfies).collect();
        let shown = matched.len().saturating_sub(SHOWN);
        Ok(Captured {
            matched: matched.len() as u64,
            frames_hex: matched[shown..].iter().map(|frame| super::hex(frame)).collect(),
            forgotten: self.frames - self.kept.len() as u64,
        })
    }

    /// Fills in what is known here.
    pub(super) fn count(&self, stats: &mut SmolStats) {
        stats.rx = self.frames;
        stats.rx_bytes = self.bytes;
        stats.misdirected = self.misdirected;
        stats.foreign = self.foreign;
        stats.strangers = self.strangers;
        stats.kinds = KINDS
            .iter()
            .zip(self.kinds)
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| ((*kind).to_owned(), count))
            .collect::<BTreeMap<_, _>>();
    }

    fn record(&mut self, frame: &[u8]) {
        let Some(pcap) = &mut self.pcap else { return };
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let packet = PcapPacket::new(time, frame.len() as u32, frame);
        if let Err(error) = pcap.write_packet(&packet) {
            eprintln!("the capture ends: {error}");
            self.pcap = None;
        }
    }
}

/// The mark of a guest that writes `text`.
pub(super) fn mark(text: &str) -> [u8; MARK] {
    let mut mark = [0; MARK];
    // The last byte stays zero.
    for (to, from) in mark[..MARK - 1].iter_mut().zip(MAGIC.iter().chain(text.as_bytes())) {
        *to = *from;
    }
    mark
}

fn bears_other(frame: &[u8], own: &[u8; MARK]) -> bool {
    let found = frame.windows(MAGIC.len()).position(|window| window == MAGIC);
    found.is_some_and(|at| frame.get(at..at + MARK).is_some_and(|mark| mark != own))
}

fn holds(frame: &[u8], part: &[u8]) -> bool {
    part.is_empty() || frame.windows(part.len()).any(|window| window == part)
}

/// The place in [`KINDS`].
fn kind(frame: &[u8]) -> usize {
    let protocol = match frame.get(12..14) {
        Some([0x08, 0x06]) => return 0,
        Some([0x08, 0x00]) => frame.get(23),
        Some([0x86, 0xdd]) => frame.get(20),
        _ => None,
    };
    match protocol {
        Some(1) => 1,
        Some(58) => 2,
        Some(6) => 3,
        Some(17) => 4,
        _ => 5,
    }
}

/// What frames are told apart by.
const KINDS: [&str; 6] = ["arp", "icmp", "icmpv6", "tcp", "udp", "other"];

/// Frames kept of a guest.
const KEPT: usize = 4096;

/// Bytes kept of a frame.
const SNAP: usize = 256;

/// Frames shown in one answer.
const SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: u8, from: u8, ethertype: u16, rest: &[u8]) -> Vec<u8> {
        let mac = |last| [2, 0, 0, 0, 0, last];
        [&mac(to)[..], &mac(from), &ethertype.to_be_bytes(), rest].concat()
    }

    #[test]
    fn what_is_not_for_the_guest_is_counted() {
        let mac = |last| EthernetAddress([2, 0, 0, 0, 0, last]);
        let mut watch = Watch::new(mac(1), &[mac(2)], Some(mark("blue")));
        let mut stats = SmolStats::default();
        watch.see(&frame(1, 2, 0x88b5, &mark("blue")));
        watch.count(&mut stats);
        assert_eq!((stats.rx, stats.leaks()), (1, 0));
        watch.see(&frame(9, 2, 0x0806, &[]));
        watch.see(&frame(1, 3, 0x0806, &[]));
        watch.see(&frame(1, 2, 0x88b5, &mark("red")));
        watch.see(&[1, 2, 3]);
        watch.count(&mut stats);
        assert_eq!((stats.misdirected, stats.strangers, stats.foreign), (1, 1, 1));
        assert_eq!(stats.kinds.into_iter().collect::<Vec<_>>(), [("arp".into(), 2), ("other".into(), 3)]);
    }

    #[test]
    fn frames_are_found_again() {
        let mut watch = Watch::new(EthernetAddress([2, 0, 0, 0, 0, 1]), &[], None);
        watch.see(&frame(1, 2, 0x0806, &[0xab, 0xcd]));
        watch.see(&frame(1, 3, 0x0800, &[]));
        let matched = |filter: Filter| watch.captured(&filter).unwrap().matched;
        assert_eq!(matched(Filter::default()), 2);
        assert_eq!(matched(Filter { ethertype: Some(0x0800), ..Filter::default() }), 1);
        assert_eq!(matched(Filter { contains_hex: Some("abcd".into()), ..Filter::default() }), 1);
        assert_eq!(matched(Filter { source: Some("02:00:00:00:00:03".into()), ..Filter::default() }), 1);
    }
}
