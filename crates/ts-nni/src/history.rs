//! What has been so far, as a dispatcher is told it that has not seen it: after a resume of the experiment, or after a crash.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use ts_core::{TrialId, json_members};
use ts_manager::source::{ImportedResult, PastTrial};

/// All trials of the experiment.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: Vec<Entry>,
    /// Entries of a trial: its own parameters, then further ones.
    by_trial: HashMap<TrialId, Vec<usize>>,
    /// Parameters of trials that have not ended.
    running: HashSet<Arc<str>>,
    /// Parameters that the present process made.
    made: HashSet<Arc<str>>,
    /// Results from elsewhere, as a dispatcher imports them.
    imported: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    trial: TrialId,
    parameters: Arc<str>,
    value: Option<Arc<str>>,
    /// Whether the present process made its parameters.
    is_known: bool,
}

impl History {
    pub(crate) fn new(past: &[PastTrial]) -> Self {
        let mut history = Self::default();
        for past in past {
            if past.index > 0 {
                history.given(&past.trial, &past.parameters);
            } else {
                history.assigned(&past.trial, &past.parameters);
                if past.status.is_terminal() {
                    history.ended(&past.parameters);
                }
            }
            if let Some(value) = &past.final_value {
                history.result(&past.trial, &past.parameters, Arc::clone(value));
            }
        }
        history
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The present process made parameters.
    pub(crate) fn made(&mut self, parameters: Arc<str>) {
        self.made.insert(parameters);
    }

    /// A trial was made of parameters; the last attempt stands for all of them.
    pub(crate) fn assigned(&mut self, trial: &TrialId, parameters: &Arc<str>) {
        self.running.insert(Arc::clone(parameters));
        self.given(trial, parameters);
    }

    /// A running trial got further parameters.
    pub(crate) fn given(&mut self, trial: &TrialId, parameters: &Arc<str>) {
        self.by_trial.entry(trial.clone()).or_default().push(self.entries.len());
        self.entries.push(Entry {
            trial: trial.clone(),
            parameters: Arc::clone(parameters),
            value: None,
            is_known: self.made.contains(parameters),
        });
    }

    /// Parameters of a trial have a final result.
    pub(crate) fn result(&mut self, trial: &TrialId, parameters: &str, value: Arc<str>) {
        if let Some(at) = self.at(trial, parameters) {
            self.entries[at].value = Some(value);
        }
    }

    fn at(&self, trial: &TrialId, parameters: &str) -> Option<usize> {
        let entries = self.by_trial.get(trial)?;
        entries
            .iter()
            .copied()
            .find(|at| *self.entries[*at].parameters == *parameters)
    }

    fn entry(&self, trial: &TrialId, parameters: &str) -> Option<&Entry> {
        self.at(trial, parameters).map(|at| &self.entries[at])
    }

    /// Whether these parameters have a result and are not all that the trial was given.
    pub(crate) fn is_done_phase(&self, trial: &TrialId, parameters: &str) -> bool {
        let are_several = self.by_trial.get(trial).is_some_and(|entries| entries.len() > 1);
        are_several && self.entry(trial, parameters).is_some_and(|entry| entry.value.is_some())
    }

    /// The trial of these parameters has ended.
    pub(crate) fn ended(&mut self, parameters: &Arc<str>) {
        self.running.remove(parameters);
    }

    pub(crate) fn any_runs(&self) -> bool {
        !self.running.is_empty()
    }

    /// Whether the present process made these parameters of the trial.
    pub(crate) fn knows(&self, trial: &TrialId, parameters: &str) -> bool {
        self.entry(trial, parameters).is_some_and(|entry| entry.is_known)
    }

    /// Another process takes over.
    pub(crate) fn begin_again(&mut self) {
        self.made.clear();
        for entry in &mut self.entries {
            entry.is_known = false;
        }
    }

    /// All results, as a dispatcher imports them; `None` if there are none.
    pub(crate) fn imports(&self) -> Option<String> {
        let with_result = self.entries.iter().filter(|entry| entry.value.is_some());
        let imports = with_result.filter_map(|entry| import(&entry.trial, &entry.parameters, entry.value.as_deref()?));
        let imports: Vec<_> = imports.chain(self.imported.iter().cloned()).collect();
        (!imports.is_empty()).then(|| format!("[{}]", imports.join(", ")))
    }

    /// Keeps results from elsewhere, and gives them as a dispatcher imports them; `None` if there are none.
    pub(crate) fn import_results(&mut self, results: &[ImportedResult]) -> Option<String> {
        let entries: Vec<_> = results
            .iter()
            .map(|result| {
                let value = quoted(&result.text());
                format!("{{\"parameter\": {}, \"value\": {value}}}", result.parameter)
            })
            .collect();
        let text = format!("[{}]", entries.join(", "));
        self.imported.extend(entries);
        (!results.is_empty()).then_some(text)
    }

    /// The result of parameters that another process made.
    pub(crate) fn import(&self, trial: &TrialId, parameters: &str) -> Option<String> {
        let entry = self.entry(trial, parameters)?;
        Some(format!(
            "[{}]",
            import(trial, &entry.parameters, entry.value.as_deref()?)?
        ))
    }

    /// All parameters, as a dispatcher takes them that goes on with their ids; `None` if there are none.
    ///
    /// Source: nni v2.10, `nni/recoverable.py`, `recover_parameter_id`.
    pub(crate) fn parameters(&self) -> Option<String> {
        // Those that a person chose have no id.
        let with_id = self
            .entries
            .iter()
            .filter(|entry| member(&entry.parameters, "parameter_id") != Some("null"));
        let texts: Vec<_> = with_id.map(|entry| &*entry.parameters).collect();
        (!texts.is_empty()).then(|| format!("[{}]", texts.join(", ")))
    }
}

/// Source: nni v3.0, `nni/runtime/msg_dispatcher.py`, `handle_import_data`: the value is JSON text.
///
/// Parameters that a person chose are left out: tuners do not learn from them (`nni/tuner.py`, `receive_trial_result`, `customized`),
/// and some fail on what their search space does not hold.
fn import(trial: &TrialId, parameters: &str, value: &str) -> Option<String> {
    if member(parameters, "parameter_source") == Some("\"customized\"") {
        return None;
    }
    let parameters = member(parameters, "parameters")?;
    Some(format!(
        "{{\"parameter\": {parameters}, \"value\": {}, \"trialJobId\": \"{trial}\"}}",
        quoted(value)
    ))
}

/// The raw text of a member of packed parameters, which may hold bare `NaN`.
pub(crate) fn member<'t>(packed: &'t str, key: &str) -> Option<&'t str> {
    json_members(packed)?
        .into_iter()
        .rev()
        .find(|(name, _)| name == key)
        .map(|(_, raw)| raw)
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TrialId {
        TrialId::new(text).expect("an id")
    }

    fn packed(n: u32) -> Arc<str> {
        format!(r#"{{"parameter_id": {n}, "parameters": {{"x": NaN}}, "parameter_index": 0}}"#).into()
    }

    #[test]
    fn results_are_imported_with_their_parameters_as_written() {
        let mut history = History::default();
        history.assigned(&id("a"), &packed(0));
        history.assigned(&id("b"), &packed(1));
        assert_eq!(history.imports(), None);
        history.result(&id("b"), &packed(1), "{\"default\": Infinity}".into());
        let import = r#"[{"parameter": {"x": NaN}, "value": "{\"default\": Infinity}", "trialJobId": "b"}]"#;
        assert_eq!(history.imports().as_deref(), Some(import));
        assert_eq!(history.import(&id("b"), &packed(1)).as_deref(), Some(import));
        assert_eq!(history.parameters(), Some(format!("[{}, {}]", packed(0), packed(1))));
    }

    #[test]
    fn each_phase_of_a_trial_has_its_own_result() {
        let mut history = History::default();
        history.assigned(&id("a"), &packed(0));
        history.made(packed(1));
        history.given(&id("a"), &packed(1));
        history.result(&id("a"), &packed(0), "5".into());
        assert!(history.is_done_phase(&id("a"), &packed(0)) && !history.is_done_phase(&id("a"), &packed(1)));
        assert!(!history.knows(&id("a"), &packed(0)) && history.knows(&id("a"), &packed(1)));
        let import = r#"[{"parameter": {"x": NaN}, "value": "5", "trialJobId": "a"}]"#;
        assert_eq!(history.imports().as_deref(), Some(import));
        assert_eq!(history.import(&id("a"), &packed(1)), None);
        history.ended(&packed(0));
        assert!(!history.any_runs(), "a phase is no trial");
    }

    #[test]
    fn only_what_this_process_made_is_known_to_it() {
        let mut history = History::default();
        history.made(packed(0));
        history.assigned(&id("a"), &packed(0));
        assert!(history.knows(&id("a"), &packed(0)) && history.any_runs());
        history.begin_again();
        history.made(packed(1));
        history.assigned(&id("b"), &packed(1));
        history.assigned(&id("again"), &packed(0));
        let knows = |trial, n| history.knows(&id(trial), &packed(n));
        assert!(!knows("a", 0) && knows("b", 1) && !knows("again", 0));
        history.ended(&packed(0));
        history.ended(&packed(1));
        assert!(!history.any_runs(), "both attempts were one trial");
    }
}
