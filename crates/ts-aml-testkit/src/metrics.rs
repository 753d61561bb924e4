//! Native metrics: rows with columns of any type, by run and name.
//!
//! Source: azureml-core 1.61.0 and azureml-mlflow 1.62.0, metrics client `v2.0`: `list`, `full`, `batch`; "Manage and increase quotas
//! and limits", Microsoft Learn, for the numbers.

use crate::{call::Call, clock, history, life::job::Row, reply::Reply, shared::Shared, world::uuid};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Rows of one upload.
const MOST_ROWS: usize = 250;
/// Names of metrics of a run.
const MOST_NAMES: usize = 50;
/// Columns of a row.
const MOST_COLUMNS: usize = 15;
/// Characters of a column's name or a text.
const MOST_TEXT: usize = 255;
/// Rows of a page.
const PAGE: usize = 100;

pub(crate) fn answer(shared: &Shared, call: &Call) -> Reply {
    checked(shared, call).unwrap_or_else(|refusal| refusal)
}

fn checked(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    let who = history::who(shared, call)?;
    let rest = history::below_scope(shared, call)?;
    let ("POST", ["runs", id, action]) = (call.method.as_str(), &rest[..]) else {
        return Err(Reply::aml(404, "NotFound", "The requested resource does not exist."));
    };
    who.may(id)?;
    let body = call
        .json()
        .map_err(|why| user_error(&format!("The request is invalid: {why}")))?;
    match *action {
        "batch" => add(shared, id, &body),
        "list" => list(shared, id),
        "full" => full(shared, id, &body),
        _ => Err(Reply::aml(404, "NotFound", "The requested resource does not exist.")),
    }
}

fn add(shared: &Shared, id: &str, body: &Value) -> Result<Reply, Reply> {
    let mut rows = Vec::new();
    for metric in body["values"].as_array().into_iter().flatten() {
        let name = metric["name"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| user_error("A metric has a name."))?;
        let columns = metric["columns"]
            .as_object()
            .ok_or_else(|| user_error("A metric has columns."))?;
        if columns.len() > MOST_COLUMNS || columns.keys().any(|column| column.chars().count() > MOST_TEXT) {
            return Err(user_error(
                "A metric can have 15 columns, whose names can have 255 characters.",
            ));
        }
        for value in metric["value"].as_array().into_iter().flatten() {
            let data = value["data"].as_object().ok_or_else(|| user_error("A row has data."))?;
            if data.keys().any(|column| !columns.contains_key(column)) {
                return Err(user_error("A row has a column that the metric does not have."));
            }
            let is_long = |cell: &Value| cell.as_str().is_some_and(|text| text.chars().count() > MOST_TEXT);
            if data.values().any(is_long) {
                return Err(user_error("A text in a metric can have 255 characters."));
            }
            rows.push(Row {
                name: name.to_owned(),
                columns: metric["columns"].clone(),
                id: value["metricId"].as_str().map_or_else(uuid, str::to_owned),
                created: clock::now(),
                step: value["step"].clone(),
                data: value["data"].clone(),
            });
        }
    }
    if rows.len() > MOST_ROWS {
        return Err(user_error("At most 250 rows can be sent at once."));
    }
    shared.change(|world| {
        let job = world.job(id).ok_or_else(|| unknown(id))?;
        let names: BTreeSet<&str> = job.rows.iter().chain(&rows).map(|row| row.name.as_str()).collect();
        if names.len() > MOST_NAMES {
            return Err(user_error("A run can have metrics of 50 names."));
        }
        job.rows.extend(rows);
        Ok(Reply::json(200, &json!({"errors": []})))
    })
}

fn list(shared: &Shared, id: &str) -> Result<Reply, Reply> {
    let mut world = shared.world();
    let job = world.job(id).ok_or_else(|| unknown(id))?;
    let mut known = BTreeSet::new();
    let last = job.rows.iter().rev().filter(|row| known.insert(row.name.clone()));
    let value: Vec<Value> = last.map(|row| metric(row, &[row])).collect();
    Ok(Reply::json(200, &json!({"value": value})))
}

fn full(shared: &Shared, id: &str, body: &Value) -> Result<Reply, Reply> {
    let name = body["metricName"]
        .as_str()
        .ok_or_else(|| user_error("The metricName is missing."))?;
    let moment = |field: &str| -> Result<Option<jiff::Timestamp>, Reply> {
        match body[field].as_str() {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(moment) => Ok(Some(moment)),
                Err(_) => Err(user_error(&format!("The {field} is not a time."))),
            },
        }
    };
    let (start, end) = (moment("startTime")?, moment("endTime")?);
    let from: usize = match body["continuationToken"].as_str() {
        Some(token) => token
            .parse()
            .map_err(|_| user_error("The continuationToken is invalid."))?,
        None => 0,
    };
    let mut world = shared.world();
    let job = world.job(id).ok_or_else(|| unknown(id))?;
    let rows = job.rows.iter().filter(|row| {
        row.name == name && start.is_none_or(|start| row.created >= start) && end.is_none_or(|end| row.created <= end)
    });
    let rows: Vec<&Row> = rows.collect();
    let Some(first) = rows.first() else {
        return Ok(Reply::json(200, &json!({"value": []})));
    };
    let page: Vec<&Row> = rows.iter().skip(from).take(PAGE).copied().collect();
    let mut body = metric(first, &page);
    if from + PAGE < rows.len() {
        body["continuationToken"] = json!((from + PAGE).to_string());
    }
    Ok(Reply::json(200, &body))
}

fn metric(row: &Row, rows: &[&Row]) -> Value {
    let value: Vec<Value> = rows
        .iter()
        .map(|row| json!({"metricId": row.id, "createdUtc": clock::text(row.created), "step": row.step, "data": row.data}))
        .collect();
    json!({"name": row.name, "columns": row.columns, "properties": {"uxMetricType": "azureml.v1.scalar"}, "value": value})
}

fn user_error(text: &str) -> Reply {
    Reply::aml(400, "UserError", text)
}

fn unknown(id: &str) -> Reply {
    Reply::aml(404, "UserError", format!("Run with runId={id} could not be found."))
}
