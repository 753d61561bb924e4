//! Further parameters of running trials.

use crate::world::{RELEASES, World, id, packed, past};
use serde_json::json;
use std::sync::Arc;
use ts_core::TrialStatus;
use ts_manager::source::{Observation, ParameterSource, SourceEvent};

/// The event of further parameters.
async fn further(world: &mut World) -> (String, u32, Option<Arc<str>>) {
    match world.next().await.unwrap() {
        SourceEvent::Next { trial, index, text } => (trial.to_string(), index, text),
        other => panic!("{other:?} instead of further parameters"),
    }
}

/// Packed parameters as they are given to a running trial.
fn given(version: &str, n: u32, trial: &str, index: u32) -> String {
    let asked = if version == "1.9" {
        format!(r#""trial_job_id": "{trial}", "parameter_index": {index}}}"#)
    } else {
        format!(r#""parameter_index": {index}}}"#)
    };
    packed(n).replace(r#""parameter_index": 0}"#, &asked)
}

#[tokio::test]
async fn running_trials_get_further_parameters_until_there_are_none() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0), packed(1), packed(2), packed(3)] }));
        world.source.start(&[]).await.unwrap();
        world.source.request(2).await.unwrap();
        for trial in ["a", "b"] {
            let text = world.proposal().await;
            world.source.assigned(&id(trial), &text).await.unwrap();
        }
        for (n, trial, index) in [(2, "b", 1), (3, "a", 1)] {
            world.source.request_next(&id(trial), index).await.unwrap();
            let text = given(version, n, trial, index);
            assert_eq!(
                further(&mut world).await,
                (trial.into(), index, Some(text.into())),
                "{version}"
            );
        }
        world.source.request_next(&id("b"), 2).await.unwrap();
        assert_eq!(further(&mut world).await, ("b".into(), 2, None), "{version}");
    }
}

#[tokio::test]
async fn results_and_ends_are_told_with_the_parameters_that_they_are_of() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0), packed(1), packed(2)] }));
        world.source.start(&[]).await.unwrap();
        world.source.request(1).await.unwrap();
        let first = world.proposal().await;
        let trial = id("a");
        world.source.assigned(&trial, &first).await.unwrap();
        let mut all = vec![first.clone()];
        for index in 1..=2 {
            world.source.request_next(&trial, index).await.unwrap();
            all.push(further(&mut world).await.2.expect("parameters").to_string());
        }
        for (n, text) in all.iter().enumerate().take(2) {
            let observation = Observation {
                trial: &trial,
                sequence_id: 0,
                parameters: text,
                is_final: true,
                sequence: 0,
                value: &n.to_string(),
                number: None,
            };
            world.source.observe(observation).await.unwrap();
        }
        let further: Vec<Arc<str>> = all[1..].iter().map(|text| text.as_str().into()).collect();
        world
            .source
            .next_ended(&trial, TrialStatus::Failed, &further)
            .await
            .unwrap();
        world.source.ended(&trial, TrialStatus::Failed, &first).await.unwrap();
        world.told("EN").await;
        world.source.close().await;
        let told = world.told("TE").await;
        let of = |code: &str| -> Vec<String> {
            let lines = told
                .iter()
                .filter(|line| line.starts_with(code) && !line.contains("REQUEST"));
            lines.cloned().collect()
        };
        let results: Vec<_> = (0..2)
            .map(|n| {
                format!(
                    r#"ME {{"parameter_id": {n}, "trial_job_id": "a", "type": "FINAL", "sequence": 0, "value": "{n}"}}"#
                )
            })
            .collect();
        assert_eq!(of("ME"), results, "{version}");
        let end = |text: &str, event: &str| {
            let text = serde_json::to_string(text).unwrap();
            format!(r#"EN {{"trial_job_id": "a", "event": "{event}", "hyper_params": {text}}}"#)
        };
        let ends = if version == "1.9" {
            vec![end(&first, "FAILED")]
        } else {
            vec![
                end(&all[1], "SUCCEEDED"),
                end(&all[2], "FAILED"),
                end(&first, "SUCCEEDED"),
            ]
        };
        assert_eq!(of("EN"), ends, "{version}");
    }
}

#[tokio::test]
async fn a_crash_while_a_trial_waits_is_mended() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0), packed(1)], "crash_at": 2 }));
        world.source.start(&[]).await.unwrap();
        world.source.request(1).await.unwrap();
        let text = world.proposal().await;
        world.source.assigned(&id("a"), &text).await.unwrap();
        world.source.request_next(&id("a"), 1).await.unwrap();
        // The second process begins with its texts anew.
        let text = given(version, 0, "a", 1);
        assert_eq!(
            further(&mut world).await,
            ("a".into(), 1, Some(text.into())),
            "{version}"
        );
        assert_eq!(world.processes().len(), 2, "{version}");
    }
}

#[tokio::test]
async fn what_an_ended_trial_asked_for_serves_a_new_one() {
    let mut world = World::new("3.0", json!({ "say": [packed(0), packed(1)] }));
    world.source.start(&[]).await.unwrap();
    world.source.request(1).await.unwrap();
    let text = world.proposal().await;
    let trial = id("a");
    world.source.assigned(&trial, &text).await.unwrap();
    world.source.request_next(&trial, 1).await.unwrap();
    world.source.next_ended(&trial, TrialStatus::Failed, &[]).await.unwrap();
    world.source.ended(&trial, TrialStatus::Failed, &text).await.unwrap();
    world.source.request(1).await.unwrap();
    assert_eq!(world.proposal().await, packed(1));
    let asked = world.log().lines().filter(|line| *line == "GE 1").count();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_resume_tells_the_results_of_all_phases() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [] }));
        let mut further = past("a", &given(version, 1, "a", 1), Some("2"));
        further.index = 1;
        world
            .source
            .start(&[past("a", &packed(0), Some("1")), further])
            .await
            .unwrap();
        let told = world.told("FD").await;
        let import = told.iter().find(|line| line.starts_with("FD")).unwrap();
        let result = |value| format!(r#"{{"parameter": {{"x": NaN}}, "value": "{value}", "trialJobId": "a"}}"#);
        assert_eq!(*import, format!("FD [{}, {}]", result(1), result(2)), "{version}");
    }
}
