//! The trait over all platforms: each request goes to the platform that has the trial, or to the one that gets it.

use super::{
    members::{Member, Members, moves_on},
    watch,
};
use async_trait::async_trait;
use futures_util::{future::join_all, stream::BoxStream};
use std::{collections::BTreeMap, sync::Arc};
use ts_core::{
    CancelReason, Capabilities, CleanupReport, CleanupScope, CodeDirectory, Ctx, Error, ErrorKind, Event,
    ExperimentSpec, Parameters, Prepared, Recovered, Rendered, Result, Retry, Submitted, Support, TrainingService,
    TrialId, TrialRecord, TrialSpec, Warning, Warnings, WatchRequest,
};

/// Several platforms as one.
#[derive(Debug)]
pub struct Hybrid {
    members: Arc<Members>,
    /// The experiment; what a trial has of it, it has of its platform's instead.
    spec: ExperimentSpec,
    capabilities: Capabilities,
}

/// Where the code is on one platform; without a receipt it could not be delivered yet.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Delivered {
    platform: String,
    receipt: Option<Prepared>,
}

impl Hybrid {
    /// These platforms, in the order in which they are asked where no weights say otherwise. No I/O.
    ///
    /// Each platform needs a context with a directory of its own, so that none takes another's trials for its own.
    pub fn new(ctx: Ctx, spec: ExperimentSpec, list: Vec<Member>) -> Self {
        Self {
            capabilities: common(&list),
            spec,
            members: Arc::new(Members::new(ctx, list)),
        }
    }

    /// The trial as this platform gets it: with the platform's command and GPUs where the experiment's are meant.
    fn of_member(&self, member: &Member, trial: &TrialSpec) -> TrialSpec {
        let mut trial = trial.clone();
        if trial.command == self.spec.command {
            trial.command.clone_from(&member.spec.command);
        }
        if trial.gpus == self.spec.gpus {
            trial.gpus = member.spec.gpus;
        }
        trial
    }

    /// The experiment as this platform has it.
    fn spec_of(&self, member: &Member, spec: &ExperimentSpec) -> ExperimentSpec {
        let mut own = spec.clone();
        if spec.command == self.spec.command {
            own.command.clone_from(&member.spec.command);
        }
        if spec.gpus == self.spec.gpus {
            own.gpus = member.spec.gpus;
        }
        own.code = self.code_of(member, &spec.code).clone();
        own
    }

    /// The platform's own code directory where the experiment's is meant.
    fn code_of<'a>(&self, member: &'a Member, code: &'a CodeDirectory) -> &'a CodeDirectory {
        if *code == self.spec.code {
            &member.spec.code
        } else {
            code
        }
    }

    async fn submit_to(&self, at: usize, code: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        let member = &self.members.list[at];
        let known = receipt_of(code, member)?.or_else(|| self.members.receipt(at));
        let receipt = if let Some(receipt) = known {
            receipt
        } else {
            let receipt = member.service.prepare(&member.spec.code).await.map_err(not_applied)?;
            self.members.keep_receipt(at, receipt.clone());
            receipt
        };
        member.service.submit(&receipt, &self.of_member(member, trial)).await
    }

    async fn cleanup_of(&self, at: usize, scope: &CleanupScope) -> CleanupReport {
        let member = &self.members.list[at];
        let mut report = match scope {
            CleanupScope::Trials(trials) if !trials.is_empty() => {
                let is_there = |trial: &&TrialId| matches!(self.members.of(trial), Ok(Some(place)) if place == at);
                let own: Vec<TrialId> = trials.iter().filter(is_there).cloned().collect();
                if own.is_empty() {
                    return CleanupReport::new();
                }
                member.service.cleanup(&CleanupScope::Trials(own)).await
            }
            all => member.service.cleanup(all).await,
        };
        for (what, _) in &mut report.failures {
            *what = format!("{}: {what}", member.name);
        }
        report
    }
}

