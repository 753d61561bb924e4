//! The built-in sources through their contract: exact texts, exhaustion, resuming at any point, learning, and refusals.

use futures_util::FutureExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use ts_core::{ErrorKind, TrialId, TrialStatus, Warnings};
use ts_manager::assess;
use ts_manager::source::{self, AlgorithmSpec, Observation, ParameterSource, PastTrial, SourceEvent, unpack};

fn spec(name: &str, args: &Value) -> AlgorithmSpec {
    let mut spec = AlgorithmSpec::named("tuner", name, 42);
    spec.class_args.clone_from(args.as_object().unwrap());
    spec
}

fn built(name: &str, args: &Value, space: &Value) -> Box<dyn ParameterSource> {
    source::build(&spec(name, args), space, &mut Warnings::new()).unwrap()
}

/// The source's next event, which a built-in source gives at once or never.
fn next(source: &mut dyn ParameterSource) -> Option<SourceEvent> {
    source.next().now_or_never().map(Result::unwrap)
}

fn now<T>(future: impl Future<Output = ts_core::Result<T>>) -> T {
    future
        .now_or_never()
        .expect("built-in sources never wait here")
        .unwrap()
}

fn proposal(source: &mut dyn ParameterSource) -> Option<Arc<str>> {
    now(source.request(1));
    match next(source) {
        Some(SourceEvent::Proposal(p)) => Some(p.text),
        Some(SourceEvent::Exhausted) => None,
        other => panic!("{other:?}"),
    }
}

fn trial(n: u32) -> TrialId {
    TrialId::new(&format!("t{n}")).unwrap()
}

fn report(source: &mut dyn ParameterSource, n: u32, text: &str, number: Option<f64>) {
    let id = trial(n);
    now(source.observe(Observation {
        trial: &id,
        sequence_id: n,
        parameters: text,
        is_final: true,
        sequence: 0,
        value: "0",
        number,
    }));
    now(source.ended(&id, TrialStatus::Succeeded, text));
}

fn space() -> Value {
    json!({
        "größe": {"_type": "choice", "_value": ["klein", "groß"]},
        "lr": {"_type": "loguniform", "_value": [1e-6, 1e-1]},
        "layer": {"_type": "choice", "_value": [
            {"_name": "a"}, {"_name": "b", "k": {"_type": "randint", "_value": [0, 1000]}}
        ]},
        "z": {"_type": "qnormal", "_value": [0, 3, 0.25]}
    })
}

#[test]
fn proposals_are_written_as_nni_writes_them() {
    let space = json!({"größe": {"_type": "choice", "_value": ["groß"]}, "x": {"_type": "choice", "_value": [1e-5]}});
    let mut source = built("GridSearch", &json!({}), &space);
    assert_eq!(
        proposal(&mut *source).as_deref(),
        Some(concat!(
            r#"{"parameter_id": 0, "parameter_source": "algorithm", "#,
            r#""parameters": {"gr\u00f6\u00dfe": "gro\u00df", "x": 1e-05}, "parameter_index": 0}"#
        ))
    );
    assert_eq!(proposal(&mut *source), None);
}

#[test]
fn a_source_answers_each_request_and_then_waits() {
    let space = json!({"x": {"_type": "randint", "_value": [0, 3]}});
    let mut source = built("GridSearch", &json!({}), &space);
    assert_eq!(next(&mut *source), None, "nothing was asked for");
    now(source.request(5));
    let mut events = Vec::new();
    while let Some(event) = next(&mut *source) {
        events.push(event);
    }
    assert_eq!(events.len(), 4);
    assert_eq!(events.pop(), Some(SourceEvent::Exhausted));
    now(source.request(1));
    assert_eq!(next(&mut *source), Some(SourceEvent::Exhausted));
    assert_eq!(next(&mut *source), None);
}

#[test]
fn batch_gives_the_entries_in_order() {
    let space = json!({"combine_params": {"_type": "choice", "_value": [{"x": 0, "y": 1.0}, {"x": 1}]}});
    for name in ["Batch", "BatchTuner"] {
        let mut source = built(name, &json!({}), &space);
        let texts: Vec<_> = std::iter::from_fn(|| proposal(&mut *source)).collect();
        let parameters: Vec<_> = texts.iter().map(|t| unpack(t).unwrap().parameters).collect();
        assert_eq!(parameters, [json!({"x": 0, "y": 1.0}), json!({"x": 1})]);
    }
    for bad in [
        json!({}),
        json!({"a": {"_type": "choice", "_value": [1]}, "b": {"_type": "choice", "_value": [1]}}),
        json!({"a": {"_type": "randint", "_value": [1, 2]}}),
        json!({"a": {"_type": "choice", "_value": []}}),
    ] {
        let error = source::build(&spec("Batch", &json!({})), &bad, &mut Warnings::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad}");
    }
}

/// A result that depends on the parameters alone.
fn score(text: &str) -> f64 {
    let parameters = unpack(text).unwrap().parameters;
    let lr = parameters["lr"].as_f64().unwrap().log10() + 3.0;
    let k = parameters["layer"]
        .get("k")
        .map_or(1.0, |k| k.as_f64().unwrap() / 1000.0);
    lr * lr + k + parameters["z"].as_f64().unwrap().abs()
}

