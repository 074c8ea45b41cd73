//! Tenants that know nothing of each other.

use testbed::{GuestKind, GuestSpec, HostSpec, Lab, LabSpec, Result, Station, Underlay};

use super::{SOON, ping, run, settle};

/// Both tenants have the same subnet, addresses and MACs; blue has a guest more.
pub fn equal_addresses() -> Result<()> {
    let guest = |name, host, ip, mac| GuestSpec::new(name, "front", host, ip, GuestKind::Netns).mac(mac);
    let spec = LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .host(HostSpec::linux("lx-c", "198.51.100.3"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .segment("red", "front", 2001, "10.1.0.0/24")
        .with(guest("blue/a", "hv-a", "10.1.0.11", "02:00:00:00:00:0a"))
        .with(guest("red/a", "hv-a", "10.1.0.11", "02:00:00:00:00:0a"))
        .with(guest("blue/b", "hv-b", "10.1.0.12", "02:00:00:00:00:0b"))
        .with(guest("red/b", "hv-b", "10.1.0.12", "02:00:00:00:00:0b"))
        .with(guest("blue/c", "lx-c", "10.1.0.13", "02:00:00:00:00:0c"))
        .with(guest("red/c", "lx-c", "10.1.0.13", "02:00:00:00:00:0c"))
        .with(guest("blue/d", "hv-b", "10.1.0.14", "02:00:00:00:00:0d"));
    let lab = Lab::up(spec)?;
    let witnesses = ["blue/a", "red/a", "blue/b", "red/b"].map(|name| Witness::start(&lab, name));
    // Echoes carry their tenant's mark: 0xb1 is blue's, 0x4e red's.
    for (tenant, mark) in [("blue", "b1"), ("red", "4e")] {
        for (from, to) in [("a", 12), ("b", 11), ("a", 13), ("c", 11), ("c", 12)] {
            run(
                lab.guest(&format!("{tenant}/{from}")),
                &format!("ping -c 3 -i 0.2 -W 5 -p {mark} 10.1.0.{to}"),
            )?;
        }
    }
    // An address that only blue has: red asks in vain, and its question reaches nobody of blue.
    run(lab.guest("blue/a"), "ping -c 1 -W 5 -p b1 10.1.0.14")?;
    super::ping_in_vain(lab.guest("red/a"), "10.1.0.14")?;
    for witness in witnesses {
        witness?.saw_only_its_own(&lab)?;
    }
    settle(&lab).map(drop)
}

pub fn ipv6() -> Result<()> {
    let spec = LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "fd00:1::/64")
        .guest("blue", "front", "a", "hv-a", "fd00:1::11", GuestKind::Netns)
        .guest("blue", "front", "b", "hv-b", "fd00:1::12", GuestKind::Netns);
    let lab = Lab::up(spec)?;
    ping(lab.guest("blue/a"), "fd00:1::12")?;
    ping(lab.guest("blue/b"), "fd00:1::11")?;
    let done = testbed::transfer(lab.guest("blue/a"), lab.guest("blue/b"), 8, SOON)?;
    assert_eq!(done.sent, done.received);
    settle(&lab).map(drop)
}

/// A capture of all that one guest gets to see.
struct Witness<'a> {
    guest: &'a dyn Station,
    name: String,
    file: String,
    job: testbed::guest::Job,
}

impl<'a> Witness<'a> {
    fn start(lab: &'a Lab, name: &str) -> Result<Self> {
        let guest = lab.guest(name);
        let file = lab.dir().join(format!("{}.pcap", name.replace('/', "-"))).display().to_string();
        let job = guest.start(&format!(
            "echo $$ > {file}.pid; exec tcpdump --immediate-mode -U -Q in -i eth0 -w {file}"
        ))?;
        // tcpdump writes the file's header once it captures.
        run(guest, &format!("until [ -s {file} ]; do busybox usleep 20000; done"))?;
        Ok(Self { guest, name: name.into(), file, job })
    }

    /// Of the marked echoes, there were own ones and no others.
    fn saw_only_its_own(self, lab: &Lab) -> Result<()> {
        run(self.guest, &format!("kill -INT $(cat {}.pid)", self.file))?;
        self.guest.finish(self.job, SOON)?;
        let count = |mark: &str| -> Result<usize> {
            let filter = format!("data.data contains {mark}:{mark}:{mark}:{mark}:{mark}:{mark}");
            let shown =
                run(self.guest, &format!("tshark -r {} -Y '{filter}' 2>/dev/null | wc -l", self.file))?;
            Ok(shown.trim().parse().unwrap_or(usize::MAX))
        };
        let (blue, red) = (count("b1")?, count("4e")?);
        let (own, others) = if self.name.starts_with("blue") { (blue, red) } else { (red, blue) };
        assert!(
            own > 0 && others == 0,
            "{} saw {own} of its own and {others} others in {}",
            self.name,
            lab.dir().path().display()
        );
        Ok(())
    }
}
