//! Takes off priority tags; refuses others.

use crate::batch::Batch;
use crate::frame::Frame;
use crate::verdict::Reason;
use crate::wire::ethernet::{self, EtherType};
use crate::wire::{Ethernet, Vlan, vlan};

/// Makes every passing frame an untagged one.
///
/// A tag with VLAN 0 only carries a priority (IEEE 802.1Q, 6.9), which some guests send: it is taken off. A segment
/// carries no VLANs (RFC 7348, section 6.1), so a frame with another tag is dropped.
pub fn untag<F: Frame>(batch: &mut Batch<F>) {
    for i in batch.passing() {
        let frame = batch.frame_mut(i);
        let Some((header, rest)) = Ethernet::split(frame.data()) else { continue };
        let verdict = match header.ethertype() {
            EtherType::VLAN => match Vlan::split(rest) {
                None => Some(Reason::Truncated),
                Some((tag, _)) if tag.id() == 0 => {
                    take_off(frame);
                    None
                }
                Some(_) => Some(Reason::VlanTagged),
            },
            EtherType::SERVICE_VLAN => Some(Reason::VlanTagged),
            _ => None,
        };
        if let Some(reason) = verdict {
            batch.drop(i, reason);
        }
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
    use crate::verdict::Verdict;

    fn untagged(frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut batch = Batch::default();
        batch.load(|frames| frames.push(TestFrame::new(frame)));
        untag(&mut batch);
        (batch.verdict(0), batch.frame(0).data().to_vec())
    }

    #[test]
    fn takes_off_priority_and_refuses_vlans() {
        let frame = |tag: &[u8]| [&[1; 6], &[2; 6], tag, &[8, 0, 0x45]].concat();
        let plain = frame(&[]);
        assert_eq!(untagged(&plain), (Verdict::Pass, plain.clone()));
        assert_eq!(untagged(&frame(&[0x81, 0, 0xe0, 0])), (Verdict::Pass, plain));
        assert_eq!(untagged(&frame(&[0x81, 0, 0, 7])).0, Verdict::Drop(Reason::VlanTagged));
        assert_eq!(untagged(&frame(&[0x88, 0xa8, 0, 0])).0, Verdict::Drop(Reason::VlanTagged));
        assert_eq!(untagged(&[&[1; 12][..], &[0x81, 0, 0]].concat()).0, Verdict::Drop(Reason::Truncated));
    }
}
