//! `export`: parameters and results of all trials that have a result, as JSON or CSV.
//!
//! The JSON is that of `nnictl experiment export`. Source: nni v2.10, `nni/tools/nnictl/nnictl_utils.py`, `export_trials_data`,
//! and `ts/nni_manager/core/nniDataStore.ts`, `exportTrialHpConfigs`.

use crate::{
    cli::{Export, Format},
    environment::Environment,
    exit::Exit,
    load::Failure,
    locate,
    output::Output,
    render::json,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use ts_core::{Error, Result};
use ts_manager::store::{MetricKind, StoreReader, TrialFilter, TrialRow};

/// Writes the results.
pub(crate) fn export(environment: &Environment, output: &Output, args: &Export) -> Result<Exit, Failure> {
    let place = locate::experiment(environment, output, args.of.experiment.as_deref())?;
    let reader = place.reader()?;
    let trials = reader.trials(&TrialFilter::all())?;
    let rows: Vec<Row<'_>> = trials.iter().flat_map(results).collect();
    let text = match args.format {
        Format::Json => as_json(&reader, &rows, args.intermediate)?,
        Format::Csv => as_csv(&reader, &rows, args.intermediate)?,
    };
    match &args.output {
        Some(path) => std::fs::write(path, text).map_err(|e| Error::io("write", path, e))?,
        None => output.raw(text.as_bytes())?,
    }
    let n_trials = trials.iter().filter(|trial| results(trial).next().is_some()).count();
    output.say(format_args!("{n_trials} trials with a result"));
    Ok(Exit::Success)
}

/// A result and what it is of.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    trial: &'a TrialRow,
    /// Index of the parameters.
    index: u32,
    packed: &'a str,
    value: &'a str,
}

/// The results of a trial: one, or one of each of its phases that has one.
fn results(trial: &TrialRow) -> impl Iterator<Item = Row<'_>> {
    let row = move |index, packed, value| Row {
        trial,
        index,
        packed,
        value,
    };
    let phases = trial.phases.iter();
    let of_phases =
        phases.filter_map(move |phase| Some(row(phase.index, phase.usable()?, phase.final_value.as_deref()?)));
    let only = trial.final_value.as_deref().filter(|_| trial.phases.is_empty());
    of_phases.chain(only.map(move |value| row(0, &trial.spec.parameters.text, value)))
}

fn intermediate(reader: &StoreReader, row: &Row<'_>) -> Result<Vec<String>> {
    let metrics = reader.metrics(&row.trial.spec.id, Some(MetricKind::Intermediate))?;
    let own = metrics.into_iter().filter(|metric| metric.parameter_index == row.index);
    Ok(own.map(|metric| metric.value).collect())
}

fn as_json(reader: &StoreReader, rows: &[Row<'_>], with_intermediate: bool) -> Result<String> {
    let mut text = String::from("[");
    for (at, row) in rows.iter().enumerate() {
        let mut object = json!({
            "parameter": parameters(row),
            "value": row.value,
            "trialJobId": row.trial.spec.id,
        });
        if with_intermediate {
            object["intermediate"] = json!(intermediate(reader, row)?);
        }
        text += if at == 0 { "\n" } else { ",\n" };
        text += &object.to_string();
    }
    text += if rows.is_empty() { "]\n" } else { "\n]\n" };
    Ok(text)
}

/// The parameters proper, without what NNI packs around them.
fn parameters(row: &Row<'_>) -> Value {
    match json::text(row.packed) {
        Value::Object(mut packed) if packed.contains_key("parameters") => {
            packed.remove("parameters").unwrap_or_default()
        }
        other => other,
    }
}

fn as_csv(reader: &StoreReader, rows: &[Row<'_>], with_intermediate: bool) -> Result<String> {
    let mut table = Vec::with_capacity(rows.len());
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let mut cells = BTreeMap::new();
        flatten("", &parameters(row), &mut cells);
        for name in cells.keys() {
            let next = names.len();
            names.entry(name.clone()).or_insert(next);
        }
        table.push(cells);
    }
    let mut heads = vec!["trialJobId", "sequenceId", "status", "value"];
    if with_intermediate {
        heads.push("intermediate");
    }
    // A parameter that is named as one of our columns is told apart.
    let parameter_heads = names.keys().map(|name| {
        if heads.contains(&name.as_str()) {
            format!("parameter.{name}")
        } else {
            name.clone()
        }
    });
    let mut text = line(heads.iter().map(|head| (*head).to_owned()).chain(parameter_heads));
    for (row, cells) in rows.iter().zip(&table) {
        let mut fields = vec![
            row.trial.spec.id.to_string(),
            row.trial.spec.sequence_id.to_string(),
            row.trial.status.to_string(),
            plain(row.value),
        ];
        if with_intermediate {
            fields.push(format!("[{}]", intermediate(reader, row)?.join(",")));
        }
        fields.extend(names.keys().map(|name| cells.get(name).cloned().unwrap_or_default()));
        text += &line(fields);
    }
    Ok(text)
}

/// Nested choices become `outer.inner`.
fn flatten(path: &str, value: &Value, cells: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                flatten(&path, inner, cells);
            }
        }
        Value::String(text) => {
            cells.insert(path.to_owned(), text.clone());
        }
        other => {
            cells.insert(path.to_owned(), other.to_string());
        }
    }
}

/// JSON text as a cell: strings lose their quotes.
fn plain(text: &str) -> String {
    serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned())
}

/// A line of RFC 4180.
fn line(fields: impl IntoIterator<Item = String>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|field| quoted(&field)).collect();
    format!("{}\r\n", fields.join(","))
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_as_the_rfc_says() {
        let fields = ["a", "b,c", "d\"e", "f\ng", ""].map(str::to_owned);
        assert_eq!(line(fields), "a,\"b,c\",\"d\"\"e\",\"f\ng\",\r\n");
        assert_eq!(plain("\"text\""), "text");
        assert_eq!(plain("0.50"), "0.50");
    }

    #[test]
    fn nested_choices_become_columns() {
        let mut cells = BTreeMap::new();
        flatten("", &json!({"a": 1, "b": {"_name": "x", "c": [1, 2]}}), &mut cells);
        let cells: Vec<_> = cells.into_iter().collect();
        let expected = [("a", "1"), ("b._name", "x"), ("b.c", "[1,2]")];
        assert_eq!(cells, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
