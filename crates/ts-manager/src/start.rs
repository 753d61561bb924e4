//! How a manager comes to know what is already so: the first start, and resuming after a stop or a crash. There is one path
//! for both, because a first start is a resume of nothing.

use crate::{
    assess::Judgment,
    control::{self, Request, Response},
    deadlines::Deadlines,
    live::{Live, LiveTrials},
    manager::{Manager, ManagerHandle, Parts},
    notice::{Notice, Snapshot},
    observe::Observer,
    phases::Phases,
    pool::Pool,
    source::{ImportedResult, PastTrial},
    store::{Change, ExperimentRow, ExperimentStatus, FIRST_REPORT, MetricKind, Store, TrialFilter, TrialRow},
    turn::Turn,
};
use futures_util::stream::FuturesUnordered;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{broadcast, mpsc, watch};
use ts_core::{Prepared, Result, RetryPolicy, TrialId, TrialRecord, TrialStatus, retry};

/// Notices that a slow reader may lag behind before it misses some.
const NOTICES: usize = 1024;

impl Manager {
    /// A manager that has not begun. No I/O.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            ctx,
            spec,
            service,
            source,
            assessor,
            store,
            retry,
            max_trial_duration,
            optimize,
            requests,
        } = parts;
        let (snapshot, snapshots) = watch::channel(Snapshot::new(ExperimentStatus::Initialized));
        let (notices, _) = broadcast::channel(NOTICES);
        let (asking, commands) = mpsc::channel(16);
        let handle = ManagerHandle {
            snapshot: snapshots,
            notices: notices.clone(),
            commands: asking,
        };
        let began = ctx.clock.monotonic();
        Self {
            pool: Pool::new(crate::store::Limits::new(spec.concurrency), 0, 0),
            ctx,
            spec,
            service,
            source,
            assessor,
            store,
            retry,
            max_trial_duration,
            optimize,
            requests,
            socket: None,
            observer: None,
            live: LiveTrials::default(),
            known_ids: HashSet::new(),
            next_sequence_id: 0,
            queue: VecDeque::new(),
            deadlines: Deadlines::default(),
            code: Prepared::new(None, ""),
            status: ExperimentStatus::Initialized,
            earlier: Duration::ZERO,
            began,
            stored_until: began,
            misconfigured: 0,
            failure: None,
            unanswered: FuturesUnordered::new(),
            untold: Vec::new(),
            submitting: FuturesUnordered::new(),
            canceling: FuturesUnordered::new(),
            sending: FuturesUnordered::new(),
            snapshot,
            notices,
            commands,
            handle,
        }
    }

    /// Listens on the control socket in the experiment's directory until the manager has ended.
    ///
    /// # Errors
    /// `Io` if the socket cannot be made.
    pub fn listen(&mut self, directory: &crate::ExperimentDirectory) -> Result<()> {
        self.socket = Some(control::serve(
            directory,
            &self.ctx.tasks,
            self.handle.commands.clone(),
        )?);
        Ok(())
    }

    /// Tells `observer` everything from now on.
    pub fn observed_by(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Reads the store, delivers the code, finds the jobs of earlier runs, rebuilds the source.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        let past = self.read_past().await?;
        self.pool.limits = past.experiment.limits;
        self.earlier = past.experiment.duration;
        self.next_sequence_id = past.experiment.next_sequence_id;
        self.pool.out_of_time = self.experiment_deadline().is_some_and(|at| self.began >= at);
        self.count(&past.trials);
        self.status = ExperimentStatus::Running;
        let at = self.ctx.clock.now();
        let running = Change::ExperimentStatus {
            status: self.status,
            at,
            message: None,
        };
        let changes = vec![running, self.duration_change()];
        self.decided(&changes);
        self.store.apply(changes).await?;
        self.snapshot.send_modify(|s| s.status = ExperimentStatus::Running);

        let mut turn = Turn::default();
        // Whoever only ends what an earlier manager left needs no code, and it may be gone by now.
        if !self.requests.contains(&Request::Stop) {
            let (service, code) = (&self.service, &self.spec.code);
            self.code = retry(&*self.ctx.clock, RetryPolicy::new(), true, |_| service.prepare(code)).await?;
        } else if let Some(code) = past.experiment.code.clone() {
            self.code = code;
        }
        if past.experiment.code.as_ref() != Some(&self.code) && !self.requests.contains(&Request::Stop) {
            turn.changes.push(Change::CodePrepared {
                at,
                receipt: self.code.clone(),
            });
        }
        self.source.start(&past.history).await?;
        if !past.imported.is_empty() {
            self.source.import(&past.imported).await?;
        }
        self.replay_assessor(&past.intermediate, &past.history);
        self.adopt(past.unfinished, &past.trials, &past.next_reports, &mut turn)
            .await?;
        for request in std::mem::take(&mut self.requests) {
            for problem in self.command(request, &mut turn).await.problems {
                turn.notices.push(Notice::Warning(problem));
            }
        }
        self.finish_turn(turn).await
    }

    async fn read_past(&self) -> Result<Past> {
        let store = self.store.clone();
        let wants_intermediate = self.assessor.is_some();
        self.ctx
            .tasks
            .blocking(move || Past::read(&store, wants_intermediate))
            .await
    }

    fn count(&mut self, trials: &[TrialRow]) {
        self.known_ids.extend(trials.iter().map(|t| t.spec.id.clone()));
        let first_attempts = trials.iter().filter(|t| t.retry_of.is_none()).count();
        self.pool.created = u32::try_from(first_attempts).unwrap_or(u32::MAX);
        self.snapshot.send_modify(|s| {
            for trial in trials {
                s.add(trial.status, 1);
            }
        });
        for trial in trials {
            if let Some(number) = trial.final_number.filter(|n| n.is_finite()) {
                self.note_best(number, &trial.spec.id);
            }
        }
    }

    fn replay_assessor(&mut self, intermediate: &[(TrialId, u32, Option<f64>)], history: &[PastTrial]) {
        let Some(assessor) = &mut self.assessor else { return };
        for (trial, sequence, number) in intermediate {
            // What it judged then was acted on then.
            let _: Judgment = assessor.intermediate(trial, *sequence, *number);
        }
        for past in history
            .iter()
            .filter(|past| past.index == 0 && past.status.is_terminal())
        {
            assessor.ended(&past.trial, past.status);
        }
    }

    /// Takes up every trial that had not ended: adopted ones go on, lost ones end, never submitted ones are submitted.
    async fn adopt(
        &mut self,
        unfinished: Vec<TrialRecord>,
        rows: &[TrialRow],
        next_reports: &HashMap<TrialId, u64>,
        turn: &mut Turn,
    ) -> Result<()> {
        let (service, clock) = (Arc::clone(&self.service), Arc::clone(&self.ctx.clock));
        let recovered = retry(&*clock, RetryPolicy::new(), true, |_| service.recover(&unfinished)).await?;
        for stray in &recovered.strays {
            turn.notices.push(Notice::Warning(format!(
                "the platform runs trial {stray} of this experiment, which the store does not know; it is left alone"
            )));
            turn.changes.push(Change::Note {
                at: clock.now(),
                trial: None,
                kind: "stray".into(),
                data: serde_json::Value::String(stray.to_string()),
            });
        }
        let adopted: HashSet<_> = recovered.adopted.into_iter().collect();
        for record in unfinished {
            let id = record.spec.id.clone();
            let row = rows.iter().find(|row| row.spec.id == id);
            if let (Some(observer), Some(row)) = (&mut self.observer, row) {
                observer.adopted(row, clock.now());
            }
            let mut live = Live::new(record.spec, row.map_or(1, |row| row.attempt));
            live.status = record.status;
            live.cursor = record.cursor;
            live.submitted = adopted.contains(&id);
            live.cancel = row.and_then(|row| row.cancel_requested);
            live.result = row.and_then(|row| row.final_value.as_deref()).map(Arc::from);
            live.next_report = next_reports.get(&id).copied().unwrap_or(FIRST_REPORT);
            if let Some(row) = row {
                let result = live.result.clone().map(|value| (value, row.final_number));
                let first = Arc::clone(&live.spec.parameters.text);
                live.phases = Phases::stored(first, result, &row.phases, row.n_requests);
            }
            let (submitted, cancel) = (live.submitted, live.cancel);
            self.live.insert(live);
            if !submitted && !record.submitted && cancel.is_none() {
                self.pool.queue();
                self.queue.push_back(id);
                continue;
            }
            self.pool.live += 1;
            match (submitted, cancel) {
                (true, Some(why)) => turn.cancel.push((id, why)),
                (true, None) => {
                    self.limit_time(&id, row.and_then(|row| row.started_at));
                    self.resume_next(&id, turn).await;
                }
                (false, Some(why)) if !record.submitted => self.end_before_start(&id, why, turn).await,
                (false, _) => self.lose(&id, turn).await,
            }
        }
        Ok(())
    }

    /// Runs ended trials again, with the parameters that they had.
    pub(crate) async fn retry_ended(&mut self, wanted: Vec<TrialId>, turn: &mut Turn) -> Result<Response> {
        let mut response = Response::default();
        let store = self.store.clone();
        let filter = if wanted.is_empty() {
            TrialFilter::all().in_status([TrialStatus::Failed])
        } else {
            TrialFilter::all().with_ids(wanted.iter().cloned())
        };
        let rows = self.ctx.tasks.blocking(move || store.reader()?.trials(&filter)).await?;
        for id in wanted.iter().filter(|id| !rows.iter().any(|row| row.spec.id == **id)) {
            response.problems.push(format!("the experiment has no trial `{id}`"));
        }
        if self.pool.stopping {
            response.problems.push("the experiment is stopping".into());
            return Ok(response);
        }
        for row in rows {
            if self.live.get(&row.spec.id).is_some() {
                response.problems.push(format!("trial `{}` has not ended", row.spec.id));
                continue;
            }
            self.pool.live += 1;
            let (parameters, gpus) = (row.spec.parameters, row.spec.gpus);
            let next = self
                .create(parameters, gpus, Some(&row.spec.id), row.attempt + 1, turn)
                .await;
            turn.submit.push(next);
            response.done.push(row.spec.id);
        }
        Ok(response)
    }
}

