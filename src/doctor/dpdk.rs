//! DPDK's libraries and its drivers.

use super::vdevs;
use super::{Case, Finding, Room};

/// Where distributions and `ninja install` put libraries.
const LIBRARY_DIRS: [&str; 7] = [
    "/usr/local/lib/x86_64-linux-gnu",
    "/usr/local/lib64",
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];
const INSTALL: &str = "apt-get install dpdk";

pub(super) fn check(case: &Case) -> Vec<Finding> {
    let Some(room) = case.build.dpdk else {
        let seen = "this program is built without DPDK: it checks, replays and shows, and runs no switch";
        return vec![Finding::error("dpdk", seen, "cargo build --release   # with the default features")];
    };
    let libraries = LIBRARY_DIRS.into_iter().find_map(|dir| {
        let names = case.probe.names(dir);
        let version = names.iter().find_map(|name| name.strip_prefix("librte_eal.so."))?.to_owned();
        Some((dir, version))
    });
    let Some((dir, version)) = libraries else {
        // The program was loaded, so they are somewhere.
        return vec![Finding::warning("dpdk", "its libraries are in none of the usual folders", INSTALL)];
    };
    let mut findings = vec![Finding::ok("dpdk", format!("librte_eal.so.{version} in {dir}"))];
    findings.extend(drivers(case, dir));
    findings.extend(too_many_ports(case, room));
    findings
}

/// More ports than DPDK lets a process have.
fn too_many_ports(case: &Case, room: Room) -> Vec<Finding> {
    let wants = case.wants();
    let devices = wants.pci_devices.len() + wants.vdevs.len();
    let sockets = wants.socket_paths.len() + wants.guest_sockets.len();
    let mut findings = Vec::new();
    if devices > room.devices {
        let seen = format!(
            "the host has {devices} ports on devices, uplinks included; this DPDK lets a process have {}",
            room.devices
        );
        let mend = "attach endpoints by vhost-user; or build DPDK with -Dmax_ethports=N, and weft with it";
        findings.push(Finding::error("ports", seen, mend));
    }
    if sockets > room.sockets {
        let seen = format!("the host has {sockets} vhost-user ports; DPDK serves {}", room.sockets);
        findings.push(Finding::error("ports", seen, "spread the endpoints over more hosts"));
    }
    findings
}

/// The drivers of the devices that the document names.
fn drivers(case: &Case, dir: &str) -> Vec<Finding> {
    let folder = case.probe.names(format!("{dir}/dpdk")).into_iter().rfind(|name| name.starts_with("pmds-"));
    let Some(folder) = folder.map(|name| format!("{dir}/dpdk/{name}")) else {
        let seen = format!("no folder of drivers, pmds-*, in {dir}/dpdk");
        return vec![Finding::warning("drivers", seen, INSTALL)];
    };
    let wants = case.wants();
    let mut needed: Vec<&str> = wants.vdevs.iter().map(|vdev| vdevs::driver(vdev)).collect();
    needed.sort_unstable();
    needed.dedup();
    let present = case.probe.names(&folder);
    let there = |driver: &str| present.iter().any(|name| name.starts_with(&format!("librte_{driver}.so")));
    let missing: Vec<&str> = needed.into_iter().filter(|driver| !there(driver)).collect();
    if missing.is_empty() {
        return vec![Finding::ok("drivers", format!("in {folder}"))];
    }
    let missing = missing.into_iter().map(|driver| {
        Finding::error(
            "drivers",
            format!("{folder} has no driver {driver}"),
            format!("{INSTALL}   # or correct the name"),
        )
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, case, only};
    use super::super::{Build, Level, Wants};
    use super::*;

    #[test]
    fn a_program_without_dpdk_runs_no_switch() {
        let fake = Fake::healthy();
        let mut case = case(&fake, None);
        case.build = Build { dpdk: None, ..case.build };
        assert_eq!(only(check(&case), "dpdk").level, Level::Error);
    }

    #[test]
    fn missing_libraries_and_drivers_are_told() {
        let fake = Fake::healthy().without("/usr/lib/x86_64-linux-gnu/dpdk");
        assert_eq!(only(check(&case(&fake, None)), "drivers").level, Level::Warning);
        let fake = fake.without("/usr/lib/x86_64-linux-gnu");
        assert_eq!(only(check(&case(&fake, None)), "dpdk").level, Level::Warning);
    }

    #[test]
    fn more_ports_than_dpdk_has_room_for_are_an_error() {
        let sockets = |count: usize| (0..count).map(|n| format!("g{n}.sock").into()).collect();
        let fake = Fake::healthy();
        let with = |devices: usize, count| {
            let vdevs = (0..devices).map(|n| format!("net_tap{n}")).collect();
            case(&fake, Some(Wants { vdevs, socket_paths: sockets(count), ..Wants::default() }))
        };
        assert_eq!(only(check(&with(33, 0)), "ports").level, Level::Error);
        assert_eq!(only(check(&with(0, 512)), "ports").level, Level::Error);
        assert!(check(&with(32, 511)).iter().all(|finding| finding.check != "ports"));
    }

    #[test]
    fn a_device_without_a_driver_is_an_error() {
        let fake = Fake::healthy();
        let wants = Wants { vdevs: vec!["net_tpa0".into(), "net_tap0".into()], ..fake.wants() };
        let finding = only(check(&case(&fake, Some(wants))), "drivers");
        assert_eq!(finding.level, Level::Error);
        assert!(finding.seen.ends_with("pmds-23.0 has no driver net_tpa"), "{}", finding.seen);
    }
}
