//! Hosts whose sessions lie in large pages, as the switch's do: in small ones a million of them are further than the
//! processor's reach, and what is measured is its walk through page tables.

use weft::dpdk;
use weft_pipelines::flow::Sessions;
use weft_pipelines::flow::table::Memory;
use weft_pipelines::testing::{Lab, Treadmill};

/// Host `index` of `lab`, whose ports do not receive anything yet.
pub fn treadmill(lab: &Lab, index: usize) -> Treadmill {
    Treadmill::keeping(lab, index, |settings, secret| {
        let (v4, v6) = (Memory::new(settings.capacity), Memory::new(settings.capacity));
        v4.regions().into_iter().chain(v6.regions()).for_each(dpdk::prefer_large_pages);
        Sessions::within(v4, v6, secret)
    })
}
