//! Whatever guests and the fabric send: no panic, and the books balance (which [`Bed`] checks).

use proptest::prelude::*;
use weft_pipelines::testing::entry::{WAYS, guest_frames, seeds, underlay_frames, with_policies};
use weft_pipelines::testing::generators::{changed, changes};
use weft_pipelines::testing::lab::{host, port};
use weft_pipelines::testing::{Bed, Lab, packets};
use weft_pipelines::{Frame, PortId, TestFrame};

/// Hosts without a policy, and with one.
fn beds(workers: u16) -> [Bed; 2] {
    let [held, _] = with_policies(workers);
    [Bed::new(&Lab::on_workers(workers), host::HV_A), Bed::new(&held, host::HV_A)]
}

/// Every kind of frame, with the port that receives it.
fn kinds() -> Vec<(PortId, Vec<u8>)> {
    let guests = guest_frames().into_iter().map(|frame| (port::BLUE_WEB1, frame));
    let underlay = underlay_frames().into_iter().map(|frame| (port::UPLINK, frame));
    guests.chain(underlay).collect()
}

#[test]
fn every_prefix_of_every_kind_of_frame() {
    let mut beds = beds(2);
    for (port, frame) in kinds() {
        for len in 0..=frame.len() {
            beds.iter_mut().for_each(|bed| drop(bed.receive(port, &[&frame[..len]])));
        }
    }
}

/// A length that lies: every 16-bit word and every byte made small, large and off by a little.
#[test]
fn every_byte_of_every_kind_of_frame_made_wrong() {
    let mut beds = beds(1);
    for (port, frame) in kinds() {
        for at in 0..frame.len() {
            let byte = frame[at];
            for wrong in [0, 0xff, 0x80, byte.wrapping_add(1), byte.wrapping_sub(1), byte ^ 0x40] {
                let mut frame = frame.clone();
                frame[at] = wrong;
                beds.iter_mut().for_each(|bed| drop(bed.receive(port, &[&frame])));
                packets::mend_ipv4(&mut frame);
                beds.iter_mut().for_each(|bed| drop(bed.receive(port, &[&frame])));
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..40),
        port in 0..4u16,
    ) {
        beds(1).iter_mut().for_each(|bed| drop(bed.receive(PortId(port), &frames)));
    }

    #[test]
    fn changed_frames(picks in prop::collection::vec((any::<prop::sample::Index>(), changes()), 1..40)) {
        let kinds = kinds();
        let mut beds = beds(2);
        for (pick, changes) in picks {
            let (port, frame) = pick.get(&kinds);
            let mut frame = changed(frame.clone(), &changes);
            beds.iter_mut().for_each(|bed| drop(bed.receive(*port, &[&frame])));
            packets::mend_ipv4(&mut frame);
            beds.iter_mut().for_each(|bed| drop(bed.receive(*port, &[&frame])));
        }
    }

    #[test]
    fn random_scripts(script in prop::collection::vec(any::<u8>(), 0..400)) {
        WAYS.iter().for_each(|(_, way)| way(&script));
    }

    #[test]
    fn changed_scripts(way in 0..3usize, pick: prop::sample::Index, changes in changes()) {
        let (name, way) = WAYS[way];
        way(&changed(pick.get(&seeds(name)).clone(), &changes));
    }

    #[test]
    fn frames_with_any_headroom(frames in 0..22usize, headroom in 0..60usize) {
        let [mut bed, _] = beds(1);
        bed.headroom = headroom;
        bed.receive(port::BLUE_WEB1, &guest_frames()[frames..]);
    }
}

#[test]
fn an_empty_frame_is_a_counted_drop() {
    assert!(TestFrame::new(&[]).data().is_empty());
    for port in [port::BLUE_WEB1, port::UPLINK] {
        assert!(beds(1).iter_mut().all(|bed| bed.receive_one(port, &[]).is_err()));
    }
}
