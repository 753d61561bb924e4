//! The part of MLflow's tracking service that runs and their watchers use.
//!
//! Source: mlflow 3.9.0, `protos/service.proto` for requests and answers, `store/tracking/rest_store.py` for what clients send,
//! `utils/validation.py` for limits; azureml-mlflow 1.62.0, `_protos/aml_service.proto`, for what Azure ML adds.

use crate::{
    call::Call,
    history::{self, Who},
    life::job::{Job, Metric},
    reply::Reply,
    shared::Shared,
    world::{ARTIFACTS, uuid},
};
use serde_json::{Value, json};

/// Metrics, parameters and tags of one batch, and all together.
const MOST: (usize, usize, usize, usize) = (1000, 100, 100, 1000);
/// Entries of a history's page, when the client does not say.
const PAGE: usize = 1000;

pub(crate) fn answer(shared: &Shared, call: &Call) -> Reply {
    checked(shared, call).unwrap_or_else(|refusal| refusal)
}

fn checked(shared: &Shared, call: &Call) -> Result<Reply, Reply> {
    let version = call.path.get(1).map_or("", String::as_str);
    if !["v1.0", "v2.0"].contains(&version) {
        return Err(not_found("The version of MLflow is not served."));
    }
    let who = history::who(shared, call)?;
    let rest = history::below_scope(shared, call)?;
    let ["api", "2.0", rest @ ..] = &rest[..] else {
        return Err(not_found("The path is not served."));
    };
    let body = match call.method.as_str() {
        "GET" => Value::Object(
            call.query
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect(),
        ),
        _ => call
            .json()
            .map_err(|why| invalid(format!("The request is no JSON: {why}")))?,
    };
    let request = Request { shared, who, body };
    match (call.method.as_str(), rest) {
        ("GET", ["mlflow", "runs", "get"]) => request.with_job(|job| Ok(json!({"run": run(shared, job)}))),
        ("GET", ["mlflow", "metrics", "get-history"]) => request.metric_history(),
        ("POST", ["mlflow", "runs", "log-metric"]) => request.log_metric(),
        ("POST", ["mlflow", "runs", "log-parameter"]) => {
            request.with_job(|job| param(job, &request.body).map(|()| json!({})))
        }
        ("POST", ["mlflow", "runs", "set-tag"]) => request.with_job(|job| tag(job, &request.body).map(|()| json!({}))),
        ("POST", ["mlflow", "runs", "log-batch"]) => request.log_batch().map(|()| json!({})),
        ("POST", ["preview", "mlflow", "runs", "log-batch-async"]) => {
            request.log_batch().map(|()| json!({"batch_tracking_id": uuid()}))
        }
        ("GET" | "POST", ["preview", "mlflow", "runs", "get-run-data-status"]) => Ok(json!({"is_complete": true})),
        ("POST", ["mlflow", "runs", "update"]) => request.with_job(|job| {
            if let Some(name) = request.body["run_name"].as_str() {
                job.properties["displayName"] = json!(name);
            }
            Ok(json!({"run_info": info(shared, job)}))
        }),
        ("POST", ["mlflow", "runs", "search"]) => Ok(request.search()),
        ("GET", ["mlflow", "experiments", "get-by-name"]) => request.experiment(|name, _| name, "experiment_name"),
        ("GET", ["mlflow", "experiments", "get"]) => request.experiment(|_, id| id, "experiment_id"),
        ("GET", ["mlflow", "artifacts", "list"]) => request.artifacts(),
        _ => return Err(not_found("The path is not served.")),
    }
    .map(|body| Reply::json(200, &body))
}

struct Request<'a> {
    shared: &'a Shared,
    who: Who,
    body: Value,
}

