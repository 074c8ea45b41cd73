//! The folder of the sockets, and who is there already.

use std::path::{Path, PathBuf};

use super::{Case, Finding};
use crate::control::runtime_dir::RuntimeDir;
use crate::tenancy::{Tenancy, tenancy};

/// The API's socket in an instance's folder.
const API: &str = "api.sock";
/// The longest path of a unix socket, in bytes (unix(7), less the NUL).
const LONGEST: usize = 107;

pub(super) fn check(case: &Case) -> Vec<Finding> {
    let root = &case.runtime_dir;
    let mut findings = vec![folder(case, root)];
    findings.push(instances(case, root));
    findings.extend(paths(case, root));
    findings
}

fn folder(case: &Case, root: &Path) -> Finding {
    if case.probe.may_make_files(root) {
        return Finding::ok("runtime-dir", format!("{}", root.display()));
    }
    let seen = format!("{} cannot be made or written to", root.display());
    Finding::error("runtime-dir", seen, format!("install -d -m 700 -o $USER {}", root.display()))
}

/// Switches that run already; one of the same host is in the way.
fn instances(case: &Case, root: &Path) -> Finding {
    let running = RuntimeDir::new(Some(&case.probe.path(root))).live().unwrap_or_default();
    if running.is_empty() {
        return Finding::ok("instances", "no switch runs here");
    }
    if case.host.as_ref().is_some_and(|host| running.contains(host)) {
        let seen = format!("a switch of host {} runs already", case.host.as_deref().unwrap_or_default());
        return Finding::error("instances", seen, "stop it first, or choose another --runtime-dir");
    }
    Finding::note("instances", format!("running: {}", running.join(", ")))
}

/// Whether each socket can be at its place.
fn paths(case: &Case, root: &Path) -> Vec<Finding> {
    let Some(host) = &case.host else { return Vec::new() };
    let instance = root.join(host);
    let api = std::iter::once(PathBuf::from(API));
    let sockets: Vec<PathBuf> =
        api.chain(case.wants().socket_paths).map(|path| instance.join(path)).collect();
    let findings: Vec<Finding> = sockets.iter().filter_map(|path| place(case, &instance, path)).collect();
    if findings.is_empty() {
        let longest = sockets.iter().map(|path| path.as_os_str().len()).max().unwrap_or(0);
        return vec![Finding::ok("sockets", format!("{longest} of {LONGEST} bytes in the longest path"))];
    }
    findings
}

fn place(case: &Case, instance: &Path, path: &Path) -> Option<Finding> {
    let length = path.as_os_str().len();
    let shown = path.display();
    if length > LONGEST {
        let seen = format!("{shown} has {length} bytes, a socket's path has {LONGEST} at most");
        return Some(Finding::error("sockets", seen, "choose a shorter --runtime-dir"));
    }
    // A DPDK device's argument ends there.
    if path.to_string_lossy().contains([' ', ',', '[', ']', '"', '\'']) {
        let seen = format!("{shown} has a blank, comma, bracket or quote in it");
        return Some(Finding::error("sockets", seen, "choose another --runtime-dir"));
    }
    let tenancy = tenancy(&case.probe.path(path)).ok();
    // The API's is looked at with the instances.
    if tenancy == Some(Tenancy::Live) && *path != instance.join(API) {
        let seen = format!("{shown} is served by another process");
        return Some(Finding::error("sockets", seen, format!("fuser -v {shown}   # shows which")));
    }
    if tenancy == Some(Tenancy::Foreign) {
        let seen = format!("{shown} is there and no socket");
        return Some(Finding::error("sockets", seen, format!("mv {shown} {shown}.old")));
    }
    // The instance's folder, and those in it, are made at the start; others have to be there.
    let parent = path.parent().filter(|parent| !parent.starts_with(instance))?;
    let folder = parent.display();
    if !case.probe.exists(parent) {
        let seen = format!("{folder} is not there, for {shown}");
        return Some(Finding::error("sockets", seen, format!("mkdir -p {folder}")));
    }
    let seen = || format!("{folder} cannot be written to, for {shown}");
    (!case.probe.may_make_files(parent))
        .then(|| Finding::error("sockets", seen(), format!("chmod u+rwx {folder}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::super::fake::{Fake, case, only};
    use super::super::{Level, Wants};
    use super::*;

    fn with_socket(fake: &Fake, path: &str) -> Finding {
        only(check(&case(fake, Some(Wants { socket_paths: vec![path.into()], ..fake.wants() }))), "sockets")
    }

    #[test]
    fn a_switch_of_the_same_host_is_in_the_way() {
        let fake = Fake::healthy().dir("/run/weft/hv-a");
        let api = fake.probe().path("/run/weft/hv-a/api.sock");
        let _listener = UnixListener::bind(api).unwrap();
        let mut case = case(&fake, Some(fake.wants()));
        let finding = only(check(&case), "instances");
        assert_eq!(
            (finding.level, finding.seen.as_str()),
            (Level::Error, "a switch of host hv-a runs already")
        );
        case.host = Some("hv-b".into());
        assert_eq!(only(check(&case), "instances"), Finding::note("instances", "running: hv-a"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let fake = Fake::healthy().without("/run").file("/run", "a file");
        let finding = only(check(&case(&fake, None)), "runtime-dir");
        assert_eq!(finding.level, Level::Error);
    }

    #[test]
    fn a_guest_s_socket_that_another_serves_is_an_error() {
        let fake = Fake::healthy().dir("/srv");
        let _listener = UnixListener::bind(fake.probe().path("/srv/web1.sock")).unwrap();
        let finding = with_socket(&fake, "/srv/web1.sock");
        assert_eq!(
            (finding.level, finding.seen.as_str()),
            (Level::Error, "/srv/web1.sock is served by another process")
        );
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_an_error() {
        let finding = with_socket(&Fake::healthy(), &format!("{}.sock", "x".repeat(100)));
        assert_eq!(finding.level, Level::Error);
        assert!(finding.seen.ends_with("has 120 bytes, a socket's path has 107 at most"), "{}", finding.seen);
    }

    #[test]
    fn a_folder_that_no_device_argument_can_carry_is_an_error() {
        let fake = Fake::healthy();
        let case = Case { runtime_dir: "/run/my weft".into(), ..case(&fake, Some(fake.wants())) };
        let finding = only(check(&case), "sockets");
        assert_eq!(finding.level, Level::Error);
        assert!(finding.seen.contains("/run/my weft/hv-a/"), "{}", finding.seen);
    }

    #[test]
    fn a_socket_elsewhere_needs_its_folder_and_no_file_in_its_place() {
        let finding = with_socket(&Fake::healthy(), "/srv/guests/web1.sock");
        assert_eq!(finding.mend.as_deref(), Some("mkdir -p /srv/guests"));
        for (file, named) in [("/srv/web1.sock", "/srv/web1.sock"), ("/run/weft/hv-a/web1.sock", "web1.sock")]
        {
            let finding = with_socket(&Fake::healthy().file(file, ""), named);
            assert_eq!(finding.seen, format!("{file} is there and no socket"));
        }
    }
}
