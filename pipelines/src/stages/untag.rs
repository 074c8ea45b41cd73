//! Takes off priority tags; refuses others.

use crate::frame::Frame;
use crate::verdict::Reason;
use crate::wire::ethernet::{self, EtherType};
use crate::wire::{Ethernet, Vlan, vlan};

/// Makes a frame of a type that segments do not carry an untagged one, if that is what it takes.
///
/// A tag with VLAN 0 only carries a priority (IEEE 802.1Q, 6.9), which some guests send: it is taken off. A segment
/// carries no VLANs (RFC 7348, section 6.1), so a frame with another tag is to be dropped.
pub fn untag<F: Frame>(frame: &mut F) -> Result<(), Reason> {
    let (header, rest) = Ethernet::split(frame.data()).ok_or(Reason::Truncated)?;
    match header.ethertype() {
        EtherType::VLAN => match Vlan::split(rest) {
            None => Err(Reason::Truncated),
            Some((tag, _)) if tag.id() == 0 => {
                take_off(frame);
                Ok(())
            }
            Some(_) => Err(Reason::VlanTagged),
        },
        EtherType::SERVICE_VLAN => Err(Reason::VlanTagged),
        _ => Err(Reason::EthertypeUnsupported),
    }
}

/// Moves the addresses over the tag; the tag's own ethertype then stands behind them.
fn take_off<F: Frame>(frame: &mut F) {
    const ADDRESSES: usize = ethernet::LEN - 2;
    if frame.data().len() >= ethernet::LEN + vlan::LEN {
        frame.data_mut().copy_within(..ADDRESSES, vlan::LEN);
        let trimmed = frame.trim_front(vlan::LEN);
        debug_assert!(trimmed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::TestFrame;

    fn untagged(frame: &[u8]) -> Result<Vec<u8>, Reason> {
        let mut frame = TestFrame::new(frame);
        untag(&mut frame).map(|()| frame.data().to_vec())
    }

    #[test]
    fn takes_off_priority_and_refuses_vlans() {
        let frame = |tag: &[u8]| [&[1; 6], &[2; 6], tag, &[8, 0, 0x45]].concat();
        let plain = frame(&[]);
        assert_eq!(untagged(&frame(&[0x81, 0, 0xe0, 0])), Ok(plain));
        assert_eq!(untagged(&frame(&[0x81, 0, 0, 7])), Err(Reason::VlanTagged));
        assert_eq!(untagged(&frame(&[0x88, 0xa8, 0, 0])), Err(Reason::VlanTagged));
        assert_eq!(untagged(&frame(&[0x88, 0xcc])), Err(Reason::EthertypeUnsupported));
        assert_eq!(untagged(&[&[1; 12][..], &[0x81, 0, 0]].concat()), Err(Reason::Truncated));
    }
}
