//! The source before a dispatcher of each protocol that is played by a script: what is told, in which order, and what comes back.

mod phases;
mod world;

use serde_json::json;
use std::time::Duration;
use ts_core::ErrorKind;
use ts_manager::source::{ImportedResult, Observation, ParameterSource, SourceEvent};
use world::{RELEASES, World, id, nni, packed, past, spec};

#[tokio::test]
async fn parameters_of_any_kind_reach_the_loop_as_they_were_sent() {
    let texts = [
        packed(0),
        r#"{"parameter_id": "0-2_0_0", "parameters": {"TRIAL_BUDGET": Infinity, "ü": "é😀"}}"#.to_owned(),
        r#"{"parameter_id":null,  "parameter_source": "customized", "parameters": {}}"#.to_owned(),
    ];
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": texts }));
        world.source.start(&[]).await.unwrap();
        world.source.request(3).await.unwrap();
        for text in &texts {
            assert_eq!(world.proposal().await, *text, "{version}");
        }
    }
}

#[tokio::test]
async fn a_result_is_told_as_the_trial_wrote_it_and_before_the_end_of_its_trial() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0)] }));
        world.source.start(&[]).await.unwrap();
        world.source.request(1).await.unwrap();
        let text = world.proposal().await;
        world.source.assigned(&id("a"), &text).await.unwrap();
        world.finish("a", &text, r#"{"default": NaN}"#).await;
        world.told("EN").await;
        world.source.close().await;
        let told = world.told("TE").await;
        let process = world.processes().remove(0);
        let end = serde_json::to_string(&text).unwrap();
        let expected = [
            format!("-- {process} start"),
            r#"IN {"x":{"_type":"choice","_value":[1]}}"#.to_owned(),
            "GE 1".to_owned(),
            r#"ME {"parameter_id": 0, "trial_job_id": "a", "type": "FINAL", "sequence": 0, "value": "{\"default\": NaN}"}"#.to_owned(),
            format!(r#"EN {{"trial_job_id": "a", "event": "SUCCEEDED", "hyper_params": {end}}}"#),
            "TE ".to_owned(),
        ];
        assert_eq!(told[..6], expected, "{version}");
        world.gone(&process).await;
    }
}

#[tokio::test]
async fn a_resume_tells_all_results_and_where_possible_all_ids() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(2)] }));
        let history = [past("a", &packed(0), Some("0.5")), past("b", &packed(1), None)];
        world.source.start(&history).await.unwrap();
        world.source.request(1).await.unwrap();
        assert_eq!(world.proposal().await, packed(2));
        // This process did not make its parameters, so it is told of the result alone.
        world.finish("b", &packed(1), "0.25").await;
        let last = r#"FD [{"parameter": {"x": NaN}, "value": "0.25", "trialJobId": "b"}]"#;
        let mut told = world.told(last).await;
        assert!(told.remove(0).ends_with(" resume"), "{version}");
        let ids = format!("AD [{}, {}]", packed(0), packed(1));
        let expected = [
            r#"IN {"x":{"_type":"choice","_value":[1]}}"#,
            r#"FD [{"parameter": {"x": NaN}, "value": "0.5", "trialJobId": "a"}]"#,
            &ids,
            "GE 1",
            last,
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .filter(|line| version != "1.9" || !line.starts_with("AD"))
            .collect();
        assert_eq!(told, expected, "{version}");
    }
}

#[tokio::test]
async fn a_crash_is_mended_from_the_history() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0), packed(1)], "crash_at": 2 }));
        world.source.start(&[]).await.unwrap();
        world.source.request(1).await.unwrap();
        let text = world.proposal().await;
        world.source.assigned(&id("a"), &text).await.unwrap();
        world.finish("a", &text, "1").await;
        world.told("EN").await;
        world.source.request(1).await.unwrap();
        world.proposal().await;
        let told = world.told("FD").await;
        assert!(told.contains(&r#"FD [{"parameter": {"x": NaN}, "value": "1", "trialJobId": "a"}]"#.to_owned()));
        assert_eq!(world.processes().len(), 2, "{version}");
    }
}

