//! How long does another document take, of 100,000 rules: to read, to compile, and to compile after one that is nearly
//! the same? What the workers take to take it up is told by `weft apply`.
#![allow(missing_docs)]

use std::fmt::Write;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use weft::config::{self, Fabric};
use weft::control::compile::{Previous, compile};
use weft::control::diff;
use weft_pipelines::Epoch;

const RULES: usize = 100_000;
const GROUPS: usize = 1_000;

criterion_group!(benches, change);
criterion_main!(benches);

fn change(criterion: &mut Criterion) {
    let (text, other) = (document("tcp/443"), document("tcp/443, udp/443"));
    let old = read(&text);
    let host = old.host("here").expect("the host is in the document");
    let first = compile(&old, host, &[], 1, Epoch(1), None).expect("it is not too large");
    let mut group = criterion.benchmark_group("100k rules");
    group.sample_size(10);
    group.bench_function("read", |bencher| bencher.iter(|| read(&text)));
    group.bench_function("compile", |bencher| bencher.iter(|| compile(&old, host, &[], 1, Epoch(1), None)));
    // A document that was just read each time, as a switch gets it.
    group.bench_function("one rule changed", |bencher| {
        let previous = Some(Previous { fabric: &old, compiled: &first });
        let next = |new: &mut Fabric| compile(new, host, &[], 1, Epoch(2), previous);
        bencher.iter_batched_ref(|| read(&other), next, BatchSize::PerIteration);
    });
    group.bench_function("tell what has changed", |bencher| {
        let told = |new: &mut Fabric| assert_eq!(diff::changes(&old, new).len(), 1);
        bencher.iter_batched_ref(|| read(&other), told, BatchSize::PerIteration);
    });
    group.finish();
}

fn read(text: &str) -> Fabric {
    config::parse("bench", text).unwrap_or_else(|found| panic!("{found}"))
}

/// A document whose middle rule is about `services`.
fn document(services: &str) -> String {
    let mut text = String::from(
        "fabric: { name: bench }\nhosts: [{ name: here, vtep: 198.51.100.1 }]\ntenants:\n  - name: blue\n    \
         segments: [{ name: front, vni: 1001, subnet: [10.0.0.0/8] }]\n    groups:\n",
    );
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("text takes text");
    (0..GROUPS).for_each(|n| line(format_args!("      - {{ name: g{n}, id: {} }}", n + 1)));
    line(format_args!("    endpoints:"));
    for n in 0..GROUPS {
        let [a, b] = (n as u16).to_be_bytes();
        line(format_args!(
            "      - {{ name: e{n}, host: here, attach: {{ vhost-user: e{n} }}, segment: front, \
             mac: \"02:00:00:00:{a:02x}:{b:02x}\", ip: [10.1.{a}.{}], groups: [g{n}] }}",
            b / 2 + 1 + u8::from(b % 2 == 1) * 128
        ));
    }
    line(format_args!("    policy:\n      default: deny\n      rules:"));
    for n in 0..RULES {
        let port = format!("tcp/{}", n % 60_000 + 1);
        let services = if n == RULES / 2 { services } else { &port };
        let (from, to) = (n % GROUPS, n * 7 % GROUPS);
        line(format_args!("        - {{ name: r{n}, from: g{from}, to: g{to}, allow: [{services}] }}"));
    }
    text
}
