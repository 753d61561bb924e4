//! The example `new_platform.rs` keeps every promise of a training service, with real processes.

#[path = "../examples/new_platform.rs"]
#[expect(dead_code, reason = "the tests run every case, not the one that `main` runs")]
mod new_platform;

use new_platform::{PLATFORM, World, section};
use ts_core::{Ctx, FindingState, config::Problems};

ts_testkit::conformance!(World);

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let mut problems = Problems::new();
    let section = section("gracePeriode: 5s", &mut problems);
    (PLATFORM.check)(&section, &mut problems);
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems.sorted()[0].help.as_deref(),
        Some("did you mean `gracePeriod`?")
    );
}

#[tokio::test]
async fn the_machine_of_the_tests_is_found_good() {
    let findings = (PLATFORM.diagnose)(None, &Ctx::new("/nonexistent")).await;
    assert!(findings.iter().all(|f| f.state == FindingState::Good), "{findings:?}");
}