#[tokio::test]
async fn imports_and_a_new_space_are_told_at_once_and_again_to_a_process_that_takes_over() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0), packed(1)], "crash_at": 2 }));
        world.source.start(&[]).await.unwrap();
        let result = |value| ImportedResult {
            parameter: json!({"x": 1}),
            value,
        };
        let results = [result(json!(0.5)), result(json!("{\"default\": 2}"))];
        world.source.import(&results).await.unwrap();
        let import =
            r#"FD [{"parameter": {"x":1}, "value": "0.5"}, {"parameter": {"x":1}, "value": "{\"default\": 2}"}]"#;
        world.told(import).await;
        let refused = world.source.update_search_space(&json!(1)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config);
        world.source.update_search_space(&json!({"y": 2})).await.unwrap();
        world.told(r#"SS {"y":2}"#).await;
        for _ in 0..2 {
            world.source.request(1).await.unwrap();
            world.proposal().await;
        }
        let told = world.told("GE").await;
        let second = told
            .iter()
            .rposition(|line| line.starts_with("-- "))
            .expect("a second process");
        assert_eq!(told[second + 1..second + 3], [r#"IN {"y":2}"#, import], "{version}");
    }
}

#[tokio::test]
async fn a_tuner_is_not_told_of_trials_that_a_person_chose() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0)] }));
        let own = ts_manager::source::pack_custom(&json!({"x": 77}));
        world.source.start(&[past("old", &own, Some("0.5"))]).await.unwrap();
        world.source.assigned(&id("own"), &own).await.unwrap();
        world.finish("own", &own, "0.25").await;
        world.source.request(1).await.unwrap();
        assert_eq!(world.proposal().await, packed(0));
        let told = world.log();
        assert!(
            !told.contains("77") && !told.contains("0.25") && !told.contains("0.5"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_dispatcher_that_always_crashes_is_given_up_with_its_traceback() {
    let mut world = World::new("3.0", json!({ "crash_at": 1 }));
    world.source = ts_nni::NniSource::new(always_crashing(&world), world.ctx.clone());
    world.source.start(&[]).await.unwrap();
    world.source.request(1).await.unwrap();
    let error = world.next().await.unwrap_err();
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(error.to_string().contains("crashed (exit status: 3)"), "{error}");
    assert_eq!(
        cause,
        "Traceback (most recent call last):\n  File \"x.py\"\nValueError: as asked"
    );
    assert_eq!(world.processes().len(), 4, "once and three times again");
}

fn always_crashing(world: &World) -> ts_nni::Nni {
    let log = world.folder.path().join("told.txt");
    let script = json!({ "version": "3.0", "crash_at": 1, "log": log });
    let serde_json::Value::Object(arguments) = script else {
        unreachable!()
    };
    let python = env!("CARGO_BIN_EXE_ts-nni-scripted-dispatcher");
    ts_nni::Nni::new(spec(world.folder.path(), Some(python), arguments))
}

#[tokio::test]
async fn one_that_cannot_begin_is_not_tried_again() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "fail": true }));
        world.source.start(&[]).await.unwrap();
        let error = world.next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{version}: {error}");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(
            cause.ends_with("ImportError: no module named torch"),
            "{version}: {cause}"
        );
        assert_eq!(world.processes().len(), 1);
    }
}

#[tokio::test]
async fn more_than_was_asked_for_serves_the_next_request() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0)], "unasked": packed(1) }));
        world.source.start(&[]).await.unwrap();
        world.source.request(1).await.unwrap();
        let first = world.proposal().await;
        world.source.assigned(&id("a"), &first).await.unwrap();
        world.source.request(1).await.unwrap();
        assert_eq!(world.proposal().await, packed(1), "{version}");
    }
}

#[tokio::test]
async fn a_request_that_an_advisor_forgets_is_sent_again() {
    let mut world = World::of("hyperband", json!({ "say": [packed(0)], "deaf_to": 1 }));
    world.source.start(&[]).await.unwrap();
    world.source.request(1).await.unwrap();
    assert_eq!(world.proposal().await, packed(0));
}

#[tokio::test]
async fn a_tuner_that_thinks_is_not_asked_twice() {
    let mut world = World::of("Metis", json!({ "say": [packed(0)], "deaf_to": 1 }));
    world.source.start(&[]).await.unwrap();
    world.source.request(1).await.unwrap();
    world.told("GE").await;
    world.ctx.clock.sleep(Duration::from_secs(30)).await;
    let asked = world.log().lines().filter(|line| *line == "GE 1").count();
    assert_eq!(asked, 1, "{}", world.log());
}

