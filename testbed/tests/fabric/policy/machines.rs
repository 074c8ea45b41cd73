//! Linux machines under QEMU, one on each host, held to a policy: what virtio guests negotiate with the switch
//! comes to bear here.

use testbed::{
    GuestKind, GuestSpec, HostSpec, Lab, LabSpec, PolicySpec, Result, Underlay, transfer, wait_for,
};

use super::{assert_none_false, drops};
use crate::{LATER, SOON, run, settle};

const WEB: &str = "blue/web";
const DB: &str = "blue/db";

pub fn two_hosts() -> Result<()> {
    let mut lab = Lab::up(spec(&["tcp/20000-29999", "tcp/5432", "udp/53", "icmp/8"]))?;
    let denied = |lab: &Lab, (host, guest): (&str, &str)| drops(lab, host, Some(guest), "policy_denied");
    let (web, db) = (lab.guest(WEB), lab.guest(DB));
    run(web, "ping -c 3 -W 5 10.1.0.12")?;
    run(web, "ping -c 3 -W 5 -s 4000 10.1.0.12")?;
    let done = transfer(web, db, 16, LATER)?;
    assert_eq!(done.sent, done.received);
    // Nobody listens there: the refusal of the other machine comes back.
    let refused = web.run("nc -w 20 10.1.0.12 5432 < /dev/null", SOON)?;
    assert!(refused.status != 0 && refused.stdout.contains("refused"), "{refused:?}");

    // Another port, and the other direction.
    for (from, at, command) in [
        (web, ("hv-a", WEB), "nc -w 1 10.1.0.12 80 < /dev/null"),
        (db, ("hv-b", DB), "nc -w 1 10.1.0.11 5432 < /dev/null"),
        (db, ("hv-b", DB), "ping -c 1 -W 1 10.1.0.11"),
    ] {
        let before = denied(&lab, at)?;
        let output = from.run(command, SOON)?;
        assert!(output.status != 0 && !output.stdout.contains("refused"), "{command}: {output:?}");
        assert!(denied(&lab, at)? > before, "{command}: {output:?}");
    }

    // A connection that is forbidden while it transfers comes to a halt, and goes on when it is allowed again.
    // The receiver's input never ends, or nc would close; the sender goes on until it is told.
    let receiver = db.start("mkfifo /tmp/in && exec 0<>/tmp/in && nc -l -p 20001 | wc -c")?;
    run(db, "until netstat -ltn | grep -q ':20001 '; do usleep 50000; done")?;
    let sender = web.start(
        "{ n=0; until [ -e /tmp/enough ]; do head -c 20000 /dev/zero; n=$((n + 1)); usleep 5000; done; \
         echo $((n * 20000)) > /tmp/sent; } | nc 10.1.0.12 20001; cat /tmp/sent",
    )?;
    run(db, "until netstat -tn | grep -q ':20001 .*ESTABLISHED'; do usleep 50000; done")?;
    lab.apply(&spec(&["icmp/8"]))?;
    let before = denied(&lab, ("hv-a", WEB))?;
    wait_for(
        SOON,
        "the transfer to be denied",
        || Ok((denied(&lab, ("hv-a", WEB))? > before).then_some(())),
    )?;
    lab.apply(&spec(&["tcp/20000-29999", "icmp/8"]))?;
    let (web, db) = (lab.guest(WEB), lab.guest(DB));
    run(web, "touch /tmp/enough")?;
    let received = db.finish(receiver, LATER)?.success("receiving")?;
    assert_eq!(received, web.finish(sender, LATER)?.success("sending")?);
    let ledgers = settle(&lab)?;
    assert_none_false(&ledgers);
    Ok(())
}

fn spec(services: &[&str]) -> LabSpec {
    let guest = |name, host, address, group| {
        GuestSpec::new(name, "front", host, address, GuestKind::Qemu).groups(&[group])
    };
    LabSpec::new(Underlay::Memif)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::new("hv-b", "198.51.100.2"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .policy("blue", PolicySpec::deny_all().allow("web-to-db", "web", "db", services))
        .with(guest(WEB, "hv-a", "10.1.0.11", "web"))
        .with(guest(DB, "hv-b", "10.1.0.12", "db"))
}