/// What all of them can do; a refusal is that of the platform which has the trial.
fn common(list: &[Member]) -> Capabilities {
    let mut common = Capabilities::pulled();
    let refused = |of: fn(&Capabilities) -> Support| {
        let all: Vec<Support> = list.iter().map(|member| of(member.service.capabilities())).collect();
        let first = all.first().copied().unwrap_or(Support::Yes);
        if all.contains(&Support::Yes) {
            Support::Yes
        } else {
            first
        }
    };
    common.logs = refused(|c| c.logs);
    common.next_parameters = refused(|c| c.next_parameters);
    common.recover = refused(|c| c.recover);
    common.gpu = list
        .first()
        .map_or(common.gpu, |member| member.service.capabilities().gpu);
    common
}

/// The platform's part of a receipt of ours.
fn receipt_of(code: &Prepared, member: &Member) -> Result<Option<Prepared>> {
    let all: Vec<Delivered> = serde_json::from_str(&code.location).map_err(|e| {
        Error::new(
            ErrorKind::Rejected,
            "the receipt of the code is not one for several platforms",
        )
        .with_help("prepare the code directory first")
        .with_source(e)
    })?;
    Ok(all
        .into_iter()
        .find(|one| one.platform == member.name)
        .and_then(|one| one.receipt))
}

/// What failed before the job was asked for has not made one.
fn not_applied(error: Error) -> Error {
    match error.retry() {
        Retry::MaybeApplied { after } => error.with_retry(Retry::NotApplied { after }),
        _ => error,
    }
}

