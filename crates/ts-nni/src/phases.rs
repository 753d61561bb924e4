//! Further parameters of running trials: a dispatcher of nni v1.9 makes them by itself when it hears of the trial's request; of
//! later ones, whose code for that nothing switches on, the trial gets the parameters that would have been a new trial's.

use crate::{
    dispatcher::{Dispatcher, trial_end},
    history::{member, quoted},
    life::Life,
    message::{METRIC, Message},
};
use std::sync::Arc;
use ts_core::{Result, TrialId, TrialStatus};
use ts_manager::source::SourceEvent;

impl Dispatcher {
    /// A running trial asks for parameters.
    pub(crate) async fn ask_next(&mut self, life: &mut Life, trial: TrialId, index: u32) -> Result<()> {
        if life.release.has_phases() {
            life.send(&asks(&trial, index)).await?;
            self.state.relayed.push((trial, index));
            return Ok(());
        }
        match self.state.requests.next(&trial, index) {
            Some(text) => {
                self.give(trial, index, &text);
                Ok(())
            }
            None => self.request(life, 1).await,
        }
    }

    /// Tells a process that takes over what the old one owes to running trials.
    pub(crate) async fn ask_again(&self, life: &mut Life) -> Result<()> {
        for (trial, index) in &self.state.relayed {
            life.send(&asks(trial, *index)).await?;
        }
        Ok(())
    }

    /// Parameters that were made for whoever comes next go to a running trial.
    pub(crate) fn give(&mut self, trial: TrialId, index: u32, text: &str) {
        self.hand_over(trial, index, with_index(text, index).into());
    }

    fn hand_over(&mut self, trial: TrialId, index: u32, text: Arc<str>) {
        self.state.history.made(Arc::clone(&text));
        self.state.history.given(&trial, &text);
        let text = Some(text);
        self.tell(Ok(SourceEvent::Next { trial, index, text }));
    }

    /// The dispatcher has made parameters for a running trial; `false` if they are not understood.
    pub(crate) fn heard_next(&mut self, content: &str) -> bool {
        let text = |key| serde_json::from_str::<String>(member(content, key)?).ok();
        let index = member(content, "parameter_index").and_then(|raw| raw.parse().ok());
        let (Some(Ok(trial)), Some(index)) = (text("trial_job_id").map(|id| TrialId::new(&id)), index) else {
            return false;
        };
        let asked = (trial, index);
        if let Some(at) = self.state.relayed.iter().position(|open| *open == asked) {
            let (trial, index) = self.state.relayed.remove(at);
            match member(content, "parameters") {
                None | Some("null") => self.tell(Ok(SourceEvent::Next {
                    trial,
                    index,
                    text: None,
                })),
                Some(_) => self.hand_over(trial, index, content.into()),
            }
        }
        true
    }

    /// A trial with further parameters has ended. To a dispatcher that took each of them for a trial, each of them ends.
    pub(crate) fn next_ended(&mut self, life: &Life, trial: &TrialId, status: TrialStatus, parameters: &[Arc<str>]) {
        self.state.requests.forget(trial);
        self.state.relayed.retain(|(asking, _)| asking != trial);
        if life.release.has_phases() {
            return;
        }
        for text in parameters.iter().filter(|text| self.state.history.knows(trial, text)) {
            let end = trial_end(trial, self.status_of(trial, status, text), text);
            self.state.endings.hold(trial.clone(), end);
        }
    }

    /// Parameters of several that have a result have succeeded, however their trial ended: some tuners take no failure after a
    /// result (nni v3.0, Evolution).
    pub(crate) fn status_of(&self, trial: &TrialId, status: TrialStatus, parameters: &str) -> TrialStatus {
        if self.state.history.is_done_phase(trial, parameters) {
            TrialStatus::Succeeded
        } else {
            status
        }
    }
}

/// The request as the trial's SDK writes it.
///
/// Source: nni v1.9, `nni/platform/local.py`, `request_next_parameter`.
fn asks(trial: &TrialId, index: u32) -> Message {
    let trial = quoted(trial.as_str());
    Message::new(
        METRIC,
        format!(
            "{{\"trial_job_id\": {trial}, \"type\": \"REQUEST_PARAMETER\", \"sequence\": 0, \"parameter_index\": {index}}}"
        ),
    )
}

/// Packed parameters with another index, if they have one.
fn with_index(packed: &str, index: u32) -> String {
    let Some(raw) = member(packed, "parameter_index") else {
        return packed.to_owned();
    };
    let at = raw.as_ptr().addr() - packed.as_ptr().addr();
    format!("{}{index}{}", &packed[..at], &packed[at + raw.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_index_of_packed_parameters_changes() {
        for (packed, expected) in [
            (
                r#"{"parameters": {"parameter_index": 0, "x": NaN},  "parameter_index": 0}"#,
                r#"{"parameters": {"parameter_index": 0, "x": NaN},  "parameter_index": 12}"#,
            ),
            (r#"{"parameter_index":null,"a":1}"#, r#"{"parameter_index":12,"a":1}"#),
            (r#"{"parameter_id": 3}"#, r#"{"parameter_id": 3}"#),
        ] {
            assert_eq!(with_index(packed, 12), expected);
        }
    }
}
