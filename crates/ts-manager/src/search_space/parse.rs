//! Reads a search space from JSON and reports everything that is wrong with it, each problem with its key path.
//!
//! As lenient as NNI where NNI runs: numbers may be written as text (`"1e-5"`, which YAML makes of `1e-5`), bounds may be equal.

use super::{Domain, Leaf, Numeric, Parent, SearchSpace, Shape};
use serde_json::{Map, Value};

/// One problem of a search space.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceProblem {
    /// Where, such as `lr._value[1]`; `searchSpace` for the whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The types of ordinary search spaces.
///
/// Source: nni v3.0, `nni/common/hpo_utils/validation.py`.
const TYPES: [&str; 10] = [
    "choice",
    "randint",
    "uniform",
    "quniform",
    "loguniform",
    "qloguniform",
    "normal",
    "qnormal",
    "lognormal",
    "qlognormal",
];

/// Types of NNI's neural architecture search, whose values only NNI's Python package can make.
const NAS_TYPES: [&str; 3] = ["layer_choice", "input_choice", "mutable_layer"];

/// Most multiples of a step between two bounds: beyond it they can no longer be told apart.
const MOST_MULTIPLES: f64 = 9_007_199_254_740_992.0;

pub(super) fn parse(space: &Value) -> Result<SearchSpace, Vec<SpaceProblem>> {
    let mut parser = Parser::default();
    match space {
        Value::Object(map) => {
            if map.is_empty() {
                parser.problem(
                    "searchSpace",
                    "the search space is empty",
                    "name at least one parameter, such as `{\"lr\": {\"_type\": \"uniform\", \"_value\": [0, 1]}}`",
                );
            }
            parser.parameters(map, "", &[], None);
        }
        other => parser.problem(
            "searchSpace",
            format!("the search space is {}, not an object", kind(other)),
            "write an object with one entry per parameter",
        ),
    }
    if parser.problems.is_empty() {
        Ok(SearchSpace::new(parser.leaves))
    } else {
        Err(parser.problems)
    }
}

#[derive(Default)]
struct Parser {
    leaves: Vec<Leaf>,
    problems: Vec<SpaceProblem>,
}

impl Parser {
    fn problem(&mut self, key: impl Into<String>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(SpaceProblem {
            key: key.into(),
            message: message.into(),
            help: help.into(),
        });
    }

    fn parameters(&mut self, map: &Map<String, Value>, prefix: &str, path: &[String], parent: Option<Parent>) {
        for (name, spec) in map {
            if parent.is_some() && name == "_name" {
                continue;
            }
            let key = format!("{prefix}{name}");
            let path: Vec<_> = path.iter().chain([name]).cloned().collect();
            self.parameter(spec, &key, path, parent);
        }
    }

    fn parameter(&mut self, spec: &Value, key: &str, path: Vec<String>, parent: Option<Parent>) {
        let Value::Object(spec) = spec else {
            self.problem(
                key,
                format!("a parameter is an object with `_type` and `_value`, not {}", kind(spec)),
                "for a fixed value write `{\"_type\": \"choice\", \"_value\": [VALUE]}`",
            );
            return;
        };
        for name in spec.keys().filter(|k| *k != "_type" && *k != "_value") {
            self.problem(
                format!("{key}.{name}"),
                format!("unknown key `{name}`"),
                "a parameter has `_type` and `_value` only",
            );
        }
        let type_name = match spec.get("_type") {
            Some(Value::String(name)) => self.type_name(name, key),
            Some(other) => {
                self.problem(
                    format!("{key}._type"),
                    format!("the type is {}, not text", kind(other)),
                    format!("use one of {}", TYPES.join(", ")),
                );
                None
            }
            None => {
                self.problem(key, "`_type` is missing", format!("use one of {}", TYPES.join(", ")));
                None
            }
        };
        let values = match spec.get("_value") {
            Some(Value::Array(values)) => Some(values),
            Some(other) => {
                self.problem(
                    format!("{key}._value"),
                    format!("`_value` is {}, not a list", kind(other)),
                    "write a list",
                );
                None
            }
            None => {
                self.problem(key, "`_value` is missing", "write a list");
                None
            }
        };
        let (Some(type_name), Some(values)) = (type_name, values) else {
            return;
        };
        match type_name {
            "choice" => self.choice(values, key, path, parent),
            "randint" => {
                if let Some(domain) = self.randint(values, key) {
                    self.leaves.push(Leaf { path, domain, parent });
                }
            }
            _ => {
                if let Some(numeric) = self.numeric(type_name, values, key) {
                    let domain = Domain::Numeric(numeric);
                    self.leaves.push(Leaf { path, domain, parent });
                }
            }
        }
    }

