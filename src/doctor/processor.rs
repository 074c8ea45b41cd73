//! What the processor can do.

use super::{Case, Finding};

/// The flags by which Linux tells the level x86-64-v3 (`abm` is LZCNT's).
const V3_FLAGS: [&str; 8] = ["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"];

pub(super) fn check(case: &Case) -> Vec<Finding> {
    let Some(flags) = case.probe.line("/proc/cpuinfo", "flags") else {
        return vec![Finding::note("processor", "it is no x86: its features are not checked")];
    };
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let model = case.probe.line("/proc/cpuinfo", "model name").unwrap_or_else(|| "a nameless x86".into());
    vec![level(case, &flags, &model), clock(&flags)]
}

fn level(case: &Case, flags: &[&str], model: &str) -> Finding {
    let missing: Vec<&str> = V3_FLAGS.into_iter().filter(|flag| !flags.contains(flag)).collect();
    let mend = "RUSTFLAGS='-C target-cpu=native' cargo build --release";
    if missing.is_empty() {
        Finding::ok("processor", format!("{model}, x86-64-v3"))
    } else if case.build.x86_64_v3 {
        let seen = format!("{model} lacks {}, and this program is built for x86-64-v3", missing.join(", "));
        Finding::error("processor", seen, mend)
    } else {
        Finding::note("processor", format!("{model}, older than x86-64-v3"))
    }
}

/// Cycles are a measure of time only where the counter neither changes its rate nor stops.
fn clock(flags: &[&str]) -> Finding {
    let missing: Vec<&str> =
        ["constant_tsc", "nonstop_tsc"].into_iter().filter(|flag| !flags.contains(flag)).collect();
    if missing.is_empty() {
        return Finding::ok("clock", "the cycle counter runs at a constant rate");
    }
    Finding::warning(
        "clock",
        format!("the processor has no {}: times measured in cycles may be wrong", missing.join(" and ")),
        "give the virtual machine the host's processor (QEMU: -cpu host,+invtsc,migratable=off)",
    )
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, case, only};
    use super::super::{Build, Level};
    use super::*;

    #[test]
    fn an_old_processor_cannot_run_the_default_build() {
        let fake = Fake::healthy()
            .file("/proc/cpuinfo", "model name\t: Old\nflags\t\t: avx constant_tsc nonstop_tsc\n");
        let mut case = case(&fake, None);
        let finding = only(check(&case), "processor");
        assert_eq!(finding.level, Level::Error);
        assert!(finding.seen.starts_with("Old lacks avx2, bmi1"), "{}", finding.seen);
        case.build = Build { x86_64_v3: false, ..case.build };
        assert_eq!(only(check(&case), "processor").level, Level::Note);
    }

    #[test]
    fn a_clock_that_changes_its_rate_is_warned_of() {
        let flags = V3_FLAGS.join(" ");
        let fake = Fake::healthy().file("/proc/cpuinfo", &format!("flags : {flags} nonstop_tsc\n"));
        let finding = only(check(&case(&fake, None)), "clock");
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.seen.contains("no constant_tsc:"), "{}", finding.seen);
    }

    #[test]
    fn other_architectures_are_not_judged() {
        let fake = Fake::healthy().file("/proc/cpuinfo", "Features : fp asimd\n");
        assert_eq!(only(check(&case(&fake, None)), "processor").level, Level::Note);
    }
}
