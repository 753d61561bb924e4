//! The search space from outside: what is refused and where, what is drawn, and that points are found again.

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use ts_manager::search_space::SearchSpace;

fn keys_of_problems(space: &Value) -> Vec<String> {
    match SearchSpace::check(space) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|p| p.key).collect(),
    }
}

macro_rules! refused {
    ($($name:ident: $space:tt => $($key:literal),+;)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(keys_of_problems(&json!($space)), [$($key),+]);
        }
    )*};
}

refused! {
    nothing: {} => "searchSpace";
    not_an_object: [1] => "searchSpace";
    fixed_value: {"x": 3} => "x";
    no_type: {"x": {"_value": [1]}} => "x";
    no_value: {"x": {"_type": "choice"}} => "x";
    value_without_list: {"x": {"_type": "choice", "_value": 3}} => "x._value";
    unknown_type: {"x": {"_type": "unifrom", "_value": [0, 1]}} => "x._type";
    unknown_key: {"x": {"_type": "uniform", "_value": [0, 1], "q": 1}} => "x.q";
    nas: {"x": {"_type": "layer_choice", "_value": ["a"]}} => "x._type";
    empty_choice: {"x": {"_type": "choice", "_value": []}} => "x._value";
    half_nested: {"x": {"_type": "choice", "_value": [{"_name": "a"}, 3]}} => "x._value[1]";
    two_branches_of_a_name: {"x": {"_type": "choice", "_value": [{"_name": "a"}, {"_name": "a"}]}} => "x._value[1]._name";
    inside_a_branch: {"x": {"_type": "choice", "_value": [{"_name": "a", "k": {"_type": "uniform", "_value": [2, 1]}}]}} => "x._value[0].k._value[1]";
    empty_range: {"x": {"_type": "randint", "_value": [3, 3]}} => "x._value[1]";
    broken_integers: {"x": {"_type": "randint", "_value": [0.5, 1.5]}} => "x._value[0]", "x._value[1]";
    too_few: {"x": {"_type": "quniform", "_value": [0, 1]}} => "x._value";
    no_number: {"x": {"_type": "uniform", "_value": ["a", null]}} => "x._value[0]", "x._value[1]";
    no_logarithm: {"x": {"_type": "loguniform", "_value": [0, 1]}} => "x._value[0]";
    no_deviation: {"x": {"_type": "normal", "_value": [0, 0]}} => "x._value[1]";
    no_step: {"x": {"_type": "qnormal", "_value": [0, 1, 0]}} => "x._value[2]";
    all_at_once: {"a": 1, "b": {"_type": "uniform", "_value": [1]}, "c": {"_type": "choice", "_value": []}} => "a", "b._value", "c._value";
}

#[test]
fn messages_name_the_nearest_type_and_all_problems() {
    let error = SearchSpace::parse(&json!({"x": {"_type": "logunifrom", "_value": [1, 2]}})).unwrap_err();
    assert_eq!(error.message(), "search space: unknown type `logunifrom`");
    assert_eq!(error.key(), Some("x._type"));
    assert_eq!(error.help(), Some("did you mean `loguniform`?"));
    let both = SearchSpace::parse(&json!({"x": 1, "y": 2})).unwrap_err();
    assert!(both.message().starts_with("2 problems"), "{both}");
    assert!(both.message().contains("\ny: "), "{both}");
}

