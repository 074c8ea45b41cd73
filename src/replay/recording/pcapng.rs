//! The newer format (draft-ietf-opsawg-pcapng): blocks, of which some are packets.

use std::io::Read;

use super::bytes::{Bytes, Order};
use super::{ETHERNET, Fault, LATEST, MAX_PACKET, Packet, packet};

/// Bytes of the largest block that is read: as in libpcap.
const MAX_BLOCK: u32 = 16 << 20;

mod block {
    pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE: u32 = 1;
    /// Obsolete, and still found in old files.
    pub(super) const PACKET: u32 = 2;
    pub(super) const SIMPLE_PACKET: u32 = 3;
    pub(super) const ENHANCED_PACKET: u32 = 6;
}

#[derive(Debug)]
pub(super) struct PcapNg {
    order: Order,
    /// Those of the section.
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    /// The most that is captured of a packet; 0 is all.
    snaplen: u32,
    resolution: Resolution,
    /// Seconds to add to each stamp.
    offset: i64,
    fcs: usize,
}

/// The unit of stamps (option `if_tsresol`).
#[derive(Clone, Copy, Debug)]
enum Resolution {
    /// 10 to the power of minus this, in seconds.
    Decimal(u32),
    /// 2 to the power of minus this.
    Binary(u32),
}

impl PcapNg {
    /// Reads the first section's header behind its block's type.
    pub(super) fn new<R: Read>(bytes: &mut Bytes<R>) -> Result<Self, Fault> {
        let mut this = Self { order: Order::Big, interfaces: Vec::new() };
        this.section(bytes)?;
        Ok(this)
    }

    /// Reads blocks up to and with the next packet.
    pub(super) fn next_packet<R: Read>(&mut self, bytes: &mut Bytes<R>) -> Result<Option<Packet>, Fault> {
        loop {
            bytes.mark();
            let Some(kind) = bytes.array_or_end()? else { return Ok(None) };
            let kind = self.order.u32(kind);
            // Reads the same in both byte orders; which one the section has follows.
            if kind == block::SECTION_HEADER {
                self.section(bytes)?;
                continue;
            }
            let body = self.body(bytes)?;
            let mut body = Body { order: self.order, rest: &body };
            let packet = match kind {
                block::INTERFACE => {
                    self.interfaces.push(interface(&mut body)?);
                    continue;
                }
                block::ENHANCED_PACKET => {
                    let interface = body.u32()?;
                    self.packet(interface, &mut body)?
                }
                block::PACKET => {
                    let interface = body.u16()?;
                    let _dropped = body.u16()?;
                    self.packet(interface.into(), &mut body)?
                }
                block::SIMPLE_PACKET => self.simple_packet(&mut body)?,
                _ => continue,
            };
            return Ok(Some(packet));
        }
    }

