//! The compiled policy beside the plain one: many rules, many more questions, and the largest that are promised.

use weft_pipelines::policy::{Action, Policy, linear};
use weft_pipelines::testing::rules::{Seeded, changed, few, question};

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
    eprintln!("{by_rule} by rule, {by_default} by default, {refused} refused, {otherwise} not as audited");
    let all = by_rule + by_default;
    assert!([by_rule, by_default, refused, otherwise].iter().all(|count| *count > all / 20));
}