/// Runs `n` trials, at most `lag` at a time, and returns the texts. Breaks the run off before trial `cut` and resumes it.
fn run_cut(name: &str, n: u32, lag: usize, cut: Option<u32>) -> Vec<Arc<str>> {
    let args = if name == "TPE" {
        json!({"tpe_args": {"n_startup_jobs": 5}})
    } else {
        json!({})
    };
    let mut source = built(name, &args, &space());
    let mut texts: Vec<Arc<str>> = Vec::new();
    let mut done = 0;
    for i in 0..n {
        if cut == Some(i) {
            let past = |(i, text): (usize, &Arc<str>)| PastTrial {
                trial: trial(u32::try_from(i).unwrap()),
                sequence_id: u32::try_from(i).unwrap(),
                index: 0,
                parameters: Arc::clone(text),
                status: if i < done {
                    TrialStatus::Succeeded
                } else {
                    TrialStatus::Running
                },
                final_value: (i < done).then(|| "0".into()),
                final_number: (i < done).then(|| score(text)),
            };
            // Whatever order the store gives them in.
            let history: Vec<_> = texts.iter().enumerate().rev().map(past).collect();
            source = built(name, &args, &space());
            now(source.start(&history));
        }
        texts.push(proposal(&mut *source).unwrap());
        while texts.len() - done > lag {
            report(
                &mut *source,
                u32::try_from(done).unwrap(),
                &texts[done],
                Some(score(&texts[done])),
            );
            done += 1;
        }
    }
    texts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_resumed_source_goes_on_as_if_never_interrupted(
        name in proptest::sample::select(vec!["Random", "GridSearch", "TPE"]),
        cut in 0_u32..40,
        lag in 0_usize..5,
    ) {
        prop_assert_eq!(run_cut(name, 40, lag, Some(cut)), run_cut(name, 40, lag, None));
    }
}

#[test]
fn numbers_go_on_behind_the_greatest_and_user_parameters_have_none() {
    let mut source = built("Random", &json!({}), &space());
    let past = |n: u32, text: &str| PastTrial {
        trial: trial(n),
        sequence_id: n,
        index: 0,
        parameters: text.into(),
        status: TrialStatus::Failed,
        final_value: None,
        final_number: None,
    };
    now(source.start(&[
        past(
            0,
            r#"{"parameter_id": 7, "parameter_source": "algorithm", "parameters": {"of": "another space"}}"#,
        ),
        past(
            1,
            r#"{"parameter_id":null,"parameter_source":"customized","parameters":{"x":77}}"#,
        ),
    ]));
    assert_eq!(unpack(&proposal(&mut *source).unwrap()).unwrap().id, 8);
}

