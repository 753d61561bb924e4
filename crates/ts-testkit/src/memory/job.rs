//! One job of the reference platform: its script, its journal, its statuses. Queue, gates and time are the cluster's part.

use super::script::{self, Statement};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use ts_core::{
    CancelReason, JournalCursor, LogKind, Parameters, Reason, ReasonCode, Timestamp, TrialSpec, TrialStatus, judge,
};

/// Length of `ME` and six digits before a frame's payload.
///
/// Source: nni v1.9, `nni/platform/local.py`.
const FRAME_HEADER: u64 = 8;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct StatusEntry {
    pub(super) at: Timestamp,
    pub(super) status: TrialStatus,
    pub(super) why: Option<Reason>,
}

#[derive(Debug, Clone)]
pub(super) struct MetricEntry {
    pub(super) at: Timestamp,
    pub(super) cursor: JournalCursor,
    pub(super) body: String,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) spec: TrialSpec,
    pub(super) statuses: Vec<StatusEntry>,
    pub(super) journal: Vec<MetricEntry>,
    pub(super) logs: Vec<(LogKind, Bytes)>,
    /// Parameters by their index, as files of that name: the same again replaces them.
    parameters: BTreeMap<u32, Parameters>,
    /// Index of those that the script reads next.
    next_parameters: u32,
    /// Those that the script read last, which its reports name.
    current: Option<serde_json::Value>,
    script: VecDeque<Statement>,
    n_intermediate: u32,
    ignores_term: bool,
    detached: bool,
    cancel: Option<CancelReason>,
}

impl Job {
    pub(super) fn waiting(spec: TrialSpec, why: Reason) -> Self {
        Self {
            parameters: BTreeMap::from([(0, spec.parameters.clone())]),
            next_parameters: 0,
            current: serde_json::from_str(&spec.parameters.text).ok(),
            spec,
            statuses: vec![StatusEntry {
                at: why.since,
                status: TrialStatus::Waiting,
                why: Some(why),
            }],
            journal: Vec::new(),
            logs: Vec::new(),
            script: VecDeque::new(),
            n_intermediate: 0,
            ignores_term: false,
            detached: false,
            cancel: None,
        }
    }

    pub(super) fn status(&self) -> TrialStatus {
        self.statuses.last().map_or(TrialStatus::Unknown, |entry| entry.status)
    }

    /// Names of what runs for it.
    pub(super) fn processes(&self) -> Vec<String> {
        if self.status() != TrialStatus::Running {
            return Vec::new();
        }
        let names = ["command", "detached grandchild"];
        let n = if self.detached { 2 } else { 1 };
        names[..n]
            .iter()
            .map(|name| format!("{name} of {}", self.spec.id))
            .collect()
    }

    pub(super) fn enter(&mut self, at: Timestamp, status: TrialStatus, why: Option<Reason>) {
        self.statuses.push(StatusEntry { at, status, why });
        if status.is_terminal() {
            self.script.clear();
        }
    }

    pub(super) fn start(&mut self, at: Timestamp) {
        self.enter(at, TrialStatus::Running, None);
        self.script = script::parse(&self.spec.command).unwrap_or_else(|complaint| {
            let print = Statement::Print {
                error: true,
                text: complaint,
            };
            VecDeque::from([print, Statement::Exit(127)])
        });
    }

    /// Runs the script until it blocks or the job ends.
    pub(super) fn run(&mut self, at: Timestamp, is_open: impl Fn(&str) -> bool) {
        while self.status() == TrialStatus::Running {
            let Some(next) = self.script.pop_front() else {
                return self.exit(at, 0);
            };
            match next {
                Statement::Metric(body) => self.append(at, body),
                Statement::Report { last, value } => self.report(at, last, &value),
                Statement::Print { error, text } => {
                    let kind = if error { LogKind::Stderr } else { LogKind::Stdout };
                    self.logs.push((kind, Bytes::from(text + "\n")));
                }
                Statement::Gate(name) if is_open(&name) => {}
                Statement::Parameters if self.parameters.contains_key(&self.next_parameters) => {
                    let text = self.read_parameters();
                    self.append(at, text);
                }
                Statement::Next => {
                    if self.parameters.contains_key(&self.next_parameters) {
                        self.read_parameters();
                    } else {
                        self.request_parameters(at);
                        self.script.push_front(Statement::Read);
                    }
                }
                Statement::Read if self.parameters.contains_key(&self.next_parameters) => {
                    self.read_parameters();
                }
                Statement::Score => self.score(at),
                Statement::IgnoreTerm => self.ignores_term = true,
                Statement::Detach => self.detached = true,
                Statement::Exit(code) => return self.exit(at, code),
                blocked @ (Statement::Gate(_) | Statement::Parameters | Statement::Read | Statement::Wait) => {
                    return self.script.push_front(blocked);
                }
            }
        }
    }

