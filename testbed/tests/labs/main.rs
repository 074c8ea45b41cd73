//! What the lab itself promises, tried without the switch: `dpdk-testpmd` stands in for it.
//!
//! What needs root says so beside its name, and is reported as ignored for anyone else.

mod bench_scale;
mod cleanup;
mod hosts;
mod load;
mod netns;
mod peers;
mod qemu;
mod testpmd;
mod underlay;

use libtest_mimic::{Arguments, Failed, Trial};
use testbed::scope;

fn main() {
    let mut arguments = Arguments::from_args();
    // Machines without KVM share few processors badly: one test at a time unless asked otherwise.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let trials = vec![
        any(
            "qemu guests reach each other, and again after either side was killed",
            qemu::guests_reach_each_other,
        ),
        any("a qemu guest's commands are framed and bounded", qemu::commands_are_framed_and_bounded),
        any(
            "an underlay without root carries 1600 bytes and survives the death of either side",
            underlay::vhost_survives,
        ),
        any("a host is started, asked, killed, restarted and stopped", hosts::life_of_a_host),
        any("a host that does not start says why", hosts::failure_to_start),
        any("the load driver and testpmd count the same packets", load::testpmd_counts_the_same),
        any("the load driver and weft count the same packets", load::weft_counts_the_same),
        any("bench-scale fills its tables", bench_scale::fills_its_tables),
        any("a panic leaves no process and no socket", cleanup::panic_leaves_nothing),
        any(
            "an interrupted lab leaves no process, no namespace, no socket",
            cleanup::interrupt_leaves_nothing,
        ),
        any("what a killed lab leaves behind is swept by the next", cleanup::sweep_removes_the_rest),
        root("netns guests on a switch reach each other", netns::guests_reach_each_other),
        root("a host may run as another user, in a namespace", hosts::as_another_user),
        root("a lab with peers comes up and goes", hosts::lab_with_peers),
        root("linux vxlan peers carry tenants with equal addresses", peers::tenants_with_equal_addresses),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

type Test = fn() -> testbed::Result<()>;

fn any(name: &str, test: Test) -> Trial {
    Trial::test(name, move || test().map_err(Failed::from))
}

fn root(name: &str, test: Test) -> Trial {
    any(name, test).with_kind("needs root").with_ignored_flag(!scope::is_root())
}
