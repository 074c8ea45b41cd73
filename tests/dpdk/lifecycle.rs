//! The environment itself.

use weft::dpdk::{Eal, EalOptions, Error, pin_and_register, tsc, tsc_hz};

use crate::Lab;
use crate::frames::wait_for;
use crate::peer::Peer;

pub fn starts_once(lab: &Lab) {
    assert!(matches!(Eal::init(&EalOptions::default()), Err(Error::AlreadyStarted)));
    let named = EalOptions { name: "../x".into(), ..EalOptions::default() };
    assert!(matches!(Eal::init(&named), Err(Error::Option { .. })));
    assert!(!lab.eal.hugepages_used());
    assert!(Eal::version().starts_with("DPDK "));
    let (before, hz) = (tsc(), tsc_hz(&lab.eal));
    wait_for("a millisecond of the time stamp counter", || tsc() - before > hz / 1000);
}

pub fn affinity_is_left_alone(lab: &Lab) {
    let parent = rustix::thread::sched_getaffinity(rustix::process::getppid()).unwrap();
    let this = rustix::thread::sched_getaffinity(None).unwrap();
    assert_eq!(this, parent, "this thread was pinned");
    let eal = lab.eal.clone();
    let worker = std::thread::spawn(move || {
        let guard = pin_and_register(&eal, 0).unwrap();
        let pinned = std::thread::available_parallelism().unwrap().get();
        drop(guard);
        drop(pin_and_register(&eal, 0).unwrap());
        assert!(matches!(pin_and_register(&eal, 9999), Err(Error::Pin(9999))));
        pinned
    });
    assert_eq!(worker.join().unwrap(), 1);
}

/// The whole exchange, by a user without any privilege.
pub fn unprivileged(_: &Lab) {
    if !rustix::process::geteuid().is_root() {
        println!("(this is it: not run by root)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
    Peer::start_as_nobody("switch", dir.path()).succeeds();
    let left: Vec<_> = dir.path().read_dir().unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(left, [dir.path().join("dpdk")]);
    assert_eq!(left[0].read_dir().unwrap().count(), 0);
}
