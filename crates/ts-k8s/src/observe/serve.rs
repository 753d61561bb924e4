//! What a pod needs of us: that its log is read, and that its code is brought; and what comes back of that.

use super::Observer;
use crate::{
    core::News,
    deliver, names,
    relay::{self, PodLog, Source, Spoken},
    rest::{self, Left, Wanted},
    scene::{Object, Rest},
};
use std::{sync::Arc, time::Duration};

/// Wait before what could not be kept, for want of room as a rule, is read again.
const READ_AGAIN: Duration = Duration::from_secs(10);

impl Observer {
    /// Has the log of a pod read and its code brought, once it is so far.
    pub(super) fn serve_pod(&mut self, uid: &str) {
        let Some(trial) = self.scene.pods.get(uid).map(|pod| pod.view.trial.clone()) else {
            return;
        };
        self.marks_second_run(&trial);
        let core = &self.core;
        let Some(pod) = self.scene.pods.get_mut(uid).filter(|pod| !pod.is_second_run) else {
            return;
        };
        let Some(known) = core.registry.get(&trial).filter(|known| !known.status.is_terminal()) else {
            return;
        };
        let (place, view) = (known.extra, &pod.view);
        if view.has_begun() && pod.heard != Some(place.is_apart) {
            pod.heard = Some(place.is_apart);
            pod.spoken = None;
            let journal = match core.config.storage {
                Some(_) => rest::journal_of(core, &view.role, &view.index),
                None => uid.to_owned(),
            };
            let log = PodLog {
                token: names::token(&core.experiment, &trial),
                pod: view.name.clone(),
                container: view.container.clone(),
                source: Source {
                    pod: uid.to_owned(),
                    journal,
                },
                mirror: core.mirror_of(&trial),
                prefix: rest::prefix_of(core, &rest::journal_of(core, &view.role, &view.index)),
                has_others: core.config.n_pods() > 1,
                phase: pod.phase.subscribe(),
                trial,
            };
            let core = Arc::clone(core);
            self.spawner.spawn(async move {
                let spoken = relay::follow(&core, &log).await;
                core.tell(News::Heard(log.source.pod.clone(), place.is_apart, spoken));
                if matches!(spoken, Spoken::Ended(_)) && !place.is_looked_on {
                    deliver::acknowledge(&core, &log).await;
                }
            });
        }
        let digest = place.job.filter(|_| !place.is_looked_on).map(|job| job.digest.clone());
        if let Some(digest) = digest
            && view.wants_code
            && !std::mem::replace(&mut pod.is_served, true)
        {
            let (core, name, uid) = (Arc::clone(core), view.name.clone(), uid.to_owned());
            self.spawner.spawn(async move {
                let brought = deliver::into_pod(&core, &name, &digest).await;
                core.tell(News::Delivered(uid, brought));
            });
        }
    }

    /// Takes what was told to the observer.
    pub(super) fn news(&mut self, news: News) {
        match news {
            News::Look(trial) => {
                let name = names::job(self.core.kind(), &self.core.experiment, &trial);
                self.scene.enter_name(&trial, name);
                let uids: Vec<String> = self.scene.pods_of(&trial).map(|pod| pod.view.uid.clone()).collect();
                for uid in uids {
                    self.serve_pod(&uid);
                }
                self.look(&trial);
            }
            News::Gone(trial) => {
                self.scene.objects.insert(trial.clone(), Object::Gone);
                self.look(&trial);
            }
            News::Listed(absent) => {
                self.is_listing = false;
                for trial in absent {
                    self.scene.objects.entry(trial.clone()).or_insert(Object::Gone);
                    self.look(&trial);
                }
            }
            News::Heard(uid, is_apart, spoken) => {
                if let Some(pod) = self.scene.pods.get_mut(&uid).filter(|pod| pod.heard == Some(is_apart)) {
                    pod.spoken = Some(spoken);
                    let trial = pod.view.trial.clone();
                    self.look(&trial);
                }
            }
            News::Rest(of, left) => {
                self.enter_left(&of, left);
                self.look(&of.trial);
            }
            News::Delivered(uid, result) => {
                let Some(pod) = self.scene.pods.get_mut(&uid) else {
                    return;
                };
                if let Err(error) = result {
                    tracing::warn!(pod = pod.view.name, %error, "the code is sent again");
                    // Tried again with the next sweep, if the pod still waits for it.
                    pod.is_served = false;
                }
            }
        }
    }

    /// Adds what was on the storage to what is here, unless something came from a pod since that was compared.
    fn enter_left(&mut self, of: &Wanted, left: Left) {
        let core = &self.core;
        let (trial, is_apart) = (&of.trial, of.is_apart);
        if core.is_apart(trial) != is_apart || self.scene.rest(trial, is_apart) != Some(Rest::Wanted(of.request)) {
            // It was taken over, or began after all: pods tell all of it, and what was read may be old.
            return;
        }
        if let Some(logs) = left.logs {
            let added = if self.scene.is_being_read(trial) {
                Ok(false)
            } else {
                core.mirror_of(trial).add_logs(trial, logs)
            };
            match added {
                Ok(true) => core.registry.tell(trial),
                Ok(false) => return self.scene.forget_rest(trial),
                Err(error) => {
                    tracing::warn!(%trial, %error, "what the trial left on the storage is read again");
                    let (core, of) = (Arc::clone(core), of.clone());
                    self.spawner.spawn(async move {
                        core.ctx.clock.sleep(READ_AGAIN).await;
                        core.want_rest(of);
                    });
                    return;
                }
            }
        }
        self.scene.enter_rest(trial, is_apart, Rest::Here(left.exit));
    }
}
