//! Search spaces: read from a file or inline, and checked where a built-in algorithm will use them.
//!
//! Sampling from a search space belongs to the parameter sources. Source of the types: nni v1.9 to v3.0,
//! `nni/common/hpo_utils/validation.py` and `docs`, "search space specification".

use super::{
    files,
    model::{Algorithm, AlgorithmKind},
    node::{Node, Value as Tree},
    problems::{Problem, Problems, nearest},
    yaml,
};
use serde_json::Value;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// A search space with what is needed to point into it.
#[derive(Debug)]
pub(super) struct SearchSpace {
    pub(super) value: Value,
    /// The tree with positions, unless the file is JSON that YAML does not take.
    tree: Option<Node>,
    file: PathBuf,
    key: String,
}

/// Reads a search space file: JSON first, then YAML.
pub(super) fn from_file(path: &Path, key: String, problems: &mut Problems) -> Option<SearchSpace> {
    let fail = |message: String| Problem::new(path, 0, 0, message).with_key(&key);
    let text = match files::read(path) {
        Ok(text) => text,
        Err(_) if !problems.needs_code() => return None,
        Err(message) => {
            problems.push(fail(message).with_help("paths start at the directory of the configuration file"));
            return None;
        }
    };
    if let Ok(value) = serde_json::from_str::<Value>(&text) {
        // The YAML reading is for positions only: its own complaints do not matter where JSON is fine.
        let tree = yaml::load(&text, path, &mut Problems::new());
        return Some(SearchSpace {
            value,
            tree,
            file: path.to_owned(),
            key,
        });
    }
    let tree = yaml::load(&text, path, problems)?;
    from_tree(tree, path, key, problems)
}

/// Takes a search space that stands in the configuration itself.
pub(super) fn from_tree(tree: Node, file: &Path, key: String, problems: &mut Problems) -> Option<SearchSpace> {
    match tree.to_json() {
        Ok(value) => Some(SearchSpace {
            value,
            tree: Some(tree),
            file: file.to_owned(),
            key,
        }),
        Err(culprit) => {
            let message = format!("{} is no number that JSON can hold", culprit.describe());
            problems.push(
                Problem::new(file, culprit.line, culprit.column, message)
                    .with_key(key)
                    .with_help("write a finite number"),
            );
            None
        }
    }
}

/// Whether the algorithm is one whose search spaces are known; custom and registered ones may take anything.
pub(super) fn is_checked_for(algorithm: &Algorithm) -> bool {
    const KNOWN: [&str; 13] = [
        "tpe",
        "random",
        "anneal",
        "evolution",
        "batch",
        "gridsearch",
        "smac",
        "metis",
        "gp",
        "pbt",
        "dngo",
        "hyperband",
        "bohb",
    ];
    match &algorithm.kind {
        AlgorithmKind::Named(name) => {
            let lower = name.to_lowercase();
            KNOWN.contains(&lower.strip_suffix("tuner").unwrap_or(&lower))
        }
        AlgorithmKind::Class { .. } => false,
    }
}

const TYPES: [&str; 12] = [
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
    "layer_choice",
    "input_choice",
];

impl SearchSpace {
    /// Reports everything in it that no built-in algorithm can use.
    pub(super) fn check(&self, problems: &mut Problems) {
        let mut check = Check {
            space: self,
            problems,
            path: Vec::new(),
        };
        match &self.value {
            Value::Object(map) if !map.is_empty() => {
                for (name, parameter) in map {
                    check.at(Step::Key(name.clone()), |c| c.parameter(parameter));
                }
            }
            Value::Object(_) => check.fail("the search space is empty", "add at least one parameter"),
            _ => check.fail(
                "the search space is no map of parameters",
                "write `name: {_type: …, _value: […]}` for each parameter",
            ),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Index(usize),
}

struct Check<'a> {
    space: &'a SearchSpace,
    problems: &'a mut Problems,
    path: Vec<Step>,
}

impl Check<'_> {
    fn at(&mut self, step: Step, check: impl FnOnce(&mut Self)) {
        self.path.push(step);
        check(self);
        self.path.pop();
    }

    fn fail(&mut self, message: impl Into<String>, help: impl Into<String>) {
        let mut key = self.space.key.clone();
        let mut node = self.space.tree.as_ref();
        let mut place = node.map_or((0, 0), |n| (n.line, n.column));
        for step in &self.path {
            match step {
                Step::Key(name) => {
                    key.push('.');
                    key.push_str(name);
                    node = node.and_then(|n| n.get(name));
                }
                Step::Index(at) => {
                    _ = write!(key, "[{at}]");
                    node = node.and_then(|n| match &n.value {
                        Tree::Seq(items) => items.get(*at),
                        _ => None,
                    });
                }
            }
            place = node.map_or(place, |n| (n.line, n.column));
        }
        self.problems.push(
            Problem::new(&self.space.file, place.0, place.1, message)
                .with_key(key)
                .with_help(help),
        );
    }

