//! The compiled policy beside the plain one.

use proptest::prelude::*;

use super::{Policy, Rules, linear};
use crate::testing::rules::{Choose, Script, changed, few, question, script};

/// Asks both the same, many times.
fn compare(rules: &Rules, policy: &Policy, choose: &mut impl Choose) -> Result<(), TestCaseError> {
    for _ in 0..64 {
        let question = question(choose, rules);
        prop_assert_eq!(policy.decide(&question), linear::decide(rules, &question), "{:?}", question);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn decides_as_the_plain_one(mut rules in script(), asked in prop::collection::vec(any::<u8>(), 600)) {
        let rules = few(&mut rules);
        compare(&rules, &Policy::compile(&rules), &mut Script::new(asked))?;
    }

    /// Whatever the changes, one after the other: the same as if it had been compiled at once.
    #[test]
    fn an_update_is_equal_to_a_whole_build(mut script in script()) {
        let mut rules = few(&mut script);
        let mut policy = Policy::compile(&rules);
        for _ in 0..4 {
            let new = changed(&mut script, &rules);
            policy = policy.update(&rules, &new);
            prop_assert_eq!(&policy, &Policy::compile(&new));
            rules = new;
        }
    }
}