    fn type_name(&mut self, name: &str, key: &str) -> Option<&'static str> {
        if let Some(known) = TYPES.into_iter().find(|t| *t == name) {
            return Some(known);
        }
        let key = format!("{key}._type");
        if NAS_TYPES.contains(&name) {
            self.problem(
                key,
                format!("`{name}` belongs to neural architecture search, which needs NNI's Python package"),
                "use an ordinary `choice`, or run this experiment with NNI's own tuner",
            );
        } else {
            let nearest = TYPES
                .into_iter()
                .min_by_key(|t| strsim::damerau_levenshtein(&name.to_lowercase(), t));
            self.problem(
                key,
                format!("unknown type `{}`", name.escape_debug()),
                format!("did you mean `{}`?", nearest.unwrap_or("choice")),
            );
        }
        None
    }

    fn choice(&mut self, values: &[Value], key: &str, path: Vec<String>, parent: Option<Parent>) {
        if values.is_empty() {
            self.problem(
                format!("{key}._value"),
                "a choice of nothing",
                "give at least one value",
            );
            return;
        }
        let branches: Vec<_> = values
            .iter()
            .filter_map(|v| v.as_object().filter(|map| map.contains_key("_name")))
            .collect();
        if branches.is_empty() {
            let domain = Domain::Choice(values.to_vec());
            self.leaves.push(Leaf { path, domain, parent });
            return;
        }
        if branches.len() < values.len() {
            for (i, _) in values.iter().enumerate().filter(|(_, v)| v.get("_name").is_none()) {
                self.problem(
                    format!("{key}._value[{i}]"),
                    "a plain value among the branches of a nested choice",
                    "give it a name of its own: `{\"_name\": \"NAME\"}`",
                );
            }
        }
        let mut names: Vec<Value> = Vec::with_capacity(branches.len());
        for (i, name) in branches.iter().map(|b| &b["_name"]).enumerate() {
            if names.contains(name) {
                self.problem(
                    format!("{key}._value[{i}]._name"),
                    format!("two branches are named {name}"),
                    "give each branch a name of its own",
                );
            }
            names.push(name.clone());
        }
        let leaf = self.leaves.len();
        self.leaves.push(Leaf {
            path: path.clone(),
            domain: Domain::Branches(names),
            parent,
        });
        for (i, branch) in branches.into_iter().enumerate() {
            let parent = Parent { leaf, branch: i as u64 };
            self.parameters(branch, &format!("{key}._value[{i}]."), &path, Some(parent));
        }
    }

    fn randint(&mut self, values: &[Value], key: &str) -> Option<Domain> {
        let &[low, high] = self.numbers(values, key, "randint", "[low, high)", 2)?.as_slice() else {
            return None;
        };
        let mut whole = |i: usize, x: f64| {
            // Beyond 2^53 a number read as a float need not be the number that was written.
            if x.fract() == 0.0 && x.abs() <= MOST_MULTIPLES {
                #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
                return Some(x as i64);
            }
            self.problem(
                format!("{key}._value[{i}]"),
                format!("`{}` is not a whole number below 2^53", values[i]),
                "`randint` draws whole numbers; for others use `uniform`",
            );
            None
        };
        let (low, high) = (whole(0, low), whole(1, high));
        let (low, high) = (low?, high?);
        if low >= high {
            self.problem(
                format!("{key}._value[1]"),
                format!("no whole number from {low} to below {high}"),
                format!("the upper bound is not drawn itself; write at least {}", low + 1),
            );
            return None;
        }
        Some(Domain::RandInt { low, high })
    }

    fn numeric(&mut self, type_name: &str, values: &[Value], key: &str) -> Option<Numeric> {
        let stepped = type_name.starts_with('q');
        let log = type_name.contains("log");
        let normal = type_name.ends_with("normal");
        let form = match (normal, stepped) {
            (true, true) => "[mu, sigma, q]",
            (true, false) => "[mu, sigma]",
            (false, true) => "[low, high, q]",
            (false, false) => "[low, high]",
        };
        let numbers = self.numbers(values, key, type_name, form, if stepped { 3 } else { 2 })?;
        let (a, b) = (numbers[0], numbers[1]);
        let before = self.problems.len();
        if normal && b <= 0.0 {
            self.problem(
                format!("{key}._value[1]"),
                format!("a standard deviation of {b}"),
                "sigma must be above 0",
            );
        }
        if !normal && log && a <= 0.0 {
            self.problem(
                format!("{key}._value[0]"),
                format!("the lower bound {a} has no logarithm"),
                "the lower bound of a log type must be above 0",
            );
        }
        if !normal && a > b {
            self.problem(
                format!("{key}._value[1]"),
                format!("the upper bound {b} is below the lower bound {a}"),
                "write the lower bound first",
            );
        }
        if !normal && !(b - a).is_finite() {
            self.problem(
                format!("{key}._value"),
                "the distance of the bounds is not a finite number",
                "bring the bounds closer together",
            );
        }
        let step = stepped.then(|| numbers[2]);
        if let Some(q) = step {
            if q <= 0.0 {
                self.problem(
                    format!("{key}._value[2]"),
                    format!("a step of {q}"),
                    "q must be above 0",
                );
            } else if !normal && (a / q).abs().max((b / q).abs()).max((b - a) / q) >= MOST_MULTIPLES {
                self.problem(
                    format!("{key}._value[2]"),
                    format!("the step {q} is too small to tell its multiples apart"),
                    "take a bigger step, or the type without `q`",
                );
            }
        }
        let shape = if normal {
            Shape::Normal { mu: a, sigma: b }
        } else {
            Shape::Uniform { low: a, high: b }
        };
        (self.problems.len() == before).then_some(Numeric { shape, log, step })
    }

    /// The `count` finite numbers of `_value`.
    fn numbers(&mut self, values: &[Value], key: &str, type_name: &str, form: &str, count: usize) -> Option<Vec<f64>> {
        if values.len() != count {
            self.problem(
                format!("{key}._value"),
                format!("`{type_name}` takes {count} numbers, not {}", values.len()),
                format!("write `{form}`"),
            );
            return None;
        }
        let mut numbers = Vec::with_capacity(count);
        for (i, value) in values.iter().enumerate() {
            let number = match value {
                Value::String(text) => text.trim().parse().ok(),
                other => other.as_f64(),
            };
            match number.filter(|x: &f64| x.is_finite()) {
                Some(x) => numbers.push(x),
                None => self.problem(
                    format!("{key}._value[{i}]"),
                    format!("`{value}` is not a number"),
                    format!("write `{form}`"),
                ),
            }
        }
        (numbers.len() == count).then_some(numbers)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