impl Request<'_> {
    fn text(&self, name: &str) -> Result<&str, Reply> {
        let found = self.body[name].as_str().filter(|text| !text.is_empty());
        found.ok_or_else(|| {
            invalid(format!(
                "Missing value for required parameter '{name}'. See the API docs for more information."
            ))
        })
    }

    /// The run of the request. Older clients call it by its uuid.
    fn with_job<T>(&self, act: impl FnOnce(&mut Job) -> Result<T, Reply>) -> Result<T, Reply> {
        let id = self
            .text("run_id")
            .or_else(|missing| self.text("run_uuid").map_err(|_| missing))?;
        self.who.may(id)?;
        self.shared.change(|world| {
            let job = world
                .job(id)
                .ok_or_else(|| not_found(&format!("Run with id={id} could not be found.")))?;
            act(job)
        })
    }

    fn log_metric(&self) -> Result<Value, Reply> {
        let metric = metric(&self.body)?;
        self.with_job(|job| {
            job.metrics.push(metric);
            Ok(json!({}))
        })
    }

    fn log_batch(&self) -> Result<(), Reply> {
        let list = |name: &str| self.body[name].as_array().cloned().unwrap_or_default();
        let (metrics, params, tags) = (list("metrics"), list("params"), list("tags"));
        let counts = (
            metrics.len(),
            params.len(),
            tags.len(),
            metrics.len() + params.len() + tags.len(),
        );
        if counts.0 > MOST.0 || counts.1 > MOST.1 || counts.2 > MOST.2 || counts.3 > MOST.3 {
            return Err(invalid(
                "A batch logging request can contain at most 1000 metrics, 100 params, 100 tags, and 1000 of all."
                    .to_owned(),
            ));
        }
        let metrics = metrics.iter().map(metric).collect::<Result<Vec<Metric>, Reply>>()?;
        self.with_job(|job| {
            params.iter().try_for_each(|one| param(job, one))?;
            tags.iter().try_for_each(|one| tag(job, one))?;
            job.metrics.extend(metrics);
            Ok(())
        })
    }

    fn metric_history(&self) -> Result<Value, Reply> {
        let key = self.text("metric_key")?.to_owned();
        let number = |name: &str| match &self.body[name] {
            Value::String(text) => text.parse::<usize>().ok(),
            value => value.as_u64().and_then(|number| usize::try_from(number).ok()),
        };
        let most = number("max_results").unwrap_or(PAGE);
        let from = number("page_token").unwrap_or(0);
        self.with_job(|job| {
            let mut found = job.metrics.iter().filter(|metric| metric.key == key).skip(from);
            let page: Vec<Value> = found.by_ref().take(most).map(metric_view).collect();
            let mut body = json!({"metrics": page});
            if found.next().is_some() {
                body["next_page_token"] = json!((from + most).to_string());
            }
            Ok(body)
        })
    }

    fn search(&self) -> Value {
        let experiments = self.body["experiment_ids"].as_array().cloned().unwrap_or_default();
        let world = self.shared.world();
        let found = world
            .jobs
            .iter()
            .rev()
            .filter(|job| experiments.contains(&json!(job.experiment_id)));
        let runs: Vec<Value> = found
            .filter(|job| self.who.may(&job.id).is_ok())
            .map(|job| run(self.shared, job))
            .collect();
        json!({"runs": runs})
    }

    fn experiment(&self, by: for<'e> fn(&'e str, &'e str) -> &'e str, parameter: &str) -> Result<Value, Reply> {
        let wanted = self.text(parameter)?;
        let world = self.shared.world();
        let found = world.experiments.iter().find(|(name, id)| by(name, id) == wanted);
        let (name, id) = found.ok_or_else(|| not_found(&format!("Could not find experiment {wanted}.")))?;
        Ok(json!({"experiment": {
            "experiment_id": id, "name": name, "artifact_location": "", "lifecycle_stage": "active", "tags": [],
        }}))
    }

    fn artifacts(&self) -> Result<Value, Reply> {
        let below = self.body["path"].as_str().unwrap_or_default().to_owned();
        let (root, uri) = self.with_job(|job| Ok((job.artifacts(), artifact_uri(self.shared, job))))?;
        let folder = if below.is_empty() {
            root.clone()
        } else {
            format!("{root}/{below}")
        };
        let world = self.shared.world();
        let mut files: Vec<Value> = Vec::new();
        for name in world.blobs.names(ARTIFACTS, &folder) {
            let rest = name[folder.len()..].trim_start_matches('/');
            let (first, is_folder) = rest.split_once('/').map_or((rest, false), |(first, _)| (first, true));
            let path = if below.is_empty() {
                first.to_owned()
            } else {
                format!("{below}/{first}")
            };
            let size = world.blobs.get(ARTIFACTS, name).map_or(0, |blob| blob.content.len());
            let entry = if is_folder {
                json!({"path": path, "is_dir": true})
            } else {
                json!({"path": path, "is_dir": false, "file_size": size.to_string()})
            };
            if !files.contains(&entry) {
                files.push(entry);
            }
        }
        Ok(json!({"root_uri": uri, "files": files}))
    }
}