    fn parameter(&mut self, parameter: &Value) {
        let Some(map) = parameter.as_object() else {
            let help = "write `{_type: …, _value: […]}`";
            return self.fail(
                "a parameter of the search space is a map with `_type` and `_value`",
                help,
            );
        };
        let Some(kind) = map.get("_type") else {
            return self.fail(
                "`_type` is missing",
                format!("add `_type`, one of {}", TYPES.join(", ")),
            );
        };
        let Some(kind) = kind.as_str().filter(|k| TYPES.contains(k)) else {
            let written = kind.as_str().map_or_else(|| kind.to_string(), str::to_owned);
            let help = match nearest(&written, TYPES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known types: {}", TYPES.join(", ")),
            };
            return self.at(Step::Key("_type".into()), |c| {
                c.fail(format!("`{written}` is no type of a search space"), help);
            });
        };
        let Some(value) = map.get("_value") else {
            return self.fail("`_value` is missing", "add `_value`, such as `[0, 1]`");
        };
        self.at(Step::Key("_value".into()), |c| match kind {
            "choice" => c.choice(value),
            "layer_choice" | "input_choice" => {
                if value.is_null() {
                    c.fail("`_value` is empty", "list the candidates");
                }
            }
            _ => c.range(kind, value),
        });
    }

    fn choice(&mut self, value: &Value) {
        match value.as_array() {
            None => self.fail("`choice` takes a list", "write `_value: [a, b, c]`"),
            Some(items) if items.is_empty() => self.fail("`choice` has nothing to choose from", "add a value"),
            Some(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.at(Step::Index(at), |c| c.nested(item));
                }
            }
        }
    }

    /// An alternative of a choice that has a `_name` brings parameters of its own.
    fn nested(&mut self, item: &Value) {
        let Some(map) = item.as_object().filter(|m| m.contains_key("_name")) else {
            return;
        };
        for (name, parameter) in map {
            if parameter.get("_type").is_some() {
                self.at(Step::Key(name.clone()), |c| c.parameter(parameter));
            }
        }
    }

    fn range(&mut self, kind: &str, value: &Value) {
        let is_quantized = kind.starts_with('q');
        let shape = match (kind.trim_start_matches('q'), is_quantized) {
            ("normal" | "lognormal", false) => "[mu, sigma]",
            ("normal" | "lognormal", true) => "[mu, sigma, q]",
            (_, false) => "[low, high]",
            (_, true) => "[low, high, q]",
        };
        let help = format!("write `_value: {shape}`");
        let expected = if is_quantized { 3 } else { 2 };
        let Some(items) = value.as_array().filter(|items| items.len() == expected) else {
            return self.fail(format!("`{kind}` takes {expected} numbers"), help);
        };
        let before = self.problems.len();
        for (at, item) in items.iter().enumerate() {
            self.at(Step::Index(at), |c| c.number(kind, item));
        }
        if self.problems.len() > before {
            return;
        }
        let n: Vec<f64> = items.iter().filter_map(Value::as_f64).collect();
        if is_quantized && n[2] <= 0.0 {
            return self.fail("the step `q` must be above 0", help);
        }
        match kind.trim_start_matches('q') {
            "normal" | "lognormal" if n[1] < 0.0 => self.fail("`sigma` must not be negative", help),
            "normal" | "lognormal" => {}
            "randint" if n[0] >= n[1] => self.fail(
                format!(
                    "`randint` from {} to {} holds no number: the upper end does not belong to it",
                    items[0], items[1]
                ),
                "make the second number greater than the first",
            ),
            _ if n[0] > n[1] => self.fail(
                format!("the lower end {} is above the upper end {}", items[0], items[1]),
                "swap the two numbers",
            ),
            "loguniform" if n[0] <= 0.0 => {
                self.fail(
                    "a logarithmic range must start above 0",
                    "write a small positive number as lower end",
                );
            }
            _ => {}
        }
    }

    fn number(&mut self, kind: &str, item: &Value) {
        match item {
            Value::Number(n)
                if kind != "randint" || n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.fract() == 0.0) => {}
            Value::String(text) if text.parse::<f64>().is_ok() => self.fail(
                format!("`{text}` is a text in YAML, not a number"),
                "YAML 1.1 numbers with an exponent need a point and a sign, such as `1.0e-4`; or write `0.0001`",
            ),
            _ if kind == "randint" => self.fail(
                format!("`randint` takes whole numbers, found {item}"),
                "write whole numbers",
            ),
            _ => self.fail(format!("a number is expected, found {item}"), "write a number"),
        }
    }
}
