//! The compiled policy beside the plain one: many rules, many more questions, and the largest that are promised.

use weft_pipelines::policy::{Action, Policy, linear};
use weft_pipelines::testing::rules::{
    Scale, Seeded, changed, few, mixed, mixed_questions, mixed_rule, question,
};

/// Questions to each set of rules.
const QUESTIONS: usize = 250;

/// How many pairs of rules and a question are compared; `WEFT_POLICY_PAIRS` asks for more.
fn pairs() -> usize {
    let asked = std::env::var("WEFT_POLICY_PAIRS").ok();
    asked.map_or(1_000_000, |pairs| pairs.parse().expect("WEFT_POLICY_PAIRS is a number"))
}

/// Half of the policies are compiled at once, half come about by a change.
#[test]
fn a_million_decisions_as_the_plain_one_makes_them() {
    let mut choose = Seeded(1);
    let (mut by_rule, mut by_default, mut refused, mut otherwise) = (0, 0, 0, 0);
    for set in 0..pairs().div_ceil(QUESTIONS) {
        let mut rules = few(&mut choose);
        let mut policy = Policy::compile(&rules);
        if set % 2 == 0 {
            let new = changed(&mut choose, &rules);
            policy = policy.update(&rules, &new);
            rules = new;
        }
        for _ in 0..QUESTIONS {
            let question = question(&mut choose, &rules);
            let decision = linear::decide(&rules, &question);
            assert_eq!(policy.decide(&question), decision, "{question:?} to {rules:#?}");
            *if decision.rule.is_some() { &mut by_rule } else { &mut by_default } += 1;
            refused += usize::from(decision.action == Action::Deny);
            otherwise += usize::from(decision.would_rule != decision.rule);
        }
    }
    // Each kind of answer is common, or the questions are beside the point.
    println!(
        "{by_rule} by rule, {by_default} by default, {refused} refused, {otherwise} otherwise if enforced"
    );
    let all = by_rule + by_default;
    assert!([by_rule, by_default, refused, otherwise].iter().all(|count| *count > all / 20));
}

/// Endpoints in several groups, networks that nest, cells of every size.
#[test]
fn mixed_rules_decide_as_the_plain_one() {
    for (rules, groups, members) in [(50, 8, 40), (500, 12, 100), (2_000, 200, 600)] {
        let mut choose = Seeded(rules as u64);
        let rules = mixed(&mut choose, Scale { rules, groups, members });
        let policy = Policy::compile(&rules);
        let mut by_rule = 0;
        for question in mixed_questions(&mut choose, &rules, 2_000) {
            let decision = linear::decide(&rules, &question);
            assert_eq!(policy.decide(&question), decision, "{question:?}");
            by_rule += usize::from(decision.rule.is_some());
        }
        assert!((400..1_900).contains(&by_rule), "{by_rule} by rule");
    }
}

#[test]
fn a_hundred_thousand_rules_over_ten_thousand_groups() {
    let mut choose = Seeded(2);
    let scale = Scale::of(100_000);
    let rules = mixed(&mut choose, scale);
    let policy = Policy::compile(&rules);
    let size = policy.size();
    assert_eq!((size.rules, size.groups, size.networks), (100_000, 10_000, 1_250));
    for question in mixed_questions(&mut choose, &rules, 100) {
        assert_eq!(policy.decide(&question), linear::decide(&rules, &question), "{question:?}");
    }
    // One more at the top: every other rule has another number.
    let mut new = rules.clone();
    new.rules.insert(0, mixed_rule(&mut choose, scale, 100_001));
    let updated = policy.update(&rules, &new);
    assert!(updated == Policy::compile(&new), "another policy");
    assert!(updated != policy);
}
