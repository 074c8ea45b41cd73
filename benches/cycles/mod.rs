//! Cycles of the time-stamp counter as a measurement for criterion, and the run of a bench in both units.
//!
//! The counter runs at a constant rate, not at the core's: with the clock scaled up or down these are not the core's
//! own cycles. They are what DPDK and the peers' figures count in.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};

/// Runs `bench` twice: measured in time, then in cycles, with names told apart by a suffix.
pub fn run(bench_time: fn(&mut Criterion<WallTime>, &str), bench_cycles: fn(&mut Criterion<Tsc>, &str)) {
    let mut criterion = Criterion::default().configure_from_args();
    bench_time(&mut criterion, "");
    criterion.final_summary();
    let mut criterion = Criterion::default().with_measurement(Tsc).configure_from_args();
    bench_cycles(&mut criterion, "/tsc");
    criterion.final_summary();
}

/// The time-stamp counter.
#[derive(Debug)]
pub struct Tsc;

impl Measurement for Tsc {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        now()
    }

    fn end(&self, start: u64) -> u64 {
        now().wrapping_sub(start)
    }

    fn add(&self, one: &u64, other: &u64) -> u64 {
        one + other
    }

    fn zero(&self) -> u64 {
        0
    }

    fn to_f64(&self, value: &u64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Cycles
    }
}

struct Cycles;

impl ValueFormatter for Cycles {
    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "cycles"
    }

    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (count, unit) = match throughput {
            Throughput::Elements(packets) => (*packets as f64, "cycles/packet"),
            Throughput::Bytes(bytes) => (*bytes as f64, "cycles/byte"),
            _ => (1.0, "cycles"),
        };
        values.iter_mut().for_each(|value| *value /= count);
        unit
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "cycles"
    }
}

/// The counter now.
#[cfg(target_arch = "x86_64")]
pub fn now() -> u64 {
    // SAFETY: RDTSC reads a register; every x86-64 has it and Linux allows it to user code.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter now.
#[cfg(not(target_arch = "x86_64"))]
pub fn now() -> u64 {
    use std::sync::LazyLock;
    use std::time::Instant;

    /// Elsewhere: nanoseconds, as if the counter ran at 1 GHz.
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}
