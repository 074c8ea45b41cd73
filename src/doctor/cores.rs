//! The cores that the workers are to run on.

use super::probe::{cpu_list, cpu_text};
use super::{Case, Finding};

const CPUS: &str = "/sys/devices/system/cpu";

pub(super) fn check(case: &Case) -> Vec<Finding> {
    let online = case.probe.cpus(format!("{CPUS}/online"));
    let wanted = case.wants().cores;
    if wanted.is_empty() {
        let isolated = case.probe.cpus(format!("{CPUS}/isolated"));
        let isolated =
            if isolated.is_empty() { "none isolated".into() } else { cpu_text(&isolated) + " isolated" };
        return vec![Finding::note("cores", format!("{} cores online, {isolated}", online.len()))];
    }
    let mut findings = usable(case, &wanted, &online);
    if findings.is_empty() {
        findings.push(Finding::ok(
            "cores",
            format!("{} for workers, of {} online", cpu_text(&wanted), online.len()),
        ));
        findings.extend(left_for_others(&wanted, &online));
        findings.push(isolation(case, &wanted));
        findings.extend(tick(case, &wanted));
        findings.extend(siblings(case, &wanted));
        findings.extend(governor(case, &wanted));
    }
    findings
}

/// Cores that do not exist, or that this process may not use.
fn usable(case: &Case, wanted: &[u32], online: &[u32]) -> Vec<Finding> {
    let allowed = case.probe.line("/proc/self/status", "Cpus_allowed_list:").map(|text| cpu_list(&text));
    let judge = |core: &u32| {
        if !online.contains(core) {
            let seen = format!("there is no core {core}: {} are online", cpu_text(online));
            return Some(Finding::error("cores", seen, "choose others under `workers: { cores: … }`"));
        }
        let forbidden = allowed.as_ref().is_some_and(|allowed| !allowed.contains(core));
        let seen = || format!("this process may not use core {core}");
        forbidden
            .then(|| Finding::error("cores", seen(), format!("taskset -c {} weft run …", cpu_text(wanted))))
    };
    wanted.iter().filter_map(judge).collect()
}

fn left_for_others(wanted: &[u32], online: &[u32]) -> Option<Finding> {
    let none_left = online.iter().all(|core| wanted.contains(core));
    none_left.then(|| {
        Finding::warning(
            "cores",
            "the workers take every core: none is left for the control thread and the guests",
            "leave one out under `workers: { cores: … }`",
        )
    })
}

fn isolation(case: &Case, wanted: &[u32]) -> Finding {
    let isolated = case.probe.cpus(format!("{CPUS}/isolated"));
    let shared: Vec<u32> = wanted.iter().copied().filter(|core| !isolated.contains(core)).collect();
    if shared.is_empty() {
        return Finding::ok("isolation", "the workers' cores are isolated");
    }
    let list = cpu_text(wanted);
    Finding::warning(
        "isolation",
        format!(
            "not isolated: {}; the kernel runs other work there, and packets wait meanwhile",
            cpu_text(&shared)
        ),
        format!("boot with isolcpus={list} nohz_full={list} rcu_nocbs={list}"),
    )
}

fn tick(case: &Case, wanted: &[u32]) -> Option<Finding> {
    let tickless = case.probe.cpus(format!("{CPUS}/nohz_full"));
    let ticking: Vec<u32> = wanted.iter().copied().filter(|core| !tickless.contains(core)).collect();
    let seen = || format!("not in nohz_full: {}; the timer interrupts the workers there", cpu_text(&ticking));
    (!ticking.is_empty()).then(|| Finding::note("tick", seen()))
}

/// Two workers on one physical core have half a core each.
fn siblings(case: &Case, wanted: &[u32]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for core in wanted {
        let threads = case.probe.cpus(format!("{CPUS}/cpu{core}/topology/thread_siblings_list"));
        let shared: Vec<u32> = threads.into_iter().filter(|thread| wanted.contains(thread)).collect();
        if shared.len() > 1 && shared[0] == *core {
            findings.push(Finding::warning(
                "siblings",
                format!("workers {} are threads of one physical core", cpu_text(&shared)),
                "take one thread of each physical core (`lscpu -e` shows them)",
            ));
        }
    }
    findings
}

fn governor(case: &Case, wanted: &[u32]) -> Option<Finding> {
    let slow = wanted.iter().find_map(|core| {
        let governor = case.probe.text(format!("{CPUS}/cpu{core}/cpufreq/scaling_governor"))?;
        (governor != "performance").then_some((core, governor))
    });
    slow.map(|(core, governor)| {
        Finding::warning(
            "governor",
            format!("core {core} runs under the {governor} governor: its clock follows the load"),
            "cpupower frequency-set -g performance",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, case, only};
    use super::super::{Level, Wants, would_start};
    use super::*;

    fn with_cores(fake: &Fake, cores: &[u32]) -> Vec<Finding> {
        check(&case(fake, Some(Wants { cores: cores.into(), ..fake.wants() })))
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        let finding = only(with_cores(&Fake::healthy(), &[9]), "cores");
        assert_eq!(finding.level, Level::Error);
        assert_eq!(finding.seen, "there is no core 9: 0-3 are online");
    }

    #[test]
    fn a_core_that_the_process_may_not_use_is_an_error() {
        let fake = Fake::healthy().file("/proc/self/status", "Cpus_allowed_list:\t0-1\n");
        let finding = only(with_cores(&fake, &[2]), "cores");
        assert_eq!((finding.level, finding.mend.as_deref()), (Level::Error, Some("taskset -c 2 weft run …")));
    }

    #[test]
    fn cores_shared_with_others_are_warned_of() {
        let fake = Fake::healthy().file("/sys/devices/system/cpu/isolated", "2\n");
        let findings = with_cores(&fake, &[2, 3]);
        assert!(would_start(&findings));
        let finding = only(findings, "isolation");
        assert_eq!(finding.level, Level::Warning);
        assert_eq!(finding.mend.unwrap(), "boot with isolcpus=2-3 nohz_full=2-3 rcu_nocbs=2-3");
    }

    #[test]
    fn workers_on_every_core_are_warned_of() {
        let findings = with_cores(&Fake::healthy(), &[0, 1, 2, 3]);
        assert!(findings.iter().any(|finding| finding.seen.starts_with("the workers take every core")));
    }

    #[test]
    fn two_workers_on_one_physical_core_are_warned_of_once() {
        let topology = |cpu: u32| format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let fake = Fake::healthy().file(topology(2), "2-3\n").file(topology(3), "2-3\n");
        let finding = only(with_cores(&fake, &[2, 3]), "siblings");
        assert_eq!(finding.seen, "workers 2-3 are threads of one physical core");
    }

    #[test]
    fn a_clock_that_follows_the_load_is_warned_of() {
        let fake =
            Fake::healthy().file("/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "powersave\n");
        assert_eq!(only(with_cores(&fake, &[2]), "governor").level, Level::Warning);
    }

    #[test]
    fn without_a_document_the_cores_are_counted() {
        let finding = only(check(&case(&Fake::healthy(), None)), "cores");
        assert_eq!((finding.level, finding.seen.as_str()), (Level::Note, "4 cores online, 2-3 isolated"));
    }
}
