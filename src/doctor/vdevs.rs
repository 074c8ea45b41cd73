//! DPDK's virtual devices, and what each kind needs of the kernel.

use super::{Case, Finding};

/// `CAP_NET_ADMIN` in `linux/capability.h`.
const NET_ADMIN: (u32, &str) = (12, "cap_net_admin");
/// `CAP_NET_RAW` in `linux/capability.h`.
const NET_RAW: (u32, &str) = (13, "cap_net_raw");

pub(super) fn check(case: &Case) -> Vec<Finding> {
    case.wants().vdevs.iter().flat_map(|vdev| device(case, vdev)).collect()
}

fn device(case: &Case, vdev: &str) -> Vec<Finding> {
    let found = match driver(vdev) {
        "net_tap" => vec![tun(case, vdev), capability(case, vdev, NET_ADMIN)],
        "net_af_packet" => vec![interface(case, vdev, "iface"), capability(case, vdev, NET_RAW)],
        "net_af_xdp" => {
            vec![
                interface(case, vdev, "iface"),
                capability(case, vdev, NET_ADMIN),
                capability(case, vdev, NET_RAW),
            ]
        }
        "net_pcap" => vec![capture(case, vdev)],
        _ => Vec::new(),
    };
    let errors: Vec<Finding> = found.into_iter().flatten().collect();
    if errors.is_empty() { vec![Finding::ok("vdev", vdev)] } else { errors }
}

/// The driver that a device's name begins with: `net_tap` of `net_tap0,iface=db1`.
pub(super) fn driver(vdev: &str) -> &str {
    let name = vdev.split(',').next().unwrap_or(vdev);
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// The value of a device's argument: `db1` of `net_tap0,iface=db1`.
fn argument<'a>(vdev: &'a str, key: &str) -> Option<&'a str> {
    vdev.split(',').skip(1).find_map(|argument| argument.strip_prefix(key)?.strip_prefix('='))
}

fn tun(case: &Case, vdev: &str) -> Option<Finding> {
    let node = "/dev/net/tun";
    let seen = || format!("{vdev}: {node} is not there, or may not be opened");
    (!case.probe.may_write(node))
        .then(|| Finding::error("vdev", seen(), "modprobe tun && chmod 666 /dev/net/tun"))
}

fn capability(case: &Case, vdev: &str, (number, name): (u32, &str)) -> Option<Finding> {
    let mend = format!("run weft as root, or setcap {name}+ep \"$(command -v weft)\"");
    let seen = || format!("{vdev}: this process lacks {}", name.to_ascii_uppercase());
    (!case.probe.has_capability(number)).then(|| Finding::error("vdev", seen(), mend))
}

fn interface(case: &Case, vdev: &str, key: &str) -> Option<Finding> {
    let name = argument(vdev, key)?;
    let seen = || format!("{vdev}: there is no interface {name}");
    let missing = !case.probe.exists(format!("/sys/class/net/{name}"));
    missing.then(|| Finding::error("vdev", seen(), "ip -brief link   # shows those that are there"))
}

fn capture(case: &Case, vdev: &str) -> Option<Finding> {
    let file = argument(vdev, "rx_pcap")?;
    let seen = || format!("{vdev}: there is no file {file}");
    (!case.probe.exists(file))
        .then(|| Finding::error("vdev", seen(), "name a capture that exists, by its full path"))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, case, only};
    use super::super::{Level, Wants};
    use super::*;

    fn found(fake: &Fake, vdev: &str) -> Vec<Finding> {
        check(&case(fake, Some(Wants { vdevs: vec![vdev.into()], ..fake.wants() })))
    }

    #[test]
    fn a_tap_needs_the_tun_driver_and_the_right_to_use_it() {
        let tap = "net_tap0,iface=db1";
        assert_eq!(only(found(&Fake::healthy(), tap), "vdev"), Finding::ok("vdev", tap));
        let findings = found(&Fake::healthy().without("/dev/net/tun"), tap);
        assert!(findings[0].seen.contains("/dev/net/tun is not there"), "{findings:?}");
        let findings = found(&Fake::healthy().file("/proc/self/status", "CapEff:\t0000000000002000\n"), tap);
        assert_eq!(findings[0].level, Level::Error);
        assert!(findings[0].seen.ends_with("lacks CAP_NET_ADMIN"), "{findings:?}");
    }

    #[test]
    fn a_packet_socket_needs_its_interface() {
        let findings = found(&Fake::healthy(), "net_af_packet0,iface=eth9");
        assert_eq!(only(findings, "vdev").seen, "net_af_packet0,iface=eth9: there is no interface eth9");
        assert_eq!(found(&Fake::healthy(), "net_af_packet0,iface=eth0")[0].level, Level::Ok);
    }

    #[test]
    fn a_replayed_capture_has_to_exist() {
        let findings = found(&Fake::healthy(), "net_pcap0,rx_pcap=/tmp/none.pcap,tx_pcap=/tmp/out.pcap");
        assert_eq!(only(findings, "vdev").level, Level::Error);
    }

    #[test]
    fn drivers_and_arguments_are_told_apart() {
        assert_eq!(driver("net_af_xdp12,iface=a"), "net_af_xdp");
        assert_eq!(argument("net_tap0,ifacename=x,iface=db1", "iface"), Some("db1"));
        assert_eq!(argument("net_null0", "iface"), None);
    }
}
