//! The limits of this process.

use super::probe::size_text;
use super::{Case, Finding};

const LIMITS: &str = "/proc/self/limits";
/// `CAP_IPC_LOCK` in `linux/capability.h`: whoever has it may lock all memory.
const IPC_LOCK: u32 = 14;
/// Files that a switch has open without guests: sockets, devices, libraries, epolls.
const FILES_AT_REST: u64 = 128;
/// Files that a guest brings: a call and a kick per queue, its regions of memory, its socket.
const FILES_A_GUEST: u64 = 32;

pub(super) fn check(case: &Case) -> Vec<Finding> {
    vec![locked_memory(case), open_files(case)]
}

/// VFIO locks all memory that a device may write to.
fn locked_memory(case: &Case) -> Finding {
    let wants = case.wants();
    let soft = soft(case, "Max locked memory");
    let text = text(soft, size_text);
    let free = case.probe.has_capability(IPC_LOCK) || soft.is_none_or(|soft| soft >= wants.memory_bytes);
    if free || wants.pci_devices.is_empty() {
        return Finding::ok("memlock", format!("{text} may be locked"));
    }
    let seen = format!("{text} may be locked; devices on PCI need {}", size_text(wants.memory_bytes));
    Finding::error("memlock", seen, "ulimit -l unlimited   # systemd: LimitMEMLOCK=infinity")
}

fn open_files(case: &Case) -> Finding {
    let wants = case.wants();
    let guests = (wants.socket_paths.len() + wants.guest_sockets.len()) as u64;
    let needed = FILES_AT_REST + FILES_A_GUEST * guests;
    let soft = soft(case, "Max open files");
    let text = text(soft, |files| files.to_string());
    if soft.is_none_or(|soft| soft >= needed) {
        return Finding::ok("nofile", format!("{text} files may be open"));
    }
    let seen = format!("{text} files may be open; {guests} guests may need {needed}");
    Finding::warning(
        "nofile",
        seen,
        format!("ulimit -n {0}   # systemd: LimitNOFILE={0}", needed.next_power_of_two()),
    )
}

/// The soft limit that a line tells; none where there is none.
fn soft(case: &Case, line: &str) -> Option<u64> {
    case.probe.line(LIMITS, line)?.split_whitespace().next()?.parse().ok()
}

fn text(limit: Option<u64>, text: impl FnOnce(u64) -> String) -> String {
    limit.map_or_else(|| "unlimited".into(), text)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, case, only};
    use super::super::{Level, Wants};
    use super::*;

    fn small() -> Fake {
        Fake::healthy().file("/proc/self/status", "CapEff:\t0000000000000000\n").file(
            LIMITS,
            "Max open files            100   4096   files\nMax locked memory         65536   65536   bytes\n",
        )
    }

    #[test]
    fn memory_for_devices_has_to_be_lockable() {
        let fake = small();
        let finding = only(check(&case(&fake, Some(fake.wants()))), "memlock");
        assert_eq!(finding.level, Level::Error);
        assert_eq!(finding.seen, "64 KiB may be locked; devices on PCI need 512 MiB");
        let wants = Wants { pci_devices: Vec::new(), ..fake.wants() };
        assert_eq!(only(check(&case(&fake, Some(wants))), "memlock").level, Level::Ok);
        let root = small().file("/proc/self/status", "CapEff:\t000001ffffffffff\n");
        assert_eq!(only(check(&case(&root, Some(root.wants()))), "memlock").level, Level::Ok);
    }

    #[test]
    fn guests_need_files() {
        let fake = small();
        let finding = only(check(&case(&fake, Some(fake.wants()))), "nofile");
        assert_eq!(finding.level, Level::Warning);
        assert_eq!(finding.mend.unwrap(), "ulimit -n 256   # systemd: LimitNOFILE=256");
    }
}
