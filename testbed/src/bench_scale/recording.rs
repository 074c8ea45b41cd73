//! Recordings that devices play: guests that need no core.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use pcap_file::pcap::{PcapPacket, PcapWriter};

use crate::error::Doing;
use crate::load::Traffic;
use crate::{Error, Result};

/// Writes a packet of 64 bytes of each of the first so many flows, in mixed order.
pub fn write(path: &Path, traffic: Traffic, flows: u32) -> Result<()> {
    let what = || format!("writing {}", path.display());
    let failed = |error: pcap_file::PcapError| Error::failed(format!("{}: {error}", what()), "");
    let mut file = PcapWriter::new(File::create(path).doing(what)?).map_err(failed)?;
    for frame in traffic.packets(64, mixed(flows)).doing(what)? {
        let packet = PcapPacket::new(Duration::ZERO, frame.len() as u32, &frame);
        file.write_packet(&packet).map_err(failed)?;
    }
    Ok(())
}

/// Each number below `count` once, not one after the other.
fn mixed(count: u32) -> impl Iterator<Item = u32> {
    // A prime that divides no count here goes through all of them.
    (0..count).map(move |number| (u64::from(number) * 7_919 % u64::from(count.max(1))) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_is_there_once() {
        let mut seen: Vec<_> = mixed(1_000).collect();
        assert_ne!(seen[..3], [0, 1, 2]);
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..1_000));
    }
}