#[tokio::test]
async fn no_more_of_one_that_always_has_more_means_not_yet() {
    for name in ["BOHB", "PBT"] {
        let mut world = World::of(name, json!({ "say": [packed(0), null, null, null, packed(1)] }));
        world.source.start(&[]).await.unwrap();
        world.source.request(1).await.unwrap();
        let text = world.proposal().await;
        world.source.assigned(&id("a"), &text).await.unwrap();
        world.source.request(1).await.unwrap();
        world.told("GE").await;
        world.finish("a", &text, "1").await;
        world.source.request(1).await.unwrap();
        assert_eq!(world.proposal().await, packed(1), "{name}");
    }
}

#[tokio::test]
async fn no_more_is_told_and_told_again() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0)] }));
        world.source.start(&[]).await.unwrap();
        world.source.request(2).await.unwrap();
        let text = world.proposal().await;
        world.source.assigned(&id("a"), &text).await.unwrap();
        assert_eq!(world.next().await.unwrap(), SourceEvent::Exhausted);
        world.finish("a", &text, "1").await;
        world.source.request(2).await.unwrap();
        assert_eq!(world.next().await.unwrap(), SourceEvent::Exhausted, "{version}");
        let asked = world.log().lines().filter(|line| *line == "GE 1").count();
        assert!(asked >= 4, "it is asked again after the last end: {asked} times");
    }
}

#[tokio::test]
async fn no_more_that_is_heard_behind_a_new_request_is_passed_over() {
    let mut world = World::of("Mine", json!({ "say": [packed(0), null, packed(1)] }));
    world.source.start(&[]).await.unwrap();
    world.source.request(1).await.unwrap();
    let text = world.proposal().await;
    world.source.assigned(&id("a"), &text).await.unwrap();
    world.source.request(1).await.unwrap();
    // Time for the answer to come while the trial runs; without it this shows less.
    world.ctx.clock.sleep(Duration::from_secs(5)).await;
    world.finish("a", &text, "1").await;
    world.source.request(1).await.unwrap();
    assert_eq!(world.proposal().await, packed(1));
}

#[tokio::test]
async fn an_assessor_stops_a_trial() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "say": [packed(0)], "kill": true }));
        world.source.start(&[]).await.unwrap();
        world.source.request(1).await.unwrap();
        let text = world.proposal().await;
        let trial = id("a");
        world.source.assigned(&trial, &text).await.unwrap();
        let observation = Observation {
            trial: &trial,
            sequence_id: 0,
            parameters: &text,
            is_final: false,
            sequence: 0,
            value: "1",
            number: Some(1.0),
        };
        world.source.observe(observation).await.unwrap();
        for _ in 0..2 {
            assert_eq!(
                world.next().await.unwrap(),
                SourceEvent::Cancel(trial.clone()),
                "{version}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_of_it_is_left_when_its_tasks_end() {
    for version in RELEASES {
        let mut world = World::new(version, json!({ "linger": true }));
        world.source.start(&[]).await.unwrap();
        world.told("IN").await;
        world.ctx.tasks.close().await;
        world.gone(&world.processes()[0]).await;
    }
}

#[tokio::test]
async fn what_is_missing_is_told_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let none = ts_nni::Nni::new(spec(at, Some("/nowhere/python"), serde_json::Map::new()));
    let cases = [
        (none, ErrorKind::NotFound, "there is no `/nowhere/python`"),
        (nni(at, "", json!({})), ErrorKind::NotFound, "No module named 'nni'"),
        (nni(at, "1.8", json!({})), ErrorKind::Unsupported, "version 1.8"),
        (
            nni(
                at,
                "3.0",
                json!({ "problem": { "at": "classArgs", "message": "no `populatoin`" } }),
            ),
            ErrorKind::Config,
            "`Scripted` of NNI 3.0: no `populatoin`",
        ),
    ];
    for (nni, kind, words) in cases {
        let error = nni.check().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.help().is_some());
    }
    nni(at, "3.0", json!({})).check().await.unwrap();
}

#[tokio::test]
async fn what_to_install_is_told_by_the_name_that_pip_knows() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (json!("sklearn"), "-m pip install scikit-learn`"),
        (json!("statsmodels"), "-m pip install 'ConfigSpace<1' statsmodels`"),
        (json!("torch"), "-m pip install torch`"),
        (json!(null), "correct the name"),
    ];
    for (missing, words) in cases {
        let problem = json!({ "at": "class", "message": "no such module", "missing": missing });
        let nni = nni(folder.path(), "3.0", json!({ "problem": problem }));
        let error = nni.check().await.unwrap_err();
        assert_eq!(error.key(), Some("tuner.name"));
        let help = error.help().unwrap_or_default();
        assert!(help.contains(words), "{help}");
    }
}