#[test]
fn the_seed_decides() {
    let first = |seed: u32| proposal(&mut *built("Random", &json!({"seed": seed}), &space()));
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

/// Best value of a quadratic with its least value 0 at (3, -2), after 100 trials.
fn best_of(name: &str, args: &Value, sign: f64) -> f64 {
    let space = json!({
        "x": {"_type": "uniform", "_value": [-10, 10]},
        "y": {"_type": "uniform", "_value": [-10, 10]}
    });
    let mut source = built(name, args, &space);
    let mut best = f64::INFINITY;
    for n in 0..100 {
        let text = proposal(&mut *source).unwrap();
        let p = unpack(&text).unwrap().parameters;
        let (x, y) = (p["x"].as_f64().unwrap() - 3.0, p["y"].as_f64().unwrap() + 2.0);
        let value = x * x + y * y;
        best = best.min(value);
        // Every tenth trial gives nothing usable; that must not disturb.
        let number = match n % 20 {
            3 => None,
            13 => Some(f64::NAN),
            _ => Some(sign * value),
        };
        report(&mut *source, n, &text, number);
    }
    best
}

#[test]
fn tpe_beats_random_search_in_both_directions() {
    let sum = |name: &str, mode: Option<&str>, sign: f64| -> f64 {
        (0..8)
            .map(|seed| match mode {
                Some(mode) => best_of(name, &json!({"seed": seed, "optimize_mode": mode}), sign),
                None => best_of(name, &json!({ "seed": seed }), sign),
            })
            .sum()
    };
    let random = sum("Random", None, 1.0);
    let (down, up) = (sum("TPE", Some("minimize"), 1.0), sum("TPE", Some("maximize"), -1.0));
    assert!(down < random / 2.0, "{down} against {random}");
    assert!(
        (down - up).abs() < 1e-9,
        "maximizing the negative is the same: {up} and {down}"
    );
}

#[test]
fn tpe_learns_a_branch_from_trials_that_took_it() {
    let space = json!({"layer": {"_type": "choice", "_value": [
        {"_name": "bad"}, {"_name": "good", "k": {"_type": "randint", "_value": [0, 100]}}
    ]}});
    let mut source = built("TPE", &json!({"seed": 1}), &space);
    let mut late = Vec::new();
    for n in 0..120 {
        let text = proposal(&mut *source).unwrap();
        let layer = unpack(&text).unwrap().parameters["layer"].clone();
        let value = layer.get("k").map_or(1000.0, |k| (k.as_f64().unwrap() - 70.0).abs());
        report(&mut *source, n, &text, Some(value));
        if n >= 80 {
            late.push(value);
        }
    }
    // Random search would come so near in 15% of the trials.
    let near = late.iter().filter(|v| **v < 15.0).count();
    assert!(near * 5 > late.len() * 2, "{late:?}");
}

#[test]
fn tpe_keeps_going_while_results_are_out() {
    let mut source = built("TPE", &json!({"tpe_args": {"n_startup_jobs": 3}}), &space());
    now(source.request(64));
    let texts: std::collections::BTreeSet<_> = std::iter::from_fn(|| next(&mut *source))
        .map(|event| format!("{event:?}"))
        .collect();
    assert_eq!(texts.len(), 64);
}

fn refusal(name: &str, args: &Value) -> ts_core::Error {
    source::build(&spec(name, args), &space(), &mut Warnings::new()).unwrap_err()
}

#[test]
fn algorithms_of_nnis_python_package_are_refused_with_what_there_is() {
    for name in [
        "Anneal",
        "SMAC",
        "Hyperband",
        "BOHB",
        "GPTuner",
        "PPOTuner",
        "DNGO",
        "NetworkMorphism",
    ] {
        let error = refusal(name, &json!({}));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
        assert_eq!(error.message(), format!("`{name}` needs NNI's Python package"));
        assert!(error.help().unwrap().contains("GridSearch"));
    }
    let mut custom = AlgorithmSpec::named("tuner", "", 0);
    (custom.name, custom.class_name) = (None, Some("my.Tuner".into()));
    let error = source::build(&custom, &space(), &mut Warnings::new()).unwrap_err();
    assert_eq!(
        (error.kind(), error.key()),
        (ErrorKind::Unsupported, Some("tuner.className"))
    );
}

#[test]
fn names_and_arguments_are_checked_with_the_nearest_known_one() {
    let table = [
        ("tpe", json!({}), "tuner.name", "did you mean `TPE`"),
        ("Gridsearch", json!({}), "tuner.name", "did you mean `GridSearch`"),
        (
            "TPE",
            json!({"optimise_mode": "minimize"}),
            "tuner.classArgs.optimise_mode",
            "did you mean `optimize_mode`",
        ),
        (
            "TPE",
            json!({"optimize_mode": "min"}),
            "tuner.classArgs.optimize_mode",
            "one of minimize, maximize",
        ),
        (
            "TPE",
            json!({"tpe_args": {"gama": 1}}),
            "tuner.classArgs.tpe_args.gama",
            "did you mean `gamma`",
        ),
        (
            "TPE",
            json!({"tpe_args": {"n_ei_candidates": 0}}),
            "tuner.classArgs.tpe_args.n_ei_candidates",
            "at least 1",
        ),
        ("Random", json!({"seed": -1}), "tuner.classArgs.seed", "at least 0"),
        (
            "GridSearch",
            json!({"optimize_mode": "minimize"}),
            "tuner.classArgs.optimize_mode",
            "takes no arguments",
        ),
    ];
    for (name, args, key, help) in table {
        let error = refusal(name, &args);
        assert_eq!((error.kind(), error.key()), (ErrorKind::Config, Some(key)));
        assert!(error.help().unwrap().contains(help), "{:?}", error.help());
    }
}

#[test]
fn arguments_of_every_nni_version_are_taken_and_idle_ones_warned_of() {
    let accepted = [
        (
            json!({"optimize_mode": "maximize", "parallel_optimize": true, "constant_liar_type": "max"}),
            0,
        ),
        (
            json!({"seed": null, "tpe_args": {"constant_liar_type": null, "gamma": 0.5, "linear_forgetting": 10}}),
            0,
        ),
        (json!({"tpe_args": {"prior_weight": 1.0}}), 1),
    ];
    for name in ["TPE", "TPE_legacy"] {
        for (args, expected) in &accepted {
            let mut warnings = Warnings::new();
            source::build(&spec(name, args), &space(), &mut warnings).unwrap();
            assert_eq!(warnings.len(), *expected, "{args}");
        }
    }
}

#[test]
fn assessors_are_built_or_refused_by_name() {
    let assessor = |name: &str, args: Value| {
        let mut spec = AlgorithmSpec::named("assessor", name, 0);
        spec.class_args.clone_from(args.as_object().unwrap());
        assess::build(&spec).map(|a| a.name().to_owned())
    };
    let args = json!({"optimize_mode": "maximize", "start_step": 5});
    assert_eq!(assessor("Medianstop", args).unwrap(), "Medianstop");
    let error = assessor("Curvefitting", json!({"epoch_num": 20})).unwrap_err();
    assert_eq!(
        (error.kind(), error.key()),
        (ErrorKind::Unsupported, Some("assessor.name"))
    );
    let error = assessor("Medianstop", json!({"start_step": -1})).unwrap_err();
    assert_eq!(error.key(), Some("assessor.classArgs.start_step"));
}
