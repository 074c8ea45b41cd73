//! What does it cost to decide a connection, and to compile what decides it?
#![allow(missing_docs)]

mod cycles;

use std::hint::black_box;

use criterion::measurement::Measurement;
use criterion::{BatchSize, Criterion, Throughput};
use weft_pipelines::policy::{Policy, Rule, Rules};
use weft_pipelines::testing::rules::{Choose, Scale, Seeded, mixed, mixed_questions, mixed_rule};

/// Questions asked in turn: so many that no cell stays in the cache just because it was asked a moment ago.
const QUESTIONS: usize = 1 << 14;

fn main() {
    cycles::run(bench, bench);
}

fn bench<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    decide(criterion, unit);
    change(criterion, unit);
}

/// One answer among so many mixed rules.
fn decide<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut group = criterion.benchmark_group(format!("decide{unit}"));
    group.throughput(Throughput::Elements(1));
    for (count, name) in
        [(10, "10 rules"), (1_000, "1k rules"), (10_000, "10k rules"), (100_000, "100k rules")]
    {
        let mut choose = Seeded(7);
        let rules = mixed(&mut choose, Scale::of(count));
        let questions = mixed_questions(&mut choose, &rules, QUESTIONS);
        let policy = Policy::compile(&rules);
        let mut asked = questions.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| asked.next().map(|question| policy.decide(black_box(question))));
        });
    }
    group.finish();
}

/// A whole build of 100,000 rules over 10,000 groups, and a new one after one rule was put in or changed.
fn change<M: Measurement>(criterion: &mut Criterion<M>, unit: &str) {
    let mut choose = Seeded(7);
    let scale = Scale::of(100_000);
    let rules = mixed(&mut choose, scale);
    let policy = Policy::compile(&rules);
    let mut group = criterion.benchmark_group(format!("100k rules{unit}"));
    group.sample_size(10);
    group.bench_function("compile", |bencher| {
        bencher.iter_batched(|| (), |()| Policy::compile(&rules), BatchSize::PerIteration);
    });
    let mut update = |name: &str, change: &dyn Fn(&mut Seeded, &mut Rules)| {
        let mut new = rules.clone();
        change(&mut choose, &mut new);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(|| (), |()| policy.update(&rules, &new), BatchSize::PerIteration);
        });
    };
    update("one more at the top", &|choose, new| new.rules.insert(0, mixed_rule(choose, scale, 100_001)));
    update("one changed in the middle", &|choose, new| {
        let (from, to) = (new.rules[50_000].from, new.rules[50_000].to);
        new.rules[50_000] = Rule { from, to, ..mixed_rule(choose, scale, 50_000) };
    });
    update("one less", &|choose, new| drop(new.rules.remove(choose.below(100_000))));
    group.finish();
}
