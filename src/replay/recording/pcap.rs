//! The classic format (draft-ietf-opsawg-pcap): a header, then records.

use std::io::Read;

use super::bytes::{Bytes, Order};
use super::{ETHERNET, Fault, LATEST, MAX_PACKET, Packet, packet};

#[derive(Debug)]
pub(super) struct Pcap {
    order: Order,
    /// Nanoseconds in the unit of a stamp's second half.
    unit: u64,
    /// Bytes of FCS behind each packet.
    fcs: usize,
}

impl Pcap {
    /// Reads the header behind its `magic`.
    pub(super) fn new<R: Read>(magic: [u8; 4], bytes: &mut Bytes<R>) -> Result<Self, Fault> {
        let (order, unit) = match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, 1_000),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, 1),
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, 1_000),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, 1),
            _ => return Err(Fault::Damaged("it does not start as one does")),
        };
        let version: [u8; 4] = bytes.array()?;
        // Two reserved fields and the snap length: each record's lengths say all there is to say.
        let _: [u8; 12] = bytes.array()?;
        let link = order.u32(bytes.array()?);
        if order.u16([version[0], version[1]]) != 2 {
            return Err(Fault::Damaged("its version is not 2"));
        }
        if link as u16 != ETHERNET {
            return Err(Fault::LinkType(link as u16));
        }
        // The F bit says that the highest four have the length of the FCS, in 16-bit words.
        let fcs = if link & 0x0400_0000 == 0 { 0 } else { (link >> 28) as usize * 2 };
        Ok(Self { order, unit, fcs })
    }

    /// Reads the next record.
    pub(super) fn next_packet<R: Read>(&self, bytes: &mut Bytes<R>) -> Result<Option<Packet>, Fault> {
        let Some(record) = bytes.array_or_end::<16>()? else { return Ok(None) };
        let [seconds, fraction, captured, original] = fields(&record).map(|field| self.order.u32(field));
        if captured as usize > MAX_PACKET {
            return Err(Fault::Damaged("a packet of more than 262144 bytes"));
        }
        let stamp = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit;
        Ok(Some(packet(Some(stamp.min(LATEST)), bytes.vec(captured as usize)?, original, self.fcs)))
    }
}

fn fields(record: &[u8; 16]) -> [[u8; 4]; 4] {
    let (words, _) = record.as_chunks();
    [words[0], words[1], words[2], words[3]]
}