fn is_away(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::TimedOut) || error.is_retryable()
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TrainingService for Hybrid {
    fn platform(&self) -> &'static str {
        "hybrid"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn validate(&self, spec: &ExperimentSpec) -> Result<Warnings> {
        let list = &self.members.list;
        let specs: Vec<ExperimentSpec> = list.iter().map(|member| self.spec_of(member, spec)).collect();
        let answers = join_all(
            list.iter()
                .zip(&specs)
                .map(|(member, spec)| member.service.validate(spec)),
        )
        .await;
        let mut warnings = Warnings::new();
        let mut away = None;
        let mut n_there = 0;
        for (member, answer) in list.iter().zip(answers) {
            match answer {
                Ok(found) => {
                    n_there += 1;
                    warnings.extend(found.into_iter().map(|mut warning| {
                        warning.message = format!("{}: {}", member.name, warning.message);
                        warning
                    }));
                }
                Err(error) if is_away(&error) => {
                    let text = format!("{}: {error}; it gets trials once it answers", member.name);
                    warnings.push(Warning::new(text).with_key("trainingService"));
                    away = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        let most: Option<u32> = list.iter().map(|member| member.concurrency).sum();
        if let Some(most) = most.filter(|most| *most < spec.concurrency) {
            let text = format!(
                "the platforms take {most} trials at a time, the experiment wants {}",
                spec.concurrency
            );
            let help = "raise `trialConcurrency` of a platform, or lower the experiment's";
            warnings.push(Warning::new(text).with_key("trialConcurrency").with_help(help));
        }
        match away {
            Some(error) if n_there == 0 => Err(error),
            _ => Ok(warnings),
        }
    }

    /// The code goes to every platform that answers.
    async fn prepare(&self, code: &CodeDirectory) -> Result<Prepared> {
        let list = &self.members.list;
        let receipts = join_all(
            list.iter()
                .map(|member| member.service.prepare(self.code_of(member, code))),
        )
        .await;
        let mut delivered = Vec::new();
        let mut failed = None;
        for (at, (member, receipt)) in list.iter().zip(receipts).enumerate() {
            let receipt = match receipt {
                Ok(receipt) => Some(receipt),
                Err(error) if is_away(&error) || moves_on(&error) => {
                    self.members.note_down(at, &error);
                    failed = Some(error);
                    None
                }
                Err(error) => return Err(error),
            };
            delivered.push(Delivered {
                platform: member.name.clone(),
                receipt,
            });
        }
        let digest = delivered.iter().find_map(|one| one.receipt.as_ref()?.digest.clone());
        match failed {
            Some(error) if delivered.iter().all(|one| one.receipt.is_none()) => Err(error),
            _ => {
                let location = serde_json::to_string(&delivered)
                    .map_err(|e| Error::new(ErrorKind::Internal, "a receipt is no JSON").with_source(e))?;
                Ok(Prepared::new(digest, location))
            }
        }
    }

    /// What the platform would get that has the trial, or would get it now.
    fn render(&self, code: &Prepared, trial: &TrialSpec) -> Result<Rendered> {
        let at = match self.members.of(&trial.id)? {
            Some(at) => at,
            None => self.members.order().first().copied().unwrap_or(0),
        };
        let member = &self.members.list[at];
        let receipt = receipt_of(code, member)?.unwrap_or_else(|| Prepared::new(None, ""));
        let mut rendered = member.service.render(&receipt, &self.of_member(member, trial))?;
        for (name, _) in &mut rendered.documents {
            *name = format!("{}: {name}", member.name);
        }
        Ok(rendered)
    }

    async fn submit(&self, code: &Prepared, trial: &TrialSpec) -> Result<Submitted> {
        if let Some(at) = self.members.of(&trial.id)? {
            self.members.take(at, &trial.id);
            return self.submit_to(at, code, trial).await;
        }
        let mut last = None;
        for at in self.members.order() {
            if !self.members.take(at, &trial.id) {
                continue;
            }
            self.members.places.put(&trial.id, &self.members.list[at].name)?;
            match self.submit_to(at, code, trial).await {
                Ok(receipt) => {
                    self.members.note_up(at);
                    return Ok(receipt);
                }
                Err(error) if moves_on(&error) => {
                    self.members.release(at, &trial.id);
                    if error.kind() != ErrorKind::NoCapacity {
                        self.members.note_down(at, &error);
                    }
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        self.members.places.clear(&trial.id)?;
        let full = || {
            Error::new(
                ErrorKind::NoCapacity,
                "every platform has as many trials as it may have",
            )
        };
        let error = last.unwrap_or_else(full);
        let after = match error.retry() {
            Retry::NotApplied { after } => after,
            _ => None,
        };
        // Nobody has it: it waits for the first that answers, also where all refused for good today.
        Err(error.with_retry(Retry::NotApplied { after }))
    }

    async fn send_parameters(&self, trial: &TrialId, next: &Parameters) -> Result<()> {
        match self.members.of(trial)? {
            Some(at) => self.members.list[at].service.send_parameters(trial, next).await,
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("trial `{trial}` is on no platform"),
            )),
        }
    }

    fn watch(&self, what: WatchRequest) -> BoxStream<'static, Result<Event>> {
        watch::watch(&self.members, &what)
    }

    async fn cancel(&self, trial: &TrialId, why: CancelReason) -> Result<()> {
        match self.members.of(trial)? {
            Some(at) => self.members.list[at].service.cancel(trial, why).await,
            None => Ok(()),
        }
    }

    async fn recover(&self, known: &[TrialRecord]) -> Result<Recovered> {
        let mut recovered = Recovered::new();
        let mut of: BTreeMap<usize, Vec<TrialRecord>> =
            (0..self.members.list.len()).map(|at| (at, Vec::new())).collect();
        for record in known {
            match self.members.of(&record.spec.id)? {
                Some(at) => of.entry(at).or_default().push(record.clone()),
                None => recovered.lost.push(record.spec.id.clone()),
            }
        }
        let answers = join_all(of.iter().map(|(at, own)| self.members.list[*at].service.recover(own))).await;
        for ((at, own), answer) in of.into_iter().zip(answers) {
            match answer {
                Ok(found) => {
                    for trial in &found.adopted {
                        self.members.take(at, trial);
                    }
                    recovered.adopted.extend(found.adopted);
                    recovered.lost.extend(found.lost);
                    recovered.strays.extend(found.strays);
                }
                Err(error) if is_away(&error) && self.members.list.len() > 1 => {
                    self.members.note_down(at, &error);
                    for record in &own {
                        self.members.take(at, &record.spec.id);
                        recovered.adopted.push(record.spec.id.clone());
                    }
                    self.members.ask_later(at, own);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(recovered)
    }

    async fn cleanup(&self, scope: &CleanupScope) -> CleanupReport {
        let reports = join_all((0..self.members.list.len()).map(|at| self.cleanup_of(at, scope))).await;
        let mut all = CleanupReport::new();
        for report in reports {
            all.removed += report.removed;
            all.failures.extend(report.failures);
        }
        if matches!(scope, CleanupScope::Experiment)
            && all.is_clean()
            && let Err(error) = self.members.places.remove()
        {
            all.failures.push(("places".into(), error));
        }
        all
    }
}
