//! DPDK's libraries and its drivers.

use super::vdevs;
use super::{Case, Finding};

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
    let Some(most) = case.build.dpdk_devices else {
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
    findings.extend(too_many_devices(case, most));
    findings
}

/// More ports than this DPDK lets a process have.
fn too_many_devices(case: &Case, most: usize) -> Option<Finding> {
    let wants = case.wants();
    let ports =
        wants.pci_devices.len() + wants.vdevs.len() + wants.socket_paths.len() + wants.guest_sockets.len();
    let seen = format!("the host has {ports} ports, uplinks included; this DPDK lets a process have {most}");
    let mend = "build DPDK with -Dmax_ethports=N, and weft with it; or spread the endpoints over more hosts";
    (ports > most).then(|| Finding::error("ports", seen, mend))
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
    if !(wants.socket_paths.is_empty() && wants.guest_sockets.is_empty()) {
        needed.push("net_vhost");
    }
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
        case.build = Build { dpdk_devices: None, ..case.build };
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
        let with = |count| case(&fake, Some(Wants { socket_paths: sockets(count), ..Wants::default() }));
        assert_eq!(only(check(&with(33)), "ports").level, Level::Error);
        assert!(check(&with(32)).iter().all(|finding| finding.check != "ports"));
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
