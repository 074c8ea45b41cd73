use std::time::Duration;

use testbed::guest::NetnsGuest;
use testbed::{Namespace, Result, Station, WorkDir, transfer};

use crate::testpmd::Testpmd;

pub fn guests_reach_each_other() -> Result<()> {
    let dir = WorkDir::new()?;
    let host = Namespace::new("host")?;
    let guest = |name: &str, last: u8| {
        let mac = format!("02:00:00:00:01:{last:02x}");
        NetnsGuest::new(name, &host, name, &mac, [10, 1, 0, last].into(), 24, 1500)
    };
    let (a, b) = (guest("a", 1)?, guest("b", 2)?);
    let switch = Testpmd::between([NetnsGuest::device(0, "a"), NetnsGuest::device(1, "b")]).inside(&host);
    let running = switch.start(&dir)?;
    assert!(a.pings(b.address(), 3, Duration::from_secs(20))?);
    let done = transfer(&a, &b, 16, Duration::from_secs(60))?;
    assert_eq!(done.sent, done.received);

    // The wires outlive the switch.
    running.kill9()?;
    let _running = switch.start(&dir)?;
    assert!(b.pings(a.address(), 3, Duration::from_secs(20))?);
    Ok(())
}
