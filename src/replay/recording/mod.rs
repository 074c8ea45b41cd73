//! Recorded packets: pcap and pcapng, read one packet at a time.
//!
//! Both are read here rather than by a library, because a recording may come from anywhere: whatever is in it is
//! at worst an error that says where.

mod bytes;
mod pcap;
mod pcapng;

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use bytes::Bytes;
use pcap::Pcap;
use pcapng::PcapNg;

/// Bytes of the longest packet that a recording holds: the limit of libpcap (`MAXIMUM_SNAPLEN`).
pub const MAX_PACKET: usize = 262_144;

/// The latest moment that a pcap file can tell, in nanoseconds since 1970: one before 2^32 seconds, in 2106.
pub const LATEST: u64 = (1 << 32) * 1_000_000_000 - 1;

/// The link type of Ethernet (`LINKTYPE_ETHERNET`).
const ETHERNET: u16 = 1;

/// Where a recording is.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file, which can be opened again and again.
    File(PathBuf),
    /// In memory.
    Memory {
        /// What messages call it.
        name: String,
        /// A whole pcap or pcapng file.
        bytes: Arc<[u8]>,
    },
}

impl Source {
    /// The recording at `path`. What is no ordinary file, a pipe for instance, is read whole at once.
    ///
    /// # Errors
    ///
    /// When it is not there or can't be read.
    pub fn at(path: &Path) -> Result<Self, RecordingError> {
        let found = fs::metadata(path).map_err(RecordingError::Open)?;
        if found.is_file() {
            return Ok(Self::File(path.to_owned()));
        }
        let bytes = fs::read(path).map_err(RecordingError::Open)?;
        Ok(Self::Memory { name: path.display().to_string(), bytes: bytes.into() })
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Memory { name, .. } => name.clone(),
        }
    }

    /// The recording, from its start.
    ///
    /// # Errors
    ///
    /// When it can't be opened, or is not a recording of an Ethernet.
    pub fn open(&self) -> Result<Recording<Box<dyn Read>>, RecordingError> {
        match self {
            Self::File(path) => {
                let file = File::open(path).map_err(RecordingError::Open)?;
                Recording::new(Box::new(BufReader::with_capacity(1 << 16, file)))
            }
            Self::Memory { bytes, .. } => Recording::new(Box::new(Cursor::new(Arc::clone(bytes)))),
        }
    }
}

/// A recorded packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, in nanoseconds since 1970, at most [`LATEST`]; `None` where the format has no time for it.
    pub stamp: Option<u64>,
    /// What was captured, from the Ethernet header on, without FCS.
    pub data: Vec<u8>,
    /// Whether the recording kept only the start of it (a snap length).
    pub is_snapped: bool,
}

/// What is wrong with a recording.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// It can't be opened.
    #[error("cannot be opened: {0}")]
    Open(#[source] io::Error),
    /// It can't be read on.
    #[error("cannot be read from byte {offset} on: {source}")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("not a pcap or pcapng file: {0}")]
    NotARecording(&'static str),
    /// It was not recorded on an Ethernet.
    #[error("its link type is {0}, not 1 (Ethernet); only recordings of an Ethernet can be replayed")]
    LinkType(u16),
    /// It ends in the middle.
    #[error("cut off at byte {end}, in packet {packet}, which starts at byte {offset}")]
    CutOff {
        /// Where the packet's record or block starts.
        offset: u64,
        /// Where the file ends.
        end: u64,
        /// Which packet of the file, from 1.
        packet: u64,
    },
    /// It contradicts itself.
    #[error("damaged at byte {offset}, in or before packet {packet}: {what}")]
    Damaged {
        /// Where the record or block starts.
        offset: u64,
        /// The next packet of the file, from 1.
        packet: u64,
        /// How.
        what: &'static str,
    },
}

/// Reads a recording packet by packet.
#[derive(Debug)]
pub struct Recording<R> {
    bytes: Bytes<R>,
    format: Format,
    /// Packets read.
    packets: u64,
}

#[derive(Debug)]
enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// Why there is no next packet, in the words of a format.
#[derive(Debug)]
enum Fault {
    Read(io::Error),
    CutOff,
    LinkType(u16),
    Damaged(&'static str),
}

impl<R: Read> Recording<R> {
    /// The recording that `reader` has.
    ///
    /// # Errors
    ///
    /// When it is something else, ends in its header, or was not made on an Ethernet.
    pub fn new(reader: R) -> Result<Self, RecordingError> {
        let mut bytes = Bytes::new(reader);
        let format = Self::format(&mut bytes).map_err(|fault| match fault {
            Fault::Read(source) => RecordingError::Read { offset: bytes.offset(), source },
            Fault::CutOff if bytes.offset() == 0 => RecordingError::NotARecording("it is empty"),
            Fault::CutOff => RecordingError::NotARecording("it ends in its header"),
            Fault::LinkType(found) => RecordingError::LinkType(found),
            Fault::Damaged(what) => RecordingError::NotARecording(what),
        })?;
        Ok(Self { bytes, format, packets: 0 })
    }

    fn format(bytes: &mut Bytes<R>) -> Result<Format, Fault> {
        let magic = bytes.array()?;
        match magic {
            [0x0a, 0x0d, 0x0d, 0x0a] => PcapNg::new(bytes).map(Format::PcapNg),
            [0x1f, 0x8b, ..] => Err(Fault::Damaged("it is compressed by gzip; decompress it first")),
            [0x28, 0xb5, 0x2f, 0xfd] => Err(Fault::Damaged("it is compressed by zstd; decompress it first")),
            _ => Pcap::new(magic, bytes).map(Format::Pcap),
        }
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the recording is cut off or damaged here. Nothing behind that place can be read.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, RecordingError> {
        let Self { bytes, format, packets } = self;
        bytes.mark();
        let next = match format {
            Format::Pcap(format) => format.next_packet(bytes),
            Format::PcapNg(format) => format.next_packet(bytes),
        };
        let (offset, packet) = (bytes.marked(), *packets + 1);
        let next = next.map_err(|fault| match fault {
            Fault::Read(source) => RecordingError::Read { offset: bytes.offset(), source },
            Fault::CutOff => RecordingError::CutOff { offset, end: bytes.offset(), packet },
            Fault::LinkType(found) => RecordingError::LinkType(found),
            Fault::Damaged(what) => RecordingError::Damaged { offset, packet, what },
        })?;
        *packets += u64::from(next.is_some());
        Ok(next)
    }
}

/// A packet from what its record says of it; `fcs` bytes at the end of a whole packet are no part of it.
fn packet(stamp: Option<u64>, mut data: Vec<u8>, original: u32, fcs: usize) -> Packet {
    let is_snapped = (data.len() as u64) < u64::from(original);
    if !is_snapped {
        data.truncate(data.len().saturating_sub(fcs));
    }
    Packet { stamp, data, is_snapped }
}
