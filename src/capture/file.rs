//! What was captured as a pcapng file (draft-ietf-opsawg-pcapng), for Wireshark and its like.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, Endianness, PcapError};

use super::{Captured, End, Interface, PortCount};

/// `if_tsresol`: nanoseconds.
const NANOSECONDS: u8 = 9;
/// `epb_flags`: the packet came in.
const INBOUND: u32 = 1;
/// `epb_flags`: the packet left.
const OUTBOUND: u32 = 2;

/// A file that grows.
pub struct File<W: Write> {
    writer: PcapNgWriter<Counting<W>>,
    /// By port: the number of its block, from 0.
    interfaces: BTreeMap<u32, u32>,
    snap: u32,
    filter: String,
    /// When the last packet came.
    latest: u64,
}

impl<W: Write> File<W> {
    /// Begins a file of packets of at most `snap` bytes, captured through `filter`.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn begin(writer: W, snap: u32, filter: &str) -> io::Result<Self> {
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![SectionHeaderOption::UserApplication(Cow::Owned(format!(
                "weft {}",
                crate::VERSION
            )))],
            ..SectionHeaderBlock::default()
        };
        let writer =
            PcapNgWriter::with_section_header(Counting { writer, bytes: 0 }, section).map_err(why)?;
        Ok(Self { writer, interfaces: BTreeMap::new(), snap, filter: filter.to_owned(), latest: 0 })
    }

    /// Adds a port.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn interface(&mut self, Interface { port, name, attach }: &Interface) -> io::Result<()> {
        let mut options = vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
            InterfaceDescriptionOption::IfDescription(Cow::Borrowed(attach)),
            InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
        ];
        if !self.filter.is_empty() {
            // 0: the filter is a text.
            let filter = [&[0], self.filter.as_bytes()].concat();
            options.push(InterfaceDescriptionOption::IfFilter(Cow::Owned(filter)));
        }
        let block = InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen: self.snap, options };
        self.write(block)?;
        self.interfaces.insert(*port, self.interfaces.len() as u32);
        Ok(())
    }

    /// Adds a packet of a port that was added.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn packet(&mut self, packet: &Captured) -> io::Result<()> {
        let Captured { unix_ns, port, out, len, data, dropped } = packet;
        let Some(interface) = self.interfaces.get(port) else {
            return Err(io::Error::other(format!(
                "a packet is of port {port}, which the switch did not tell of"
            )));
        };
        let mut options = vec![EnhancedPacketOption::Flags(if *out { OUTBOUND } else { INBOUND })];
        if !dropped.is_empty() {
            options.push(EnhancedPacketOption::Comment(Cow::Owned(format!("dropped: {dropped}"))));
        }
        let block = EnhancedPacketBlock {
            interface_id: *interface,
            timestamp: Duration::from_nanos(*unix_ns),
            original_len: *len,
            data: Cow::Borrowed(data),
            options,
        };
        self.latest = *unix_ns;
        self.write(block)
    }

    /// Adds what was counted, and gives the writer back.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn end(mut self, end: Option<&End>) -> io::Result<W> {
        for PortCount { port, seen, meant, lost } in end.map(|end| &end.ports[..]).unwrap_or_default() {
            let Some(interface) = self.interfaces.get(port) else { continue };
            self.write(InterfaceStatisticsBlock {
                interface_id: *interface,
                // The format has the upper half first, whatever the order of bytes is; the writer knows only the latter.
                timestamp: self.latest.rotate_left(32),
                options: vec![
                    InterfaceStatisticsOption::IsbIfRecv(*seen),
                    InterfaceStatisticsOption::IsbFilterAccept(*meant),
                    InterfaceStatisticsOption::IsbIfDrop(*lost),
                ],
            })?;
        }
        let mut writer = self.writer.into_inner().writer;
        writer.flush()?;
        Ok(writer)
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.get_mut().writer.flush()
    }

    /// Bytes written.
    pub fn bytes(&self) -> u64 {
        self.writer.get_ref().bytes
    }

    fn write<'a>(&mut self, block: impl PcapNgBlock<'a>) -> io::Result<()> {
        self.writer.write_pcapng_block(block).map(drop).map_err(why)
    }
}

fn why(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// Counts what is written.
struct Counting<W> {
    writer: W,
    bytes: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
