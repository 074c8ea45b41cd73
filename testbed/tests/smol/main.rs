//! The switch between guests that are IP stacks on vhost-user sockets: reach, isolation, spoofing, and deaths. No root.
//!
//! Every fabric ends with the ledgers of its hosts, to the packet.

mod capture;
mod commands;
mod fabric;
mod isolation;
mod reach;
mod restarts;
mod stages;
mod top;
mod trace;

use libtest_mimic::{Arguments, Failed, Trial};
use testbed::Result;

fn main() {
    let mut arguments = Arguments::from_args();
    // A fabric has up to two switches and a process of guests on few processors: one at a time unless asked otherwise.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let trials = vec![
        trial("commands come by standard input, answers by standard output", commands::by_standard_input),
        trial("a specification that cannot be is refused", commands::refused_specifications),
        trial("two guests of a host reach each other by ICMP, UDP and TCP", reach::one_host),
        trial("guests of two hosts reach each other by ICMP, UDP and TCP", reach::two_hosts),
        trial("a closed port refuses, an absent guest does not answer", reach::refusals),
        trial("forged and malformed frames are dropped and counted by name", isolation::forgeries),
        trial("tenants with equal addresses are worlds apart", isolation::equal_addresses),
        trial("guests killed in mid-transfer come back", restarts::guests_killed),
        trial("guests find a switch that was killed and restarted", restarts::switch_killed),
        trial("a capture has what guests sent and were sent", capture::into_a_file),
        trial("a capture says why packets were dropped, and by which rule", capture::drops),
        trial("captures end with their readers and with the switch", capture::ends),
        trial("a trace tells the way of packets over two hosts", trace::ways),
        trial("a trace tells why packets were dropped, and by which rule", trace::drops),
        trial("a trace tells by which rule a session passes", trace::sessions),
        trial("show stages tells what each stage costs", stages::costs),
        trial("weft top shows it all in a terminal, and gives that back", top::in_a_terminal),
        trial("the most guests that a process takes reach each other", reach::many),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, test: fn() -> Result<()>) -> Trial {
    Trial::test(name, move || test().map_err(Failed::from))
}
