//! Linux: its bridge, its VXLAN device, nftables with connection tracking.
//!
//! A hypervisor host joins guests to a bridge by vhost-net. Kernels of build machines have none, so testpmd carries frames
//! from each guest's vhost-user socket to a virtual wire into the bridge (AF_PACKET), on the switch's core, where the
//! kernel's own work for them is then done too.

use std::fmt::Write;
use std::time::Duration;

use super::grid::{Setup, Work};
use super::rules::{Rule, rules};
use super::scene::{CLIENT, HOSTS, NEIGHBOUR, SERVER, UNDERLAY_MACS, UNDERLAY_MTU, VNI, VTEPS, mac};
use super::systems::Cycles;
use super::testpmd::{self, Testpmd};
use crate::bench::ground::Ground;
use crate::error::Doing;
use crate::scope::{Setting, is_root};
use crate::{Namespace, Result, Spawn};

/// A bridge with guests.
#[derive(Debug)]
pub struct Linux {
    testpmd: Testpmd,
    _settings: Vec<Setting>,
    _namespace: Namespace,
}

impl Linux {
    /// Makes it, with a vhost-user socket for each port: `0.sock` and so on.
    pub fn start(ground: &Ground, setup: &Setup) -> Result<Self> {
        let namespace = Namespace::new("linux")?;
        let ports = if setup.work == Work::Neighbours { 3 } else { 2 };
        namespace.must("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 mtu 1600 up")?;
        let mut devices = Vec::new();
        for port in 0..ports {
            let (outside, inside) = (format!("g{port}"), format!("b{port}"));
            namespace.join(&outside, &namespace, &inside, UNDERLAY_MTU)?;
            devices.extend([testpmd::guest(ground, port), format!("net_af_packet{port},iface={outside}")]);
            if !(setup.work.has_uplink() && port == 1) {
                namespace.must(&format!("ip link set {inside} master br0"))?;
            }
        }
        if setup.work.has_uplink() {
            lay_underlay(&namespace)?;
        }
        let mut settings = Vec::new();
        if setup.work.is_stateful() {
            for (path, value) in [(MOST_CONNECTIONS, 4 << 20), (BUCKETS, 1 << 20)] {
                settings.push(Setting::change(path, &value.to_string())?);
            }
            namespace.must("echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables")?;
            let file = ground.dir.join("linux.nft");
            std::fs::write(&file, ruleset(setup)).doing(|| format!("writing {}", file.display()))?;
            namespace.run(&format!("nft -f {}", file.display()), LOADING)?.success("nft -f")?;
        } else {
            namespace.must("echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables")?;
        }
        // Each packet comes to testpmd twice: it counts where guests give it.
        let guests = (0..ports).map(|port| 2 * port).collect();
        let testpmd = Testpmd::between(ground, &devices, Some(&namespace), Some(guests))?;
        Ok(Self { testpmd, _settings: settings, _namespace: namespace })
    }

    /// Forgets what has been counted.
    pub fn clear(&mut self) -> Result<()> {
        self.testpmd.clear()
    }

    /// What the core has spent since, testpmd and kernel.
    pub fn cycles(&mut self) -> Result<Cycles> {
        self.testpmd.cycles()
    }
}

/// Its version, or why it can't take part.
pub fn version() -> Result<String, String> {
    if !is_root() {
        return Err("needs root, for a namespace of its own".into());
    }
    testpmd::version().ok_or("needs testpmd to carry frames to it: apt-get install dpdk-dev")?;
    let nft = Spawn::new("nft").arg("--version").run(LOADING).ok().filter(|output| output.status == 0);
    let nft = nft.ok_or("needs nft: apt-get install nftables")?;
    let probe = || -> Result<()> {
        let namespace = Namespace::new("probe")?;
        namespace.must("nft 'add table ip t; add chain ip t c { type filter hook forward priority 0; }; add rule ip t c ct state established accept'")?;
        namespace
            .must("ip link add br0 type bridge && test -e /proc/sys/net/bridge/bridge-nf-call-iptables")?;
        namespace.must("ip link add vx type vxlan id 1 dstport 4789").map(drop)
    };
    probe().map_err(|error| {
        let lines = error.to_string();
        format!("lacks a part in this kernel: {}", lines.lines().map(str::trim).collect::<Vec<_>>().join(" "))
    })?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(format!(
        "{}, {}, guests by testpmd and AF_PACKET for want of vhost-net",
        kernel.trim(),
        nft.stdout.trim()
    ))
}

/// The way to the other host: the wire's end that is not in the bridge has the tunnel's address.
fn lay_underlay(namespace: &Namespace) -> Result<()> {
    let ([own, other], [own_mac, other_mac]) = (VTEPS, UNDERLAY_MACS.map(mac));
    namespace.must(&format!(
        "ip link set b1 down && ip link set b1 address {own_mac} && ip link set b1 up && ip addr add {own}/24 dev b1 && \
         ip neigh replace {other} lladdr {other_mac} dev b1 nud permanent && \
         ip link add vx type vxlan id {VNI} local {own} remote {other} dstport 4789 dev b1 && \
         ip link set vx mtu 1550 master br0 up && ethtool -K vx tx off tso off gso off gro off"
    ))?;
    Ok(())
}

/// What guests may send, by the bridge's port; then the rules, first match, for what is new. The bridge hands IPv4 to the
/// hooks of IP, where connections are tracked, but tells them no port.
fn ruleset(setup: &Setup) -> String {
    let length = 32 - HOSTS.trailing_zeros();
    let mut text = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{words}");
    };
    let mut guests = vec![(CLIENT, "b0")];
    guests.push((SERVER, if setup.work.has_uplink() { "vx" } else { "b1" }));
    if setup.work == Work::Neighbours {
        guests.push((NEIGHBOUR, "b2"));
    }
    line(format_args!("table bridge bench {{ chain from {{ type filter hook prerouting priority -300;"));
    for (guest, device) in guests {
        line(format_args!("iifname {device} ip saddr != {}/{length} drop", guest.first));
    }
    line(format_args!("}}\n}}"));
    line(format_args!(
        "table ip bench {{ chain forward {{ type filter hook forward priority 0; policy drop;"
    ));
    line(format_args!("ct state established,related accept"));
    line(format_args!("ct state invalid drop"));
    for rule in rules(setup.rules) {
        line(format_args!("{}", of(&rule)));
    }
    line(format_args!("}}"));
    // The tunnel's own packets are nobody's connections.
    for hook in ["prerouting", "output"] {
        line(format_args!(
            "chain raw_{hook} {{ type filter hook {hook} priority -300; udp dport 4789 notrack; }}"
        ));
    }
    line(format_args!("}}"));
    text
}

fn of(rule: &Rule) -> String {
    let protocol = if rule.tcp { "tcp" } else { "udp" };
    let ((from, from_length), (to, to_length), (first, last)) = (rule.from, rule.to, rule.ports);
    let verdict = if rule.allow { "accept" } else { "drop" };
    format!(
        "ip saddr {from}/{from_length} ip daddr {to}/{to_length} {protocol} dport {first}-{last} {verdict}"
    )
}

/// Of the whole machine: put back afterwards.
const MOST_CONNECTIONS: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const BUCKETS: &str = "/sys/module/nf_conntrack/parameters/hashsize";

const LOADING: Duration = Duration::from_secs(60);