    /// Reads a section's header behind its block's type.
    fn section<R: Read>(&mut self, bytes: &mut Bytes<R>) -> Result<(), Fault> {
        let len = bytes.array()?;
        self.order = match bytes.array()? {
            [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
            [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
            _ => return Err(Fault::Damaged("a section of pcapng without its magic number")),
        };
        let len = self.order.u32(len);
        // 12 of the block, 16 of the section.
        if len < 28 {
            return Err(Fault::Damaged("a section header that is too short"));
        }
        let body = self.rest_of_block(len, 16, bytes)?;
        if (Body { order: self.order, rest: &body }).u16()? != 1 {
            return Err(Fault::Damaged("its pcapng version is not 1"));
        }
        self.interfaces.clear();
        Ok(())
    }

    /// Reads a block behind its type.
    fn body<R: Read>(&self, bytes: &mut Bytes<R>) -> Result<Vec<u8>, Fault> {
        let len = self.order.u32(bytes.array()?);
        self.rest_of_block(len, 12, bytes)
    }

    /// Reads what is left of a block of `len` bytes, of which `known`, its last 4 among them, are no part of it.
    fn rest_of_block<R: Read>(&self, len: u32, known: u32, bytes: &mut Bytes<R>) -> Result<Vec<u8>, Fault> {
        if !len.is_multiple_of(4) || len < known || len > MAX_BLOCK {
            return Err(Fault::Damaged("a block of pcapng with an impossible length"));
        }
        let body = bytes.vec((len - known) as usize)?;
        if self.order.u32(bytes.array()?) != len {
            return Err(Fault::Damaged("a block of pcapng whose two lengths differ"));
        }
        Ok(body)
    }

    fn packet(&self, interface: u32, body: &mut Body<'_>) -> Result<Packet, Fault> {
        let interface = self.interface(interface)?;
        let units = u64::from(body.u32()?) << 32 | u64::from(body.u32()?);
        let (captured, original) = (body.u32()?, body.u32()?);
        let data = body.data(captured)?;
        Ok(packet(Some(interface.stamp(units)), data, original, interface.fcs))
    }

    /// A packet of the first interface, with no time and no captured length of its own.
    fn simple_packet(&self, body: &mut Body<'_>) -> Result<Packet, Fault> {
        let interface = self.interface(0)?;
        let original = body.u32()?;
        let snaplen = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        let data = body.data(original.min(snaplen))?;
        Ok(packet(None, data, original, interface.fcs))
    }

    fn interface(&self, id: u32) -> Result<&Interface, Fault> {
        let found = self.interfaces.get(id as usize);
        let found = found.ok_or(Fault::Damaged("a packet of an interface that is not described"))?;
        if found.link == ETHERNET { Ok(found) } else { Err(Fault::LinkType(found.link)) }
    }
}

/// Reads an interface's description.
fn interface(body: &mut Body<'_>) -> Result<Interface, Fault> {
    let link = body.u16()?;
    let _reserved = body.u16()?;
    let snaplen = body.u32()?;
    let mut interface = Interface { link, snaplen, resolution: Resolution::Decimal(6), offset: 0, fcs: 0 };
    // A list of options ends with option 0 or with its block.
    while let (Ok(code @ 1..), Ok(len)) = (body.u16(), body.u16()) {
        let Ok(value) = body.padded(len.into()) else { break };
        match (code, value) {
            (9, [exponent]) if exponent & 0x80 == 0 => {
                interface.resolution = Resolution::Decimal((*exponent).into());
            }
            (9, [exponent]) => interface.resolution = Resolution::Binary((exponent & 0x7f).into()),
            // In bytes or in bits: writers differ.
            (13, [4 | 32]) => interface.fcs = 4,
            (14, value) => {
                if let Some(value) = value.first_chunk() {
                    interface.offset = body.order.i64(*value);
                }
            }
            _ => {}
        }
    }
    Ok(interface)
}

impl Interface {
    /// Nanoseconds since 1970 of a stamp in the interface's units.
    fn stamp(&self, units: u64) -> u64 {
        let nanos = u128::from(units) * 1_000_000_000;
        let nanos = match self.resolution {
            // 2^64 units of less than 10^-38 s are no nanosecond.
            Resolution::Decimal(exponent) => 10u128.checked_pow(exponent).map_or(0, |second| nanos / second),
            Resolution::Binary(exponent) => nanos >> exponent,
        };
        let total = nanos as i128 + i128::from(self.offset) * 1_000_000_000;
        total.clamp(0, i128::from(LATEST)) as u64
    }
}

/// A block's body, read from the front.
struct Body<'a> {
    order: Order,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (array, rest) =
            self.rest.split_first_chunk().ok_or(Fault::Damaged("a block of pcapng that is too short"))?;
        self.rest = rest;
        Ok(*array)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(|bytes| self.order.u16(bytes))
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(|bytes| self.order.u32(bytes))
    }

    /// A packet's bytes.
    fn data(&mut self, len: u32) -> Result<Vec<u8>, Fault> {
        if len as usize > MAX_PACKET {
            return Err(Fault::Damaged("a packet of more than 262144 bytes"));
        }
        let data = self.rest.get(..len as usize);
        data.map(<[u8]>::to_vec).ok_or(Fault::Damaged("a packet that is longer than its block"))
    }

    /// `len` bytes, and behind them padding to a multiple of four.
    fn padded(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let short = Fault::Damaged("an option that is longer than its block");
        let Some((value, rest)) = self.rest.split_at_checked(len) else { return Err(short) };
        self.rest = rest.get(len.next_multiple_of(4) - len..).unwrap_or_default();
        Ok(value)
    }
}