/// Draws `n` values of a parameter of this type.
fn drawn(spec: &Value, n: u32) -> Vec<f64> {
    let space = SearchSpace::parse(&json!({ "x": spec })).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    (0..n)
        .map(|_| space.render(&space.sample(&mut rng))["x"].as_f64().unwrap())
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

macro_rules! draws {
    ($($name:ident: $type_:literal $value:tt, between $low:expr, $high:expr, mean $mean:expr, within $tolerance:expr, step $step:expr;)*) => {$(
        #[test]
        fn $name() {
            let values = drawn(&json!({"_type": $type_, "_value": $value}), 20_000);
            let (low, high): (f64, f64) = ($low, $high);
            assert!(values.iter().all(|x| (low..=high).contains(x)));
            let mean = mean(&values);
            let (expected, tolerance): (f64, f64) = ($mean, $tolerance);
            assert!((mean - expected).abs() < tolerance, "mean {mean}, not {expected}");
            let step: Option<f64> = $step;
            if let Some(q) = step {
                let is_multiple = |x: f64| ((x / q) - (x / q).round()).abs() < 1e-9;
                let is_bound = |x: f64| x <= low || x >= high;
                assert!(values.iter().all(|x| is_multiple(*x) || is_bound(*x)));
            }
        }
    )*};
}

const FAR: f64 = f64::MAX;
// Five standard errors of a mean of 20,000 draws, rounded up.
draws! {
    randint: "randint" [-2, 5], between -2.0, 4.0, mean 1.0, within 0.08, step Some(1.0);
    uniform: "uniform" [1, 3], between 1.0, 3.0, mean 2.0, within 0.03, step None;
    quniform: "quniform" [0.3, 2.1, 0.5], between 0.3, 2.1, mean 1.2, within 0.05, step Some(0.5);
    loguniform: "loguniform" [0.001, 1], between 0.001, 1.0, mean 0.999 / 1000_f64.ln(), within 0.01, step None;
    qloguniform: "qloguniform" [1, 100, 1], between 1.0, 100.0, mean 99.0 / 100_f64.ln(), within 1.0, step Some(1.0);
    normal: "normal" [5, 2], between -FAR, FAR, mean 5.0, within 0.08, step None;
    qnormal: "qnormal" [5, 2, 0.5], between -FAR, FAR, mean 5.0, within 0.08, step Some(0.5);
    lognormal: "lognormal" [0, 0.5], between 0.0, FAR, mean 0.125_f64.exp(), within 0.03, step None;
    qlognormal: "qlognormal" [3, 0.5, 2], between 0.0, FAR, mean 3.125_f64.exp(), within 0.5, step Some(2.0);
}

#[test]
fn bounds_are_kept_after_rounding() {
    // 0.3 rounds to 0.5 or 0.0, and 0.0 is brought back to the bound, as NNI does.
    let values = drawn(&json!({"_type": "quniform", "_value": [0.2, 2.1, 0.5]}), 5000);
    assert!(values.contains(&0.2));
    assert!(!values.contains(&0.0));
    assert!(values.contains(&2.0));
}

#[test]
fn choices_keep_their_json_type() {
    let values = json!([1, 1.0, "1", true, null, [1, 2], {"a": {"b": 1}}]);
    let space = SearchSpace::parse(&json!({"x": {"_type": "choice", "_value": values.clone()}})).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let drawn: Vec<_> = (0..200)
        .map(|_| space.render(&space.sample(&mut rng))["x"].to_string())
        .collect();
    for value in values.as_array().unwrap() {
        assert!(drawn.contains(&value.to_string()), "{value}");
    }
}

#[test]
fn numbers_that_yaml_left_as_text_are_numbers() {
    let space = json!({"lr": {"_type": "loguniform", "_value": ["1e-5", "1e-1"]}});
    assert!(SearchSpace::parse(&space).is_ok());
}

fn nested() -> Value {
    json!({
        "layer": {"_type": "choice", "_value": [
            {"_name": "Empty"},
            {"_name": "conv",
             "k": {"_type": "randint", "_value": [1, 9]},
             "act": {"_type": "choice", "_value": [
                {"_name": "relu"},
                {"_name": "leaky", "slope": {"_type": "uniform", "_value": [0, 1]}}
             ]}}
        ]},
        "lr": {"_type": "qloguniform", "_value": [0.01, 10, 0.01]}
    })
}

#[test]
fn branches_carry_their_own_parameters_only() {
    let space = SearchSpace::parse(&nested()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut forms = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let parameters = space.render(&space.sample(&mut rng));
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(&parameters), "layer lr");
        let act = parameters["layer"].get("act").map(keys);
        forms.insert((keys(&parameters["layer"]), act));
    }
    let expected = [
        ("_name", None),
        ("_name k act", Some("_name")),
        ("_name k act", Some("_name slope")),
    ];
    let expected = expected.map(|(layer, act)| (layer.to_owned(), act.map(str::to_owned)));
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), expected);
}

/// Any JSON, often in the shape of a search space.
fn json_like() -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(vec![
        "_type",
        "_value",
        "_name",
        "choice",
        "randint",
        "uniform",
        "qnormal",
        "qloguniform",
        "lognormal",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 4, move |inner| {
        let numbers = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            numbers.clone().prop_map(Value::from),
            (word.clone(), numbers).prop_map(|(t, v)| json!({"_type": t, "_value": v})),
            proptest::collection::vec((word.clone(), inner), 0..4)
                .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn parsing_never_panics_and_what_it_takes_can_be_drawn(space in json_like()) {
        match SearchSpace::check(&space) {
            Ok(parsed) => {
                let mut rng = ChaCha8Rng::seed_from_u64(0);
                let parameters = parsed.render(&parsed.sample(&mut rng));
                prop_assert!(parsed.locate(&parameters).is_some(), "{parameters}");
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn a_point_is_found_again_from_its_parameters(seed: u64) {
        let space = SearchSpace::parse(&nested()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let parameters = space.render(&space.sample(&mut rng));
        let point = space.locate(&parameters).unwrap();
        let again = space.render(&point);
        prop_assert_eq!(&again["layer"]["_name"], &parameters["layer"]["_name"]);
        prop_assert_eq!(&again["layer"]["k"], &parameters["layer"]["k"]);
        let lr = |v: &Value| v["lr"].as_f64().unwrap();
        prop_assert!((lr(&again) - lr(&parameters)).abs() < 1e-9);
    }
}