    pub(super) fn give(&mut self, next: Parameters) {
        self.parameters.insert(next.index, next);
    }

    fn read_parameters(&mut self) -> String {
        let text = self.parameters.get(&self.next_parameters).map(|p| p.text.to_string());
        let text = text.unwrap_or_default();
        self.current = serde_json::from_str(&text).ok();
        self.next_parameters += 1;
        text
    }

    /// Asks as NNI's SDK does that finds no file of the next index.
    ///
    /// Source: nni v3.0, `nni/runtime/trial_command_channel/local_legacy.py`.
    fn request_parameters(&mut self, at: Timestamp) {
        let body = serde_json::json!({
            "trial_job_id": self.spec.id.as_str(),
            "type": "REQUEST_PARAMETER",
            "sequence": 0,
            "parameter_index": self.next_parameters,
        });
        self.append(at, body.to_string());
    }

    /// The result of the parameters at hand is their `x`; without parameters there is none.
    fn score(&mut self, at: Timestamp) {
        let x = self.current.as_ref().map(|packed| packed["parameters"]["x"].clone());
        if let Some(x) = x.filter(|x| !x.is_null()) {
            self.report(at, true, &x.to_string());
        }
    }

    pub(super) fn append(&mut self, at: Timestamp, body: String) {
        let before = self.journal.last().map_or(0, |entry| entry.cursor.offset);
        let cursor = JournalCursor {
            base: 0,
            offset: before + FRAME_HEADER + body.len() as u64 + 1,
            check: body.bytes().fold(1, |sum, byte| sum.rotate_left(5) ^ u32::from(byte)),
        };
        self.journal.push(MetricEntry { at, cursor, body });
    }

    /// Appends what NNI's SDK would: the value is JSON text within the JSON.
    fn report(&mut self, at: Timestamp, last: bool, value: &str) {
        let current = self.current.as_ref();
        let parameter_id = current.and_then(|p| p.get("parameter_id").cloned()).unwrap_or_default();
        let sequence = if last { 0 } else { self.n_intermediate };
        let body = serde_json::json!({
            "parameter_id": parameter_id,
            "trial_job_id": self.spec.id.as_str(),
            "type": if last { "FINAL" } else { "PERIODICAL" },
            "sequence": sequence,
            "value": value,
        });
        self.n_intermediate += u32::from(!last);
        self.append(at, body.to_string());
    }

    pub(super) fn exit(&mut self, at: Timestamp, code: i32) {
        let stderr = self.logs.iter().filter(|(kind, _)| *kind == LogKind::Stderr);
        let tail: String = stderr.map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
        let status = if code == 0 {
            TrialStatus::Succeeded
        } else {
            TrialStatus::Failed
        };
        self.enter(at, status, judge(code, &tail, at));
    }

    /// Asks it to end, which a job may ignore until the forced end; the first reason counts.
    pub(super) fn cancel(&mut self, at: Timestamp, why: CancelReason) {
        if self.status().is_terminal() || self.cancel.is_some() {
            return;
        }
        self.cancel = Some(why);
        if !self.ignores_term {
            self.end_canceled(at);
        }
    }

    /// Ends it for the reason that it was asked to end for.
    pub(super) fn end_canceled(&mut self, at: Timestamp) {
        let why = self.cancel.unwrap_or(CancelReason::User);
        let code = match why {
            CancelReason::EarlyStop => ReasonCode::EarlyStopped,
            CancelReason::TimeLimit => ReasonCode::TimeLimit,
            _ => ReasonCode::Canceled,
        };
        let reason = Reason::new(code, format!("ended on request ({})", why.as_str()), at);
        self.enter(at, why.status(), Some(reason));
    }
}
