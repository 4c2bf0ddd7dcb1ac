//! Whole lakes against the independent reference, cell by cell. It reads them by two engines that are not ours.

use crate::fixtures::{RANDOM_AS_OF, SAMPLE_AS_OF, assert_equals_reference, pipeline, random_export, sample, steps};
use crate::process::{run, scratch};

#[test]
fn a_sample_gives_the_tables_of_the_reference() {
    let sample = sample();
    assert_equals_reference(&sample.lake, &[&sample.exports], SAMPLE_AS_OF);
}

#[test]
fn random_exports_give_the_tables_of_the_reference() {
    for seed in [1, 2, 3] {
        let folder = scratch(&format!("seed-{seed}"));
        let (exports, lake) = (folder.join("exports"), folder.join("lake"));
        random_export(&exports, seed, &["--documents", "200"]);
        run(&mut pipeline(&exports, &lake, RANDOM_AS_OF)).expect(0);
        assert_equals_reference(&lake, &[&exports], RANDOM_AS_OF);
    }
}

#[test]
fn several_runs_give_the_tables_of_the_reference() {
    let steps = steps();
    let exports: Vec<_> = steps.exports.iter().map(AsRef::as_ref).collect();
    for runs in 1..=3 {
        assert_equals_reference(&steps.lakes[runs - 1], &exports[..runs], RANDOM_AS_OF);
    }
}
