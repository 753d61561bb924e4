//! What all built-in algorithms share: numbering of proposals, the queue of requests, resuming, and a random source per proposal.
//!
//! The algorithms themselves are pure state machines behind [`Algorithm`].

use super::{ImportedResult, Observation, ParameterSource, PastTrial, Proposal, SourceEvent, pack, pack_for, unpack};
use async_trait::async_trait;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::{collections::VecDeque, fmt::Debug, sync::Arc};
use ts_core::{Error, ErrorKind, Result, TrialId, TrialStatus};

/// A built-in algorithm. Proposals are asked for in the order of their numbers, each number once; a resume skips numbers.
pub(super) trait Algorithm: Debug + Send + 'static {
    /// Name as the configuration spells it.
    fn name(&self) -> &'static str;
    /// The parameters of proposal `id`; `None` if there are no more.
    fn propose(&mut self, id: u64) -> Result<Option<Value>>;
    /// A trial of an earlier run with these packed parameters; its result and end, if any, follow.
    fn adopt(&mut self, parameters: &str);
    /// A final result.
    fn result(&mut self, parameters: &str, number: Option<f64>);
    /// The trial's end.
    fn ended(&mut self, parameters: &str);
    /// A result from elsewhere.
    fn import(&mut self, parameters: &Value, number: Option<f64>);
    /// Another search space, or why not.
    fn update_search_space(&mut self, space: &Value) -> Result<()>;
}

/// The refusal of an algorithm that goes through its space from the beginning.
pub(super) fn goes_through_its_space(name: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("`{name}` goes through the search space that it began with"),
    )
    .with_help("run the new space as an experiment of its own")
}

/// The random source of one proposal: a stream of its own, so that proposal `id` is the same whether or not others came before it
/// in this run.
pub(super) fn rng(seed: u64, id: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(id);
    rng
}

/// A [`ParameterSource`] around an algorithm.
#[derive(Debug)]
pub(super) struct BuiltIn<A> {
    algorithm: A,
    next_id: u64,
    wanted: u64,
    /// Running trials that wait for parameters of this index, before all new ones.
    asking: VecDeque<(TrialId, u32)>,
}

impl<A: Algorithm> BuiltIn<A> {
    pub(super) fn new(algorithm: A) -> Self {
        Self {
            algorithm,
            next_id: 0,
            wanted: 0,
            asking: VecDeque::new(),
        }
    }

    /// The next proposal, with its number.
    fn propose(&mut self) -> Result<Option<(u64, Value)>> {
        let id = self.next_id;
        let proposed = self.algorithm.propose(id)?;
        self.next_id += u64::from(proposed.is_some());
        Ok(proposed.map(|parameters| (id, parameters)))
    }
}

#[async_trait]
impl<A: Algorithm> ParameterSource for BuiltIn<A> {
    fn name(&self) -> &str {
        self.algorithm.name()
    }

    async fn start(&mut self, history: &[PastTrial]) -> Result<()> {
        for past in history {
            // Parameters without a number were given by the user, not by an algorithm.
            let Some(packed) = unpack(&past.parameters) else {
                continue;
            };
            let after = packed.id.checked_add(1).ok_or_else(|| {
                Error::new(
                    ErrorKind::Protocol,
                    format!("trial `{}` has the last possible parameter id", past.trial),
                )
            })?;
            self.next_id = self.next_id.max(after);
            self.algorithm.adopt(&past.parameters);
            if past.final_value.is_some() || past.final_number.is_some() {
                self.algorithm.result(&past.parameters, past.final_number);
            }
            if past.status.is_terminal() {
                self.algorithm.ended(&past.parameters);
            }
        }
        Ok(())
    }

    async fn request(&mut self, n: u32) -> Result<()> {
        self.wanted += u64::from(n);
        Ok(())
    }

    async fn request_next(&mut self, trial: &TrialId, index: u32) -> Result<()> {
        self.asking.push_back((trial.clone(), index));
        Ok(())
    }

    async fn next_ended(&mut self, trial: &TrialId, _status: TrialStatus, parameters: &[Arc<str>]) -> Result<()> {
        self.asking.retain(|(asking, _)| asking != trial);
        for text in parameters {
            self.algorithm.ended(text);
        }
        Ok(())
    }

    async fn assigned(&mut self, _trial: &TrialId, _parameters: &str) -> Result<()> {
        Ok(())
    }

    async fn observe(&mut self, observation: Observation<'_>) -> Result<()> {
        if observation.is_final {
            self.algorithm.result(observation.parameters, observation.number);
        }
        Ok(())
    }

    async fn ended(&mut self, _trial: &TrialId, _status: TrialStatus, parameters: &str) -> Result<()> {
        self.algorithm.ended(parameters);
        Ok(())
    }

    async fn import(&mut self, results: &[ImportedResult]) -> Result<()> {
        for result in results {
            self.algorithm.import(&result.parameter, result.number());
        }
        Ok(())
    }

    async fn update_search_space(&mut self, space: &Value) -> Result<()> {
        self.algorithm.update_search_space(space)
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        if let Some((trial, index)) = self.asking.pop_front() {
            let text = self.propose()?.map(|(id, parameters)| pack_for(id, &parameters, index));
            return Ok(SourceEvent::Next { trial, index, text });
        }
        if self.wanted == 0 {
            return std::future::pending().await;
        }
        let Some((id, parameters)) = self.propose()? else {
            self.wanted = 0;
            return Ok(SourceEvent::Exhausted);
        };
        self.wanted -= 1;
        Ok(SourceEvent::Proposal(Proposal {
            text: pack(id, &parameters),
        }))
    }

    /// Nothing runs on its behalf.
    async fn close(&mut self) {}
}