/// What the store holds of earlier runs.
struct Past {
    experiment: ExperimentRow,
    trials: Vec<TrialRow>,
    unfinished: Vec<TrialRecord>,
    /// Of those: places of their next reports that do not come through the journal.
    next_reports: HashMap<TrialId, u64>,
    history: Vec<PastTrial>,
    imported: Vec<ImportedResult>,
    /// For assessors: trial, number of the result, and the value.
    intermediate: Vec<(TrialId, u32, Option<f64>)>,
}

impl Past {
    fn read(store: &Store, wants_intermediate: bool) -> Result<Self> {
        let reader = store.reader()?;
        let trials = reader.trials(&TrialFilter::all())?;
        // A later attempt stands for the trial; the source is told of it once.
        let replaced: HashSet<_> = trials.iter().filter_map(|t| t.retry_of.clone()).collect();
        let history = trials
            .iter()
            .flat_map(|t| past_trial(t, replaced.contains(&t.spec.id)))
            .collect();
        let unfinished = reader.unfinished()?;
        let next_reports = unfinished
            .iter()
            .map(|record| Ok((record.spec.id.clone(), reader.next_report(record.spec.sequence_id)?)))
            .collect::<Result<_>>()?;
        let mut intermediate = Vec::new();
        if wants_intermediate {
            reader.history(|past| {
                let of_trial = past.metrics.iter().filter(|m| m.kind == MetricKind::Intermediate);
                intermediate.extend(of_trial.map(|m| (past.id.clone(), m.sequence, m.number)));
                Ok(())
            })?;
        }
        Ok(Self {
            experiment: reader.experiment()?,
            unfinished,
            next_reports,
            imported: reader.imports()?.into_iter().flatten().collect(),
            trials,
            history,
            intermediate,
        })
    }
}

/// An entry for each of its parameters. A later attempt stands for those that both began with.
fn past_trial(row: &TrialRow, is_replaced: bool) -> Vec<PastTrial> {
    let past = |index, text: &str, value: Option<&str>, final_number| PastTrial {
        trial: row.spec.id.clone(),
        sequence_id: row.spec.sequence_id,
        index,
        parameters: text.into(),
        status: row.status,
        final_value: value.map(Arc::from),
        final_number,
    };
    if row.phases.is_empty() {
        let first = past(
            0,
            &row.spec.parameters.text,
            row.final_value.as_deref(),
            row.final_number,
        );
        return if is_replaced { Vec::new() } else { vec![first] };
    }
    let given = row.phases.iter().filter(|phase| phase.index > 0 || !is_replaced);
    given
        .filter_map(|phase| {
            Some(past(
                phase.index,
                phase.usable()?,
                phase.final_value.as_deref(),
                phase.final_number,
            ))
        })
        .collect()
}