/// Source: mlflow, `utils/validation.py`, `_validate_metric`; numbers that JSON lacks come as texts, as protobuf writes them.
fn metric(body: &Value) -> Result<Metric, Reply> {
    let key = body["key"].as_str().unwrap_or_default();
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"_-. :/".contains(&byte);
    if key.is_empty() || key.len() > 250 || !key.bytes().all(is_key) {
        return Err(invalid(format!("Invalid metric name: '{key}'.")));
    }
    let value = &body["value"];
    let special = ["NaN", "Infinity", "-Infinity"];
    if !value.is_number() && !value.as_str().is_some_and(|text| special.contains(&text)) {
        return Err(invalid(format!(
            "Got invalid value {value} for metric '{key}'. It must be a number."
        )));
    }
    // 64-bit integers are texts in protobuf's JSON; both are taken.
    let integer = |name: &str| match &body[name] {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    };
    let timestamp = integer("timestamp").filter(|timestamp| *timestamp >= 0);
    Ok(Metric {
        key: key.to_owned(),
        value: value.clone(),
        timestamp: timestamp.ok_or_else(|| invalid(format!("Got invalid timestamp for metric '{key}'.")))?,
        step: integer("step").unwrap_or(0),
    })
}

fn metric_view(metric: &Metric) -> Value {
    json!({"key": metric.key, "value": metric.value, "timestamp": metric.timestamp, "step": metric.step})
}

/// A parameter is written once. Source: mlflow, `store/tracking/sqlalchemy_store.py`, `_validate_param`.
fn param(job: &mut Job, body: &Value) -> Result<(), Reply> {
    let (key, value) = pair(body)?;
    match job.params.iter().find(|(known, _)| *known == key) {
        Some((_, known)) if *known != value => Err(invalid(format!(
            "Changing param values is not allowed. Param with key='{key}' was already logged with value='{known}'."
        ))),
        Some(_) => Ok(()),
        None => {
            job.params.push((key, value));
            Ok(())
        }
    }
}

fn tag(job: &mut Job, body: &Value) -> Result<(), Reply> {
    let (key, value) = pair(body)?;
    job.insert("tags", &key, json!(value));
    Ok(())
}

fn pair(body: &Value) -> Result<(String, String), Reply> {
    match (body["key"].as_str(), body["value"].as_str()) {
        (Some(key), value) if !key.is_empty() => Ok((key.to_owned(), value.unwrap_or_default().to_owned())),
        _ => Err(invalid("Missing value for required parameter 'key'.".to_owned())),
    }
}

fn artifact_uri(shared: &Shared, job: &Job) -> String {
    let host = shared.base.split("//").nth(1).unwrap_or_default();
    format!(
        "azureml://{host}/mlflow/v2.0{}/experiments/{}/runs/{}/artifacts",
        shared.scope(),
        job.experiment_id,
        job.id
    )
}

/// Source: mlflow, `RunStatus`; which of Azure ML's statuses is which: seen in azureml-mlflow.
fn status(job: &Job) -> &'static str {
    match job.told() {
        "Completed" => "FINISHED",
        "Failed" => "FAILED",
        "Canceled" => "KILLED",
        "Running" | "Finalizing" | "CancelRequested" | "NotResponding" => "RUNNING",
        _ => "SCHEDULED",
    }
}

fn info(shared: &Shared, job: &Job) -> Value {
    let millis = |at: jiff::Timestamp| at.as_millisecond();
    json!({
        "run_id": job.id,
        "run_uuid": job.id,
        "run_name": job.properties["displayName"].as_str().unwrap_or(&job.id),
        "experiment_id": job.experiment_id,
        "status": status(job),
        "start_time": millis(job.started.unwrap_or(job.created)),
        "end_time": job.ended.map(millis),
        "artifact_uri": artifact_uri(shared, job),
        "lifecycle_stage": "active",
        "user_id": "Trials",
    })
}

fn run(shared: &Shared, job: &Job) -> Value {
    let mut last: Vec<&Metric> = Vec::new();
    for metric in &job.metrics {
        last.retain(|known| known.key != metric.key);
        last.push(metric);
    }
    let metrics: Vec<Value> = last.into_iter().map(metric_view).collect();
    let params = job
        .params
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}));
    let tags = job.map("tags");
    let tags = tags
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| json!({"key": key, "value": value}));
    json!({
        "info": info(shared, job),
        "data": {"metrics": metrics, "params": params.collect::<Vec<_>>(), "tags": tags.collect::<Vec<_>>()},
    })
}

fn invalid(text: String) -> Reply {
    Reply::mlflow(400, "INVALID_PARAMETER_VALUE", text)
}

fn not_found(text: &str) -> Reply {
    Reply::mlflow(404, "RESOURCE_DOES_NOT_EXIST", text)
}
